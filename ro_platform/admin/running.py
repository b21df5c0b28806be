"""Runs under way: ending one, and seeing a drain come to its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from ro_platform import errors
from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent
from ro_platform.admin.orchestrator import Orchestrator, RunUnderWay
from ro_platform.admin.pauses import Pauses
from ro_platform.contracts import AdminActionType, AdminRequest, Contract, JsonObject, Pause
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

DagsterRunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]{1,128}$")]


class CancelParameters(Contract):
    """Which run of the orchestrator."""

    dagster_run_id: DagsterRunId


class CancelRunAction(AdminAction[CancelParameters]):
    """A run under way is ended."""

    action_type = AdminActionType.CANCEL_RUN
    parameters = CancelParameters

    def __init__(self, ledger: Ledger, orchestrator: Orchestrator) -> None:
        self._ledger = ledger
        self._orchestrator = orchestrator

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The run."""
        return (names.dagster_run_target(self.asked(request).dagster_run_id),)

    def workload(self, request: AdminRequest) -> str | None:
        """That of the run."""
        found = self._find(request)
        return found.workload if found else None

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:  # noqa: ARG002
        """The run as it is. Raises :class:`NotFoundError` for one that is not under way."""
        found = self._find(request)
        if found is None:
            raise errors.NotFoundError(
                f"no run {self.asked(request).dagster_run_id!r} is under way.",
                next_step="`ro admin status --runs` lists those that are.",
            )
        return {"started": found.started, "workload": found.workload, "assets": [*found.assets]}

    def would(self, request: AdminRequest) -> JsonObject:
        """Cancelled."""
        self.asked(request)
        return {"canceled": True}

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Have it ended, then record that."""
        event, run = intent.event, self.asked(request).dagster_run_id
        if not intent.is_closed(self._ledger):
            self._orchestrator.cancel(run, f"{event.actor}: {event.reason}")

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            return [] if intent.is_closed(log) else [intent.outcome({"canceled": True})]

        self._ledger.append_with(build)

    def _find(self, request: AdminRequest) -> RunUnderWay | None:
        name = self.asked(request).dagster_run_id
        return next((r for r in self._orchestrator.running() if r.dagster_run_id == name), None)


@dataclass(frozen=True, slots=True)
class Draining:
    """How far a drain is: the runs that have started there and not ended, and whether the time
    that was given is over."""

    pause: Pause
    running: tuple[RunUnderWay, ...]
    overdue: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs there any more."""
        return not self.running


def drains(pauses: Pauses, orchestrator: Orchestrator, clock: Clock) -> list[Draining]:
    """Every drain that stands, and what it waits for."""
    standing = [pause for pause in pauses.standing() if pause.draining]
    running = [run for run in orchestrator.running() if run.started] if standing else []
    now = utc_text(clock())
    return [
        Draining(
            pause, tuple(within(pause.target, running)), bool(pause.until and pause.until < now)
        )
        for pause in standing
    ]


def within(target: str, runs: Iterable[RunUnderWay]) -> Iterable[RunUnderWay]:
    """The runs that a pause target covers."""
    for run in runs:
        targets = {names.PLANE, *map(names.asset_name, run.assets)}
        if run.workload is not None:
            targets.add(names.workload_target(run.workload))
        if target in targets:
            yield run
