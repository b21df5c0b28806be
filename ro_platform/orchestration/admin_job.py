"""The Dagster job ``ro_admin``: administrative actions from the launchpad of the UI.

Its configuration says what is to be done. Who does it is who launched the run, by the run's signed
grant; nothing in the configuration can say otherwise. The service authorises, and records, as for
``ro admin``; the run's id is the idempotency key, so a retry of the step does nothing twice.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from ro_platform.admin.outcomes import Outcome
from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType, AdminRequest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.launches import ADMIN_JOB, Launches
from ro_platform.orchestration.operations import DagsterOperations
from ro_platform.plane import shared_plane


class AdminAsked(dg.Config):
    """An administrative request, as the launchpad shows it."""

    action_type: str = Field(description=f"One of {', '.join(AdminActionType)}.")
    reason: str = Field(description="Why. It is kept for good.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="What it takes, such as {target: workload/purchases}."
    )
    key: str | None = Field(
        default=None, description="The same key is the same action, done once. The run's id if none"
    )


@dg.op(name="administer", description="`ro admin`, in the name of who launched the run.")
def administer(context: dg.OpExecutionContext, config: AdminAsked) -> None:
    """Fails with the refusal's words where the actor may not, or the action failed."""
    with shown_by_dagster():
        settings = Settings.load()
        plane = shared_plane(settings)
        run = context.instance.get_run_by_id(context.run_id)
        assert run is not None, "a step of a run that Dagster has on record"
        grant = Launches.of(plane, context.instance).require(run, begun=True)
        operations = DagsterOperations(settings, plane, context.instance)
        service = plane.administration.over(operations).service
        key = config.key or f"{ADMIN_JOB}/{context.run_id}"
        outcome = service.perform(_request(config), actor=grant.actor, key=key)
        context.log.info(_words(outcome))
        context.add_output_metadata(
            {
                "admin_event_id": outcome.event_id or "nothing was left to do",
                "actor": outcome.actor,
                "result": outcome.result,
                "before": dg.MetadataValue.json(outcome.before),
                "after": dg.MetadataValue.json(outcome.after),
            }
        )


@dg.job(
    name=ADMIN_JOB,
    description="An administrative action, by who launches it: pause, resume, drain, cancel, "
    "replay, revoke. Each is authorised and recorded as by `ro admin`.",
)
def admin_job() -> None:
    """One action for each run."""
    administer()


def _request(config: AdminAsked) -> AdminRequest:
    asked = {
        "action_type": config.action_type,
        "reason": config.reason,
        "parameters": config.parameters,
    }
    return AdminRequest.from_json(canonical_bytes(asked), where="the run's config")


def _words(outcome: Outcome) -> str:
    return f"{outcome.request.action_type} by {outcome.actor}: {outcome.result}"
