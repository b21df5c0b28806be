"""A ledger in this process's memory, for tests and for trying things out. Gone when it ends."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from ro_platform import errors
from ro_platform.kernel.merkle import Node
from ro_platform.ledger.backends.base import (
    Between,
    Census,
    LedgerBackend,
    LedgerTransaction,
    Mention,
    Question,
    Row,
    Selection,
    Tip,
)

_COLUMNS = ("run_id", "dagster_run_id", "subject", "kind")
_MENTION = "mention"


class _MemoryTables(LedgerTransaction):
    """The tables and their indexes. Guarded by the backend's lock."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.nodes: dict[int, list[bytes]] = {}
        self.seq_by_key: dict[str, int] = {}
        self.seqs_by_value: dict[tuple[str, str], list[int]] = {}
        self.names: dict[int, tuple[str, ...]] = {}
        self.subjects: list[str] = []

    def tip(self) -> Tip:
        return Tip(len(self.rows), self.rows[-1].leaf if self.rows else None)

    def by_seq(self, seq: int) -> Row | None:
        return self.rows[seq] if 0 <= seq < len(self.rows) else None

    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        return {key: self.rows[self.seq_by_key[key]] for key in keys if key in self.seq_by_key}

    def latest(self, kind: str, subject: str) -> Row | None:
        found = self.page(Selection(kind=kind, subject=subject, newest_first=True), 1)
        return found[0] if found else None

    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        return [
            self._latest_between(kind, subject)
            if isinstance(subject, Between)
            else self.latest(kind, subject)
            for kind, subject in questions
        ]

    def _latest_between(self, kind: str, asked: Between) -> Row | None:
        first = bisect_left(self.subjects, asked.first)
        last = bisect_right(self.subjects, asked.last)
        found = (self.latest(kind, subject) for subject in reversed(self.subjects[first:last]))
        return next(filter(None, found), None)

    def page(self, selection: Selection, limit: int) -> list[Row]:
        wanted = {
            name: value for name in _COLUMNS if (value := getattr(selection, name)) is not None
        }
        indexed = list(wanted.items())
        if selection.mention is not None:
            indexed.append((_MENTION, selection.mention))
        candidates: Sequence[int] = range(len(self.rows))
        if indexed:
            candidates = min((self.seqs_by_value.get(item, []) for item in indexed), key=len)
        first, last = (
            bisect_left(candidates, selection.start),
            bisect_left(candidates, selection.end),
        )
        order = range(last - 1, first - 1, -1) if selection.newest_first else range(first, last)
        found: list[Row] = []
        for place in order:
            row = self.rows[candidates[place]]
            if all(getattr(row, name) == value for name, value in wanted.items()) and (
                selection.mention is None or selection.mention in self.names.get(row.seq, ())
            ):
                found.append(row)
            if len(found) >= limit:
                break
        return found

    def mentions(self, start: int, end: int) -> list[Mention]:
        seqs = range(start, min(end, len(self.rows)))
        return [Mention(seq, name) for seq in seqs for name in sorted(self.names.get(seq, ()))]

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        if level == 0:
            return [row.leaf for row in self.rows[start:end]]
        return self.nodes.get(level, [])[start:end]

    def census(self) -> Census:
        size, mentions = len(self.rows), sum(map(len, self.names.values()))
        nodes = {level: len(hashes) for level, hashes in self.nodes.items()}
        return Census(size, size, nodes, mentions)

    def insert(
        self, rows: Sequence[Row], nodes: Sequence[Node], mentions: Sequence[Mention]
    ) -> None:
        for row in rows:
            if row.seq != len(self.rows) or row.key in self.seq_by_key:
                raise errors.LedgerCorruptError(f"Entry {row.seq} or its key is already stored.")
            self.rows.append(row)
            if ("subject", row.subject) not in self.seqs_by_value:
                insort(self.subjects, row.subject)  # by code points, which is the order of UTF-8
            if row.key is not None:
                self.seq_by_key[row.key] = row.seq
            for name in _COLUMNS:
                if (value := getattr(row, name)) is not None:
                    self.seqs_by_value.setdefault((name, value), []).append(row.seq)
        for seq, name in mentions:
            if name in self.names.get(seq, ()):
                raise errors.LedgerCorruptError(f"Entry {seq} is already found by {name!r}.")
            self.names[seq] = (*self.names.get(seq, ()), name)
            self.seqs_by_value.setdefault((_MENTION, name), []).append(seq)
        for node in nodes:
            self.nodes.setdefault(node.level, []).append(node.hash)

    def cut(self, size: int, nodes: dict[int, int]) -> None:
        """Back to an earlier state: what leaving a transaction by an exception means."""
        for row in reversed(self.rows[size:]):
            if row.key is not None:
                del self.seq_by_key[row.key]
            for name in _COLUMNS:
                if (value := getattr(row, name)) is not None:
                    self.seqs_by_value[name, value].pop()
            for name in self.names.pop(row.seq, ()):
                self.seqs_by_value[_MENTION, name].pop()
        del self.rows[size:]
        for level, hashes in self.nodes.items():
            del hashes[nodes.get(level, 0) :]


class MemoryLedgerBackend(LedgerBackend):
    """One ledger in memory, shared by the threads of this process."""

    def __init__(self) -> None:
        self._tables = _MemoryTables()
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """The tables themselves, under the lock; an exception takes back what it inserted."""
        with self._lock:
            before = self._tables.census()
            try:
                yield self._tables
            except BaseException:
                self._tables.cut(before.size, before.nodes)
                raise

    def close(self) -> None:
        """Nothing is held open."""

    def tip(self) -> Tip:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.tip()

    def by_seq(self, seq: int) -> Row | None:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.by_seq(seq)

    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.by_keys(keys)

    def latest(self, kind: str, subject: str) -> Row | None:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.latest(kind, subject)

    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.latest_of(questions)

    def page(self, selection: Selection, limit: int) -> list[Row]:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.page(selection, limit)

    def mentions(self, start: int, end: int) -> list[Mention]:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.mentions(start, end)

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.hashes(level, start, end)

    def census(self) -> Census:
        """See :class:`LedgerRows`."""
        with self._lock:
            return self._tables.census()
