"""``ro ledger checkpoint``, ``checkpoints`` and ``key``: sign the ledger, and who keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ro_platform.checkpoints.keys import deployment_key, trusted_keys
from ro_platform.checkpoints.notes import SignedCheckpoint, checked_origin
from ro_platform.checkpoints.service import Delivery, Holding
from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks, asks_within, public
from ro_platform.cli.output import json_option, out, say_error, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse
from ro_platform.errors import RunOperateError
from ro_platform.kernel.signing import create_key_file
from ro_platform.plane import shared_plane


@click.command()
@click.option(
    "--every",
    metavar="ENTRIES",
    type=click.IntRange(min=1),
    help="Only if that many entries came since the last one; witnesses are served all the same.",
)
@json_option
@asks_within(Action.AUTOMATE)
def checkpoint(every: int | None, as_json: bool) -> None:
    """Sign the ledger's size and root, and hand it to the witnesses.

    Each witness gets every checkpoint that it lacks. If one fails, the others are served, and the
    command exits with that one's code.
    """
    settings = Settings.load()
    plane = shared_plane(settings)
    acting(plane, Action.AUTOMATE, "the ledger's checkpoints")
    service = plane.checkpoints
    due = every is None or service.due(every)
    signed = service.issue(deployment_key(settings)) if due else service.latest()
    deliveries = service.deliver()
    if as_json:
        say_json(_facts(signed, deliveries))
    else:
        _say(signed, deliveries)
    failed = [one.error for one in deliveries if one.error]
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


@click.command()
@json_option
@asks(Action.VIEW, "the ledger's checkpoints")
def checkpoints(as_json: bool) -> None:
    """List our checkpoints, and what each witness holds."""
    service = shared_plane(Settings.load()).checkpoints
    holdings = service.holdings()
    if as_json:
        say_json(
            {"origin": service.origin, "holdings": [_holding(holding) for holding in holdings]}
        )
        return
    ours = set(holdings[0].sizes)
    table(
        ["kept by", "checkpoints", "newest", "lacks", "note"],
        [_row(holding, ours) for holding in holdings],
        empty="",
    )


@click.command()
@click.option("--create", is_flag=True, help="Make a key where RO_SIGNING_KEY says, once.")
@json_option
@public("a verifier key is for everybody; to make the key it asks for issue_token")
def key(create: bool, as_json: bool) -> None:
    """Print the verifier key by which others check this ledger's checkpoints.

    Give it to them yourself: what comes with a checkpoint proves nothing.
    """
    settings = Settings.load()
    if create:
        acting(shared_plane(settings), Action.ISSUE_TOKEN, "the signing key")
        create_key_file(settings.signing_key, checked_origin(settings.ledger_origin))
    own = deployment_key(settings).verifier
    if as_json:
        keys = trusted_keys(settings)
        say_json({"key": str(own), "file": str(settings.signing_key), "trusted": [*map(str, keys)]})
        return
    out.print(str(own), markup=False)


def _facts(signed: SignedCheckpoint | None, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    said = signed.checkpoint if signed else None
    return {
        "checkpoint": said
        and {
            "origin": said.origin,
            "size": said.size,
            "root": said.root.hex(),
            "signed_at_utc": said.moment,
            "note": signed.note.decode() if signed else None,
        },
        "witnesses": [
            {
                "witness": one.witness,
                "delivered": list(one.delivered),
                "missing": list(one.missing),
                "error": _error(one.error),
            }
            for one in deliveries
        ],
    }


def _say(signed: SignedCheckpoint | None, deliveries: Sequence[Delivery]) -> None:
    if signed is None:
        out.print("No checkpoint is due, and there is none yet.")
        return
    said = signed.checkpoint
    out.print(f"checkpoint of {said.size} entries, root {said.root.hex()}, {said.moment}")
    for one in deliveries:
        word = "[red]failed[/red]" if one.error else "[green]kept[/green]"
        counts = f"{len(one.delivered)} handed over, {len(one.missing)} missing"
        out.print(f"{word}  {one.witness}: {counts}")
        if one.error:
            say_error(one.error, as_json=False)
    if not deliveries:
        out.print("No witness is configured: keep it outside yourself, or set RO_WITNESSES.")


def _holding(holding: Holding) -> dict[str, Any]:
    return {
        "place": holding.place,
        "sizes": list(holding.sizes),
        "error": _error(holding.error),
    }


def _row(holding: Holding, ours: set[int]) -> list[str]:
    if holding.error:
        return [holding.place, "", "", "", holding.error.message]
    lacks, others = len(ours - set(holding.sizes)), len(set(holding.sizes) - ours)
    newest = str(max(holding.sizes, default=""))
    note = f"{others} that we do not have" if others else ""
    return [holding.place, str(len(holding.sizes)), newest, str(lacks), note]


def _error(error: RunOperateError | None) -> dict[str, Any] | None:
    return ErrorResponse.of(error).to_json_value() if error else None
