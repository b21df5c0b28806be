"""An external asset: nothing here computes it, and its consumers are under the same law."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform.contracts import GateRule, GateStatus, JobAttemptRecord, JobStatus
from ro_platform.orchestration import MANIFESTS, gate
from ro_platform.runs.external_checks import ExternalVerdict
from ro_platform.testing import EphemeralPlane
from tests.acting import revoke_pass

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]

PASS, FAIL = GateStatus.PASS, GateStatus.FAIL
RULE = GateRule(gate_id="outside.audit", code_version="1")
outside = dg.AssetSpec("outside", partitions_def=MANIFESTS)


@dg.asset(partitions_def=MANIFESTS)
def reads(outside: Path) -> dict[str, str]:
    return {"text": (outside / "note.txt").read_text()}


@dg.asset(partitions_def=MANIFESTS, deps=[outside])
def follows() -> dict[str, bool]:
    return {"followed": True}


@gate(asset="outside", code_version="1")
def is_short(outside: Path) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=len((outside / "note.txt").read_text()) < 10)


def bring(
    governed: EphemeralPlane,
    folder: Path,
    fingerprint: str,
    status: GateStatus,
    text: str = "short",
) -> None:
    """Register a folder with a note as ``outside``, with one verdict from outside."""
    folder.mkdir(exist_ok=True)
    (folder / "note.txt").write_text(text)
    plane = governed.plane
    plane.external.register(
        "outside",
        fingerprint,
        plane.store.put_tree(folder),
        [ExternalVerdict(RULE, status)],
        actor="HUMAN::importer",
    )


def refused(attempts: Attempts, fingerprint: str, unit: str) -> str | None:
    attempt = attempts(fingerprint)[unit]
    assert attempt.status is JobStatus.FAILED
    return attempt.error_code


def test_a_loaded_and_an_unloaded_edge_to_it_are_guarded(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, tmp_path: Path
) -> None:
    """Absent, failed outside, passed outside: refused, refused, delivered."""
    absent, failed, passed = (governed.register(seed=seed) for seed in (1, 2, 3))
    bring(governed, tmp_path / "bundle", failed, FAIL)
    bring(governed, tmp_path / "bundle", passed, PASS)
    everything: list[Any] = [outside, reads, follows]
    for asset in ("reads", "follows"):
        for fingerprint, code in ((absent, "RO_ARTIFACT_NOT_FOUND"), (failed, "RO_GATE_FAILED")):
            assert not materialize(everything, fingerprint, selection=[asset]).success
            assert refused(attempts, fingerprint, asset) == code
        result = materialize(everything, passed, selection=[asset])
        assert result.success
    assert governed.plane.store.binding("reads", failed) is None


def test_an_observed_asset_is_no_maker_of_itself(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, tmp_path: Path
) -> None:
    """A code location that only observes an asset takes nothing from its outside evidence: with a
    PASS its consumers read, after a FAIL they do not."""

    @dg.observable_source_asset(name="outside", partitions_def=MANIFESTS)
    def observed(context: Any) -> dg.DataVersionsByPartition:
        return dg.DataVersionsByPartition(dict.fromkeys(context.partition_keys, "1"))

    passed, failed = governed.register(seed=1), governed.register(seed=2)
    bring(governed, tmp_path / "bundle", passed, PASS)
    bring(governed, tmp_path / "bundle", failed, FAIL)
    assert materialize([observed, reads], passed, selection=[reads]).success
    assert not materialize([observed, reads], failed, selection=[reads]).success
    assert refused(attempts, failed, "reads") == "RO_GATE_FAILED"


def test_a_guest_gate_on_it_comes_before_its_consumer_in_one_run(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, tmp_path: Path
) -> None:
    """The check of an external asset runs first; its FAIL keeps the consumer from starting."""
    good, bad = governed.register(seed=1), governed.register(seed=2)
    bring(governed, tmp_path / "good", good, PASS)
    bring(governed, tmp_path / "bad", bad, PASS, "far too long a note")
    everything = [outside, reads, is_short]
    both = dg.AssetSelection.assets(reads) | dg.AssetSelection.checks(is_short)
    result = materialize(everything, good, selection=both)
    assert result.success
    order = [event.step_key for event in result.all_events if event.is_step_success]
    assert order == ["outside_is_short", "reads"]
    assert not materialize(everything, bad, selection=both).success
    assert attempts(bad)["reads"].status is JobStatus.CANCELED
    assert not materialize(everything, bad, selection=[reads]).success
    assert refused(attempts, bad, "reads") == "RO_GATE_FAILED"


def test_what_was_made_from_it_is_blocked_when_its_pass_is_revoked(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, tmp_path: Path
) -> None:
    """The revocation of evidence from outside reaches the consumers' artifacts."""
    fingerprint = governed.register()
    bring(governed, tmp_path / "bundle", fingerprint, PASS)
    assert materialize([outside, reads], fingerprint).success
    plane = governed.plane
    ref = plane.store.binding("outside", fingerprint)
    assert ref is not None
    revoke_pass(plane, RULE.gate_id, ref, reason="withdrawn")
    made = plane.lookup.find(f"reads@{fingerprint}")[0]
    assert [item.word for item in plane.lookup.standings(made)] == ["BLOCKED"]
    assert not materialize([outside, reads], fingerprint).success
    assert refused(attempts, fingerprint, "reads") == "RO_GATE_REVOKED"
