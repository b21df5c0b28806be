"""The ledger's schema in a PostgreSQL database: how it comes into being and is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ro_platform.ledger.backends.postgres_address import PostgresAddress
from ro_platform.ledger.backends.postgres_connection import Session
from ro_platform.ledger.backends.postgres_errors import not_a_ledger, outdated

VERSION = 2
"""Of the schema; :mod:`ro_platform.ledger.migrations` holds the way from each to the next."""

_FOLDER = Path(__file__).parent
_SCHEMA_SQL = "postgres_schema.sql"
_OBJECTS_SQL = "postgres_objects.sql"
_EXPECTED = "postgres_objects.tsv"
_CREATORS_LOCK = 0x524F4C47
"""``ROLG``: an advisory lock, since there is no table yet that two creators could lock."""

PROBE = """
SELECT to_regclass('ro_ledger.ledger_schema') IS NOT NULL,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('ro_ledger'))
"""
VERSIONS = "SELECT max(version) FROM ro_ledger.ledger_schema"


def holds_ledger(session: Session, address: PostgresAddress) -> bool:
    """Whether the database has a ledger that this release reads; asked once a session.

    Raises :class:`SettingsError` if the schema ``ro_ledger`` is something else.
    """
    if not session.knows_ledger:
        ((is_ledger, is_anything),) = session.run(PROBE).fetchall()
        if is_ledger:
            require_version(session.run(VERSIONS).fetchall(), address)
        elif is_anything:
            raise not_a_ledger(address, "has a schema ro_ledger that is not a ledger")
        session.knows_ledger = bool(is_ledger)
    return session.knows_ledger


def newest_version(rows: Sequence[Sequence[Any]], address: PostgresAddress) -> int:
    """What :data:`VERSIONS` answered: what the ledger was last made or migrated to.

    Raises :class:`SettingsError` for none, and for one that this release does not know.
    """
    ((found,),) = rows
    if found is None or not 1 <= found <= VERSION:
        raise not_a_ledger(
            address,
            f"has a ledger of schema version {found}, and this release knows 1 to {VERSION}",
        )
    return int(found)


def require_version(rows: Sequence[Sequence[Any]], address: PostgresAddress) -> None:
    """Raises :class:`LedgerOutdatedError` for the ledger of an older release."""
    if (found := newest_version(rows, address)) != VERSION:
        raise outdated(address, found, VERSION)


def create(session: Session, address: PostgresAddress) -> None:
    """Make an empty ledger unless there is one, in one transaction. A crash leaves nothing."""
    if session.server_encoding != "UTF8":
        raise not_a_ledger(address, f"stores text as {session.server_encoding}, not as UTF8")
    session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    try:
        session.run("SELECT pg_advisory_xact_lock(%s)", [_CREATORS_LOCK])
        if not holds_ledger(session, address):
            session.run(_FOLDER.joinpath(_SCHEMA_SQL).read_text("utf-8"))
        session.run("COMMIT")
    except BaseException:
        session.roll_back()
        raise


def schema_faults(run: Callable[[str], Any]) -> list[str]:
    """How tables, columns, indexes, constraints, triggers and their functions differ from the
    schema. Damaged pages are found by reading them, and by the server's own tools."""
    rows = run(_FOLDER.joinpath(_OBJECTS_SQL).read_text("utf-8")).fetchall()
    found, expected = {(kind, name): made for kind, name, made in rows}, _expected_objects()
    faults = [f"{kind} {name} is missing" for kind, name in expected.keys() - found.keys()]
    faults += [f"{kind} {name} was added" for kind, name in found.keys() - expected.keys()]
    faults += [
        f"{kind} {name} was changed"
        for (kind, name), made in expected.items()
        if found.get((kind, name), made) != made
    ]
    return sorted(faults)


@cache
def _expected_objects() -> dict[tuple[str, str], str]:
    lines = _FOLDER.joinpath(_EXPECTED).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return {(kind, name): made for kind, name, made in rows}
