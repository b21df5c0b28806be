"""What can happen at a write boundary."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """What happens at the boundary."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    POWER_LOST = "power lost after"
    """Killed, and what was not made durable is gone, as after a loss of power."""
    KILLED_TORN = "killed half-way"
    """Half of the bytes are written; or the database was asked, and nobody waits for the answer."""
    FULL = "disk full"
    FULL_TORN = "disk full half-way"
    ANSWER_LOST = "done, but fails"
    """It is done, and the answer is an input/output error, or the lost connection."""

    @property
    def kills(self) -> bool:
        """Whether the process dies of it; else the call fails."""
        return self in _KILLING


_KILLING = {Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.POWER_LOST, Fault.KILLED_TORN}
TEARING = {Fault.KILLED_TORN, Fault.FULL_TORN}
