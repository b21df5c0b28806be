"""Against a real Dagster instance: what it knows of its runs, and what that makes of attempts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import dagster as dg
import pytest

from ro_platform.contracts import EntryKind, JobStatus
from ro_platform.kernel.clock import ManualClock
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.orchestration.launcher import GovernedRunLauncher
from ro_platform.orchestration.reconcile import (
    RECONCILIATION_ACTOR,
    DagsterRecords,
    reconciliation_sensor,
)
from ro_platform.orchestration.workers import WORKER, Worker
from ro_platform.runs.reconciliation import LEASE, Pass, Reconciliation
from ro_platform.testing import EphemeralPlane

S = JobStatus


@dg.asset(partitions_def=MANIFESTS)
def made() -> dict[str, int]:
    return {}


@dg.asset(partitions_def=MANIFESTS, deps=[made])
def later() -> dict[str, int]:
    return {}


SENSOR = reconciliation_sensor()
DEFS = govern(
    dg.Definitions(
        assets=[made, later], jobs=[dg.define_asset_job("j", selection="*")], sensors=[SENSOR]
    )
)


def begin(governed: EphemeralPlane, *, started: bool = True) -> dg.DagsterRun:
    """A run as far as its first step, as its worker would report it."""
    tags = {"dagster/partition": governed.register()}
    run = governed.instance.create_run_for_job(DEFS.resolve_job_def("j"), tags=tags)
    if started:
        report(governed, run, "PIPELINE_START")
        report(governed, run, "STEP_START", step="made")
    return run


def report(
    governed: EphemeralPlane, run: dg.DagsterRun, kind: str, step: str | None = None
) -> None:
    event = dg.DagsterEvent(kind, "j", step_key=step, message=kind)
    governed.instance.report_dagster_event(event, run_id=run.run_id)


def reloaded(governed: EphemeralPlane, run: dg.DagsterRun) -> dg.DagsterRun:
    found = governed.instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def reconcile(governed: EphemeralPlane, *, later_by: float = 0, dry_run: bool = False) -> Pass:
    clock = ManualClock(governed.plane.clock())
    clock.advance(later_by)
    records = DagsterRecords(governed.instance)
    ledger = governed.plane.ledger
    return Reconciliation(ledger, records, clock, actor="HUMAN::me").run(dry_run=dry_run)


def standing(governed: EphemeralPlane, run: dg.DagsterRun) -> dict[str, JobStatus]:
    found = governed.plane.attempts.of_dagster_run(run.run_id)
    return {step: attempts[0].status for step, attempts in found.items()}


def sign_on_as_a_dead_process(governed: EphemeralPlane, run: dg.DagsterRun) -> None:
    """As if the worker had been a process that is gone."""
    worker = Worker.of(reloaded(governed, run))
    assert worker is not None
    dead = replace(worker, started=worker.started - 1)
    governed.instance.add_run_tags(run.run_id, {WORKER: json.dumps(asdict(dead))})


def test_what_runs_or_waits_is_left_alone(governed: EphemeralPlane) -> None:
    """A worker that lives, a run that was just created: nothing is written."""
    begin(governed)
    begin(governed, started=False)
    size = governed.plane.ledger.size()
    done = reconcile(governed)
    assert (done.ended, len(done.open), governed.plane.ledger.size()) == ((), 4, size)


def test_a_run_whose_worker_is_gone_ends_in_the_ledger_and_in_dagster(
    governed: EphemeralPlane,
) -> None:
    """RUNNING is LOST with what is known, QUEUED is CANCELED, Dagster's run has failed; once."""
    run = begin(governed)
    sign_on_as_a_dead_process(governed, run)
    done = reconcile(governed)
    assert standing(governed, run) == {"made": S.LOST, "later": S.CANCELED}
    words = {item.item.attempt.unit: item.why for item in done.ended}
    assert "STARTED and its worker is gone, step 'made' " in words["made"]
    assert "never started" in words["later"]
    assert reloaded(governed, run).status is dg.DagsterRunStatus.FAILURE
    size = governed.plane.ledger.size()
    assert reconcile(governed).ended == ()
    assert governed.plane.ledger.size() == size


def test_a_deleted_run_leaves_our_history_whole(governed: EphemeralPlane) -> None:
    """Its open attempts become LOST; what they were stays on record."""
    run = begin(governed)
    governed.instance.delete_run(run.run_id)
    reconcile(governed)
    assert standing(governed, run) == {"made": S.LOST, "later": S.LOST}


def test_a_wiped_asset_leaves_our_history_whole(governed: EphemeralPlane) -> None:
    """Dagster forgets the materialization; the attempts stand as before."""
    fingerprint = governed.register()
    resources = DEFS.resources or {}
    done = dg.materialize(
        [made, later], instance=governed.instance, partition_key=fingerprint, resources=resources
    )
    before = governed.plane.attempts.of_run(fingerprint)
    governed.instance.wipe_assets([dg.AssetKey("made")])
    assert reconcile(governed).ended == ()
    assert governed.plane.attempts.of_run(fingerprint) == before
    assert {item.status for item in before} == {S.SUCCEEDED}
    assert before[0].correlation_ids.dagster_run_id == done.run_id


def test_a_run_that_was_never_submitted_is_closed_after_a_lease(governed: EphemeralPlane) -> None:
    """Whoever created it died: LOST, and CANCELED in Dagster, so that nobody launches it later."""
    run = begin(governed, started=False)
    assert reconcile(governed, later_by=LEASE.total_seconds() - 5).ended == ()
    reconcile(governed, later_by=LEASE.total_seconds() + 5)
    assert standing(governed, run) == {"made": S.LOST, "later": S.LOST}
    assert reloaded(governed, run).status is dg.DagsterRunStatus.CANCELED


def test_a_refusal_that_was_cut_short_is_completed(governed: EphemeralPlane) -> None:
    """One attempt REFUSED, the process dead, the run NOT_STARTED: the others are REFUSED too."""
    run = begin(governed, started=False)
    (first,) = governed.plane.attempts.of_dagster_run(run.run_id)["made"]
    governed.plane.attempts.move(
        first, S.REFUSED, dagster_run_id=run.run_id, error_code="RO_GATE_FAILED"
    )
    reconcile(governed, later_by=LEASE.total_seconds() + 5)
    assert standing(governed, run) == {"made": S.REFUSED, "later": S.REFUSED}
    assert governed.plane.attempts.of_dagster_run(run.run_id)["later"][0].error_code == (
        "RO_GATE_FAILED"
    )


def test_a_launch_that_fails_ends_its_attempts(governed: EphemeralPlane) -> None:
    """The launcher raises (here for want of a workspace): CANCELED, with what Dagster said."""
    run = begin(governed, started=False)
    launcher = GovernedRunLauncher()
    launcher.register_instance(governed.instance)
    governed.instance._run_launcher = launcher
    with pytest.raises(dg.DagsterInvariantViolationError):
        governed.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
    assert standing(governed, run) == {"made": S.CANCELED, "later": S.CANCELED}
    assert reconcile(governed).ended == ()


def test_a_plan_is_on_record_before_dagster_has_it(
    governed: EphemeralPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies as Dagster stores the plan leaves an attempt, never a plan without."""
    log = governed.instance.event_log_storage
    plain = type(log).__mro__[2]

    def dies(self: object, event: dg.EventLogEntry) -> None:
        raise ConnectionError("the process is gone")

    monkeypatch.setattr(plain, "store_event", dies)
    with pytest.raises(ConnectionError):
        begin(governed, started=False)
    monkeypatch.undo()
    (run,) = governed.instance.get_runs()
    assert set(standing(governed, run).values()) == {S.QUEUED}
    done = reconcile(governed, later_by=LEASE.total_seconds() + 5)
    assert {item.status for item in done.ended} == {S.LOST}


def test_a_run_that_is_over_starts_no_further_step(governed: EphemeralPlane) -> None:
    """A worker that outlived the end of its run is refused: no attempt begins, none changes."""
    run = begin(governed)
    governed.instance.report_run_canceled(run)
    size = governed.plane.ledger.size()
    with pytest.raises(dg.Failure, match="RO_ATTEMPT_ENDED"):
        report(governed, run, "STEP_START", step="later")
    report(governed, run, "STEP_SKIPPED", step="made")
    assert governed.plane.ledger.size() == size
    assert standing(governed, run) == {"made": S.CANCELED, "later": S.CANCELED}


def test_the_sensor_ends_them_and_remembers_how_far_it_came(governed: EphemeralPlane) -> None:
    """Its cursor is what is settled and what is not; losing it, or another's, changes nothing."""
    waiting = begin(governed)
    run = begin(governed)
    sign_on_as_a_dead_process(governed, run)

    def tick(cursor: str | None) -> str | None:
        with dg.build_sensor_context(
            instance=governed.instance,
            cursor=cursor,
            resources={"plane": (DEFS.resources or {})["plane"]},
        ) as context:
            result = SENSOR(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        return result.cursor

    before = governed.plane.ledger.size()
    cursor = tick(None)
    assert standing(governed, run) == {"made": S.LOST, "later": S.CANCELED}
    move = next(governed.plane.ledger.scan(dagster_run_id=waiting.run_id))
    fingerprint = move.body["manifest_fingerprint"]
    assert json.loads(cursor or "") == {"from": before, "runs": [fingerprint]}
    size = governed.plane.ledger.size()
    others = (
        cursor,
        None,
        "nonsense",
        '{"from": 100000, "runs": []}',
        '{"from": 0, "runs": ["x"]}',
    )
    for other in others:
        assert json.loads(tick(other) or "") == {"from": size, "runs": [fingerprint]}
    assert governed.plane.ledger.size() == size
    governed.instance.delete_run(waiting.run_id)
    cursor = tick(cursor)
    assert json.loads(tick(cursor) or "")["runs"] == []
    seals = list(governed.plane.ledger.scan(kind=EntryKind.RUN_SEALED))
    assert [seal.actor for seal in seals] == [RECONCILIATION_ACTOR]
    actors = {entry.actor for entry in governed.plane.ledger.scan() if entry.body.get("status")}
    assert RECONCILIATION_ACTOR in actors
