"""The port behind the ledger: dumb, append-only rows. The log above it owns every rule of meaning.

A backend keeps three tables. *Entries*: one row a leaf, at its ``seq``, with the canonical bytes
(the one source of truth), the leaf hash, and columns copied from the bytes so that they can be
found. *Mentions*: one row for each name that an entry mentions, copied likewise. *Nodes*: hashes of
complete subtrees at the levels the log chooses to keep.

What every backend promises:

- Rows are only ever inserted. There is no update and no delete, and what is beneath refuses them.
- Write transactions are serialised over all threads and processes: whoever is inside one sees every
  committed row and nobody else's new ones, so the next ``seq`` can be computed without a race.
- Leaving a transaction normally means *durable*: a crash after it loses nothing. Leaving it by an
  exception, or a crash inside it, leaves nothing of it behind.
- Reads outside a transaction see committed rows only. They create nothing, and answer an empty
  ledger where none has been created yet.
- No vendor exception escapes. ``BackendUnavailableError``: nothing was done, try again later;
  ``StoreNotWritableError``: permissions or a full disk; ``OutcomeUnknownError``: the commit may
  have happened; ``SettingsError``: the place named holds something that is not a ledger;
  ``LedgerCorruptError``: it is one, and it is damaged.

Connections and forks: all are closed before a fork and opened again after it, on both sides.

A child that inherited one would share it with its parent: SQLite's file locks would corrupt or
deadlock, and two processes would talk at once on one socket to a server. And as long as the child
lived, a server would not see that the parent had died in the middle of a transaction.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ro_platform.kernel.merkle import Node

MAX_SEQ = 2**63 - 1


class Row(NamedTuple):
    """One entry as stored: its canonical bytes, its leaf hash (32 bytes), its index columns."""

    seq: int
    entry: bytes
    leaf: bytes
    kind: str
    subject: str
    key: str | None
    run_id: str | None
    dagster_run_id: str | None


RawRow = tuple[int, bytes, bytes, str, str, str | None, str | None, str | None]
"""The same, unnamed: a third of a microsecond less for each when there are millions."""


class Mention(NamedTuple):
    """That the entry at ``seq`` mentions a name."""

    seq: int
    name: str


class Between(NamedTuple):
    """Every subject from the first to the last, both included, compared byte by byte in UTF-8."""

    first: str
    last: str


Question = tuple[str, str | Between]
"""A kind, and one subject or the subjects between two."""


class Tip(NamedTuple):
    """The end of the log: how many entries it has, and the last one's leaf hash."""

    size: int
    leaf: bytes | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: ``start <= seq < end``, every column that is given equal to it, and if a name is
    given, only rows that mention it."""

    start: int = 0
    end: int = MAX_SEQ
    kind: str | None = None
    subject: str | None = None
    run_id: str | None = None
    dagster_run_id: str | None = None
    mention: str | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Census:
    """What is stored at one moment, counted rather than assumed.

    ``rows`` counts entries and ``mentions`` mentions wherever they are; ``nodes`` counts stored
    subtrees by level; ``faults`` says in words what the backend itself finds wrong (a missing
    trigger, a broken index).
    """

    size: int
    rows: int
    nodes: dict[int, int] = field(default_factory=dict)
    mentions: int = 0
    faults: tuple[str, ...] = ()


class LedgerRows(ABC):
    """Reading, inside a transaction or outside one."""

    @abstractmethod
    def tip(self) -> Tip:
        """The size (highest ``seq`` plus one) and the last leaf hash."""

    @abstractmethod
    def by_seq(self, seq: int) -> Row | None:
        """The row at that place."""

    @abstractmethod
    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        """The rows that carry these idempotency keys, by key."""

    @abstractmethod
    def latest(self, kind: str, subject: str) -> Row | None:
        """The row with the highest ``seq`` of that kind and subject."""

    @abstractmethod
    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        """:meth:`latest` of each (kind, subject), in their order; one round trip where it can be.

        Of subjects between two it is the row of the greatest one that has that kind, and of its
        rows the latest. The answers are of one moment only inside a transaction.
        """

    def recorded(
        self, keys: Collection[str], questions: Sequence[Question]
    ) -> tuple[dict[str, Row], list[Row | None]]:
        """:meth:`by_keys` and :meth:`latest_of`: what an append asks, together."""
        return self.by_keys(keys), self.latest_of(questions)

    @abstractmethod
    def page(self, selection: Selection, limit: int) -> list[Row]:
        """The first ``limit`` rows of a selection, by ``seq`` (descending if ``newest_first``)."""

    def rows_between(self, start: int, end: int) -> Sequence[RawRow]:
        """All rows ``start <= seq < end`` in order, as plain tuples: for reading in bulk."""
        return self.page(Selection(start=start, end=end), end - start)

    @abstractmethod
    def mentions(self, start: int, end: int) -> list[Mention]:
        """All mentions by entries ``start <= seq < end``, ordered by ``seq`` and name."""

    @abstractmethod
    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Stored subtree hashes at offsets ``start <= offset < end``, in order; level 0 is leaves.

        Missing ones are left out, so a caller compares the count.
        """

    @abstractmethod
    def census(self) -> Census:
        """Count what is stored, in one snapshot, and check what the backend can check itself."""


class LedgerTransaction(LedgerRows):
    """The one writer of the moment. Reads see its own inserts."""

    def tip_at_begin(self) -> Tip:
        """Where the log ended when this writer's turn began, if it has inserted nothing yet."""
        return self.tip()

    @abstractmethod
    def insert(
        self, rows: Sequence[Row], nodes: Sequence[Node], mentions: Sequence[Mention]
    ) -> None:
        """Add entries, subtrees and mentions. Raises ``LedgerCorruptError`` where one is already
        stored."""


class LedgerBackend(LedgerRows):
    """A place for one ledger. Safe to use from many threads, and after a fork."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Become the writer: waits for the one before, creates the ledger if there is none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. The next call opens them again."""

    def reopener(self) -> Callable[[], LedgerBackend] | None:
        """What opens the same ledger in another process and can be sent there; None if it lives
        in this process only."""
        return None


class ForkSensitive(Protocol):
    """A connection that is guarded by its lock."""

    lock: threading.RLock
    writable: bool

    def close(self) -> None:
        """Close it. Called with the lock held."""


_OPEN_HERE: weakref.WeakSet[ForkSensitive] = weakref.WeakSet()
_HELD_FOR_FORK: list[ForkSensitive] = []


def close_before_forks(connection: ForkSensitive) -> None:
    """From now on, close that connection before this process forks."""
    _OPEN_HERE.add(connection)


def _before_fork() -> None:
    # Waits for transactions of other threads, which may read while they write: so writers' locks
    # come first here too.
    for connection in sorted(_OPEN_HERE, key=lambda one: not one.writable):
        connection.lock.acquire()
        _HELD_FOR_FORK.append(connection)
        connection.close()


def _after_fork() -> None:
    while _HELD_FOR_FORK:
        _HELD_FOR_FORK.pop().lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
