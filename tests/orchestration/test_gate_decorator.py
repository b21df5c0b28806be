"""``@gate``: an asset check in Dagster's own words, whose every verdict leaves a receipt."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import GateStatus, JobAttemptRecord, JobStatus
from ro_platform.contracts.artifact import BoundRef
from ro_platform.errors import CodeNotCanonicalError
from ro_platform.gates.receipts import rule_digest
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate
from ro_platform.orchestration.gate import rule_of
from ro_platform.orchestration.names import gate_id
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


@dg.asset(partitions_def=MANIFESTS)
def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return dict(plane.run(context).parameters)


@gate(asset=made, code_version="7")
def is_good(made: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=made["good"], metadata={"seen": made["good"]})


def bound(governed: EphemeralPlane, fingerprint: str) -> BoundRef:
    ref = governed.plane.store.binding("made", fingerprint)
    assert ref is not None
    return ref


def evaluation(governed: EphemeralPlane, name: str = "is_good") -> dg.AssetCheckEvaluation:
    """The newest verdict, as Dagster's UI has it."""
    key = dg.AssetCheckKey(dg.AssetKey("made"), name)
    record = governed.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.event_specific_data
    assert isinstance(found, dg.AssetCheckEvaluation)
    return found


@pytest.mark.parametrize(("good", "status"), [(True, GateStatus.PASS), (False, GateStatus.FAIL)])
def test_a_receipt_is_written_for_pass_and_for_fail(
    governed: EphemeralPlane,
    materialize: Materialize,
    attempts: Attempts,
    good: bool,
    status: GateStatus,
) -> None:
    """It names the gate, the exact artifact, the rule, the run and the attempt that judged."""
    fingerprint = governed.register(parameters={"good": good})
    assert materialize([made, is_good], fingerprint).success is good

    ref = bound(governed, fingerprint)
    recorded = governed.plane.receipts.latest("made.is_good", fingerprint, ref.digest)
    assert recorded is not None
    receipt = governed.plane.receipts.read(recorded)
    attempt = attempts(fingerprint)["made#is_good"]
    rule = rule_of(is_good)
    assert rule is not None
    assert receipt.status is status is recorded.status
    assert receipt.subject == ref
    assert receipt.scope.asset == "made"
    assert receipt.scope.manifest_fingerprint == fingerprint
    assert receipt.attempt_id == attempt.attempt_id
    assert receipt.rule_digest == rule_digest(rule, governed.plane.runs.manifest(fingerprint))
    assert attempt.status is (JobStatus.SUCCEEDED if good else JobStatus.FAILED)
    assert attempt.error_code == (None if good else "RO_GATE_FAILED")
    assert attempt.code_version == "7"


@pytest.mark.parametrize("good", [True, False])
def test_the_ui_shows_the_verdict_with_its_digest(
    governed: EphemeralPlane, materialize: Materialize, good: bool
) -> None:
    """Beside the check's own metadata: verdict, subject, rule and receipt."""
    fingerprint = governed.register(parameters={"good": good})
    materialize([made, is_good], fingerprint)

    found = evaluation(governed)

    assert found.passed is good
    shown = {key: value.value for key, value in found.metadata.items()}
    assert shown["seen"] is good
    assert shown["ro/verdict"] == ("PASS" if good else "FAIL")
    assert shown["ro/subject_sha256"] == bound(governed, fingerprint).digest
    assert len(str(shown["ro/rule_digest"])) == len(str(shown["ro/receipt_sha256"])) == 64
    assert str(shown["ro/receipt"]).startswith("receipts/made/fingerprint=")


def test_a_gate_takes_context_resources_or_nothing_at_all(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Every form of a check function that Dagster takes can be a gate."""

    @gate(asset="made")
    def bare() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @gate(asset=["made"])
    def with_context(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(context.partition_key) == 64)

    @gate(asset=dg.AssetKey("made"), name="named", description="of everything")
    def with_everything(
        context: dg.AssetCheckExecutionContext, made: dict[str, Any], plane: PlaneResource
    ) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=plane.run(context).parameters == made)

    fingerprint = governed.register(parameters={"good": 1})
    assert materialize([made, bare, with_context, with_everything], fingerprint).success

    manifest = governed.plane.runs.manifest(fingerprint)
    gates = governed.plane.guard.standings(
        "made", manifest, fingerprint, bound(governed, fingerprint)
    )
    assert {item.gate_id: item.word for item in gates} == {
        "made.bare": "PASS",
        "made.with_context": "PASS",
        "made.named": "PASS",
    }


def test_a_warning_is_on_record_and_blocks_nobody(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Severity WARN: Dagster shows a failed check, the receipt says PASS with a warning, and a
    consumer in another run reads."""

    @gate(asset=made)
    def warns() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    @dg.asset(partitions_def=MANIFESTS)
    def reader(made: dict[str, Any]) -> dict[str, Any]:
        return made

    fingerprint = governed.register()
    assert materialize([made, warns], fingerprint).success
    shown = evaluation(governed, "warns")
    assert (shown.passed, shown.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert materialize([made, warns, reader], fingerprint, selection=[reader]).success
    plane = governed.plane
    ref = plane.store.binding("made", fingerprint)
    assert ref is not None
    recorded = plane.receipts.latest("made.warns", fingerprint, ref.digest)
    assert recorded is not None
    receipt = plane.receipts.read(recorded)
    assert (receipt.status, receipt.warned, recorded.warned) == (GateStatus.PASS, True, True)
    standings = plane.guard.standings("made", plane.runs.manifest(fingerprint), fingerprint, ref)
    assert [standing.word for standing in standings] == ["WARN"]


def test_a_gate_reads_the_configs_that_it_declares_and_no_others(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Declared and pinned: read. Pinned but not declared: refused, and no receipt is written."""

    @gate(asset=made, configs=("limits",))
    def declared(
        context: dg.AssetCheckExecutionContext, plane: PlaneResource
    ) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=plane.run(context).config("limits") == {"max": 3})

    @gate(asset=made)
    def undeclared(
        context: dg.AssetCheckExecutionContext, plane: PlaneResource
    ) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(plane.run(context).config("limits")))

    pin = governed.publish("limits", {"max": 3})
    fingerprint = governed.register(config_versions=[pin])
    assert not materialize([made, declared, undeclared], fingerprint).success

    done = attempts(fingerprint)
    assert done["made#declared"].status is JobStatus.SUCCEEDED
    assert done["made#undeclared"].error_code == "RO_VERSION_NOT_PINNED"
    digest = bound(governed, fingerprint).digest
    assert governed.plane.receipts.latest("made.declared", fingerprint, digest) is not None
    assert governed.plane.receipts.latest("made.undeclared", fingerprint, digest) is None


def test_a_gate_whose_config_the_manifest_does_not_pin_gives_no_verdict(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """It is refused before it judges: RO_VERSION_NOT_PINNED, not a FAIL."""

    @gate(asset=made, configs=("limits",))
    def declared() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register()
    assert not materialize([made, declared], fingerprint).success
    assert attempts(fingerprint)["made#declared"].error_code == "RO_VERSION_NOT_PINNED"


def test_another_version_of_the_config_is_another_rule(governed: EphemeralPlane) -> None:
    """The rule's digest covers the code version and each config's version and digest."""
    first, second = (governed.publish("limits", {"max": number}) for number in (1, 2))
    one, two = (
        governed.plane.runs.manifest(governed.register(config_versions=[pin]))
        for pin in (first, second)
    )

    def rule(code_version: str) -> Any:
        @gate(asset=made, configs=("limits",), code_version=code_version)
        def judge() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True)

        return rule_of(judge)

    digests = {rule_digest(rule(code), manifest) for code in "ab" for manifest in (one, two)}
    assert len(digests) == 4
    assert rule_digest(rule("a"), one) in digests


def test_the_source_is_the_code_version_unless_one_is_given() -> None:
    """Other source, other version; the same source, the same version."""

    def version(check: Any) -> str:
        rule = rule_of(gate(asset=made, name="judge")(check))
        assert rule is not None
        return rule.code_version

    def one() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    def two() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    assert version(one) == version(one)
    assert version(one) != version(two)


def test_a_gate_without_source_must_give_a_code_version() -> None:
    """Nothing is guessed: a function made by exec has no source to take a digest of."""
    scope: dict[str, Any] = {"dg": dg}
    exec("def judge() -> dg.AssetCheckResult: return dg.AssetCheckResult(passed=True)", scope)

    with pytest.raises(CodeNotCanonicalError, match="judge") as refused:
        rule_of(gate(asset=made)(scope["judge"]))
    assert "code_version" in str(refused.value.next_step)
    assert rule_of(gate(asset=made, code_version="1")(scope["judge"]))


def test_a_gate_that_does_not_answer_with_a_result_is_refused(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Anything but an AssetCheckResult is RO_ENCODING, and no verdict."""

    @gate(asset=made)
    def vague() -> Any:
        return True

    fingerprint = governed.register()
    assert not materialize([made, vague], fingerprint).success
    assert attempts(fingerprint)["made#vague"].error_code == "RO_ENCODING"


def test_a_gate_evaluated_before_its_asset_exists_says_so(
    governed: EphemeralPlane, judge: Materialize, attempts: Attempts
) -> None:
    """There are no bytes to judge: RO_ARTIFACT_NOT_FOUND."""
    fingerprint = governed.register(parameters={"good": True})

    assert not judge([made, is_good], fingerprint).success
    assert attempts(fingerprint)["made#is_good"].error_code == "RO_ARTIFACT_NOT_FOUND"


def test_one_decorator_makes_any_number_of_gates_alike() -> None:
    """Its options are not used up by the first function it decorates."""
    decorate = gate(asset=made, code_version="1", partitions_def=None)

    def one() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    def two() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    specs = [next(iter(decorate(check).check_specs)) for check in (one, two)]
    assert [spec.partitions_def for spec in specs] == [None, None]
    assert [spec.name for spec in specs] == ["one", "two"]


def test_the_gates_name_in_receipts_is_the_asset_key_and_the_check() -> None:
    """Parts joined by dots."""
    assert gate_id(dg.AssetKey(["purchases", "table"]), "complete") == "purchases.table.complete"
