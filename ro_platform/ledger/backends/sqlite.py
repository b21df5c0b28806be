"""The ledger in one SQLite file: embedded, durable, shared by any number of processes.

Write-ahead log with ``synchronous = FULL``: a transaction that returned survives a power cut.
``BEGIN IMMEDIATE`` with a busy timeout serialises writers. Triggers refuse UPDATE, DELETE and
REPLACE to every client of the file, and ``census`` compares them with the schema. The file is
created by the first write, never by a read. It belongs on a local file system: SQLite's locks do
not hold over NFS.
"""

from __future__ import annotations

import json
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from ro_platform import errors
from ro_platform.kernel.merkle import Node
from ro_platform.ledger.backends.base import (
    Between,
    Census,
    LedgerBackend,
    LedgerRows,
    LedgerTransaction,
    Mention,
    Question,
    RawRow,
    Row,
    Selection,
    Tip,
)
from ro_platform.ledger.backends.sqlite_errors import translated
from ro_platform.ledger.backends.sqlite_file import (
    Connection,
    create,
    require_version,
    schema_faults,
)

_COLUMNS = "seq, entry, leaf, kind, subject, key, run_id, dagster_run_id"
_ENTRY_INTO = f"INSERT INTO entry ({_COLUMNS})"
_MENTION_INTO = "INSERT INTO mention (seq, name)"
_NODE_INTO = "INSERT INTO node (level, position, hash)"
_ROWS_A_STATEMENT = 100
_MOST_SELECTIVE_FIRST = ("subject", "run_id", "dagster_run_id", "kind")


class _SqliteRows(LedgerRows):
    """The reading half, over whichever connection answers."""

    @abstractmethod
    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All result rows."""

    def tip(self) -> Tip:
        """See :class:`LedgerRows`."""
        found = self._query("SELECT seq + 1, leaf FROM entry ORDER BY seq DESC LIMIT 1")
        return Tip(*found[0]) if found else Tip(0, None)

    def by_seq(self, seq: int) -> Row | None:
        """See :class:`LedgerRows`."""
        return self._one("WHERE seq = ?", [seq])

    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        """See :class:`LedgerRows`."""
        if not keys:
            return {}
        if len(keys) == 1:
            rows = self._rows("WHERE key = ?", list(keys))
        else:
            sql = "WHERE key IN (SELECT value FROM json_each(?))"
            rows = self._rows(sql, [json.dumps(list(keys), ensure_ascii=False)])
        return {row.key: row for row in rows if row.key is not None}

    def latest(self, kind: str, subject: str) -> Row | None:
        """See :class:`LedgerRows`."""
        return self._one(
            "WHERE subject = ? AND kind = ? ORDER BY seq DESC LIMIT 1", [subject, kind]
        )

    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        """See :class:`LedgerRows`."""
        found: dict[int, Row] = {}
        for start in range(0, len(questions), _ROWS_A_STATEMENT):
            some = questions[start : start + _ROWS_A_STATEMENT]
            between = tuple(isinstance(subject, Between) for _, subject in some)
            values: list[str] = []
            for kind, subject in some:
                values += (kind, *subject) if isinstance(subject, Between) else (kind, subject)
            answers = self._query(_latest_of_sql(between), values)
            found |= {start + number: Row(*row) for number, *row in answers}
        return [found.get(number) for number in range(len(questions))]

    def page(self, selection: Selection, limit: int) -> list[Row]:
        """See :class:`LedgerRows`."""
        if selection.mention is not None:
            return self._page_of_mentions(selection, limit)
        conditions, values = ["seq >= ?", "seq < ?"], [selection.start, selection.end]
        wanted: list[Any] = []
        for column in _MOST_SELECTIVE_FIRST:
            if (value := getattr(selection, column)) is not None:
                # SQLite has no statistics here; a plus keeps it from walking the weaker index.
                usable = not wanted or (column == "kind" and selection.subject is not None)
                conditions.append(f"{'' if usable else '+'}{column} = ?")
                wanted.append(value)
        order = "DESC" if selection.newest_first else "ASC"
        sql = f"WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?"
        return self._rows(sql, [*values, *wanted, limit])

    def _page_of_mentions(self, selection: Selection, limit: int) -> list[Row]:
        # The mention's own index is in order of seq, so a page costs what it returns, and nothing
        # is sorted; CROSS JOIN keeps SQLite from beginning at the entries.
        conditions = ["name = ?", "mention.seq >= ?", "mention.seq < ?"]
        values: list[Any] = [selection.mention, selection.start, selection.end]
        for column in _MOST_SELECTIVE_FIRST:
            if (value := getattr(selection, column)) is not None:
                conditions.append(f"+{column} = ?")
                values.append(value)
        order = "DESC" if selection.newest_first else "ASC"
        sql = f"WHERE {' AND '.join(conditions)} ORDER BY mention.seq {order} LIMIT ?"
        return self._rows(sql, [*values, limit], table="mention CROSS JOIN entry USING (seq)")

    def rows_between(self, start: int, end: int) -> Sequence[RawRow]:
        """See :class:`LedgerRows`."""
        sql = f"SELECT {_COLUMNS} FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"  # noqa: S608
        return self._query(sql, [start, end])

    def mentions(self, start: int, end: int) -> list[Mention]:
        """See :class:`LedgerRows`."""
        sql = "SELECT seq, name FROM mention WHERE seq >= ? AND seq < ? ORDER BY seq, name"
        return [Mention(*found) for found in self._query(sql, [start, end])]

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """See :class:`LedgerRows`."""
        if level == 0:
            sql = "SELECT leaf FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
            found = self._query(sql, [start, end])
        else:
            sql = (
                "SELECT hash FROM node WHERE level = ? AND position >= ? AND position < ? "
                "ORDER BY position"
            )
            found = self._query(sql, [level, start, end])
        return [value for (value,) in found]

    def _rows(self, clause: str, values: Sequence[Any], table: str = "entry") -> list[Row]:
        sql = f"SELECT {_COLUMNS} FROM {table} {clause}"  # noqa: S608  (no value is part of it)
        return [Row(*row) for row in self._query(sql, values)]

    def _one(self, clause: str, values: Sequence[Any]) -> Row | None:
        rows = self._rows(clause, values)
        return rows[0] if rows else None


class _SqliteTransaction(_SqliteRows, LedgerTransaction):
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def insert(
        self, rows: Sequence[Row], nodes: Sequence[Node], mentions: Sequence[Mention]
    ) -> None:
        with translated(self._path, writing=True):
            _insert(self._connection, _ENTRY_INTO, rows)
            _insert(self._connection, _NODE_INTO, nodes)
            _insert(self._connection, _MENTION_INTO, mentions)

    def census(self) -> Census:
        with translated(self._path):
            return _census(self._connection)

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()


class SqliteLedgerBackend(_SqliteRows, LedgerBackend):
    """A ledger in the file at ``path``, which the first write creates, with its folders.

    A writer waits up to ``busy_timeout_seconds`` for the others before it gives up with
    ``BackendUnavailableError``.
    """

    def __init__(self, path: Path, *, busy_timeout_seconds: float = 60.0) -> None:
        self.path = path
        timeout = busy_timeout_seconds
        self._reader = Connection(path, writable=False, busy_timeout_seconds=timeout)
        self._writer = Connection(path, writable=True, busy_timeout_seconds=timeout)

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """``BEGIN IMMEDIATE`` to ``COMMIT``, or ``ROLLBACK`` on any exception."""
        with self._writer.lock:
            connection = self._writer.get()
            if connection is None:
                create(self.path)
                connection = self._writer.get()
            if connection is None:
                raise errors.StoreNotWritableError(
                    f"The ledger {self.path} vanished as it was created."
                )
            nested = connection.in_transaction
            try:
                with translated(self.path, writing=True):
                    connection.execute("BEGIN IMMEDIATE")
                # A newer release may have migrated it since this connection was opened.
                require_version(connection, self.path)
                yield _SqliteTransaction(connection, self.path)
                with translated(self.path, writing=True, committing=True):
                    connection.execute("COMMIT")
            except BaseException:
                # Also after an interrupt that came with the answer to BEGIN: the lock is held then.
                if not nested:
                    self._roll_back(connection)
                raise

    def census(self) -> Census:
        """See :class:`LedgerRows`."""
        with self._reader.lock:
            connection = self._reader.get()
            if connection is None:
                return Census(0, 0)
            with self._reader.asking():
                connection.execute("BEGIN")
                try:
                    return _census(connection)
                finally:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def close(self) -> None:
        """See :class:`LedgerBackend`."""
        for connection in (self._reader, self._writer):
            with connection.lock:
                connection.close()

    def reopener(self) -> Callable[[], LedgerBackend]:
        """See :class:`LedgerBackend`."""
        return partial(SqliteLedgerBackend, self.path)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Some failures end the transaction themselves, others leave a connection that cannot
            # be trusted: either way the next call begins with a new one.
            self._writer.close()

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._reader.lock:
            connection = self._reader.get()
            if connection is None:
                return []
            with self._reader.asking():
                return connection.execute(sql, values).fetchall()


def _insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    # Where a trigger guards inserts, SQLite keeps an undo journal for each statement: many rows a
    # statement cost a third of what one row a statement does.
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        sql = _insert_sql(into, len(some[0]), len(some))
        connection.execute(sql, list(chain.from_iterable(some)))


@cache
def _insert_sql(into: str, columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([one] * rows)}"


_LATEST = (
    f"SELECT {_COLUMNS} FROM entry WHERE kind = ? AND subject = ? "  # noqa: S608
    "ORDER BY seq DESC LIMIT 1"
)
# The plus keeps the index of kinds out of it: what is wanted is a step back in that of subjects.
_LATEST_BETWEEN = (
    f"SELECT {_COLUMNS} FROM entry WHERE +kind = ? AND subject BETWEEN ? AND ? "  # noqa: S608
    "ORDER BY subject DESC, kind DESC, seq DESC LIMIT 1"
)


@lru_cache(maxsize=256)
def _latest_of_sql(between: tuple[bool, ...]) -> str:
    """What asks all of it at once; each question is about a subject, or those between two."""
    asked = [_LATEST_BETWEEN if many else _LATEST for many in between]
    return " UNION ALL ".join(
        f"SELECT {number}, * FROM ({one})"  # noqa: S608
        for number, one in enumerate(asked)
    )


def _census(connection: sqlite3.Connection) -> Census:
    faults = schema_faults(connection)
    if faults:
        return Census(0, 0, faults=tuple(faults))
    size, rows = connection.execute(
        "SELECT coalesce(max(seq) + 1, 0), count(*) FROM entry"
    ).fetchone()
    nodes = connection.execute("SELECT level, count(*) FROM node GROUP BY level").fetchall()
    (mentions,) = connection.execute("SELECT count(*) FROM mention").fetchone()
    return Census(size, rows, dict(nodes), mentions)
