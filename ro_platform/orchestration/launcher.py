"""The run launcher: Dagster's own, which launches only what somebody who may asked for.

A run without a genuine grant for exactly what its row says, such as one that was written into
Dagster's database or changed there, is cancelled, whoever queued it. One of something that is
paused goes back into the queue and waits there.

It can also be asked whether a run's worker still lives.

``dagster.yaml`` names it beside ``run_monitoring``. Dagster's default launcher cannot be asked, so
after everything on a host was killed its runs would stay STARTED for ever. Here the daemon's next
look, or its first one after a restart, fails a run whose worker is dead.
"""

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.dagster_private.launches import LaunchRunContext, enqueue_again
from ro_platform.dagster_private.running import (
    CheckRunHealthResult,
    WorkerStatus,
    instance_of,
    is_executing,
    was_on_this_host,
)
from ro_platform.orchestration.launches import HELD, Launches
from ro_platform.orchestration.refusing import cancel_refused, record_refusal
from ro_platform.orchestration.workers import Worker
from ro_platform.plane import Plane, shared_plane


class GovernedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher, behind grants and pauses, with health checks."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's worker, refuse the run, or put it back into the queue."""
        run, plane = context.dagster_run, shared_plane(Settings.load())
        try:
            self._require(plane, run)
        except errors.PausedError as error:
            instance_of(self).add_run_tags(run.run_id, {HELD: error.diagnostics()["target"]})
            self._put_back(run, error)
        except errors.AccessDeniedError as error:
            record_refusal(plane, run, error)
            cancel_refused(instance_of(self), run, error)
        except errors.RunOperateError as error:
            if not error.retryable:
                raise
            self._put_back(run, error)  # nothing was decided: the daemon asks again
        else:
            super().launch_run(context)

    def _require(self, plane: Plane, run: dg.DagsterRun) -> None:
        launches = Launches.of(plane, instance_of(self))
        launches.require(run)
        if launches.is_used(run.run_id):
            raise errors.GrantRefusedError(
                "This run has been executed, cancelled or refused before, and a grant is for one "
                "execution.",
                next_step="Execute it again as a new run.",
                dagster_run_id=run.run_id,
            )
        launches.require_running(run)

    def _put_back(self, run: dg.DagsterRun, error: errors.RunOperateError) -> None:
        instance_of(self).report_engine_event(f"It waits in the queue. {error}", run)
        enqueue_again(instance_of(self), run)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """That run monitoring may ask :meth:`check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING or FAILED, by the process that signed on, or else by the run's code server.

        A worker that nobody here can see counts as RUNNING: only what is known to be dead is
        called so.
        """
        if worker_is_gone(run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "The process of the run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def worker_is_gone(run: dg.DagsterRun) -> bool:
    """Whether the worker of a run that is STARTED or CANCELING is known to be dead."""
    worker = Worker.of(run)
    gone = worker.is_gone() if worker else None
    if gone is not None:
        return gone
    executing = is_executing(run)
    if executing is None:  # its code server does not answer
        return worker is None and was_on_this_host(run)
    return not executing
