"""``ro ledger archive``, ``migrate`` and ``grant``: for the ledger's place, not for its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress

from ro_platform import errors
from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks_within, public
from ro_platform.cli.output import err, json_option, out, say_json, short, size, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType, ErrorResponse
from ro_platform.ledger import names
from ro_platform.ledger.addresses import PostgresLedger, ledger_at
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.archive import SEGMENT_SIZE, CheckedSegment, Segment

if TYPE_CHECKING:
    from ro_platform.ledger.migrations import Migration


@click.command()
@click.option("--upto", type=click.IntRange(min=0), help="Only entries before this SEQ.")
@click.option(
    "--segment-size",
    "count",
    type=click.IntRange(min=1),
    default=SEGMENT_SIZE,
    show_default=True,
    help="Entries in a segment: a power of two.",
)
@click.option("--verify", "verifying", is_flag=True, help="Read all copies back and check them.")
@json_option
@asks_within(Action.AUTOMATE)
def archive(upto: int | None, count: int, verifying: bool, as_json: bool) -> None:
    """Copy complete segments of the ledger to the artifact store, each verifiable by itself.

    Archiving copies: no entry is taken out of the ledger. The last entries, fewer than a segment,
    wait for the next time.
    """
    plane = shared_plane(Settings.load())
    if verifying:
        if upto is not None:
            raise errors.InvalidInputError("--verify checks every copy; leave out --upto.")
        _say_checked(list(plane.archive.verify()), as_json=as_json)
        return
    actor = acting(plane, Action.AUTOMATE, "the ledger's archive")
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("archiving", total=None)
        found = list(
            plane.archive.archive(
                actor=actor,
                upto=upto,
                count=count,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    _say_archived(plane, found, as_json=as_json)


def _say_archived(plane: Plane, found: list[Segment], *, as_json: bool) -> None:
    end = found[-1].end if found else 0
    waiting = plane.ledger.size() - end
    if as_json:
        say_json({"segments": [_facts(item) for item in found], "not_archived": waiting})
        return
    table(
        ["entries", "root", "sha256", "size", "archived"],
        [_row(item, "now" if item.new else f"entry {item.entry.seq}") for item in found],
        empty="No segment is complete yet.",
    )
    out.print(f"{waiting:,} entries after that are in the ledger only", markup=False)


def _say_checked(checked: list[CheckedSegment], *, as_json: bool) -> None:
    bad = [item.error for item in checked if item.error]
    if as_json:
        say_json({"segments": [_checked_facts(item) for item in checked]})
    else:
        table(
            ["entries", "root", "sha256", "size", "copy"],
            [_row(item.segment, str(item.error or "verified")) for item in checked],
            empty="No segment is archived yet.",
        )
    if bad:
        error = errors.IntegrityError(
            f"{len(bad)} of {len(checked)} archived segments do not verify."
        )
        err.print(f"{error.code} {error.message}", markup=False)
        raise click.exceptions.Exit(error.exit_code)


def _row(segment: Segment, last: str) -> list[str]:
    body = segment.body
    return [
        f"{body.first}-{segment.end - 1}",
        short(body.root),
        short(body.segment.digest),
        size(body.segment.size_bytes),
        last,
    ]


def _facts(segment: Segment) -> dict[str, Any]:
    entry = segment.entry
    return {"seq": entry.seq, "new": segment.new, "archived": segment.body.to_json_value()}


def _checked_facts(item: CheckedSegment) -> dict[str, Any]:
    error = ErrorResponse.of(item.error).to_json_value() if item.error else None
    return {**_facts(item.segment), "verified": error is None, "error": error}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if there is something to do.")
@click.option("--reason", default="a new release", show_default=True, help="Recorded.")
@json_option
@public("an outdated ledger cannot say who may; its database lets the owner alone")
def migrate(check: bool, reason: str, as_json: bool) -> None:
    """Bring the ledger of an older release to this release's schema version.

    No entry is touched, and one is added that says so. An interrupted migration leaves the old
    version or the new one; of two at once, one does it. On PostgreSQL, run it as the role that
    owns the schema.
    """
    settings = Settings.load()
    done = ledger_at(settings.ledger_url).migrate(check_only=check)
    outdated = done.before is not None and done.before < done.after
    if check and outdated:
        raise errors.LedgerOutdatedError(
            f"The ledger has schema version {done.before}; this release works with {done.after}.",
            next_step="Run `ro ledger migrate`.",
        )
    seq = _record_migration(settings, done, reason) if outdated else None
    facts = {"before": done.before, "after": done.after, "migrated": outdated, "seq": seq}
    if as_json:
        say_json(facts)
    elif done.before is None:
        out.print(f"There is no ledger yet; the first write makes one of version {done.after}.")
    elif outdated:
        out.print(f"[green]migrated[/green] from schema version {done.before} to {done.after}.")
        out.print(f"No entry was touched; recorded as entry {seq}.")
    else:
        out.print(f"Already at schema version {done.after}.")


def _record_migration(settings: Settings, done: Migration, reason: str) -> int:
    """The ``seq`` of the event, by the deployment's own user: as it was outdated, the ledger could
    not say whose a token is. After a crash before it, the table ``ledger_schema`` alone tells."""
    entry = shared_plane(settings).record_admin_event(
        AdminActionType.MIGRATE_LEDGER,
        key=names.ledger_schema_name(done.after),
        subject=names.ledger_schema_name(done.after),
        actor=settings.actor,
        reason=reason,
        before={"schema_version": done.before},
        after={"schema_version": done.after},
    )
    return entry.seq


@click.command()
@click.argument("role")
@click.option("--reason", required=True, help="Why the role may append; it is recorded.")
@json_option
@asks_within(Action.GRANT_LEDGER)
def grant(role: str, reason: str, as_json: bool) -> None:
    """Let ROLE of the PostgreSQL server read the ledger and append to it, and nothing else.

    Run it as the role that owns the schema, and the deployment as ROLE: then the server itself
    refuses UPDATE, DELETE, TRUNCATE, DROP and ALTER. Repeat it after a migration.
    """
    settings = Settings.load()
    ledger = ledger_at(settings.ledger_url)
    if not isinstance(ledger, PostgresLedger):
        raise errors.InvalidInputError(
            "The ledger is an SQLite file, which knows no roles.",
            next_step="Set RO_LEDGER_URL to a postgresql:// URL of the schema's owner.",
        )
    plane = shared_plane(settings)
    actor = acting(plane, Action.GRANT_LEDGER, names.ledger_role_name(role))
    ledger.grant(role)
    entry = plane.record_admin_event(
        AdminActionType.GRANT_LEDGER,
        key=names.ledger_grant_event_key(role, plane.ledger.size()),
        subject=names.ledger_role_name(role),
        actor=actor,
        reason=reason,
        after={"rights": ["INSERT", "SELECT"]},
    )
    if as_json:
        say_json({"role": role, "rights": ["INSERT", "SELECT"], "seq": entry.seq})
        return
    out.print(f"[green]granted[/green]: {role} may read and append; recorded as entry {entry.seq}")
