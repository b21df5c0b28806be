"""Every execution of a governed step leaves an attempt, whatever becomes of it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ro_platform.contracts import EntryKind, JobAttemptRecord, JobStatus
from ro_platform.errors import BackendUnavailableError, EncodingError
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.recorder import AttemptRecorder
from ro_platform.runs.attempt import transition_of
from ro_platform.runs.changes import runtime_fingerprint
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


def history(plane: EphemeralPlane, unit: str) -> list[tuple[int, JobStatus]]:
    """(attempt number, state) of every transition of a unit, in the ledger's order."""
    moves = map(transition_of, plane.plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION))
    return [(move.number, move.status) for move in moves if move.unit == unit]


def test_a_successful_attempt_carries_what_an_auditor_asks_for(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Digests in and out, the runtime, code and config versions, and both names of the run."""

    @dg.asset(partitions_def=MANIFESTS, code_version="42")
    def made() -> pd.DataFrame:
        return pd.DataFrame({"x": [1]})

    @dg.asset(partitions_def=MANIFESTS)
    def used(made: pd.DataFrame) -> dict[str, int]:
        return {"n": len(made)}

    pin = governed.publish("limits", {"most": 3})
    fingerprint = governed.register(config_versions=[pin])
    result = materialize([made, used], fingerprint)

    done = attempts(fingerprint)
    made_ref, used_ref = (governed.plane.store.binding(name, fingerprint) for name in done)
    assert [item.artifact for item in done["made"].outputs] == [made_ref]
    assert [item.artifact for item in done["used"].inputs] == [made_ref]
    assert [item.artifact for item in done["used"].outputs] == [used_ref]
    assert done["made"].code_version == "42"
    assert done["used"].code_version is None
    for attempt in done.values():
        assert attempt.status is JobStatus.SUCCEEDED
        assert attempt.runtime == runtime_fingerprint()
        assert attempt.config_versions == (pin,)
        assert attempt.error_code is None
        assert attempt.correlation_ids.dagster_run_id == result.run_id
        assert attempt.correlation_ids.run_id == governed.plane.scope(fingerprint).run_id
    assert history(governed, "made") == [
        (1, JobStatus.QUEUED),
        (1, JobStatus.RUNNING),
        (1, JobStatus.SUCCEEDED),
    ]


def test_a_retry_policy_leaves_one_attempt_a_try(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Two tries that fail and one that succeeds are three attempts."""
    tries: list[int] = []

    @dg.asset(partitions_def=MANIFESTS, retry_policy=dg.RetryPolicy(max_retries=2))
    def flaky() -> dict[str, int]:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("not yet")
        return {}

    fingerprint = governed.register()
    assert materialize([flaky], fingerprint).success

    assert history(governed, "flaky") == [
        (1, JobStatus.QUEUED),
        (1, JobStatus.RUNNING),
        (1, JobStatus.FAILED),
        (2, JobStatus.RUNNING),
        (2, JobStatus.FAILED),
        (3, JobStatus.RUNNING),
        (3, JobStatus.SUCCEEDED),
    ]
    first = governed.plane.attempts.of_run(fingerprint)[0]
    assert (first.error_code, first.retryable) == ("RO_STEP_FAILED", True)
    assert "not yet" in str(first.error)
    assert attempts(fingerprint)["flaky"].outputs[0].name == "flaky"


@pytest.mark.parametrize("where", ["output", "config"])
def test_a_permanent_error_is_not_retried_whatever_the_policy_says(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts, where: str
) -> None:
    """One try: what is refused now will be refused again."""

    @dg.asset(partitions_def=MANIFESTS, retry_policy=dg.RetryPolicy(max_retries=3))
    def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> Any:
        return plane.run(context).config("limits") if where == "config" else {1, 2}

    fingerprint = governed.register()
    assert not materialize([made], fingerprint).success

    attempt = attempts(fingerprint)["made"]
    expected = {"output": "RO_ENCODING", "config": "RO_VERSION_NOT_PINNED"}[where]
    assert (attempt.number, attempt.error_code, attempt.retryable) == (1, expected, False)


def test_an_error_that_may_pass_is_retried_by_the_policy(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A store that did not serve the first time: FAILED and retryable, then a second attempt."""
    tries: list[int] = []

    @dg.asset(partitions_def=MANIFESTS, retry_policy=dg.RetryPolicy(max_retries=1))
    def made() -> dict[str, int]:
        tries.append(1)
        if len(tries) == 1:
            with shown_by_dagster():
                raise BackendUnavailableError("the store is away", next_step="Wait.")
        return {}

    fingerprint = governed.register()
    assert materialize([made], fingerprint).success

    first, second = governed.plane.attempts.of_run(fingerprint)
    assert (first.error_code, first.retryable) == ("RO_BACKEND_UNAVAILABLE", True)
    assert (second.number, second.status) == (2, JobStatus.SUCCEEDED)


def test_the_code_of_an_error_is_the_librarys_own_not_that_of_its_cause(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """An error raised from another keeps its own code; a look-alike code of nobody is no code."""

    @dg.asset(partitions_def=MANIFESTS)
    def chained() -> dict[str, int]:
        try:
            raise OSError("a cause")
        except OSError as cause:
            raise EncodingError("the error") from cause

    @dg.asset(partitions_def=MANIFESTS)
    def lookalike() -> dict[str, int]:
        raise ValueError("RO_STORE_URL: is a setting, not a code")

    fingerprint = governed.register()
    materialize([chained], fingerprint)
    materialize([lookalike], fingerprint)

    done = attempts(fingerprint)
    assert (done["chained"].error_code, done["chained"].error) == ("RO_ENCODING", "the error")
    assert done["lookalike"].error_code == "RO_STEP_FAILED"


def test_what_never_started_because_of_a_failure_is_canceled(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Downstream of a failure: QUEUED, then CANCELED; never left open."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        raise ValueError("broken")

    @dg.asset(partitions_def=MANIFESTS)
    def used(made: dict[str, int]) -> dict[str, int]:
        return made

    fingerprint = governed.register()
    assert not materialize([made, used], fingerprint).success

    assert history(governed, "used") == [(1, JobStatus.QUEUED), (1, JobStatus.CANCELED)]
    assert attempts(fingerprint)["made"].status is JobStatus.FAILED


def test_an_attempt_whose_worker_went_silent_is_lost_when_the_run_ends(
    governed: EphemeralPlane,
) -> None:
    """RUNNING at the run's failure is LOST, QUEUED is CANCELED; what ended stays as it ended."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    @dg.asset(partitions_def=MANIFESTS, deps=[made])
    def later() -> dict[str, int]:
        return {}

    fingerprint = governed.register()
    job = dg.define_asset_job("j", selection="*")
    definition = dg.Definitions(assets=[made, later], jobs=[job]).resolve_job_def("j")
    run = governed.instance.create_run_for_job(
        definition, tags={"dagster/partition": fingerprint}, asset_selection=None
    )
    started = dg.DagsterEvent(
        event_type_value="STEP_START", job_name="j", step_key="made", message="started"
    )
    governed.instance.report_dagster_event(started, run_id=run.run_id)
    governed.instance.report_run_failed(run)

    assert history(governed, "made")[-1] == (1, JobStatus.LOST)
    assert history(governed, "later")[-1] == (1, JobStatus.CANCELED)


def test_when_dagster_stores_that_a_run_failed_nothing_of_ours_is_left_to_do(
    governed: EphemeralPlane,
) -> None:
    """Its daemon decides about a retry, once, as soon as it sees that event, and goes by the run's
    status, which Dagster sets right after: a record made in between would lose retries."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    fingerprint = governed.register()
    job = dg.define_asset_job("j", selection="*")
    definition = dg.Definitions(assets=[made], jobs=[job]).resolve_job_def("j")
    run = governed.instance.create_run_for_job(definition, tags={"dagster/partition": fingerprint})
    seen: list[tuple[JobStatus, int]] = []

    def store(_: dg.EventLogEntry) -> None:
        sealed = list(governed.plane.ledger.scan(kind=EntryKind.RUN_SEALED))
        seen.append((history(governed, "made")[-1][1], len(sealed)))

    failed = dg.DagsterEvent("PIPELINE_FAILURE", "j", message="its worker is gone")
    entry = dg.EventLogEntry(None, 40, "", run.run_id, 0.0, dagster_event=failed)  # type: ignore[no-untyped-call]
    AttemptRecorder(lambda: governed.plane).record(entry, store)
    assert seen == [(JobStatus.CANCELED, 1)]


def test_a_canceled_run_leaves_canceled_attempts(governed: EphemeralPlane) -> None:
    """Started or only queued: CANCELED with the run."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    fingerprint = governed.register()
    definition = dg.Definitions(
        assets=[made], jobs=[dg.define_asset_job("j", selection="*")]
    ).resolve_job_def("j")
    run = governed.instance.create_run_for_job(definition, tags={"dagster/partition": fingerprint})
    governed.instance.report_dagster_event(
        dg.DagsterEvent("STEP_START", "j", step_key="made", message=""), run_id=run.run_id
    )
    governed.instance.report_run_canceled(run)

    assert history(governed, "made")[-1] == (1, JobStatus.CANCELED)


def test_work_that_is_not_governed_leaves_no_attempt(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """An op job and an asset without manifests are Dagster's own affair."""

    @dg.op
    def nothing() -> None:
        return None

    @dg.job
    def plain() -> None:
        nothing()

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["monday"]))
    def daily() -> None:
        return None

    assert plain.execute_in_process(instance=governed.instance).success
    assert materialize([daily], "monday").success
    assert governed.plane.ledger.size() == 0


SEPARATE_PROCESSES = """
import os
import dagster as dg
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern

@dg.asset(partitions_def=MANIFESTS, code_version="1")
def made() -> dict:
    return {"pid": 1}

@dg.asset(partitions_def=MANIFESTS)
def used(made: dict) -> dict:
    return made

@gate(asset=made)
def is_good(context: dg.AssetCheckExecutionContext, made: dict, plane: PlaneResource):
    return dg.AssetCheckResult(
        passed=plane.run(context).parameters["good"], metadata={"pid": os.getpid()}
    )

defs = govern(dg.Definitions(assets=[made, used], asset_checks=[is_good],
    jobs=[dg.define_asset_job("j", selection="*", executor_def=dg.multiprocess_executor)]))

def job() -> dg.JobDefinition:
    return defs.resolve_job_def("j")
"""


def test_with_a_process_for_each_step_the_law_and_the_record_are_the_same(
    tmp_path: Path,
    governed: EphemeralPlane,
    attempts: Attempts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Producer and gate each run in a process of their own; the FAIL keeps the consumer away."""
    (tmp_path / "separate_processes.py").write_text(SEPARATE_PROCESSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where a child process looks for the module
    # Child processes know the plane by their environment, as in a deployment.
    for name in ("RO_ROOT", "RO_HOME"):
        monkeypatch.setenv(name, str(governed.settings.home))
    fingerprint = governed.register(parameters={"good": False})
    target = dg.reconstructable(__import__("separate_processes").job)

    result = dg.execute_job(
        target,
        instance=governed.instance,
        tags={"dagster/partition": fingerprint},
        raise_on_error=False,
    )

    assert not result.success
    done = attempts(fingerprint)
    assert {unit: item.status for unit, item in done.items()} == {
        "made": JobStatus.SUCCEEDED,
        "made#is_good": JobStatus.FAILED,
        "used": JobStatus.CANCELED,
    }
    assert done["made"].code_version == "1"
    assert done["made"].outputs[0].artifact == governed.plane.store.binding("made", fingerprint)
    assert done["made#is_good"].inputs[0].artifact == done["made"].outputs[0].artifact
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.metadata["pid"].value != os.getpid()
    assert sys.modules["separate_processes"].__file__ == str(tmp_path / "separate_processes.py")
    governed.plane.ledger.verify()


def test_a_gates_attempt_is_a_unit_of_its_own(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """``asset#gate``: its input is the artifact it judged, and it puts out none."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    @gate(asset=made)
    def is_good(made: dict[str, int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register()
    assert materialize([made, is_good], fingerprint).success

    attempt = attempts(fingerprint)["made#is_good"]
    ref = governed.plane.store.binding("made", fingerprint)
    assert [item.artifact for item in attempt.inputs] == [ref]
    assert attempt.outputs == ()
    assert str(attempt.code_version).startswith("rule1-")


def test_each_asset_of_a_step_has_its_own_code_version(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """One that declares none has none, whatever its neighbours declare."""
    outs = {
        name: dg.AssetOut(key=name, code_version=version)
        for name, version in (("left", "1"), ("middle", None), ("right", "2"))
    }

    @dg.multi_asset(outs=outs, partitions_def=MANIFESTS)
    def several() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        return {"n": 1}, {"n": 2}, {"n": 3}

    fingerprint = governed.register()
    assert materialize([several], fingerprint).success
    versions = {unit: item.code_version for unit, item in attempts(fingerprint).items()}
    assert versions == {"left": "1", "middle": None, "right": "2"}
