"""A role of PostgreSQL that may read the ledger and add to it, and nothing else.

It gets SELECT on the four tables, INSERT on entries, nodes and mentions, and may take its turn as
the writer. It owns nothing: that it cannot UPDATE, DELETE, TRUNCATE, DROP, ALTER or disable a
trigger is the server's own doing, before any trigger is asked.
"""

from __future__ import annotations

from typing import NoReturn

from ro_platform.errors import InvalidInputError
from ro_platform.ledger.backends.postgres_address import PostgresAddress, postgres_address
from ro_platform.ledger.backends.postgres_connection import Session
from ro_platform.ledger.backends.postgres_errors import translated
from ro_platform.ledger.backends.postgres_tables import create

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
        session = Session(address, writable=True, limit_seconds=_LIMIT_SECONDS)
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
    session: Session, address: PostgresAddress, role: str, *, before: bool = False
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
    raise InvalidInputError(
        f"The role {role!r} of {address.shown} {why}.",
        next_step=f"Nothing was granted. {next_step}",
        ledger=address.shown,
    )


def _quoted(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'
