"""``ro ledger``: read the log, recompute it, and prove one entry to somebody else."""

from __future__ import annotations

import click

from ro_platform.cli.declared import Noun, asks
from ro_platform.cli.ledger.archive import archive, grant, migrate
from ro_platform.cli.ledger.checkpoints import checkpoint, checkpoints, key, verify
from ro_platform.cli.output import json_option, moment, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, EntryKind
from ro_platform.ledger.words import entry_words
from ro_platform.plane import shared_plane


@click.group(cls=Noun)
def command() -> None:
    """Read, verify and prove the ledger."""


@command.command()
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice([kind.value for kind in EntryKind]),
    help="Only entries of this kind, such as gate_receipt or pass_revoked.",
)
@click.option("--run", "run_id", help="Only entries about this run_id.")
@click.option("--dagster-run", "dagster_run_id", help="Only entries about this Dagster run.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="No limit.")
@json_option
@asks(Action.VIEW, "the ledger")
def log(
    kind: str | None,
    run_id: str | None,
    dagster_run_id: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """Show the newest entries, in their order."""
    entries = list(
        shared_plane(Settings.load()).ledger.scan(
            kind=EntryKind(kind) if kind else None,
            run_id=run_id,
            dagster_run_id=dagster_run_id,
            newest_first=True,
            limit=None if everything else limit,
        )
    )[::-1]
    if as_json:
        say_json([entry.to_json_value() for entry in entries])
        return
    table(
        ["seq", "recorded (UTC)", "kind", "actor", "what"],
        [
            [
                str(item.seq),
                moment(item.recorded_at_utc),
                item.kind.value,
                item.actor,
                entry_words(item),
            ]
            for item in entries
        ],
        empty="The ledger has no such entry.",
    )


@command.command()
@click.argument("seq", type=click.IntRange(min=0))
@click.option("--size", type=click.IntRange(min=1), help="Under the root of that size.")
@json_option
@asks(Action.VIEW, "the ledger")
def prove(seq: int, size: int | None, as_json: bool) -> None:
    """Prove that entry SEQ is in the log: its bytes, the sibling hashes, and the root.

    Anyone can check it with SHA-256 and RFC 9162.
    """
    ledger = shared_plane(Settings.load()).ledger
    entry, proof = ledger.get(seq), ledger.inclusion_proof(seq, size)
    if as_json:
        say_json({"entry": entry.to_json_value(), "proof": proof.to_json_value()})
        return
    out.print(f"entry {seq} of {proof.size}: {entry_words(entry)}", markup=False)
    out.print(f"leaf  {proof.leaf}")
    for level, step in enumerate(proof.path):
        out.print(f"path {level:>2} {step}")
    out.print(f"root  {proof.root}")


for part in (archive, checkpoint, checkpoints, grant, key, migrate, verify):
    command.add_command(part)
