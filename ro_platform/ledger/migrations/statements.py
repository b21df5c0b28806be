"""What a revision adds, from the SQL file beside it that is written for the engine at hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from alembic import op


def add_from_file(revision: str) -> None:
    """Execute ``<revision>.<engine>.sql``, a statement at a time, in the open transaction."""
    connection = op.get_bind()
    file = Path(__file__).parent / "versions" / f"{revision}.{connection.dialect.name}.sql"
    for statement in _statements(file.read_text("utf-8"), connection.dialect.name):
        connection.exec_driver_sql(statement)


def _statements(text: str, engine: str) -> Iterator[str]:
    if engine == "postgresql":
        yield text  # the server takes it apart itself
        return
    # SQLite's driver takes one statement, and its own way with scripts commits before the first.
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
