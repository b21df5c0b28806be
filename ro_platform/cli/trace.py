"""``ro trace``: everything on record that made, used, judged or touched what an id names."""

from __future__ import annotations

import click

from ro_platform.cli.declared import asks
from ro_platform.cli.output import json_option, moment, out, say_json, table, word
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.ledger.words import entry_words
from ro_platform.plane import shared_plane
from ro_platform.runs.trace import Trace, TraceKind


@click.command()
@click.argument("identifier", metavar="ID")
@click.option(
    "--as",
    "kind",
    type=click.Choice([kind.value for kind in TraceKind]),
    help="What ID is the id of, where it is ambiguous.",
)
@json_option
@asks(Action.VIEW, "the ledger")
def command(identifier: str, kind: str | None, as_json: bool) -> None:
    """Show everything that made, used, judged or touched what ID names, in the ledger's order.

    \b
    An ID is one of
      run_id, train_run_id, bundle_id, attempt_id, admin_event_id
      a manifest's fingerprint (the first digits do)
      a Dagster run's id
      SHA-256             the digest of an artifact or an input
      refs/...json        a locator, as `ro artifact list` prints it
      ASSET@FINGERPRINT   an asset under a manifest (the first digits do)
    """
    traced = shared_plane(Settings.load()).tracer.trace(
        identifier, TraceKind(kind) if kind else None
    )
    if as_json:
        say_json(_facts(traced))
        return
    out.print(f"{traced.kind.value.replace('_', ' ')} {traced.identifier}", markup=False)
    table(
        ["seq", "recorded (UTC)", "how", "who", "what"],
        [
            [
                str(line.entry.seq),
                moment(line.entry.recorded_at_utc),
                word(line.relation.value),
                line.entry.actor,
                f"{line.entry.kind.value} {entry_words(line.entry)}",
            ]
            for line in traced.lines
        ],
        empty="Nothing is on record about it.",
    )


def _facts(traced: Trace) -> dict[str, object]:
    return {
        "kind": traced.kind.value,
        "id": traced.identifier,
        "entries": [
            {"relation": line.relation.value, "entry": line.entry.to_json_value()}
            for line in traced.lines
        ],
    }
