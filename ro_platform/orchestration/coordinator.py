"""The run coordinator: a run that would be refused at a read is refused before it is queued.

``dagster.yaml`` names it. It sees what the UI, GraphQL, sensors, schedules, automation conditions,
backfills, retries and ``dagster job launch`` submit. A refused run ends as CANCELED in Dagster,
with the refusal's words in its log and the tags ``ro/refused`` and ``ro/refused_by``; its attempts
end as REFUSED. So it neither stops a backfill's other partitions nor is retried.

While something is paused, what a person launches there is refused. What the daemon launches waits
in the queue, and goes on after the pause: nothing of a backfill, a sensor or a schedule is lost.
"""

from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.dagster_private.launches import RunQueueConfig, with_limits
from ro_platform.dagster_private.running import (
    QueuedRunCoordinator,
    SubmitRunContext,
    instance_of,
    parents_in_workspace,
    report_refusal,
)
from ro_platform.ledger import names
from ro_platform.orchestration.launches import HELD, REFUSED, REFUSED_BY, WORKLOAD, Launches
from ro_platform.orchestration.partitions import unit_of
from ro_platform.orchestration.refusing import cancel_refused, record_refusal
from ro_platform.orchestration.shown import shown_refusal
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.plan import Edge, RefusedEdge

__all__ = ["REFUSED", "REFUSED_BY", "GovernedRunCoordinator"]

_MOST_SHOWN = 20


class GovernedRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, behind admission."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue the run, or refuse it. Raises only what may pass, and then nothing was decided."""
        run = context.dagster_run
        if run.status != dg.DagsterRunStatus.NOT_STARTED:
            return super().submit_run(context)  # it was decided before
        plane = shared_plane(Settings.load())
        try:
            self._admit(plane, run)
        except errors.AccessDeniedError as error:
            record_refusal(plane, run, error)
            cancel_refused(instance_of(self), run, error)
            return instance_of(self).get_run_by_id(run.run_id) or run
        refusals = list(plane.admission.refusals(_edges(plane, context)))
        if not refusals:
            return super().submit_run(context)
        plane.admission.record(run.run_id, refusals)
        self._refuse(run, refusals)
        return instance_of(self).get_run_by_id(run.run_id) or run

    def get_run_queue_config(self) -> RunQueueConfig:
        """What the daemon reads before each look at the queue: nothing leaves it that is paused.

        Raises if the ledger cannot say what is: then nothing leaves it either.
        """
        standing = shared_plane(Settings.load()).pauses.standing()
        limits: list[dict[str, Any]] = []
        for pause in standing:
            limits.append({"key": HELD, "value": pause.target, "limit": 0})
            if workload := names.workload_target.parse(pause.target):
                limits.append({"key": WORKLOAD, "value": workload[0], "limit": 0})
            elif pause.target == names.PLANE:
                limits.append({"key": WORKLOAD, "limit": 0})
        return with_limits(super().get_run_queue_config(), limits)

    def _admit(self, plane: Plane, run: dg.DagsterRun) -> None:
        launches = Launches.of(plane, instance_of(self))
        launches.require(run)
        if not launches.is_automatic(run):
            launches.require_running(run)

    def _refuse(self, run: dg.DagsterRun, refusals: list[RefusedEdge]) -> None:
        first = refusals[0].error
        by = first.diagnostics().get("gate") or refusals[0].edge.producer
        instance_of(self).add_run_tags(run.run_id, {REFUSED: first.code, REFUSED_BY: by})
        for refusal in refusals[:_MOST_SHOWN]:
            report_refusal(instance_of(self), run, str(refusal.error), shown_refusal(refusal))
        more = f" ({len(refusals)} edges are refused)" if len(refusals) > 1 else ""
        instance_of(self).report_run_canceled(run, message=f"Refused. {first}{more}")


def _edges(plane: Plane, context: SubmitRunContext) -> list[Edge]:
    """What the run's assets read that the run itself does not make, by what it has planned."""
    planned = plane.attempts.of_dagster_run(context.dagster_run.run_id).values()
    work = {
        (attempt.manifest_fingerprint, attempt.unit) for attempts in planned for attempt in attempts
    }
    parents = {
        unit: parents_in_workspace(context, unit)
        for unit in {unit for _, unit in work}
        if "#" not in unit
    }
    return [
        Edge(fingerprint, unit, unit_of(parent))
        for fingerprint, unit in sorted(work)
        for parent in sorted(parents.get(unit, ()))
        if (fingerprint, unit_of(parent)) not in work
    ]
