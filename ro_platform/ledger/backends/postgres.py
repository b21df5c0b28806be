"""The ledger in a PostgreSQL database, in the schema ``ro_ledger``, shared by any number of hosts.

Writers take turns with ``ro_ledger.take_turn()``, that is, with ``LOCK TABLE
ro_ledger.ledger_schema IN EXCLUSIVE MODE``: until the commit, so commits are in the order of
``seq``; on a table that never changes, so neither readers nor autovacuum wait; and by a name that
nobody else uses, which an advisory lock's number is not. The function belongs to the schema's
owner, so a role that may only insert and select can call it (:mod:`.postgres_tables`).
``synchronous_commit = on`` whatever the server's default: a transaction that returned survives a
crash of the server, if it runs with ``fsync``. Triggers refuse UPDATE, DELETE, TRUNCATE and gaps to
every client, and ``census`` compares them with the schema. The first write creates the schema. Use
a direct connection, or a pooler in session mode.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

from psycopg2 import errors

from ro_platform.errors import BackendUnavailableError, InvalidInputError
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
from ro_platform.ledger.backends.postgres_address import PostgresAddress, postgres_address
from ro_platform.ledger.backends.postgres_connection import Connection, PostgresSession
from ro_platform.ledger.backends.postgres_errors import translated
from ro_platform.ledger.backends.postgres_tables import (
    BEGIN,
    CENSUS,
    COLUMNS,
    FROM,
    LATEST_OF,
    LATEST_OF_ANY,
    PREPARED_TO_READ,
    PREPARED_TO_WRITE,
    RECORDED,
    RECORDED_ONE,
    create,
    holds_ledger,
    page_of,
    require_version,
    schema_faults,
)

_ROWS_A_STATEMENT = 1000
_SHORT_STATEMENT_BYTES = 1 << 16
# Without the function it is an older ledger, or a foreign schema.
_NO_LEDGER = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction)


class _PostgresRows(LedgerRows):
    """The reading half, over whichever session answers."""

    _prepared = False

    @abstractmethod
    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All result rows."""

    def tip(self) -> Tip:
        """See :class:`LedgerRows`."""
        sql = "SELECT seq + 1, leaf FROM ro_ledger.entry ORDER BY seq DESC LIMIT 1"
        found = self._query(sql)
        return Tip(found[0][0], bytes(found[0][1])) if found else Tip(0, None)

    def by_seq(self, seq: int) -> Row | None:
        """See :class:`LedgerRows`."""
        return self._one(f"{FROM} WHERE seq = %s", [seq])

    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        """See :class:`LedgerRows`."""
        if not keys:
            return {}
        rows = self._rows(f"{FROM} WHERE key = ANY(%s::text[])", [list(keys)])
        return {row.key: row for row in rows if row.key is not None}

    def latest(self, kind: str, subject: str) -> Row | None:
        """See :class:`LedgerRows`."""
        sql = f"{FROM} WHERE subject = %s AND kind = %s ORDER BY seq + 0 DESC LIMIT 1"
        return self._one(sql, [subject, kind])

    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        """See :class:`LedgerRows`. All answers are of one moment."""
        kinds, subjects, between = _asked(questions)
        if between:
            values = [kinds, subjects, *map(list, zip(*between, strict=True))]
            return _in_order(self._query(LATEST_OF_ANY, values), len(questions))
        answers = self._query(LATEST_OF, [kinds, subjects]) if questions else []
        return _in_order(answers, len(questions))

    def recorded(
        self, keys: Collection[str], questions: Sequence[Question]
    ) -> tuple[dict[str, Row], list[Row | None]]:
        """See :class:`LedgerRows`. One round trip, or none where nothing is asked."""
        kinds, subjects, between = _asked(questions)
        if not keys or not questions or between:
            return super().recorded(keys, questions)
        if len(keys) == len(questions) == 1 and self._prepared:
            answers = self._query(RECORDED_ONE, [*keys, *kinds, *subjects])
        else:
            answers = self._query(RECORDED, [list(keys), kinds, subjects])
        keyed = [_row(row) for number, *row in answers if number == 0]
        return (
            {row.key: row for row in keyed if row.key is not None},
            _in_order(answers, len(questions)),
        )

    def page(self, selection: Selection, limit: int) -> list[Row]:
        """See :class:`LedgerRows`."""
        return self._rows(*page_of(selection, limit))

    def rows_between(self, start: int, end: int) -> Sequence[RawRow]:
        """See :class:`LedgerRows`."""
        found = self._query(f"{FROM} WHERE seq >= %s AND seq < %s ORDER BY seq", [start, end])
        return [(seq, bytes(entry), bytes(leaf), *columns) for seq, entry, leaf, *columns in found]

    def mentions(self, start: int, end: int) -> list[Mention]:
        """See :class:`LedgerRows`."""
        sql = (
            "SELECT seq, name FROM ro_ledger.mention WHERE seq + 0 >= %s AND seq + 0 < %s "
            "ORDER BY seq + 0, name"
        )
        return [Mention(*found) for found in self._query(sql, [start, end])]

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """See :class:`LedgerRows`."""
        if level == 0:
            sql = "SELECT leaf FROM ro_ledger.entry WHERE seq >= %s AND seq < %s ORDER BY seq"
            found = self._query(sql, [start, end])
        else:
            sql = (
                "SELECT hash FROM ro_ledger.node WHERE level = %s AND position >= %s "
                "AND position < %s ORDER BY position"
            )
            found = self._query(sql, [level, start, end])
        return [bytes(value) for (value,) in found]

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Row]:
        return [_row(found) for found in self._query(sql, values)]

    def _one(self, sql: str, values: Sequence[Any]) -> Row | None:
        rows = self._rows(sql, values)
        return rows[0] if rows else None


class _PostgresTransaction(_PostgresRows, LedgerTransaction):
    _prepared = True

    def __init__(self, session: PostgresSession, address: PostgresAddress, tip: Tip) -> None:
        self._session = session
        self._address = address
        self._tip = tip

    def tip_at_begin(self) -> Tip:
        """See :class:`LedgerTransaction`: it came with the turn."""
        return self._tip

    def insert(
        self, rows: Sequence[Row], nodes: Sequence[Node], mentions: Sequence[Mention]
    ) -> None:
        with translated(self._address, writing=True):
            for statements in _batches(
                self._inserts(f"INSERT INTO ro_ledger.entry ({COLUMNS})", rows),
                self._inserts("INSERT INTO ro_ledger.node (level, position, hash)", nodes),
                self._inserts("INSERT INTO ro_ledger.mention (seq, name)", mentions),
            ):
                self._session.run(statements)

    def census(self) -> Census:
        with translated(self._address):
            return _census(self._session)

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated(self._address):
            return list(self._session.run(sql, values).fetchall())

    def _inserts(self, into: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
        for start in range(0, len(rows), _ROWS_A_STATEMENT):
            some = self._session.values_of(rows[start : start + _ROWS_A_STATEMENT])
            yield into.encode() + b" VALUES " + some


class PostgresLedgerBackend(_PostgresRows, LedgerBackend):
    """A ledger in the database at ``url``, where the first write creates it.

    A writer waits up to ``busy_timeout_seconds`` for the others before it gives up with
    ``BackendUnavailableError``, and no statement takes longer.
    """

    def __init__(self, url: str, *, busy_timeout_seconds: float = 60.0) -> None:
        self.address = postgres_address(url)
        self._url = url
        limit = busy_timeout_seconds
        self._reader = Connection(self.address, writable=False, limit_seconds=limit)
        self._writer = Connection(self.address, writable=True, limit_seconds=limit)

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """``BEGIN`` and ``LOCK TABLE`` to ``COMMIT``, or ``ROLLBACK`` on any exception."""
        with self._writer.lock:
            with translated(self.address, writing=True):
                session, tip = self._begun()
            try:
                yield _PostgresTransaction(session, self.address, tip)
                self._commit(session)
            except BaseException:
                session.roll_back()
                raise

    def census(self) -> Census:
        """See :class:`LedgerRows`."""
        with self._reader.lock, translated(self.address):
            # Asked before the snapshot is taken: one from before the ledger's creation would find
            # its tables, since the catalogue is read as it is now, and nothing in them.
            if not holds_ledger(self._reader.get(), self.address):
                return Census(0, 0)
            session, _ = self._reader.first(CENSUS)
            try:
                return _census(session) if holds_ledger(session, self.address) else Census(0, 0)
            finally:
                session.roll_back()

    def close(self) -> None:
        """See :class:`LedgerBackend`."""
        for connection in (self._reader, self._writer):
            with connection.lock:
                connection.close()

    def reopener(self) -> Callable[[], LedgerBackend]:
        """See :class:`LedgerBackend`."""
        return partial(PostgresLedgerBackend, self._url)

    def _begun(self) -> tuple[PostgresSession, Tip]:
        if self._writer.get().in_transaction:
            raise InvalidInputError(
                "A transaction of this ledger was begun inside another one by the same thread.",
                next_step="Return what is to be appended instead of appending it.",
            )
        try:
            try:
                session, cursor = self._writer.first(BEGIN, None, PREPARED_TO_WRITE)
            except _NO_LEDGER:
                session = self._writer.get()
                session.roll_back()
                session.knows_ledger = False
                create(session, self.address)
                session.prepare(PREPARED_TO_WRITE)
                cursor = session.run(BEGIN)
            ((version, size, leaf),) = cursor.fetchall()
            require_version([(version,)], self.address)
        except BaseException:
            self._writer.roll_back()
            raise
        return session, Tip(size, bytes(leaf)) if size else Tip(0, None)

    def _commit(self, session: PostgresSession) -> None:
        # What is already lost was never asked to commit, so its outcome is known.
        with translated(self.address, writing=True, committing=session.alive):
            outcome = session.run("COMMIT").statusmessage
        if outcome != "COMMIT":
            raise BackendUnavailableError(
                f"The ledger {self.address.shown} took the transaction back: a statement in it "
                "had failed.",
                next_step="Nothing was recorded. Try again.",
                ledger=self.address.shown,
            )

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._reader.lock, translated(self.address):
            if not holds_ledger(self._reader.get(), self.address):
                return []
            try:
                session, cursor = self._reader.first(sql, values, PREPARED_TO_READ)
                # Known, but for a connection that was opened again just now.
                return list(cursor.fetchall()) if holds_ledger(session, self.address) else []
            except _NO_LEDGER:
                session = self._reader.get()
                session.knows_ledger = False
                if holds_ledger(session, self.address):
                    raise
                return []


def _batches(*inserts: Iterator[bytes]) -> Iterator[bytes]:
    """Statements together in one message, up to some length of it."""
    waiting: list[bytes] = []
    for statement in chain.from_iterable(inserts):
        waiting.append(statement)
        if len(statement) > _SHORT_STATEMENT_BYTES:
            yield b"; ".join(waiting)
            waiting = []
    if waiting:
        yield b"; ".join(waiting)


def _asked(
    questions: Sequence[Question],
) -> tuple[list[str], list[str | None], list[tuple[str, str, str, int]]]:
    """What is asked of one subject each, with a gap where it is asked of those between two: these
    follow with their place, from 1."""
    subjects = [None if isinstance(about, Between) else about for _, about in questions]
    between = [
        (kind, *about, number)
        for number, (kind, about) in enumerate(questions, 1)
        if isinstance(about, Between)
    ]
    return [kind for kind, _ in questions], subjects, between


def _in_order(answers: Sequence[Sequence[Any]], questions: int) -> list[Row | None]:
    """The answers to questions 1, 2, 3 …, where there is one."""
    found = {number: _row(row) for number, *row in answers if number}
    return [found.get(number) for number in range(1, questions + 1)]


def _row(found: Sequence[Any]) -> Row:
    seq, entry, leaf, *columns = found
    return Row(seq, bytes(entry), bytes(leaf), *columns)


def _census(session: PostgresSession) -> Census:
    faults = schema_faults(session.run)
    if faults:
        return Census(0, 0, faults=tuple(faults))
    sql = "SELECT coalesce(max(seq) + 1, 0), count(*) FROM ro_ledger.entry"
    ((size, rows),) = session.run(sql).fetchall()
    nodes = session.run("SELECT level, count(*) FROM ro_ledger.node GROUP BY level").fetchall()
    ((mentions,),) = session.run("SELECT count(*) FROM ro_ledger.mention").fetchall()
    return Census(size, rows, dict(nodes), mentions)
