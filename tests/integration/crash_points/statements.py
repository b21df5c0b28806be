"""The boundaries that are statements of the ledger: to SQLite, and to a PostgreSQL server."""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import psycopg2

from ro_platform.ledger.backends.postgres_connection import PostgresSession
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.names import statement_name

Cross = Callable[..., Any]
_ON = "ledger"
_PATIENCE_SECONDS = 30
_SERVERS_DISK_IS_FULL = (
    "DO $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
)


def watched_connection(cross: Cross) -> type[sqlite3.Connection]:
    """A connection whose writing statements are crossings."""

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            return _statement(sql, partial(super().execute, sql, *values))

        def executescript(self, sql: str, /) -> Any:
            return _statement(sql, partial(super().executescript, sql))

    def _statement(sql: str, act: Callable[[], Any]) -> Any:
        name = statement_name(sql)
        return cross(name, _ON, act, fails=_sqlite_fails) if name else act()

    return Watched


def watched_run(cross: Cross) -> Callable[..., Any]:
    """``PostgresSession.run`` whose writing statements are crossings."""
    real = PostgresSession.run

    def run(session: PostgresSession, sql: str | bytes, values: object = None) -> Any:
        name, act = statement_name(sql), partial(real, session, sql, values)
        if name is None:
            return act()

        def ask_only() -> None:
            # The answer is there, so the server has done it, and nobody reads it any more.
            session._connection.cursor().execute(sql)
            select.select([session._connection], [], [], _PATIENCE_SECONDS)

        def fails(done: bool) -> NoReturn:
            if done:
                session.close()
                raise psycopg2.OperationalError("server closed the connection unexpectedly")
            real(session, _SERVERS_DISK_IS_FULL)
            raise AssertionError("the server has room after all")

        return cross(name, _ON, act, fails=fails, halves={Fault.KILLED_TORN: ask_only})

    return run


def _sqlite_fails(done: bool) -> NoReturn:
    error = sqlite3.OperationalError("disk I/O error" if done else "database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR if done else sqlite3.SQLITE_FULL
    raise error
