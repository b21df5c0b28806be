"""The revisions in their order, and carrying them out inside a transaction that somebody began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Migration:
    """From which schema version to which. ``before`` is None where there is no ledger yet."""

    before: int | None
    after: int


def carry_out(connection: Connection, found: int, wanted: int) -> None:
    """Every revision after ``found``, up to ``wanted``. Neither begins nor commits anything.

    Raises ``sqlalchemy.exc.DBAPIError``; the caller rolls back and translates it.
    """
    scripts = ScriptDirectory(str(_FOLDER), version_locations=[str(_FOLDER / "versions")])
    between = list(scripts.iterate_revisions(f"{wanted:04d}", f"{found:04d}"))
    with Operations.context(MigrationContext.configure(connection)):
        for script in reversed(between):
            script.module.upgrade()


@contextmanager
def drivers_own_errors() -> Iterator[None]:
    """Let the driver's exceptions out of SQLAlchemy's, for the backend's own translation."""
    try:
        yield
    except DBAPIError as error:
        raise error.orig or error from None
