"""Which checks read an artifact before it has passed: its gates on record, and no other."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import JobAttemptRecord, JobStatus
from ro_platform.errors import SettingsError
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.testing import EphemeralPlane

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Run = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]

READ: list[str] = []
"""Which checks were given bytes."""


@pytest.fixture(autouse=True)
def nothing_read() -> Iterator[None]:
    READ.clear()
    yield
    READ.clear()


@dg.asset(partitions_def=MANIFESTS)
def orders(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return dict(plane.run(context).parameters)


@gate(asset=orders, code_version="1")
def is_good(orders: dict[str, Any]) -> dg.AssetCheckResult:
    READ.append("is_good")
    return dg.AssetCheckResult(passed=orders["good"])


ELSEWHERE = dg.AssetSpec("orders", partitions_def=MANIFESTS)
"""The same asset as another code location knows it."""


def plain(name: str) -> dg.AssetChecksDefinition:
    """A check that is no gate and loads the asset."""

    @dg.asset_check(asset="orders", name=name, partitions_def=MANIFESTS)
    def look(orders: dict[str, Any]) -> dg.AssetCheckResult:
        READ.append(name)
        return dg.AssetCheckResult(passed=True)

    return look


def from_elsewhere(
    governed: EphemeralPlane, check: dg.AssetChecksDefinition, fingerprint: str
) -> dg.ExecuteInProcessResult:
    """Evaluate a check in a code location that does not make the asset."""
    job = dg.define_asset_job("look", dg.AssetSelection.checks_for_assets("orders"))
    bound = govern(dg.Definitions(assets=[ELSEWHERE], asset_checks=[check], jobs=[job]))
    return bound.resolve_job_def("look").execute_in_process(
        instance=governed.instance,
        tags={"dagster/partition": fingerprint},
        raise_on_error=False,
        run_config=QUIET,
    )


def made(governed: EphemeralPlane, run: Run, definitions: Sequence[Any], *, good: bool) -> str:
    """A manifest under which the definitions were executed."""
    fingerprint = governed.register(parameters={"good": good})
    run(definitions, fingerprint)
    READ.clear()
    return fingerprint


def test_a_check_that_is_no_gate_is_given_no_failed_bytes(
    governed: EphemeralPlane, materialize: Run, judge: Run, attempts: Attempts
) -> None:
    """RO_GATE_FAILED, in the code location of the asset."""
    fingerprint = made(governed, materialize, [orders, is_good], good=False)

    judge([orders, is_good, plain("curious")], fingerprint)

    assert READ == ["is_good"]
    assert attempts(fingerprint)["orders#curious"].error_code == "RO_GATE_FAILED"


@pytest.mark.parametrize("name", ["curious", "is_good"])
def test_a_check_of_another_code_location_is_given_no_failed_bytes(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts, name: str
) -> None:
    """RO_GATE_FAILED, also under the name of the gate that is on record: a name makes no gate."""
    fingerprint = made(governed, materialize, [orders, is_good], good=False)

    assert not from_elsewhere(governed, plain(name), fingerprint).success

    assert READ == []
    assert attempts(fingerprint)[f"orders#{name}"].error_code == "RO_GATE_FAILED"


def test_a_check_beside_the_gate_reads_after_its_pass(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts
) -> None:
    """In the run of both the gate comes first, whatever their names; then the check reads."""
    fingerprint = governed.register(parameters={"good": True})

    assert materialize([orders, plain("a_look"), is_good, plain("z_look")], fingerprint).success

    assert READ[0] == "is_good"
    assert set(READ[1:]) == {"a_look", "z_look"}
    assert {item.status for item in attempts(fingerprint).values()} == {JobStatus.SUCCEEDED}


def test_a_check_beside_a_gate_that_fails_reads_nothing(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts
) -> None:
    """In the run of both it is refused with the gate's word."""
    fingerprint = governed.register(parameters={"good": False})

    materialize([orders, plain("a_look"), is_good], fingerprint)

    assert READ == ["is_good"]
    assert attempts(fingerprint)["orders#a_look"].error_code == "RO_GATE_FAILED"


def test_a_check_of_an_asset_without_a_gate_reads_it(
    governed: EphemeralPlane, materialize: Run
) -> None:
    """Nothing has to pass, so the guard lets it through."""
    fingerprint = governed.register(parameters={"good": False})

    assert materialize([orders, plain("a_look")], fingerprint).success
    assert READ == ["a_look"]


def test_a_guest_gate_reads_what_it_judges_and_binds(
    governed: EphemeralPlane, materialize: Run
) -> None:
    """Another code location's gate is let in, and its rule is on record before it reads."""
    fingerprint = made(governed, materialize, [orders, is_good], good=True)

    @gate(asset="orders", code_version="1")
    def is_big(orders: dict[str, Any]) -> dg.AssetCheckResult:
        known = governed.plane.gates.gates_of("orders") or ()
        READ.extend(rule.gate_id for rule in known)
        return dg.AssetCheckResult(passed=True)

    assert from_elsewhere(governed, is_big, fingerprint).success
    assert READ == ["orders.is_big", "orders.is_good"]


def both_in_one_step(*, blocking: bool) -> dg.AssetChecksDefinition:
    """One function that evaluates what says it is the gate, and a check beside it."""
    rule = next(iter(is_good.check_specs)).metadata
    specs = [
        dg.AssetCheckSpec(
            "is_good", asset="orders", blocking=blocking, metadata=rule, partitions_def=MANIFESTS
        ),
        dg.AssetCheckSpec("beside", asset="orders", partitions_def=MANIFESTS),
    ]

    @dg.multi_asset_check(specs=specs, ins={"orders": dg.AssetIn("orders")}, can_subset=True)
    def both(orders: dict[str, Any]) -> Iterator[dg.AssetCheckResult]:
        READ.append("both")
        yield dg.AssetCheckResult(check_name="is_good", passed=True)

    return both


def test_a_check_that_carries_a_gates_metadata_is_none(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts
) -> None:
    """As a blocking one it does not load. Otherwise it reads through the guard, and so does what
    the same function evaluates beside it."""
    fingerprint = made(governed, materialize, [orders, is_good], good=False)
    with pytest.raises(SettingsError, match=r"'is_good'.*blocking"):
        from_elsewhere(governed, both_in_one_step(blocking=True), fingerprint)

    assert not from_elsewhere(governed, both_in_one_step(blocking=False), fingerprint).success

    assert READ == []
    assert attempts(fingerprint)["orders#beside"].error_code == "RO_GATE_FAILED"


def test_a_value_that_is_loaded_outside_a_run_has_passed(
    governed: EphemeralPlane, materialize: Run
) -> None:
    """``load_asset_value`` is no gate."""
    fingerprint = made(governed, materialize, [orders, is_good], good=False)
    bound = govern(dg.Definitions(assets=[orders], asset_checks=[is_good]))

    with pytest.raises(dg.Failure, match="RO_GATE_FAILED"):
        bound.load_asset_value("orders", instance=governed.instance, partition_key=fingerprint)


BESIDE_IN_ANOTHER_PROCESS = """
import time
import dagster as dg
from ro_platform.orchestration import MANIFESTS, gate, govern

@dg.asset(partitions_def=MANIFESTS)
def orders() -> dict:
    return {"good": True}

@gate(asset=orders)
def is_good(orders: dict):
    time.sleep(3)
    return dg.AssetCheckResult(passed=True)

@dg.asset_check(asset=orders, partitions_def=MANIFESTS)
def a_look(orders: dict):
    return dg.AssetCheckResult(passed=True)

defs = govern(dg.Definitions(assets=[orders], asset_checks=[is_good, a_look],
    jobs=[dg.define_asset_job("j", selection="*", executor_def=dg.multiprocess_executor)]))

def job() -> dg.JobDefinition:
    return defs.resolve_job_def("j")
"""


def test_a_check_in_a_process_beside_its_gate_waits_for_the_verdict(
    tmp_path: Path,
    governed: EphemeralPlane,
    attempts: Attempts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dagster starts both at once: the check ends after the gate, once, and well."""
    (tmp_path / "beside_in_another_process.py").write_text(BESIDE_IN_ANOTHER_PROCESS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("RO_ROOT", "RO_HOME"):
        monkeypatch.setenv(name, str(governed.settings.home))
    fingerprint = governed.register()

    result = dg.execute_job(
        dg.reconstructable(__import__("beside_in_another_process").job),
        instance=governed.instance,
        tags={"dagster/partition": fingerprint},
        run_config={"execution": {"config": {"max_concurrent": 2}}},
        raise_on_error=False,
    )

    assert result.success
    done = attempts(fingerprint)
    gated, looked = done["orders#is_good"], done["orders#a_look"]
    assert looked.created_at_utc < gated.updated_at_utc < looked.updated_at_utc
    assert (gated.number, looked.number) == (1, 1)
