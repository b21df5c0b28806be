"""A ledger in PostgreSQL: its tables, who may do what with them, and each statement on them.

A role of PostgreSQL that may read the ledger and add to it, and nothing else.

It gets SELECT on the four tables, INSERT on entries, nodes and mentions, and may take its turn as
the writer. It owns nothing: that it cannot UPDATE, DELETE, TRUNCATE, DROP, ALTER or disable a
trigger is the server's own doing, before any trigger is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ro_platform import errors
from ro_platform.ledger.backends.base import Selection
from ro_platform.ledger.backends.postgres_address import PostgresAddress, postgres_address
from ro_platform.ledger.backends.postgres_connection import PostgresSession
from ro_platform.ledger.backends.postgres_errors import not_a_ledger, outdated, translated

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


def holds_ledger(session: PostgresSession, address: PostgresAddress) -> bool:
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


def create(session: PostgresSession, address: PostgresAddress) -> None:
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


_LIMIT_SECONDS = 60.0
_GRANT = """
REVOKE ALL ON SCHEMA ro_ledger FROM {role};
REVOKE ALL ON ALL TABLES IN SCHEMA ro_ledger FROM {role};
GRANT USAGE ON SCHEMA ro_ledger TO {role};
GRANT SELECT ON ro_ledger.ledger_schema, ro_ledger.entry, ro_ledger.node, ro_ledger.mention
    TO {role};
GRANT INSERT ON ro_ledger.entry, ro_ledger.node, ro_ledger.mention TO {role};
GRANT EXECUTE ON FUNCTION ro_ledger.take_turn() TO {role}
"""
# What a role has by itself, by membership and because everyone has it.
_MORE_THAN_GRANTED = """
SELECT r.rolsuper,
    pg_has_role(r.oid, n.nspowner, 'MEMBER')
        OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid
            AND pg_has_role(r.oid, c.relowner, 'MEMBER')),
    has_schema_privilege(r.oid, n.oid, 'CREATE')
        OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'
            AND (has_table_privilege(r.oid, c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
                OR has_any_column_privilege(r.oid, c.oid, 'UPDATE')))
FROM pg_roles r, pg_namespace n WHERE r.rolname = %s AND n.nspname = 'ro_ledger'
"""


def grant_append_only(url: str, role: str) -> None:
    """Let a role read and append, and take every other right on the ledger from it.

    By the owner of the database or schema; makes the ledger where there is none yet. All of it or
    nothing happens. Raises :class:`InvalidInputError` for a role that does not exist, or that could
    do more all the same: as a superuser, as an owner, or by what others grant it.
    """
    address = postgres_address(url)
    with translated(address, writing=True):
        session = PostgresSession(address, writable=True, limit_seconds=_LIMIT_SECONDS)
        try:
            create(session, address)
            session.run("BEGIN")
            _require_limited(session, address, role, before=True)
            session.run(_GRANT.format(role=_quoted(role)))
            _require_limited(session, address, role)
            with translated(address, writing=True, committing=True):
                session.run("COMMIT")
        finally:
            session.close()


def _require_limited(
    session: PostgresSession, address: PostgresAddress, role: str, *, before: bool = False
) -> None:
    found = session.run(_MORE_THAN_GRANTED, [role]).fetchall()
    if not found:
        _refuse(address, role, "does not exist", f"Make it first: CREATE ROLE {role} LOGIN.")
    ((is_superuser, is_owner, has_more),) = found
    if is_superuser or is_owner:
        why = "is a superuser" if is_superuser else "owns the ledger, or is a member of who does"
        _refuse(address, role, why, "Nothing can be kept from it: choose another role.")
    if has_more and not before:
        _refuse(
            address,
            role,
            "could still change the ledger, by a membership or by what PUBLIC was granted",
            "Revoke that first.",
        )


def _refuse(address: PostgresAddress, role: str, why: str, next_step: str) -> NoReturn:
    raise errors.InvalidInputError(
        f"The role {role!r} of {address.shown} {why}.",
        next_step=f"Nothing was granted. {next_step}",
        ledger=address.shown,
    )


def _quoted(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'


COLUMNS = "seq, entry, leaf, kind, subject, key, run_id, dagster_run_id"
FROM = f"SELECT {COLUMNS} FROM ro_ledger.entry"  # noqa: S608  (no value is part of it)
_MOST_SELECTIVE_FIRST = ("subject", "run_id", "dagster_run_id", "kind")
# Takes the turn, and answers what a writer begins with: the version, the size and the last leaf.
BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT ro_ledger.take_turn();
EXECUTE ro_begin
"""
# What stands under a key, numbered 0, and the newest entry about a subject.
RECORDED_ONE = "EXECUTE ro_recorded (%s, %s, %s)"
# The newest entry about each subject, by the number of the question from 1.
LATEST_OF = "EXECUTE ro_latest (%s, %s)"
# The same, and of the subjects between two.
LATEST_OF_ANY = "EXECUTE ro_latest_any (%s, %s, %s, %s, %s, %s)"
_LATEST_OF = f"""
SELECT number, found.*
FROM unnest({{}}::text[], {{}}::text[]) WITH ORDINALITY AS question (kind, subject, number)
CROSS JOIN LATERAL (
    {FROM} WHERE entry.subject = question.subject AND entry.kind = question.kind
    ORDER BY seq + 0 DESC LIMIT 1
) AS found
"""  # noqa: S608
# Of many keys and subjects.
RECORDED = f"""
SELECT 0, found.* FROM ({FROM} WHERE key = ANY(%s::text[])) AS found
UNION ALL ({_LATEST_OF.format("%s", "%s")})
"""  # noqa: S608
# What every guarded read asks, planned once a session: to plan it takes longer than to answer it.
PREPARED_TO_READ = {
    "ro_latest (text[], text[])": _LATEST_OF.format("$1", "$2"),
    "ro_latest_any (text[], text[], text[], text[], text[], bigint[])": f"""
{_LATEST_OF.format("$1", "$2")} UNION ALL
SELECT question.number, found.*
FROM unnest($3, $4, $5, $6) AS question (kind, first, last, number)
CROSS JOIN LATERAL (
    {FROM} WHERE entry.subject >= question.first AND entry.subject <= question.last
        AND entry.kind = question.kind
    ORDER BY subject DESC, kind DESC, seq + 0 DESC LIMIT 1
) AS found
""",  # noqa: S608
}
# And what every append asks.
PREPARED_TO_WRITE = PREPARED_TO_READ | {
    "ro_begin": """
SELECT (SELECT max(version) FROM ro_ledger.ledger_schema), tip.*
FROM (VALUES (0)) AS one LEFT JOIN (
    SELECT seq + 1, leaf FROM ro_ledger.entry ORDER BY seq DESC LIMIT 1
) AS tip ON true
""",
    "ro_recorded (text, text, text)": f"""
(SELECT 0, found.* FROM ({FROM} WHERE key = $1) AS found) UNION ALL
(SELECT 1, found.* FROM (
    {FROM} WHERE subject = $3 AND kind = $2 ORDER BY seq + 0 DESC LIMIT 1
) AS found)
""",  # noqa: S608
}
# Counts are of one moment.
CENSUS = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = on
"""
# With OFFSET 0 inside, which keeps the planner from beginning at the entries: the mention's index
# is in order of seq, so a page costs what it returns.
_MENTIONING = "SELECT {columns} FROM ro_ledger.mention CROSS JOIN LATERAL ({entry}) AS found"


def page_of(selection: Selection, limit: int) -> tuple[str, list[Any]]:
    """The statement for up to ``limit`` entries of a selection, and its values."""
    conditions, values = _conditions(selection)
    order = "DESC" if selection.newest_first else "ASC"
    within = [selection.start, selection.end]
    if selection.mention is not None:
        entry = f"{FROM} WHERE {' AND '.join(['seq = mention.seq', *conditions])} OFFSET 0"
        columns = ", ".join(f"found.{name}" for name in COLUMNS.split(", "))
        sql = (
            f"{_MENTIONING.format(columns=columns, entry=entry)} WHERE mention.name = %s AND "
            f"mention.seq >= %s AND mention.seq < %s ORDER BY mention.seq {order} LIMIT %s"
        )
        return sql, [*values, selection.mention, *within, limit]
    place = "seq + 0" if conditions else "seq"
    where = " AND ".join([f"{place} >= %s", f"{place} < %s", *conditions])
    sql = f"{FROM} WHERE {where} ORDER BY {place} {order} LIMIT %s"
    return sql, [*within, *values, limit]


def _conditions(selection: Selection) -> tuple[list[str], list[str]]:
    """What the entries' columns must equal, and the values: in words that one index fits."""
    conditions: list[str] = []
    wanted: list[str] = []
    for column in _MOST_SELECTIVE_FIRST:
        if (value := getattr(selection, column)) is not None:
            # A kind has an index of its own by that expression, the others by the plain column.
            plain = (column == "kind") == bool(wanted)
            conditions.append(f"{column} = %s" if plain else f"({column} || '') = %s")
            wanted.append(value)
    return conditions, wanted
