"""Refusals on record, and no flood of them.

The first refusal of an actor for an operation in a minute is recorded at once; those that follow
within the minute are counted, and recorded as one entry when the minute is over. Of somebody whom
nobody knows only the address counts, and whether they tried to sign in, for what they ask for is
as many things as they like. So there are at most two entries a minute for each of a limited number
of kinds, and what exceeds that number is counted under one. Each actor has that number, and
strangers have a smaller one together, so a flood hides nobody who is known. What the ledger does
not take waits for the next one. A kill loses at most the counts of the minute that it struck.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from ro_platform import errors
from ro_platform.access.refusals import access_refusal_draft
from ro_platform.kernel.clock import Clock
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger

FACE_ACTOR = "SYSTEM::web"
SIGN_IN = "sign-in"
FORGED_HEADER = "forged.header"
_APART = frozenset({SIGN_IN, FORGED_HEADER})
_MOST_KINDS = 100
_MOST_KINDS_OF_STRANGERS = 20
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """One refusal: who (None is nobody), from which address, what, and why."""

    actor: str | None
    source: str
    operation: str
    code: str
    why: str


@dataclass
class _Counted:
    refusal: RefusedRequest
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

    def record(self, refusal: RefusedRequest) -> None:
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
        except errors.RunOperateError:
            with self._lock:
                self._waiting = [*drafts, *self._waiting]
            raise

    def _count(self, refusal: RefusedRequest) -> None:
        kind = _kind(refusal)
        most = _MOST_KINDS if refusal.actor else _MOST_KINDS_OF_STRANGERS
        if kind not in self._counted and self._kinds_of(refusal.actor) >= most:
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

    def _draft(self, refusal: RefusedRequest, count: int) -> EntryDraft:
        return access_refusal_draft(
            operation=refusal.operation,
            actor=refusal.actor,
            source=refusal.source,
            code=refusal.code,
            why=_plain(refusal.why),
            moment=self._clock(),
            by=FACE_ACTOR,
            count=count,
        )


def _plain(words: str) -> str:
    """Without what a client could put into it to spoil a terminal, or the record itself."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)


def _kind(refusal: RefusedRequest) -> tuple[str | None, str, str]:
    # Of an actor it does not matter from where; of nobody, hardly for what.
    if refusal.actor:
        return refusal.actor, "", refusal.operation
    return None, refusal.source, refusal.operation if refusal.operation in _APART else ""
