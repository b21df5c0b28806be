"""Time is data: one clock, injected. This module alone may ask the system for the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the current moment as an aware UTC datetime."""


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


def wall_nanoseconds() -> int:
    """The machine's clock since 1970, to be compared with the times of files; never recorded."""
    return time.time_ns()


class ManualClock:
    """A clock that moves only when told to, for tests and replays."""

    def __init__(self, start: datetime = datetime(2000, 1, 1, tzinfo=UTC)) -> None:
        self.moment = start

    def __call__(self) -> datetime:
        """The moment it stands at."""
        return self.moment

    def advance(self, seconds: float) -> None:
        """Move forward by that many seconds."""
        self.moment += timedelta(seconds=seconds)


def utc_text(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS.ffffffZ``, always six digits of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(text: str) -> datetime:
    """The moment that :func:`utc_text` wrote, aware."""
    return datetime.fromisoformat(text)
