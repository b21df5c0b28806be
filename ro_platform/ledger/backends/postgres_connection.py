"""Connections to PostgreSQL that never wait for ever, and are never used past what broke them.

The driver's own waiting cannot be interrupted and trusts the network, so connections are
asynchronous and waited for here: Ctrl-C works, and a server that falls silent is a lost one.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import psycopg2
from psycopg2 import extensions

from ro_platform.ledger.backends.base import close_before_forks
from ro_platform.ledger.backends.postgres_address import PostgresAddress
from ro_platform.ledger.backends.postgres_errors import SilentServerError, connection_lost

_STALLED_WRITER_SECONDS = 300.0
"""How long a writer may hold its turn without a word before the server ends it."""

_GRACE_SECONDS = 5.0
"""How much longer than the server's own limits a client waits for the server to keep them."""

_IN_TRANSACTION = (
    extensions.TRANSACTION_STATUS_ACTIVE,
    extensions.TRANSACTION_STATUS_INTRANS,
    extensions.TRANSACTION_STATUS_INERROR,
)
_DRIVER: dict[str, Any] = {
    "async_": True,
    "client_encoding": "UTF8",
    "application_name": "ro_platform",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# row_security = off makes a policy that would hide rows an error. A bitmap scan gathers all that is
# found before it answers a page of it, and every question has an index in the page's order. Where
# there is none, as for the rows of ledger_schema, the price put on walking a table would have the
# server compile the question first (jit), which takes it 60 ms. Each question has one good plan,
# whatever its values, so what is prepared is planned once (plan_cache_mode): by itself the server
# would plan lists again each time, which takes as long as to answer.
_SESSION = """
SET search_path = pg_catalog; SET row_security = off; SET synchronous_commit = on;
SET lock_timeout = %(turn)s; SET statement_timeout = %(statement)s;
SET idle_in_transaction_session_timeout = %(stalled)s;
SET default_transaction_read_only = %(read_only)s; SET bytea_output = hex;
SET enable_bitmapscan = off; SET enable_seqscan = off; SET jit = off;
SET plan_cache_mode = force_generic_plan;
"""


class PostgresSession:
    """One connection, from opening to loss. It never opens another in its own place."""

    def __init__(self, address: PostgresAddress, *, writable: bool, limit_seconds: float) -> None:
        self._patience = limit_seconds + _GRACE_SECONDS
        self.knows_ledger = False
        self._prepared: set[str] = set()
        self._connection = psycopg2.connect(**address.parameters, **_DRIVER)
        try:
            _wait(self._connection, self._patience)
            settings = {
                "turn": int(limit_seconds * 1000),
                "statement": int(limit_seconds * 1000) + 1000,
                "stalled": int(_STALLED_WRITER_SECONDS * 1000),
                "read_only": not writable,
            }
            self.run(_SESSION, settings)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it has not been found lost yet."""
        return not self._connection.closed

    @property
    def in_transaction(self) -> bool:
        """Whether one is open in it."""
        status: int = self._connection.info.transaction_status
        return status in _IN_TRANSACTION

    @property
    def server_encoding(self) -> str:
        """How the database stores text."""
        return str(self._connection.info.parameter_status("server_encoding"))

    def run(self, sql: str | bytes, values: object = None) -> Any:
        """Execute, and return the cursor with the last statement's result.

        Raises the driver's errors. An error other than the server's own answer, an interrupt among
        them, leaves the session closed: nobody can say what the server makes of it.
        """
        cursor = self._connection.cursor()
        data = cursor.mogrify(sql, values) if values is not None else sql
        try:
            cursor.execute(data)
            _wait(self._connection, self._patience)
        except BaseException as error:
            if connection_lost(error):
                self.close()
            raise
        return cursor

    def prepare(self, statements: Mapping[str, str]) -> None:
        """Have the server plan these once, to be executed by their names. Raises as :meth:`run`."""
        for name in statements.keys() - self._prepared:
            self.run(f"PREPARE {name} AS {statements[name]}")
            self._prepared.add(name)

    def values_of(self, rows: Sequence[Sequence[object]]) -> bytes:
        """Rows as the list that follows VALUES."""
        cursor = self._connection.cursor()
        form = f"({', '.join(['%s'] * len(rows[0]))})"
        return b", ".join(cursor.mogrify(form, row) for row in rows)

    def roll_back(self) -> None:
        """End a transaction without its changes, or else the session."""
        try:
            self.run("ROLLBACK")
        except (psycopg2.Error, SilentServerError):
            self.close()

    def close(self) -> None:
        """Close it; the server takes back what was not committed."""
        self._connection.close()


class Connection:
    """The session of one process for one purpose, opened when needed, guarded by its lock.

    Sockets must not cross a fork: see :func:`.base.close_before_forks`.
    """

    def __init__(self, address: PostgresAddress, *, writable: bool, limit_seconds: float) -> None:
        self.address = address
        self.lock = threading.RLock()
        self.writable = writable
        self._limit = limit_seconds
        self._session: PostgresSession | None = None
        close_before_forks(self)

    def get(self) -> PostgresSession:
        """The session, a new one if the last is lost. Call it with the lock held."""
        if self._session is None or not self._session.alive:
            self._session = PostgresSession(
                self.address, writable=self.writable, limit_seconds=self._limit
            )
        return self._session

    def first(
        self,
        sql: str | bytes,
        values: object = None,
        prepared: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[PostgresSession, Any]:
        """The session and the result of what may safely be asked twice, with nothing open.

        It may execute the prepared statements.
        A connection that a server let go of while it was idle is opened again, and nobody notices.
        """
        reused = self._session
        session = self.get()
        try:
            session.prepare(prepared)
            return session, session.run(sql, values)
        except psycopg2.Error:
            if session.alive or session is not reused:
                raise
        session = self.get()
        session.prepare(prepared)
        return session, session.run(sql, values)

    def roll_back(self) -> None:
        """End what the session may have begun. Call it with the lock held."""
        if self._session is not None and self._session.alive:
            self._session.roll_back()

    def close(self) -> None:
        """Close it. Call it with the lock held."""
        if self._session is not None:
            self._session.close()
        self._session = None


def _wait(connection: extensions.connection, seconds: float) -> None:
    while (state := connection.poll()) != extensions.POLL_OK:
        poller = select.poll()
        poller.register(
            connection.fileno(),
            select.POLLIN if state == extensions.POLL_READ else select.POLLOUT,
        )
        if not poller.poll(seconds * 1000):
            raise SilentServerError(f"the server was silent for {seconds:.0f} seconds")
