"""A run that Dagster executes is sealed when it ends: once, whoever ends it, whoever comes late."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData

from ro_platform.contracts import EntryKind, JobStatus, LedgerEntry
from ro_platform.errors import BackendUnavailableError, InvalidTransitionError
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import run_id
from ro_platform.orchestration import MANIFESTS, govern, sessions
from ro_platform.orchestration.partitions import ByManifest
from ro_platform.orchestration.reconcile import DagsterRecords
from ro_platform.orchestration.workers import WORKER, Worker
from ro_platform.runs.reconciliation import Pass, Reconciliation
from ro_platform.runs.seals import RunSeals
from ro_platform.testing import EphemeralPlane
from tests.orchestration.conftest import QUIET, Materialize

S = JobStatus


@dg.asset(partitions_def=MANIFESTS)
def made() -> dict[str, int]:
    return {}


@dg.asset(partitions_def=MANIFESTS, deps=[made])
def later() -> dict[str, int]:
    return {}


@dg.asset(partitions_def=MANIFESTS, backfill_policy=dg.BackfillPolicy.single_run())
def ranged(context: dg.AssetExecutionContext) -> ByManifest:
    if "fail" in context.run.tags:
        raise ValueError("broken")
    return ByManifest({key: {"of": key} for key in context.partition_keys})


DEFS = govern(
    dg.Definitions(
        assets=[made, later, ranged],
        jobs=[
            dg.define_asset_job("two", selection=["made", "later"]),
            dg.define_asset_job("range", selection=["ranged"]),
        ],
    )
)


def begin(governed: EphemeralPlane) -> dg.DagsterRun:
    """A run as far as its first step, as its worker would report it."""
    tags = {"dagster/partition": governed.register()}
    run = governed.instance.create_run_for_job(DEFS.resolve_job_def("two"), tags=tags)
    report(governed, run, "PIPELINE_START")
    report(governed, run, "STEP_START", step="made")
    return run


def sign_on_as_a_dead_process(governed: EphemeralPlane, run: dg.DagsterRun) -> None:
    """As if the worker had been a process that is gone."""
    worker = Worker.this_process(run.run_id)
    assert worker is not None
    dead = replace(worker, started=worker.started - 1)
    governed.instance.add_run_tags(run.run_id, {WORKER: json.dumps(asdict(dead))})


def report(
    governed: EphemeralPlane, run: dg.DagsterRun, kind: str, step: str | None = None
) -> None:
    facts: dict[str, Any] = {
        "STEP_SUCCESS": StepSuccessData(1.0),  # type: ignore[no-untyped-call]
        "STEP_FAILURE": StepFailureData(None, None),  # type: ignore[no-untyped-call]
    }
    event = dg.DagsterEvent(
        kind, "two", step_key=step, message=kind, event_specific_data=facts.get(kind)
    )
    governed.instance.report_dagster_event(event, run_id=run.run_id)


def seals(governed: EphemeralPlane, fingerprint: str | None = None) -> list[LedgerEntry]:
    """The seals on record, of one run or of all."""
    run = run_id(fingerprint) if fingerprint else None
    return list(governed.plane.ledger.scan(kind=EntryKind.RUN_SEALED, run_id=run))


def reconcile(governed: EphemeralPlane) -> Pass:
    records, ledger = DagsterRecords(governed.instance), governed.plane.ledger
    clock = ManualClock(governed.plane.clock())
    return Reconciliation(ledger, records, clock, actor="SYSTEM::late").run()


@pytest.mark.parametrize("dies", [False, True])
def test_a_run_that_lost_its_seal_is_sealed_by_reconciliation(
    governed: EphemeralPlane, monkeypatch: pytest.MonkeyPatch, *, dies: bool
) -> None:
    """The ledger was away, or the process died, between the last end and the seal: every attempt
    has ended, nobody sealed; one pass does, the next writes nothing."""

    def seal(_: RunSeals, __: str) -> None:
        raise ConnectionError("the process is gone") if dies else BackendUnavailableError("away")

    run = begin(governed)
    with monkeypatch.context() as patch:
        patch.setattr(RunSeals, "seal", seal)
        if dies:
            sign_on_as_a_dead_process(governed, run)
            with pytest.raises(ConnectionError):
                governed.instance.report_run_failed(run)
        else:
            governed.instance.report_run_failed(run)
    assert seals(governed) == []
    done = reconcile(governed)
    assert (done.ended, done.sealed, len(seals(governed))) == ((), (_of(run),), 1)
    known = governed.instance.get_run_by_id(run.run_id)
    assert known is not None
    assert known.status is dg.DagsterRunStatus.FAILURE
    size = governed.plane.ledger.size()
    assert reconcile(governed).sealed == ()
    assert governed.plane.ledger.size() == size


def test_between_a_try_and_its_retry_a_run_is_not_sealed(governed: EphemeralPlane) -> None:
    """Its only started attempt has failed, its run is under way: reconciliation waits."""
    run = begin(governed)
    report(governed, run, "STEP_UP_FOR_RETRY", step="made")
    report(governed, run, "STEP_SKIPPED", step="later")
    statuses = {item.unit: item.status for item in governed.plane.attempts.of_run(_of(run))}
    assert statuses == {"made": S.FAILED, "later": S.CANCELED}
    assert (reconcile(governed).sealed, seals(governed)) == ((), [])
    report(governed, run, "STEP_RESTARTED", step="made")
    report(governed, run, "STEP_SUCCESS", step="made")
    report(governed, run, "PIPELINE_SUCCESS")
    assert [seal.body["record"] for seal in seals(governed)] == [1]


@pytest.mark.parametrize("late", ["STEP_RESTARTED", "STEP_START", "STEP_SUCCESS", "STEP_FAILURE"])
@pytest.mark.parametrize("ended", ["STEP_UP_FOR_RETRY", "STEP_SUCCESS", None])
def test_what_a_worker_says_that_outlived_its_run_opens_no_sealed_record(
    governed: EphemeralPlane, ended: str | None, late: str
) -> None:
    """Its step was to be tried again, had succeeded, or was at work when the run was ended: late
    words are refused or change nothing."""
    run = begin(governed)
    if ended:
        report(governed, run, ended, step="made")
    governed.instance.report_run_failed(run)
    assert [seal.body["record"] for seal in seals(governed)] == [1]
    size = governed.plane.ledger.size()
    if late in ("STEP_START", "STEP_RESTARTED"):
        with pytest.raises(dg.Failure, match="RO_ATTEMPT_ENDED"):
            report(governed, run, late, step="made")
    elif (ended, late) == (None, "STEP_SUCCESS"):
        session = sessions.find_session(run.run_id, "made")
        assert session is not None
        session.materialized.add("made")  # it put out its asset, and says that it succeeded
        with pytest.raises(InvalidTransitionError):
            report(governed, run, late, step="made")
    else:
        report(governed, run, late, step="made")
    assert governed.plane.ledger.size() == size


def test_executing_a_sealed_run_again_begins_a_second_record(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """The first seal stands, and the second names it; the reopening says which attempt began."""
    fingerprint = governed.register()
    assert materialize([made, later], fingerprint).success
    assert materialize([made], fingerprint).success
    first, second = seals(governed, fingerprint)
    assert [seal.body["record"] for seal in (first, second)] == [1, 2]
    assert second.body["previous"] == first.seq
    (reopened,) = governed.plane.ledger.scan(kind=EntryKind.RUN_REOPENED)
    assert reopened.body["sealed"] == first.seq
    assert reopened.body["reason"] == "attempt 2 of made begins"


@pytest.mark.parametrize("how", ["succeeds", "fails"])
def test_one_dagster_run_over_a_range_seals_each_of_its_runs(
    governed: EphemeralPlane, how: str
) -> None:
    """Three manifests in one run of Dagster: a record and a seal for each, nothing of another's."""
    given = [governed.register(parameters={"n": number}) for number in range(3)]
    tags = {"dagster/asset_partition_range_start": given[0]}
    tags |= {"dagster/asset_partition_range_end": given[-1]} | (
        {"fail": "1"} if how == "fails" else {}
    )
    result = DEFS.resolve_job_def("range").execute_in_process(
        instance=governed.instance, tags=tags, raise_on_error=False, run_config=QUIET
    )
    assert result.success is (how == "succeeds")
    for fingerprint in given:
        (seal,) = seals(governed, fingerprint)
        record = list(governed.plane.ledger.scan(run_id=run_id(fingerprint), end=seal.seq))
        assert seal.body["count"] == len(record)
        ids = {entry.correlation_ids.dagster_run_id for entry in record[1:]}
        assert ids == {result.run_id}
    size = governed.plane.ledger.size()
    assert reconcile(governed).sealed == ()
    assert governed.plane.ledger.size() == size


SEALING = """
import sys
from ro_platform.config.settings import Settings
from ro_platform.plane import Plane

plane = Plane.open(Settings.load())
print("ready", flush=True)
sys.stdin.readline()
for fingerprint in sys.argv[1:]:
    print(plane.seals.seal(fingerprint).seq, flush=True)
"""


def test_processes_that_seal_at_once_make_one_seal(
    governed: EphemeralPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them, ten runs: each run has one seal, and all four were answered that one."""
    given = [governed.register(parameters={"n": number}) for number in range(10)]
    for fingerprint in given:
        attempts = governed.plane.attempts
        begun = attempts.begin(fingerprint, "x", step_key="x", dagster_run_id=None)
        attempts.move(begun, S.CANCELED, dagster_run_id=None)
    for name in ("RO_ROOT", "RO_HOME"):
        monkeypatch.setenv(name, str(governed.settings.home))
    command = [sys.executable, "-c", SEALING, *given]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        answers.append([int(line) for line in out.split()])
    expected = [seal.seq for fingerprint in given for seal in seals(governed, fingerprint)]
    assert len(expected) == len(given)
    assert answers == [expected] * 4


def _of(run: dg.DagsterRun) -> str:
    return run.tags["dagster/partition"]
