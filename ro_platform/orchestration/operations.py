"""What administrative actions need of Dagster: what runs, ending a run, launching a replay.

It implements :class:`ro_platform.admin.orchestrator.Orchestrator` over the deployment's Dagster
instance, whichever process asks: a command, the UI's gateway, or a run of the job ``ro_admin``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ro_platform import errors
from ro_platform.access.identity import acting_as
from ro_platform.admin.orchestrator import ReplayLaunch, RunUnderWay
from ro_platform.artifacts.addressing import BindingAddress
from ro_platform.config.settings import Settings
from ro_platform.contracts import AttemptTransition, JobStatus
from ro_platform.dagster_private.launches import (
    BACKFILL,
    PARTITION,
    job_backfill,
    location_of,
    under_way,
)
from ro_platform.gates.made import artifact_at
from ro_platform.orchestration.instances import open_instance
from ro_platform.orchestration.launcher import worker_is_gone
from ro_platform.orchestration.launches import ACTOR, REPLAY, Launches
from ro_platform.orchestration.partitions import MANIFESTS
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.attempt import is_skipped

_Status = dg.DagsterRunStatus
_WAITING = (_Status.NOT_STARTED, _Status.QUEUED)
_PARTITIONS = str(MANIFESTS.name)


@dataclass(frozen=True, slots=True)
class ReplayProof:
    """What came of one manifest of a replay: ``identical``, ``diverged``, ``failed`` or
    ``under way``; for the second and third where first, and in which words."""

    manifest_fingerprint: str
    result: str
    dagster_run_id: str | None
    unit: str | None = None
    words: str | None = None


def orchestrator(settings: Settings) -> DagsterOperations:
    """The deployment's Dagster. Raises :class:`SettingsError` where there is none."""
    return DagsterOperations(settings, shared_plane(settings), open_instance(settings))


class DagsterOperations:
    """See :class:`ro_platform.admin.orchestrator.Orchestrator`."""

    def __init__(self, settings: Settings, plane: Plane, instance: dg.DagsterInstance) -> None:
        self._settings = settings
        self._plane = plane
        self._instance = instance

    def running(self) -> Sequence[RunUnderWay]:
        """Every run that has not ended, those that wait in the queue included."""
        with _asking_dagster():
            return [self._seen(run) for run in under_way(self._instance)]

    def cancel(self, dagster_run_id: str, words: str) -> None:
        """Have a run end, in the queue or in its worker, with these words in its log.

        One that has ended stays as it ended. The worker is told, and ends its step; whether it did
        is seen in :meth:`running`. Raises :class:`NotFoundError` for a run that never was, and
        :class:`OutcomeUnknownError` for a worker that cannot be told.
        """
        with _asking_dagster():
            run = self._instance.get_run_by_id(dagster_run_id)
            if run is None:
                raise errors.NotFoundError(
                    f"Dagster has no run {dagster_run_id}.",
                    next_step="`ro admin status --runs` lists those that are under way.",
                )
            if run.is_finished:
                return
            self._instance.report_engine_event(f"Cancelled by {words}", run)
            if run.status in _WAITING or _is_lost(run) or self._was_never_launched(run):
                self._end(run, words)
            elif not self._instance.run_launcher.terminate(dagster_run_id):
                raise errors.OutcomeUnknownError(
                    f"The worker of run {dagster_run_id} was asked to end, and did not answer.",
                    next_step="Stop its process where it runs; then `ro admin reconcile`.",
                    dagster_run_id=dagster_run_id,
                )

    def launched(self, replay_id: str) -> str | None:
        """The id of the backfill that a replay is; None while it was not launched."""
        with _asking_dagster():
            return replay_id if self._instance.get_backfill(replay_id) else None

    def launch_replay(self, launch: ReplayLaunch) -> str:
        """Request a backfill of the workload's job over these manifests; answers its id.

        The id is that of the replay, so asking again launches nothing. Its runs carry
        ``ro/replay``, and are launched in the name of who asked. A crash before the backfill is
        stored leaves nothing. Raises :class:`SettingsError` where the workspace does not say which
        code location has the job.
        """
        with _asking_dagster():
            if self._instance.get_backfill(launch.replay_id) is not None:
                return launch.replay_id
            known = set(self._instance.get_dynamic_partitions(_PARTITIONS))
            missing = [name for name in launch.fingerprints if name not in known]
            if missing:
                self._instance.add_dynamic_partitions(_PARTITIONS, missing)
            self._request(launch)
            return launch.replay_id

    def proofs(self, replay_id: str) -> list[ReplayProof]:
        """What came of a replay so far: one proof for each manifest, in the order of the request.

        Raises :class:`NotFoundError` for one that was never launched.
        """
        with _asking_dagster():
            backfill = self._instance.get_backfill(replay_id)
            if backfill is None:
                raise errors.NotFoundError(
                    f"no replay {replay_id} was launched.",
                    next_step="`ro admin events --action replay_request` lists them.",
                )
            of_it = dg.RunsFilter(tags={BACKFILL: replay_id})
            runs = {run.tags.get(PARTITION): run for run in self._instance.get_runs(of_it)}
            return [
                self._proof(name, runs.get(name)) for name in sorted(backfill.partition_names or ())
            ]

    def _proof(self, fingerprint: str, run: dg.DagsterRun | None) -> ReplayProof:
        if run is None or not run.is_finished:
            return ReplayProof(fingerprint, "under way", run.run_id if run else None)
        steps = self._plane.attempts.of_dagster_run(run.run_id).values()
        attempts = sorted((item for step in steps for item in step), key=lambda item: item.number)
        for attempt in attempts:
            if attempt.error_code == errors.ReplayDivergedError.code:
                return ReplayProof(fingerprint, "diverged", run.run_id, attempt.unit, attempt.error)
        done = [item for item in attempts if not is_skipped(item)]
        failed = [item for item in done if item.status is not JobStatus.SUCCEEDED]
        if failed or not attempts:
            first = min(failed, key=lambda item: item.status is not JobStatus.FAILED, default=None)
            unit, words = (first.unit, first.error) if first else (None, None)
            return ReplayProof(fingerprint, "failed", run.run_id, unit, words)
        return self._compared(fingerprint, run, attempts)

    def _compared(
        self, fingerprint: str, run: dg.DagsterRun, attempts: Sequence[AttemptTransition]
    ) -> ReplayProof:
        """An asset that is declared non-deterministic fails nothing by giving other bytes."""
        for attempt in attempts:
            for made in attempt.outputs or ():
                first = BindingAddress(made.name, fingerprint, 1)
                earlier = artifact_at(self._plane.ledger, first.name)
                if earlier is not None and earlier.digest != made.artifact.digest:
                    words = f"it gave {made.artifact.digest}, at first it was {earlier.digest}."
                    return ReplayProof(fingerprint, "diverged", run.run_id, attempt.unit, words)
        return ReplayProof(fingerprint, "identical", run.run_id)

    def _request(self, launch: ReplayLaunch) -> None:
        workspace = self._settings.root / "workspace.yaml"
        location = location_of(workspace, self._settings.definitions_module)
        if location is None:
            raise errors.SettingsError(
                f"{workspace} has no code location of module {self._settings.definitions_module}.",
                next_step="Name the module of the workload in RO_DEFINITIONS_MODULE.",
            )
        backfill = job_backfill(
            launch.replay_id,
            job=launch.workload,
            partitions=launch.fingerprints,
            tags={**dict(launch.tags), REPLAY: "true"},
            location=location,
            moment=self._plane.clock().timestamp(),
            title=f"Replay of {launch.workload} for {launch.actor}",
        )
        with acting_as(launch.actor):
            self._instance.add_backfill(backfill)

    def _was_never_launched(self, run: dg.DagsterRun) -> bool:
        """Whether it waited when somebody began to end it, and died: it has no worker to tell."""
        starting = dg.DagsterEventType.RUN_STARTING
        is_half_ended = run.status is _Status.CANCELING
        return is_half_ended and not self._instance.all_logs(run.run_id, of_type=starting)

    def _end(self, run: dg.DagsterRun, words: str) -> None:
        if run.status is not _Status.CANCELING:
            self._instance.report_run_canceling(run)
        self._instance.report_run_canceled(run, message=f"Cancelled by {words}")

    def _seen(self, run: dg.DagsterRun) -> RunUnderWay:
        work = Launches.of(self._plane, self._instance).work_of(run)
        return RunUnderWay(
            dagster_run_id=run.run_id,
            workload=next(iter(work.workloads)) if len(work.workloads) == 1 else None,
            assets=tuple(sorted(work.assets)),
            actor=run.tags.get(ACTOR),
            started=run.status not in _WAITING,
        )


def _is_lost(run: dg.DagsterRun) -> bool:
    return run.status in (_Status.STARTED, _Status.CANCELING) and worker_is_gone(run)


@contextmanager
def _asking_dagster() -> Iterator[None]:
    """What Dagster raises becomes an error of the library: nothing is known of what it did."""
    try:
        yield
    except errors.RunOperateError:
        raise
    except (OSError, dg.DagsterError, SQLAlchemyError) as error:
        words = " ".join(str(error).split())[:300]
        raise errors.BackendUnavailableError(
            f"Dagster does not answer: {words}",
            next_step="See that its storage and code servers are up, and ask again.",
        ) from error
