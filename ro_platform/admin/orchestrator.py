"""What the actions need of an orchestrator: a port, so that this room knows none.

Every call may be repeated. A vendor's exception does not escape: :class:`BackendUnavailableError`
where nothing was done, :class:`OutcomeUnknownError` where that is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RunUnderWay:
    """A run of the orchestrator that has begun and not ended, or waits to begin.

    ``assets`` are the keys (parts joined by a slash) that it makes; ``workload`` is None where it
    is no governed one; ``started`` is False while it waits in the queue.
    """

    dagster_run_id: str
    workload: str | None
    assets: tuple[str, ...]
    actor: str | None
    started: bool


@dataclass(frozen=True, slots=True)
class ReplayLaunch:
    """What a replay launches: one run for each manifest, as one backfill.

    ``replay_id`` (32 hex) names it: launching the same one again launches nothing. ``actor`` asked
    for it; ``tags`` go onto every run, beside the orchestrator's own that make a run a replay.
    """

    replay_id: str
    workload: str
    fingerprints: tuple[str, ...]
    actor: str
    tags: tuple[tuple[str, str], ...]


class Orchestrator(Protocol):
    """Whoever executes runs. Dagster's is ``ro_platform.orchestration.operations.orchestrator``."""

    def running(self) -> Sequence[RunUnderWay]:
        """Every run that has not ended, those that wait in the queue included."""

    def cancel(self, dagster_run_id: str, words: str) -> None:
        """Have a run end, and say why. One that has ended stays as it ended.

        Raises :class:`NotFoundError` for one that never was.
        """

    def launched(self, replay_id: str) -> str | None:
        """The id of the backfill that a replay is; None while it was not launched."""

    def launch_replay(self, launch: ReplayLaunch) -> str:
        """Launch, once for each ``replay_id``; answers the backfill's id."""
