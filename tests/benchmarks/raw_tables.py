"""Plain inserts into one table with the ledger's columns, durable like the ledger's own.

*bare*: no index but the primary key. *indexed*: the ledger's indexes, without which nothing could
be found. *guarded*: its triggers too.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from ro_platform.ledger.backends import sqlite as sqlite_backend
from ro_platform.ledger.backends.base import LedgerBackend, Row
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from tests.servers import PostgresServer

KINDS = ("bare", "indexed", "guarded")
_SCHEMAS = Path(sqlite_backend.__file__).parent
_SQLITE = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_POSTGRES = "INSERT INTO ro_ledger.entry VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
_ROWS_A_STATEMENT = 1000


class RawTable(ABC):
    """One table, over one connection that its process opened."""

    @abstractmethod
    def one_by_one(self, rows: list[Row]) -> None:
        """A commit for each row."""

    @abstractmethod
    def batch(self, rows: list[Row]) -> None:
        """One commit for all rows."""


class RawSqlite(RawTable):
    """In a file with the ledger's pragmas, made if it is not there."""

    def __init__(self, path: Path, kind: str) -> None:
        new = not path.exists()
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript("PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;")
        if new:
            schema = _SCHEMAS.joinpath("sqlite_schema.sql").read_text("utf-8")
            end = "CREATE UNIQUE INDEX" if kind == "bare" else "CREATE TABLE mention"
            part = schema[schema.index("CREATE TABLE entry") : schema.index(end)]
            self.connection.executescript(schema if kind == "guarded" else part)

    def one_by_one(self, rows: list[Row]) -> None:
        """See :class:`RawTable`."""
        for row in rows:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(_SQLITE, row)
            self.connection.execute("COMMIT")

    def batch(self, rows: list[Row]) -> None:
        """See :class:`RawTable`."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(_SQLITE, rows)
        self.connection.execute("COMMIT")


class RawPostgres(RawTable):
    """In a database of its own, through the driver's ordinary, blocking connection."""

    def __init__(self, url: str, kind: str) -> None:
        self.connection = psycopg2.connect(url)
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
            cursor.execute("SELECT to_regclass('ro_ledger.entry')")
            if cursor.fetchone() == (None,):
                schema = _SCHEMAS.joinpath("postgres_schema.sql").read_text("utf-8")
                end = "-- Each index" if kind == "bare" else "CREATE TABLE ro_ledger.mention"
                part = schema[schema.index("CREATE TABLE ro_ledger.entry") : schema.index(end)]
                table = f"CREATE SCHEMA ro_ledger; {part}"
                cursor.execute(schema if kind == "guarded" else table)

    def one_by_one(self, rows: list[Row]) -> None:
        """See :class:`RawTable`."""
        with self.connection.cursor() as cursor:
            for row in rows:
                cursor.execute(_POSTGRES, row)
                self.connection.commit()

    def batch(self, rows: list[Row]) -> None:
        """See :class:`RawTable`."""
        with self.connection.cursor() as cursor:
            into = "INSERT INTO ro_ledger.entry VALUES %s"
            execute_values(cursor, into, rows, page_size=_ROWS_A_STATEMENT)
            self.connection.commit()


class Engine(ABC):
    """Where ledgers and raw tables are made, by name. It can be sent to another process."""

    @abstractmethod
    def backend(self, name: str) -> LedgerBackend:
        """The ledger of that name, through a new backend."""

    @abstractmethod
    def raw(self, name: str, kind: str) -> RawTable:
        """The raw table of that name, through a new connection."""

    @abstractmethod
    def ask(self, name: str) -> Callable[[int, int], list[tuple[bytes]]]:
        """What reads the bytes of a stretch of that ledger's entries, and nothing else of them,
        through a new connection."""


class Sqlite(Engine):
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def backend(self, name: str) -> LedgerBackend:
        """See :class:`Engine`."""
        return SqliteLedgerBackend(self.folder / f"{name}.sqlite")

    def raw(self, name: str, kind: str) -> RawTable:
        """See :class:`Engine`."""
        return RawSqlite(self.folder / f"{name}-{kind}.sqlite", kind)

    def ask(self, name: str) -> Callable[[int, int], list[tuple[bytes]]]:
        """See :class:`Engine`."""
        connection = sqlite3.connect(self.folder / f"{name}.sqlite")
        connection.execute("PRAGMA cache_size = -32768")
        sql = "SELECT entry FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
        return lambda start, end: connection.execute(sql, (start, end)).fetchall()


class Postgres(Engine):
    """Databases of one server, which runs with fsync."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def backend(self, name: str) -> LedgerBackend:
        """See :class:`Engine`."""
        return PostgresLedgerBackend(self._url(name))

    def raw(self, name: str, kind: str) -> RawTable:
        """See :class:`Engine`."""
        return RawPostgres(self._url(f"{name}_{kind}"), kind)

    def ask(self, name: str) -> Callable[[int, int], list[tuple[bytes]]]:
        """See :class:`Engine`."""
        cursor = psycopg2.connect(self._url(name)).cursor()
        sql = "SELECT entry FROM ro_ledger.entry WHERE seq >= %s AND seq < %s ORDER BY seq"

        def read(start: int, end: int) -> list[tuple[bytes]]:
            cursor.execute(sql, (start, end))
            return [(bytes(data),) for (data,) in cursor]

        return read

    def _url(self, database: str) -> str:
        found: list[Any] = self.server.execute("SELECT datname FROM pg_database")
        if (database,) not in found:
            self.server.execute(f"CREATE DATABASE {database}")
        return self.server.socket_url(database)
