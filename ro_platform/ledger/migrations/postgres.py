"""Migrating the PostgreSQL schema: one transaction, in the writers' own turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from ro_platform.ledger.backends.postgres_address import PostgresAddress, postgres_address
from ro_platform.ledger.backends.postgres_errors import altered_before, not_a_ledger, translated
from ro_platform.ledger.backends.postgres_tables import (
    PROBE,
    VERSION,
    VERSIONS,
    newest_version,
    schema_faults,
)
from ro_platform.ledger.migrations.chain import Migration, carry_out, drivers_own_errors

_SESSION = """
SET search_path = pg_catalog; SET synchronous_commit = on; SET lock_timeout = {milliseconds};
"""
# Not by take_turn(), which a ledger of version 1 does not have: who migrates owns the table.
_TURN = "LOCK TABLE ro_ledger.ledger_schema IN EXCLUSIVE MODE"


def migrate_postgres(
    url: str, *, check_only: bool = False, busy_timeout_seconds: float = 60.0
) -> Migration:
    """Bring the ledger in that database to this release's version; a second one finds it done.

    By the role that owns the schema. Every entry, node and mention stays as it is, and so do
    rights that were granted. A crash leaves the old version whole or the new one. Raises
    ``LedgerCorruptError``, having changed nothing, for a ledger whose guards are not those of its
    version; ``SettingsError`` for a schema that is none, or of a later release.
    """
    address = postgres_address(url)
    with _opened(address, busy_timeout_seconds) as connection:
        with translated(address, writing=True):
            with drivers_own_errors():
                found = _version(connection, address)
                if found in (None, VERSION) or check_only:
                    return Migration(found, VERSION)
                connection.exec_driver_sql(_TURN)
                found = _version(connection, address)
                if found is not None and found < VERSION:
                    carry_out(connection, found, VERSION)
                faults = schema_faults(connection.exec_driver_sql)
            if faults:
                raise altered_before(address, faults)
        with translated(address, writing=True, committing=True), drivers_own_errors():
            connection.commit()
    return Migration(found, VERSION)


def _version(connection: Connection, address: PostgresAddress) -> int | None:
    ((is_ledger, is_anything),) = connection.exec_driver_sql(PROBE).fetchall()
    if is_ledger:
        return newest_version(connection.exec_driver_sql(VERSIONS).fetchall(), address)
    if is_anything:
        raise not_a_ledger(address, "has a schema ro_ledger that is not a ledger")
    return None


@contextmanager
def _opened(address: PostgresAddress, busy_timeout_seconds: float) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(
            **address.parameters, application_name="ro ledger migrate", client_encoding="UTF8"
        ),
        poolclass=NullPool,
    )
    with translated(address, writing=True), drivers_own_errors():
        connection = engine.connect()
    with connection:
        with translated(address, writing=True), drivers_own_errors():
            milliseconds = int(busy_timeout_seconds * 1000)
            connection.exec_driver_sql(_SESSION.format(milliseconds=milliseconds))
            connection.commit()
        yield connection
