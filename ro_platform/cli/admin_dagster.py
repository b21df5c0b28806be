"""What of Dagster the administrative commands ask: what runs, and what a drain waits for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from ro_platform.admin.administration import Administration
from ro_platform.admin.orchestrator import Orchestrator, RunUnderWay
from ro_platform.admin.replay import ReplayAction
from ro_platform.admin.running import Draining, drains
from ro_platform.cli.output import err, out, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType
from ro_platform.plane import Plane

ORCHESTRATED = frozenset({AdminActionType.CANCEL_RUN, AdminActionType.REPLAY_REQUEST})
"""The actions that are done in Dagster."""


def administration_for(plane: Plane, kinds: Collection[AdminActionType]) -> Administration:
    """The plane's administration, with Dagster behind it where one of the actions needs that."""
    return with_orchestrator(plane) if ORCHESTRATED & set(kinds) else plane.administration


def with_orchestrator(plane: Plane) -> Administration:
    """The plane's administration with Dagster behind it."""
    with err.status("reaching Dagster ..."):
        # Imported where it is used: Dagster would slow down every command.
        from ro_platform.orchestration.operations import orchestrator

        return plane.administration.over(orchestrator(Settings.load()))


def orchestrator_of(administration: Administration) -> Orchestrator:
    """The orchestrator that an administration was given by :func:`with_orchestrator`."""
    replay = administration.service.action(AdminActionType.REPLAY_REQUEST)
    assert isinstance(replay, ReplayAction)
    assert replay.orchestrator is not None
    return replay.orchestrator


def drains_of(plane: Plane, administration: Administration) -> list[Draining]:
    """Every drain that stands, and what it waits for."""
    return drains(administration.pauses, orchestrator_of(administration), plane.clock)


def running_facts(under_way: Sequence[RunUnderWay], waits: Sequence[Draining]) -> dict[str, Any]:
    """Runs under way, and drains, as JSON."""
    return {
        "running": [asdict(run) for run in under_way],
        "drains": [
            {
                "target": item.pause.target,
                "running": [run.dagster_run_id for run in item.running],
                "overdue": item.overdue,
            }
            for item in waits
        ],
    }


def say_drain(drain: Draining) -> None:
    """Print how far a drain is."""
    target = drain.pause.target
    if drain.is_empty:
        out.print(f"{target} is drained: nothing runs there", markup=False)
        return
    over = ", and its time is over" if drain.overdue else ""
    out.print(f"{target}: {len(drain.running)} still run{over}", markup=False)
    for run in drain.running:
        out.print(f"  {run.dagster_run_id} of {run.workload or 'no workload'}", markup=False)


def say_running(under_way: Sequence[RunUnderWay]) -> None:
    """Print the runs that have not ended."""
    table(
        ["run", "state", "workload", "by"],
        [
            [
                run.dagster_run_id,
                "running" if run.started else "waiting",
                run.workload or "-",
                run.actor or "-",
            ]
            for run in under_way
        ],
        empty="No run is under way.",
    )
