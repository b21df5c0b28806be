"""``ro ledger migrate`` and ``ro ledger grant``: for the place, not for what is in it."""

from __future__ import annotations

import click

from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks_within, public
from ro_platform.cli.output import json_option, out, say_json
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType
from ro_platform.errors import InvalidInputError, LedgerOutdatedError
from ro_platform.ledger.addresses import PostgresLedger, ledger_at
from ro_platform.ledger.names import ledger_grant_event_key, ledger_role_name
from ro_platform.plane import shared_plane


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if there is something to do.")
@json_option
@public("an outdated ledger cannot say who may; its database lets the owner alone")
def migrate(check: bool, as_json: bool) -> None:
    """Bring the ledger of an older release to this release's schema version.

    No entry is touched, so the root stays the same. An interrupted migration leaves the old
    version or the new one; of two at once, one does it. On PostgreSQL, run it as the role that
    owns the schema.
    """
    done = ledger_at(Settings.load().ledger_url).migrate(check_only=check)
    outdated = done.before is not None and done.before < done.after
    if check and outdated:
        raise LedgerOutdatedError(
            f"The ledger has schema version {done.before}; this release works with {done.after}.",
            next_step="Run `ro ledger migrate`.",
        )
    facts = {"before": done.before, "after": done.after, "migrated": outdated}
    if as_json:
        say_json(facts)
    elif done.before is None:
        out.print(f"There is no ledger yet; the first write makes one of version {done.after}.")
    elif outdated:
        out.print(f"[green]migrated[/green] from schema version {done.before} to {done.after}.")
        out.print("No entry was touched: `ro ledger verify` shows the same root as before.")
    else:
        out.print(f"Already at schema version {done.after}.")


@click.command()
@click.argument("role")
@click.option("--reason", required=True, help="Why the role may append; it is recorded.")
@json_option
@asks_within(Action.GRANT_ROLE)
def grant(role: str, reason: str, as_json: bool) -> None:
    """Let ROLE of the PostgreSQL server read the ledger and append to it, and nothing else.

    Run it as the role that owns the schema, and the deployment as ROLE: then the server itself
    refuses UPDATE, DELETE, TRUNCATE, DROP and ALTER. Repeat it after a migration.
    """
    settings = Settings.load()
    ledger = ledger_at(settings.ledger_url)
    if not isinstance(ledger, PostgresLedger):
        raise InvalidInputError(
            "The ledger is an SQLite file, which knows no roles.",
            next_step="Set RO_LEDGER_URL to a postgresql:// URL of the schema's owner.",
        )
    plane = shared_plane(settings)
    actor = acting(plane, Action.GRANT_ROLE, ledger_role_name(role))
    ledger.grant(role)
    entry = plane.record_admin_event(
        AdminActionType.GRANT_ROLE,
        key=ledger_grant_event_key(role, plane.ledger.size()),
        subject=ledger_role_name(role),
        actor=actor,
        reason=reason,
        after={"rights": ["INSERT", "SELECT"]},
    )
    if as_json:
        say_json({"role": role, "rights": ["INSERT", "SELECT"], "seq": entry.seq})
        return
    out.print(f"[green]granted[/green]: {role} may read and append; recorded as entry {entry.seq}")
