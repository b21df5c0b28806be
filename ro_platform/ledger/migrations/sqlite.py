"""Migrating the SQLite file: one transaction, in the writers' own turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from ro_platform.ledger.backends.sqlite_errors import altered_before, translated
from ro_platform.ledger.backends.sqlite_file import (
    VERSION,
    open_file,
    schema_faults,
    schema_version,
)
from ro_platform.ledger.migrations.chain import Migration, carry_out, drivers_own_errors


def migrate_sqlite(
    path: Path, *, check_only: bool = False, busy_timeout_seconds: float = 60.0
) -> Migration:
    """Bring the ledger at ``path`` to this release's schema version; a second one finds it done.

    Every entry, node and mention stays as it is. A crash leaves the old version whole or the new
    one. Raises ``LedgerCorruptError``, having changed nothing, for a ledger whose guards are not
    those of its version; ``SettingsError`` for a file that is none, or of a later release.
    """
    if not path.exists():
        return Migration(None, VERSION)
    with _opened(path, busy_timeout_seconds) as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        found = schema_version(raw, path)
        if found == VERSION or check_only:
            return Migration(found, VERSION)
        with translated(path, writing=True):
            with drivers_own_errors():
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                found = schema_version(raw, path)
                if found < VERSION:
                    carry_out(connection, found, VERSION)
            if faults := schema_faults(raw):
                raise altered_before(path, faults)
        with translated(path, writing=True, committing=True), drivers_own_errors():
            connection.exec_driver_sql("COMMIT")
    return Migration(found, VERSION)


@contextmanager
def _opened(path: Path, busy_timeout_seconds: float) -> Iterator[Connection]:
    """A connection that begins and commits only when it is told to; closed, it rolls back."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: open_file(path, writable=True, busy_timeout_seconds=busy_timeout_seconds),
        poolclass=NullPool,
    )
    with translated(path, writing=True), drivers_own_errors():
        connection = engine.connect()
    with connection:
        yield connection
