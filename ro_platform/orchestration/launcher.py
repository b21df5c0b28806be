"""The run launcher: Dagster's own, which can also be asked whether a run's worker still lives.

``dagster.yaml`` names it beside ``run_monitoring``. Dagster's default launcher cannot be asked, so
after everything on a host was killed its runs would stay STARTED for ever. Here the daemon's next
look, or its first one after a restart, fails a run whose worker is dead.
"""

import dagster as dg

from ro_platform.orchestration.dagster_private import (
    CheckRunHealthResult,
    WorkerStatus,
    is_executing,
    was_on_this_host,
)
from ro_platform.orchestration.workers import Worker


class GovernedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher, with health checks."""

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
