"""``ro ledger verify``: recompute the log, and compare it with all that was kept of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
from rich.progress import Progress

from ro_platform.checkpoints.keys import trusted_keys, verifier_keys
from ro_platform.checkpoints.service import Checkpoints
from ro_platform.checkpoints.witnesses.addresses import witness_at
from ro_platform.cli.declared import public
from ro_platform.cli.output import err, json_option, out, say_json
from ro_platform.config.settings import Settings
from ro_platform.errors import InvalidInputError
from ro_platform.kernel.files import read_file
from ro_platform.kernel.signing import MAX_NOTE_BYTES, VerifierKey
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.verification import Kept, Verification, require_one_view
from ro_platform.plane import shared_plane

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
        say_json(_facts(found, kept, outside))
    else:
        _say(service, found, kept, outside)


def _verified(ledger: Ledger, kept: list[Kept], jobs: int) -> Verification:
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        return ledger.verify(
            lambda done, total: progress.update(task, completed=done, total=total),
            against=kept,
            jobs=jobs,
        )


def _facts(found: Verification, kept: list[Kept], outside: bool) -> dict[str, object]:
    return {
        "size": found.size,
        "root": found.root.hex(),
        "verified": True,
        "against": [
            {"size": one.size, "root": one.root.hex(), "said_by": one.said_by} for one in kept
        ],
        "outside": outside,
    }


def _say(service: Checkpoints, found: Verification, kept: list[Kept], outside: bool) -> None:
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
        raise InvalidInputError(
            f"{text!r} is neither SIZE:ROOT nor a file that can be read: {error}.",
            next_step="Give a signed checkpoint, or what `ro ledger verify --json` printed "
            "earlier, as 120:9f2c...",
        ) from None
