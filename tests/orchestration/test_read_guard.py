"""No PASS, no read: in the same run and in another, however the consumer was started."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.encodings import PICKLE
from ro_platform.contracts import BoundRef, JobAttemptRecord, JobStatus
from ro_platform.dagster_private.definitions import subset_of
from ro_platform.gates.made import artifact_of
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]

RAN: list[str] = []
"""What the consumers' code did: nothing, whenever the guard refuses."""


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    RAN.clear()
    yield
    RAN.clear()


@dg.asset(partitions_def=MANIFESTS)
def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return dict(plane.run(context).parameters)


@dg.asset(partitions_def=MANIFESTS)
def used(made: dict[str, Any]) -> dict[str, Any]:
    RAN.append("used")
    return made


def is_good(code_version: str = "1", name: str = "is_good") -> dg.AssetChecksDefinition:
    """The gate of ``made``, in some version of its logic."""

    @gate(asset=made, name=name, code_version=code_version)
    def judge(made: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=made["good"])

    return judge


@dg.asset(partitions_def=MANIFESTS, deps=[made])
def follows() -> dict[str, Any]:
    return {"followed": True}


ONLY_MADE = dg.AssetSelection.assets(made)
ONLY_USED = dg.AssetSelection.assets(used)


def refusal(attempts: Attempts, fingerprint: str) -> str | None:
    """The code with which the consumer was refused; its code must not have run."""
    attempt = attempts(fingerprint)["used"]
    assert attempt.status is JobStatus.FAILED
    assert "used" not in RAN
    return attempt.error_code


def test_in_one_run_the_consumer_waits_for_the_gate_and_then_reads(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Producer, gate, consumer: in that order, and all three succeed."""
    fingerprint = governed.register(parameters={"good": True})

    result = materialize([made, used, is_good()], fingerprint)

    assert result.success
    order = [event.step_key for event in result.all_events if event.is_step_success]
    assert order == ["made", "made_is_good", "used"]
    assert {item.status for item in attempts(fingerprint).values()} == {JobStatus.SUCCEEDED}


def test_in_one_run_a_fail_stops_the_consumer(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The consumer is CANCELED: it never started."""
    fingerprint = governed.register(parameters={"good": False})

    assert not materialize([made, used, is_good()], fingerprint).success

    assert RAN == []
    assert attempts(fingerprint)["used"].status is JobStatus.CANCELED
    assert governed.plane.store.binding("used", fingerprint) is None


def test_a_separate_run_is_refused_after_a_fail(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """RO_GATE_FAILED, whoever starts the consumer later."""
    fingerprint = governed.register(parameters={"good": False})
    materialize([made, used, is_good()], fingerprint)

    assert not materialize([made, used, is_good()], fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_GATE_FAILED"


def test_a_separate_run_is_refused_when_the_gate_never_ran(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The check was deselected, in the producer's run and in the consumer's: RO_GATE_ABSENT."""
    fingerprint = governed.register(parameters={"good": True})
    everything = [made, used, is_good()]
    assert materialize(everything, fingerprint, selection=ONLY_MADE.without_checks()).success

    assert not materialize(everything, fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_GATE_ABSENT"


def test_deselecting_the_check_in_one_run_does_not_let_the_consumer_through(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Dagster would run it; the guard does not deliver."""
    fingerprint = governed.register(parameters={"good": True})
    both = dg.AssetSelection.assets(made, used).without_checks()

    assert not materialize([made, used, is_good()], fingerprint, selection=both).success
    assert refusal(attempts, fingerprint) == "RO_GATE_ABSENT"


def test_a_pass_under_an_older_rule_is_stale_from_the_consumers_next_start_on(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The gate's logic changed: without a new verdict the consumer gets RO_GATE_STALE."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, is_good("1")], fingerprint).success

    assert not materialize([made, used, is_good("2")], fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_GATE_STALE"


def test_evaluating_only_the_check_under_the_new_rule_lets_the_consumer_through(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize
) -> None:
    """A stale gate is mended by running the check alone; nothing is computed again."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, is_good("1")], fingerprint).success
    everything = [made, used, is_good("2")]

    assert judge(everything, fingerprint).success
    assert materialize(everything, fingerprint, selection=ONLY_USED).success
    assert RAN == ["used"]


def test_a_gate_that_is_new_in_the_code_binds_from_the_consumers_next_start_on(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A second gate was added after the producer ran: RO_GATE_ABSENT until it has judged."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, is_good()], fingerprint).success
    everything = [made, used, is_good(), is_good(name="is_better")]

    assert not materialize(everything, fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_GATE_ABSENT"


def test_a_gate_removed_from_the_code_goes_on_to_refuse(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Neither deleting the failed gate nor computing again without it leads to the bytes."""
    fingerprint = governed.register(parameters={"good": False})
    materialize([made, is_good()], fingerprint)

    assert not materialize([made, used], fingerprint, selection=[used]).success
    assert refusal(attempts, fingerprint) == "RO_GATE_SET_SHRANK"
    assert not materialize([made, used], fingerprint).success
    assert attempts(fingerprint)["made"].error_code == "RO_GATE_SET_SHRANK"
    assert RAN == []


def test_the_gates_own_check_reads_and_the_check_of_another_asset_does_not(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A check that gets a foreign asset as an additional input is a consumer like any other."""

    @dg.asset(partitions_def=MANIFESTS)
    def other() -> dict[str, int]:
        return {}

    @gate(asset=other, additional_ins={"made": dg.AssetIn("made")})
    def agrees(other: dict[str, int], made: dict[str, Any]) -> dg.AssetCheckResult:
        RAN.append("agrees")
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register(parameters={"good": False})
    everything = [made, other, is_good(), agrees]
    materialize(everything, fingerprint, selection=dg.AssetSelection.assets(made))
    assert attempts(fingerprint)["made#is_good"].inputs[0].name == "made"
    selection = dg.AssetSelection.assets(other) | dg.AssetSelection.checks_for_assets(other)

    assert not materialize(everything, fingerprint, selection=selection).success

    assert RAN == []
    assert attempts(fingerprint)["other#agrees"].error_code == "RO_GATE_FAILED"


def test_the_additional_input_of_a_check_is_delivered_once_it_has_passed(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The same check, with a foreign asset whose gate stands."""

    @dg.asset(partitions_def=MANIFESTS)
    def other() -> dict[str, int]:
        return {}

    @gate(asset=other, additional_ins={"made": dg.AssetIn("made")})
    def agrees(other: dict[str, int], made: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=made["good"])

    fingerprint = governed.register(parameters={"good": True})

    assert materialize([made, other, is_good(), agrees], fingerprint).success
    loaded = attempts(fingerprint)["other#agrees"].inputs
    assert {item.name for item in loaded} == {"made", "other"}


def test_the_reference_of_an_unjudged_artifact_is_refused_to_an_assets_own_code(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """``plane.run(context).artifact(name)`` answers under the same law as a loaded input."""

    @dg.asset(partitions_def=MANIFESTS, deps=[made])
    def bundle(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, str]:
        return {"made": plane.run(context).artifact("made").digest}

    good, bad = (governed.register(parameters={"good": value}) for value in (True, False))
    everything = [made, bundle, is_good()]

    assert materialize(everything, good).success
    materialize(everything, bad)
    assert not materialize(everything, bad, selection=[bundle]).success
    assert attempts(bad)["bundle"].error_code == "RO_GATE_FAILED"


def test_a_receipt_deleted_from_the_store_refuses(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The ledger says PASS, but the evidence is gone: RO_RECEIPT_UNVERIFIABLE, naming the gate."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, is_good()], fingerprint).success
    (receipt,) = (governed.settings.home / "store" / "receipts").rglob("*.json")
    receipt.unlink()

    assert not materialize([made, used, is_good()], fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_RECEIPT_UNVERIFIABLE"
    assert "made.is_good" in str(attempts(fingerprint)["used"].error)


def test_running_the_gate_again_after_its_receipt_was_lost_lets_the_consumer_through(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize
) -> None:
    """The refusal's advice works: a new verdict is a new receipt."""
    fingerprint = governed.register(parameters={"good": True})
    everything = [made, used, is_good()]
    assert materialize([made, is_good()], fingerprint).success
    (receipt,) = (governed.settings.home / "store" / "receipts").rglob("*.json")
    receipt.unlink()

    assert judge(everything, fingerprint).success
    assert materialize(everything, fingerprint, selection=ONLY_USED).success


@pytest.mark.parametrize("judged", ["failed", "never"])
def test_an_edge_without_a_value_binds_before_anything_is_published(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, judged: str
) -> None:
    """A ``deps``-only consumer in a run of its own publishes nothing over unpassed bytes."""
    fingerprint = governed.register(parameters={"good": False})
    first = ONLY_MADE if judged == "failed" else ONLY_MADE.without_checks()
    materialize([made, follows, is_good()], fingerprint, selection=first)

    result = materialize(
        [made, follows, is_good()], fingerprint, selection=dg.AssetSelection.assets(follows)
    )

    assert not result.success
    refused = "RO_GATE_FAILED" if judged == "failed" else "RO_GATE_ABSENT"
    assert attempts(fingerprint)["follows"].error_code == refused
    assert governed.plane.store.binding("follows", fingerprint) is None


def test_an_edge_without_a_value_lets_through_what_has_passed(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Under a PASS the ``deps``-only consumer publishes, in a run of its own."""
    fingerprint = governed.register(parameters={"good": True})
    materialize([made, follows, is_good()], fingerprint, selection=ONLY_MADE)
    result = materialize(
        [made, follows, is_good()], fingerprint, selection=dg.AssetSelection.assets(follows)
    )
    assert result.success
    assert governed.plane.store.binding("follows", fingerprint) is not None


# --- who can write the store ----------------------------------------------------------------------


class Bomb:
    """Its pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return RAN.append, ("code from the store",)


def forge(governed: EphemeralPlane, fingerprint: str, data: bytes, **said: str) -> BoundRef:
    """Put other bytes under what ``made`` has on record, and a binding that calls them right."""
    store = governed.settings.home / "store"
    ref = artifact_of(governed.plane.ledger, "made", fingerprint)
    assert ref is not None
    digests = digests_of(data)
    told = {"blake3": digests.blake3, "size_bytes": len(data), **said}
    binding = canonical_bytes(ref.model_copy(update=told))
    for name, content in ((blob_name(ref.digest), data), (ref.ref, binding)):
        Path(store / name).chmod(0o600)
        Path(store / name).write_bytes(content)
    return ref


def test_forged_bytes_that_their_binding_calls_right_reach_nobody(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Neither a consumer nor the gate: size and both digests are the ledger's."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, used, is_good()], fingerprint, selection=ONLY_MADE).success
    ref = forge(governed, fingerprint, b'{"good":true,"forged":1}')

    assert not materialize([made, used, is_good()], fingerprint, selection=ONLY_USED).success
    assert refusal(attempts, fingerprint) == "RO_DIGEST_MISMATCH"
    judge = subset_of(
        govern(
            dg.Definitions(assets=[made], asset_checks=[is_good()])
        ).resolve_implicit_global_asset_job_def(),
        [],
        [dg.AssetCheckKey(made.key, "is_good")],
    )
    judge.execute_in_process(
        instance=governed.instance, partition_key=fingerprint, raise_on_error=False
    )
    assert attempts(fingerprint)["made#is_good"].error_code == "RO_DIGEST_MISMATCH"
    assert governed.plane.audit.artifact("made", ref).error is not None


def test_what_a_binding_calls_a_pickle_runs_no_code(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A consumer that takes whatever there is gets nothing, too: the type is the ledger's."""

    @dg.asset(partitions_def=MANIFESTS, name="used")
    def takes_anything(made: Any) -> dict[str, int]:
        RAN.append("used")
        return {"n": 1}

    fingerprint = governed.register(parameters={"good": True})
    everything = [made, takes_anything, is_good()]
    assert materialize(everything, fingerprint, selection=ONLY_MADE).success
    forge(governed, fingerprint, pickle.dumps(Bomb()), media_type=PICKLE)

    only_used = dg.AssetSelection.assets(takes_anything)
    assert not materialize(everything, fingerprint, selection=only_used).success
    assert refusal(attempts, fingerprint) == "RO_DIGEST_MISMATCH"
    assert RAN == []


def test_without_any_binding_in_the_store_what_passed_is_read(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """The index may go; what is on record stands, and making it again puts its binding back."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, used, is_good()], fingerprint, selection=ONLY_MADE).success
    ref = artifact_of(governed.plane.ledger, "made", fingerprint)
    assert ref is not None
    (governed.settings.home / "store" / ref.ref).unlink()

    assert materialize([made, used, is_good()], fingerprint, selection=ONLY_USED).success
    assert RAN == ["used"]
    assert materialize([made, used, is_good()], fingerprint, selection=ONLY_MADE).success
    assert governed.plane.store.binding("made", fingerprint) == ref
