"""Refusals on record, and no flood of them.

The first refusal of an actor (or of a source, where nobody is known), an operation and a minute is
recorded at once; those that follow within the minute are counted, and recorded as one entry when
the minute is over. So an attacker writes at most two entries a minute for each of a limited number
of kinds, and what exceeds that number is counted under one. Each actor has that number, and
strangers have it together, so a flood hides nobody who is known. What the ledger does not take
waits for the next one. A kill loses at most the counts of the minute that it struck.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from datetime import datetime

from ro_platform.contracts.access import AccessRefused
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import RunOperateError
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger

FACE_ACTOR = "SYSTEM::web"
_MOST_KINDS = 100
_MOST_WORDS = 300
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal: who (None is nobody), from which address, what, and why."""

    actor: str | None
    source: str
    operation: str
    code: str
    why: str


@dataclass
class _Counted:
    refusal: Refusal
    further: int = 0


class Refusals:
    """Records refusals. One object serves all threads of a process."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._minute: datetime | None = None
        self._counted: dict[tuple[str | None, str, str], _Counted] = {}
        self._waiting: list[EntryDraft] = []

    def record(self, refusal: Refusal) -> None:
        """Record a refusal, or count it. Raises the ledger's errors."""
        minute = self._clock().replace(second=0, microsecond=0)
        with self._lock:
            if minute != self._minute:
                self._over()
            self._minute = minute
            self._count(refusal)
        self._write()

    def flush(self) -> None:
        """Record what is counted and not recorded yet."""
        with self._lock:
            self._over()
        self._write()

    def _write(self) -> None:
        """Append what waits; what the ledger did not take goes on waiting."""
        with self._lock:
            drafts, self._waiting = self._waiting, []
        try:
            self._ledger.append_many(drafts)
        except RunOperateError:
            with self._lock:
                self._waiting = [*drafts, *self._waiting]
            raise

    def _count(self, refusal: Refusal) -> None:
        kind = _kind(refusal)
        if kind not in self._counted and self._kinds_of(refusal.actor) >= _MOST_KINDS:
            source = refusal.source if refusal.actor else _OTHERS
            refusal = replace(refusal, source=source, operation=_OTHERS)
            kind = _kind(refusal)
        found = self._counted.get(kind)
        if found is not None:
            found.further += 1
            return
        self._counted[kind] = _Counted(refusal)
        self._waiting.append(self._draft(refusal, 1))

    def _kinds_of(self, actor: str | None) -> int:
        # Each actor has a number of their own, and strangers one together: a flood by the ones
        # hides nothing of the others.
        return sum(1 for known, _, _ in self._counted if known == actor)

    def _over(self) -> None:
        counted, self._counted = self._counted, {}
        self._waiting += [
            self._draft(item.refusal, item.further) for item in counted.values() if item.further
        ]

    def _draft(self, refusal: Refusal, count: int) -> EntryDraft:
        body = AccessRefused(
            operation=re.sub(r"[^A-Za-z0-9_.\-]", "_", refusal.operation)[:128] or "unnamed",
            actor=refusal.actor,
            source=refusal.source,
            code=refusal.code,
            reason=refusal.why[:_MOST_WORDS],
            count=count,
            observed_at_utc=utc_text(self._clock()),
        )
        subject = f"access/{refusal.actor or refusal.source}"
        return EntryDraft(EntryKind.ACCESS_REFUSED, subject, refusal.actor or FACE_ACTOR, body)


def _kind(refusal: Refusal) -> tuple[str | None, str, str]:
    # Of an actor it does not matter from where; of nobody, only from where.
    return refusal.actor, "" if refusal.actor else refusal.source, refusal.operation
