"""Refusals on record, and no flood of them.

The first refusal of an actor (or of a source, where nobody is known), an operation and a minute is
recorded at once; those that follow within the minute are counted, and recorded as one entry when
the minute is over. So an attacker writes at most two entries a minute for each of a limited number
of kinds, and what exceeds that number is counted under one. A kill loses at most the counts of the
minute that it struck.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from datetime import datetime

from ro_platform.contracts.access import AccessRefused
from ro_platform.contracts.ledger import EntryKind
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

    def record(self, refusal: Refusal) -> None:
        """Record a refusal, or count it. Raises the ledger's errors."""
        minute = self._clock().replace(second=0, microsecond=0)
        with self._lock:
            drafts = [] if minute == self._minute else self._over()
            self._minute = minute
            drafts += self._count(refusal)
        self._ledger.append_many(drafts)

    def flush(self) -> None:
        """Record what is counted and not recorded yet."""
        with self._lock:
            drafts = self._over()
        self._ledger.append_many(drafts)

    def _count(self, refusal: Refusal) -> list[EntryDraft]:
        kind = _kind(refusal)
        if kind not in self._counted and len(self._counted) >= _MOST_KINDS:
            refusal = replace(refusal, actor=None, source=_OTHERS, operation=_OTHERS)
            kind = _kind(refusal)
        found = self._counted.get(kind)
        if found is not None:
            found.further += 1
            return []
        self._counted[kind] = _Counted(refusal)
        return [self._draft(refusal, 1)]

    def _over(self) -> list[EntryDraft]:
        counted, self._counted = self._counted, {}
        return [
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
