"""Admission in the run coordinator: early, clean, and in the read guard's words."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import EntryKind, JobStatus
from ro_platform.dagster_private.running import (
    QueuedRunCoordinator,
    SubmitRunContext,
    parents_in_workspace,
)
from ro_platform.errors import BackendUnavailableError
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.orchestration.coordinator import REFUSED, REFUSED_BY, GovernedRunCoordinator
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]


@dg.asset(partitions_def=MANIFESTS)
def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return dict(plane.run(context).parameters)


@gate(asset=made)
def is_good(made: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=made["good"])


@dg.asset(partitions_def=MANIFESTS)
def used(made: dict[str, Any]) -> dict[str, Any]:
    return made


@dg.asset(partitions_def=MANIFESTS, deps=[used])
def later() -> dict[str, Any]:
    return {}


@dg.asset(
    partitions_def=MANIFESTS,
    ins={"made": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
)
def summary(made: dict[str, Any]) -> dict[str, Any]:
    return made


EVERYTHING = [made, used, later, summary]
DEFS = govern(
    dg.Definitions(
        assets=EVERYTHING,
        asset_checks=[is_good],
        jobs=[dg.define_asset_job("consumers", selection=["used", "later"])],
    )
)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that reached Dagster's own queue, which needs a code server's run."""
    reached: list[str] = []

    def submit_run(_: Any, context: SubmitRunContext) -> dg.DagsterRun:
        reached.append(context.dagster_run.run_id)
        return context.dagster_run

    monkeypatch.setattr(QueuedRunCoordinator, "submit_run", submit_run)
    return reached


@pytest.fixture
def coordinator(governed: EphemeralPlane, queued: list[str]) -> Iterator[GovernedRunCoordinator]:
    """Ours, for the instance at hand."""
    assert queued == []
    found = GovernedRunCoordinator()
    found.register_instance(governed.instance)
    yield found
    found.dispose()


def context(run: dg.DagsterRun) -> SubmitRunContext:
    """What Dagster hands to a coordinator, as far as ours looks at it."""
    workspace: Any = SimpleNamespace(asset_graph=DEFS.resolve_asset_graph())
    return SubmitRunContext(run, workspace)


def created(governed: EphemeralPlane, fingerprint: str, **tags: str) -> dg.DagsterRun:
    """A run of the consumers that is created and not yet submitted."""
    return governed.instance.create_run_for_job(
        DEFS.resolve_job_def("consumers"), tags={"dagster/partition": fingerprint, **tags}
    )


def units(governed: EphemeralPlane, fingerprint: str) -> dict[str, tuple[JobStatus, str | None]]:
    """How the consumers' newest attempts stand."""
    attempts = governed.plane.attempts.of_run(fingerprint)
    return {
        item.unit: (item.status, item.error_code)
        for item in attempts
        if item.unit in ("used", "later")
    }


def test_a_run_that_would_be_refused_is_refused_before_it_is_queued(
    governed: EphemeralPlane, coordinator: GovernedRunCoordinator, materialize: Materialize
) -> None:
    """It ends as CANCELED with the guard's words and code in its log and tags; its attempts end as
    REFUSED, on record in the ledger; nothing was enqueued or started."""
    fingerprint = governed.register(parameters={"good": False})
    materialize([made, is_good], fingerprint)
    run = coordinator.submit_run(context(created(governed, fingerprint)))

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert (run.tags[REFUSED], run.tags[REFUSED_BY]) == ("RO_GATE_FAILED", "made.is_good")
    assert units(governed, fingerprint) == {
        "used": (JobStatus.REFUSED, "RO_GATE_FAILED"),
        "later": (JobStatus.REFUSED, "RO_GATE_FAILED"),
    }
    log = [
        record.dagster_event
        for record in governed.instance.all_logs(run.run_id)
        if record.dagster_event
    ]
    kinds = [event.event_type_value for event in log]
    assert "PIPELINE_ENQUEUED" not in kinds
    assert kinds[-2:] == ["ENGINE_EVENT", "PIPELINE_CANCELED"]
    said, ended = log[-2:]
    with pytest.raises(Exception, match=r"gate 'made\.is_good' FAILED for") as refusal:
        governed.plane.guard.require("made", governed.plane.runs.manifest(fingerprint), fingerprint)
    assert said.message == str(refusal.value)
    assert str(refusal.value) in (ended.message or "")
    entry = next(governed.plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION, newest_first=True))
    assert entry.body["status"] == "REFUSED"
    assert entry.correlation_ids.dagster_run_id == run.run_id


def test_a_run_whose_producers_stand_is_queued(
    governed: EphemeralPlane,
    coordinator: GovernedRunCoordinator,
    materialize: Materialize,
    queued: list[str],
) -> None:
    """Admission says nothing, and Dagster's own queue has it."""
    fingerprint = governed.register(parameters={"good": True})
    materialize([made, is_good], fingerprint)
    run = coordinator.submit_run(context(created(governed, fingerprint)))
    assert queued == [run.run_id]
    assert {status for status, _ in units(governed, fingerprint).values()} == {JobStatus.QUEUED}


def test_what_the_run_makes_itself_is_not_asked_about(
    governed: EphemeralPlane, coordinator: GovernedRunCoordinator, queued: list[str]
) -> None:
    """``later`` reads ``used``, which the same run makes; ``made`` was never made and is not on
    record, so only the read could tell."""
    fingerprint = governed.register(parameters={"good": True})
    run = coordinator.submit_run(context(created(governed, fingerprint)))
    assert queued == [run.run_id]


def test_an_artifact_that_is_missing_is_refused_once_its_gates_are_on_record(
    governed: EphemeralPlane, coordinator: GovernedRunCoordinator, materialize: Materialize
) -> None:
    """The producer was made for another manifest, and not for this one."""
    materialize([made, is_good], governed.register(parameters={"good": True}))
    fingerprint = governed.register(parameters={"good": True, "n": 2})
    run = coordinator.submit_run(context(created(governed, fingerprint)))
    assert run.tags[REFUSED] == "RO_ARTIFACT_NOT_FOUND"
    assert run.tags[REFUSED_BY] == "made"


def test_submitting_a_refused_run_again_changes_nothing(
    governed: EphemeralPlane, coordinator: GovernedRunCoordinator, materialize: Materialize
) -> None:
    """A daemon that dies after the refusal and submits again finds it decided."""
    fingerprint = governed.register(parameters={"good": False})
    materialize([made, is_good], fingerprint)
    run = created(governed, fingerprint)
    refused = coordinator.submit_run(context(run))
    before = governed.plane.ledger.size()
    coordinator.submit_run(context(refused))
    assert governed.plane.ledger.size() == before


def test_a_ledger_that_does_not_answer_refuses_nobody(
    governed: EphemeralPlane,
    coordinator: GovernedRunCoordinator,
    materialize: Materialize,
    monkeypatch: pytest.MonkeyPatch,
    queued: list[str],
) -> None:
    """What may pass is raised: nothing was decided, and the launch can be tried again."""
    fingerprint = governed.register(parameters={"good": True})
    materialize([made, is_good], fingerprint)
    run = created(governed, fingerprint)

    def unavailable(*_: Any) -> Any:
        raise BackendUnavailableError("the ledger is away.")

    with monkeypatch.context() as away:
        away.setattr(type(governed.plane.guard), "require", unavailable)
        with pytest.raises(BackendUnavailableError):
            coordinator.submit_run(context(run))
    assert queued == []
    coordinator.submit_run(context(run))
    assert queued == [run.run_id]


def test_parents_are_those_under_the_same_partition_key(governed: EphemeralPlane) -> None:
    """What Dagster's asset graph says of edges, by mapping; unknown assets have none."""
    asked = context(created(governed, governed.register()))
    assert parents_in_workspace(asked, "used") == {dg.AssetKey("made")}
    assert parents_in_workspace(asked, "later") == {dg.AssetKey("used")}
    assert parents_in_workspace(asked, "summary") == frozenset()
    assert parents_in_workspace(asked, "unknown") == frozenset()
