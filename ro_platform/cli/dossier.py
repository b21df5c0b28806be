"""``ro dossier``: a run as one file that anyone can verify, without us, a database or a network."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click

from ro_platform import errors
from ro_platform.checkpoints.keys import deployment_key, trusted_keys
from ro_platform.cli.admin_authority import about
from ro_platform.cli.declared import Noun, asks_within, public
from ro_platform.cli.output import (
    err,
    fields,
    json_option,
    out,
    say_json,
    size,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, JsonObject
from ro_platform.dossier.page import page
from ro_platform.dossier.summary import identity_rows, objections, tables, verified_facts
from ro_platform.dossier.verify import Dossier, verify_dossier
from ro_platform.kernel.files import read_text
from ro_platform.kernel.identity import run_id
from ro_platform.kernel.signing import VerifierKey
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.lookup import MIN_PREFIX
from ro_platform.runs.manifest import read_manifest_file

_FILE = click.argument("file", type=click.Path(path_type=Path))
_MAX_KEY_FILE_BYTES = 1 << 16
_KEY = "Its verifier key, as `ro ledger key` prints it, or a file that holds one."
_STATES = re.compile(r"(PASS|FAIL|SUCCEEDED|FAILED|LOST|REFUSED|CANCELED)( \(warned\))?")


@click.group(cls=Noun)
def command() -> None:
    """Export, verify and show dossiers: one file that proves a run."""


@command.command()
@click.argument("run", metavar="RUN")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file; by default RUN_ID.dossier."
)
@click.option("--with-artifacts", is_flag=True, help="Put the artifacts' bytes in, too.")
@json_option
@asks_within(Action.AUDIT)
def export(run: str, output: Path | None, with_artifacts: bool, as_json: bool) -> None:
    """Write the dossier of RUN: a fingerprint (its first digits do), a run id, or a manifest file.

    A run that ended is sealed first, if it is not yet. Bytes that the gates do not let out are
    withheld, and the dossier says so.
    """
    settings = Settings.load()
    plane, key = shared_plane(settings), deployment_key(settings)
    find = partial(_fingerprint, plane, run)
    fingerprint = about(plane, Action.AUDIT, f"run {run}", find, lambda found: found)
    actor = plane.identity.actor()
    exporter = plane.dossiers(key)
    target = output or Path(f"{run_id(fingerprint)}.dossier")
    with err.status("exporting ..."):
        dossier = exporter.export(fingerprint, target, actor=actor, with_artifacts=with_artifacts)
    if as_json:
        say_json({"file": str(target), **_facts(dossier)})
        return
    out.print(f"{target}: {_words(dossier)}", markup=False)
    for digest, code in dossier.withheld.items():
        out.print(f"withheld: {digest} ({code})", markup=False)
    out.print(f"verify it: ro dossier verify {target} --key '{key.verifier}'", markup=False)


@command.command()
@_FILE
@click.option("--key", "key_text", required=True, metavar="PUB", help=_KEY)
@click.option(
    "--witness",
    "witness_texts",
    multiple=True,
    metavar="PUB",
    help="A witness that must have signed the checkpoint, too. Can be repeated.",
)
@json_option
@public("it reads the file that it is given: whoever has a dossier may verify it")
def verify(file: Path, key_text: str, witness_texts: tuple[str, ...], as_json: bool) -> None:
    """Verify FILE with nothing but the log's public key."""
    witnesses = [_key(text) for text in witness_texts]
    dossier = verify_dossier(file, _key(key_text), witnesses)
    if as_json:
        say_json({"verified": True, **_facts(dossier)})
        return
    out.print(f"[green]verified[/green]: {_words(dossier)}")
    for fact in verified_facts(dossier):
        out.print(f"  {fact}", markup=False)


@command.command()
@_FILE
@click.option("--key", "key_text", metavar="PUB", help=f"{_KEY} By default, this deployment's.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page for a browser here.")
@json_option
@public("it reads the file that it is given, and shows what that tells")
def show(file: Path, key_text: str | None, html: Path | None, as_json: bool) -> None:
    """Show a dossier to a person, after verifying it."""
    keys = (_key(key_text),) if key_text else trusted_keys(Settings.load())
    dossier = _verified_by_one(file, keys)
    if html is not None:
        try:
            html.write_text(page(dossier), "utf-8")
        except OSError as error:
            raise errors.InvalidInputError(
                f"{html} cannot be written: {error.strerror or error}.",
                next_step="Name a file in a folder that can be written.",
            ) from None
    if as_json:
        say_json({"html": str(html) if html else None, **_facts(dossier)})
        return
    fields(identity_rows(dossier))
    for part in tables(dossier):
        out.print(f"\n[bold]{part.title}[/bold]")
        rows = [
            [word(cell) if _STATES.fullmatch(cell) else cell for cell in row] for row in part.rows
        ]
        table(part.columns, rows, empty=part.empty)
    out.print(f"\n[green]verified[/green]: {_words(dossier)}")
    for bad in objections(dossier):
        out.print(f"  {bad}", style="red", markup=False)
    if html is not None:
        out.print(f"page: {html}", markup=False)


def _verified_by_one(file: Path, keys: tuple[VerifierKey, ...]) -> Dossier:
    if not keys:
        raise errors.InvalidInputError(
            "There is no key to verify the dossier with.",
            next_step="Give the log's verifier key with --key.",
        )
    for key in keys[:-1]:
        try:
            return verify_dossier(file, key)
        except errors.DossierRefusedError:
            continue
    return verify_dossier(file, keys[-1])


def _key(text: str) -> VerifierKey:
    path = Path(text)
    try:
        return VerifierKey.parse(
            read_text(path, _MAX_KEY_FILE_BYTES).strip() if path.exists() else text
        )
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidInputError(
            f"The verifier key in {path} cannot be read: {error}.",
            next_step="Give the key itself, or a file that holds it.",
        ) from None


def _fingerprint(plane: Plane, run: str) -> str:
    if Path(run).is_file():
        return read_manifest_file(Path(run)).fingerprint
    known = [item.manifest_fingerprint for item in plane.runs.registered()]
    found = [item for item in known if item.startswith(run) or run_id(item) == run]
    if not found:
        raise errors.ManifestNotRegisteredError(
            f"no registered run is {run!r}.",
            next_step="Give a manifest file, a fingerprint or a run id: `ro manifest list`.",
        )
    if len(found) > 1 or len(run) < MIN_PREFIX:
        raise errors.InvalidInputError(
            f"{run!r} is the beginning of {len(found)} registered manifests.",
            next_step=f"Give at least {MIN_PREFIX} digits that only one begins with.",
        )
    return found[0]


def _words(dossier: Dossier) -> str:
    held = f"{dossier.entries} entries, {size(dossier.size_bytes)}"
    return f"run {dossier.run_id}, {held}, signed by {dossier.checkpoint.origin}"


def _facts(dossier: Dossier) -> JsonObject:
    return {
        "run_id": dossier.run_id,
        "manifest_fingerprint": dossier.fingerprint,
        "workload": dossier.manifest.workload,
        "entries": dossier.entries,
        "records": len(dossier.records),
        "attempts": [item.to_json_value() for item in dossier.attempts],
        "artifacts": [item.to_json_value() for item in dossier.refs],
        "withheld": dict(dossier.withheld),
        "with_artifacts": dossier.with_artifacts,
        "checkpoint": {
            "origin": dossier.checkpoint.origin,
            "size": dossier.checkpoint.size,
            "root": dossier.checkpoint.root.hex(),
            "witnesses": list(dossier.witnesses),
        },
    }
