"""``ro ledger checkpoint``, ``key``, ``verify``: sign the ledger, compare it with what was kept."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from ro_platform import errors
from ro_platform.checkpoints.keys import deployment_key, trusted_keys, verifier_keys
from ro_platform.checkpoints.notes import SignedCheckpoint, checked_origin
from ro_platform.checkpoints.service import Checkpoints, Delivery, Holding
from ro_platform.checkpoints.witnesses.addresses import witness_at
from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks, asks_within, public
from ro_platform.cli.output import err, json_option, out, say_error, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse
from ro_platform.kernel.files import read_file
from ro_platform.kernel.signing import MAX_NOTE_BYTES, VerifierKey, create_key_file
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.verification import Kept, Verification, require_one_view
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


def _error(error: errors.RunOperateError | None) -> dict[str, Any] | None:
    return ErrorResponse.of(error).to_json_value() if error else None


_MAX_PATH = 256
_SIZE_AND_ROOT = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})")


@click.command()
@click.option(
    "--against",
    metavar="FILE",
    multiple=True,
    help="A signed checkpoint kept elsewhere, or SIZE:ROOT; may be given again.",
)
@click.option(
    "--witness",
    "addresses",
    metavar="URL",
    multiple=True,
    help="Also read this witness's checkpoints; may be given again.",
)
@click.option("--key", metavar="KEY", help="Believe this verifier key (or file of keys) only.")
@click.option("--offline", is_flag=True, help="Do not ask the configured witnesses.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that verify a large ledger. By default one a processor.",
)
@json_option
@public("it tells size, root and the place of damage, and no entry")
def verify(
    against: tuple[str, ...],
    addresses: tuple[str, ...],
    key: str | None,
    offline: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Recompute the Merkle tree from the stored entries, and compare it with all that was kept.

    The ledger must extend every checkpoint in the artifact store, at the configured witnesses, and
    given here: an outside one shows a cut, forked or rewritten history.
    """
    settings = Settings.load()
    plane = shared_plane(settings)
    trusted = _keys(key) if key else trusted_keys(settings)
    service = plane.checkpoints
    witnesses = [] if offline else service.witnesses()
    witnesses += [witness_at(address, plane.store.backend) for address in addresses]
    pairs = [one for text in against if (one := _size_and_root(text))]
    files = [(text, _note(text)) for text in against if not _SIZE_AND_ROOT.fullmatch(text)]
    kept = pairs + service.kept(trusted, files=files, witnesses=witnesses)
    require_one_view(kept)
    found = _verified(plane.ledger, kept, jobs or len(os.sched_getaffinity(0)))
    outside = bool(pairs or files or witnesses)
    if as_json:
        say_json(_facts_of_verdict(found, kept, outside))
    else:
        _say_verdict(service, found, kept, outside)


def _verified(ledger: Ledger, kept: list[Kept], jobs: int) -> Verification:
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        return ledger.verify(
            lambda done, total: progress.update(task, completed=done, total=total),
            against=kept,
            jobs=jobs,
        )


def _facts_of_verdict(found: Verification, kept: list[Kept], outside: bool) -> dict[str, object]:
    return {
        "size": found.size,
        "root": found.root.hex(),
        "verified": True,
        "against": [
            {"size": one.size, "root": one.root.hex(), "said_by": one.said_by} for one in kept
        ],
        "outside": outside,
    }


def _say_verdict(
    service: Checkpoints, found: Verification, kept: list[Kept], outside: bool
) -> None:
    out.print(f"[green]verified[/green]: {found.size} entries, root {found.root.hex()}")
    if kept:
        last = kept[-1]
        out.print(
            f"States kept of it that it extends: {len(kept)}; the last, up to entry "
            f"{last.size - 1}: {last.said_by}.",
            markup=False,
        )
    if not outside:
        seen = "Only our own checkpoints were compared" if kept else "Nothing was compared"
        out.print(
            f"{seen}: a tail cut off, or a history rewritten by who can write store and ledger, "
            f"cannot be seen. Keep checkpoints of {service.origin} outside (RO_WITNESSES), or give "
            "one with --against."
        )


def _keys(text: str) -> tuple[VerifierKey, ...]:
    """Keys, or those in a file: of any path here, while that of a setting is absolute."""
    named = len(text) < _MAX_PATH and Path(text).is_file()
    return verifier_keys(str(Path(text).absolute()) if named else text)


def _size_and_root(text: str) -> Kept | None:
    found = _SIZE_AND_ROOT.fullmatch(text)
    return Kept(int(found[1]), bytes.fromhex(found[2])) if found else None


def _note(text: str) -> bytes:
    try:
        return read_file(text, MAX_NOTE_BYTES)
    except OSError as error:
        raise errors.InvalidInputError(
            f"{text!r} is neither SIZE:ROOT nor a file that can be read: {error}.",
            next_step="Give a signed checkpoint, or what `ro ledger verify --json` printed "
            "earlier, as 120:9f2c...",
        ) from None
