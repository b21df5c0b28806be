"""``ro admin proofs``: what a replay proved, manifest by manifest."""

from __future__ import annotations

from dataclasses import asdict

import click

from ro_platform import errors
from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks_within
from ro_platform.cli.output import json_option, say_json, table, word
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.plane import shared_plane


@click.command()
@click.argument("event_id")
@json_option
@asks_within(Action.VIEW)
def proofs(event_id: str, as_json: bool) -> None:
    """Show what the replay EVENT_ID proved: identical bytes, or where they diverged first."""
    settings = Settings.load()
    acting(shared_plane(settings), Action.VIEW, f"replay {event_id}")
    # Imported where it is used: Dagster would slow down every command.
    from ro_platform.orchestration.operations import orchestrator

    found = orchestrator(settings).proofs(event_id)
    if as_json:
        say_json([asdict(proof) for proof in found])
    else:
        table(
            ["manifest", "result", "unit", "words"],
            [
                [
                    proof.manifest_fingerprint,
                    word(proof.result),
                    proof.unit or "",
                    proof.words or "",
                ]
                for proof in found
            ],
            empty="It is over no manifest.",
        )
    if any(proof.result == "diverged" for proof in found):
        raise click.exceptions.Exit(errors.ReplayDivergedError.exit_code)
