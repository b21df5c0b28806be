"""``ro artifact``: what is bound, what it looks like, a copy of it, and whether it is intact.

Reading goes through the guard: what its gates have not passed is listed and verified here, but
neither copied out nor previewed.

``ro artifact erase``: bytes go for good, and a tombstone with the reason stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from ro_platform import errors
from ro_platform.admin.intents import admin_request
from ro_platform.admin.outcomes import Outcome
from ro_platform.cli.admin_authority import about, acting
from ro_platform.cli.declared import Noun, asks, asks_within, public
from ro_platform.cli.output import (
    Cell,
    err,
    fields,
    json_option,
    out,
    plain,
    say_error,
    say_json,
    short,
    size,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType, ErrorResponse
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.audit import UNRECORDED, AuditFinding
from ro_platform.runs.erasure import Erasure
from ro_platform.runs.lookup import Located

_DIGEST = re.compile(r"(sha256:)?([a-f0-9]{64})")


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option("--reason", help="Why the bytes may not be kept; it is recorded, and shown to all.")
@click.option(
    "--all-bindings",
    is_flag=True,
    help="Erase them wherever they are bound or an input, not only in one place.",
)
@click.option("--resume", is_flag=True, help="Complete erasures that a crash interrupted.")
@json_option
@asks_within(Action.ERASE_ARTIFACT)
def erase(
    target: str | None, reason: str | None, all_bindings: bool, resume: bool, as_json: bool
) -> None:
    """Erase the bytes of TARGET for good, and leave a tombstone with the reason.

    A TARGET is ASSET@FINGERPRINT, a locator (refs/...json) or a SHA-256, also of an input. Its
    bytes cannot be read or stored again; what was made from it stands. Look first: `ro trace
    TARGET`, `ro gate impact TARGET`.
    """
    if resume == (target is not None) or (target is not None and not reason):
        raise errors.InvalidInputError(
            "erasing takes a TARGET and a --reason, or --resume alone.",
            next_step="Try `ro artifact erase TARGET --reason ...`.",
        )
    plane = shared_plane(Settings.load())
    with err.status("erasing ..."):
        if target is None:
            actor = acting(plane, Action.ERASE_ARTIFACT, "interrupted erasures")
            done = [*_completed(plane, actor), *plane.erasures.resume(actor=actor)]
        else:
            done = [_erase(plane, _digest_of(plane, target), reason or "", all_bindings)]
    if as_json:
        say_json({"erased": [_facts(item) for item in done]})
        return
    for item in done:
        _show(item)
    if not done:
        out.print("every erasure on record is complete")


def _erase(plane: Plane, digest: str, reason: str, all_bindings: bool) -> Erasure:
    request = admin_request(
        AdminActionType.ERASE_ARTIFACT,
        reason=reason,
        parameters={"digest": digest, "all_bindings": all_bindings},
    )
    key, files = plane.admin.key_for(request), plane.erasures.files(digest)
    outcome = plane.admin.perform(request, actor=plane.identity.actor(), key=key)
    return _shown(plane, digest, outcome, files)


def _completed(plane: Plane, actor: str) -> Iterator[Erasure]:
    """The erasures that an administrative action began and a crash interrupted."""
    for intent in plane.admin.open_intents():
        if intent.event.action_type is AdminActionType.ERASE_ARTIFACT:
            outcome = plane.admin.complete(intent, by=actor)
            yield _shown(plane, str(outcome.request.parameters["digest"]), outcome)


def _shown(plane: Plane, digest: str, outcome: Outcome, files: Collection[str] = ()) -> Erasure:
    """The erasure on record, with what this call removed, and what it kept of those files."""
    found = plane.erasures.on_record(digest, files)
    if not outcome.new:
        return found
    counts = {name: outcome.after.get(name) for name in ("blobs", "bytes")}
    blobs, size_bytes = (value if isinstance(value, int) else 0 for value in counts.values())
    new = found.body.admin_event_id == outcome.event_id
    return replace(found, new=new, blobs=blobs, size_bytes=size_bytes)


def _digest_of(plane: Plane, target: str) -> str:
    found = _DIGEST.fullmatch(target)
    if found:
        return found[2]
    find = partial(plane.lookup.find, target)
    located = about(
        plane, Action.ERASE_ARTIFACT, f"artifact {target}", find, lambda found: found[0].fingerprint
    )
    return located[0].ref.digest


def _show(item: Erasure) -> None:
    body = item.body
    already = "" if item.new else f" (on record since entry {item.entry.seq})"
    out.print(f"erased: sha256:{body.digest}{already}", markup=False)
    for place in (*body.bindings, *(f"input of manifest {print_}" for print_ in body.inputs)):
        out.print(f"  {place}", markup=False)
    plural = "s" * (item.blobs != 1)
    out.print(f"removed: {item.blobs:,} object{plural}, {size(item.size_bytes)}", markup=False)
    for digest, holders in item.kept.items():
        out.print(f"kept: sha256:{digest}, {holders[0]}", markup=False)


def _facts(item: Erasure) -> dict[str, Any]:
    return {
        "new": item.new,
        "seq": item.entry.seq,
        "recorded_at_utc": item.entry.recorded_at_utc,
        "tombstone": item.body.to_json_value(),
        "blobs": item.blobs,
        "size_bytes": item.size_bytes,
        "kept": [
            {"digest": digest, "held_by": list(holders)} for digest, holders in item.kept.items()
        ],
    }


_TARGET = click.argument("target", metavar="TARGET")
_PREVIEW_ROWS = 10
_NO_PREVIEW = "its gates have not passed, or it is no table or document"


@click.group(cls=Noun)
def command() -> None:
    """List, show, get, verify and erase artifacts.

    \b
    A TARGET is one of
      ASSET@FINGERPRINT   an asset under a manifest (the first digits do)
      refs/...json        a locator, as `ro artifact list` prints it
      SHA-256             the digest of its bytes
    """


command.add_command(erase)


@command.command("list")
@click.option("--asset", default="", help="Only this asset and those below it.")
@click.option("--manifest", default="", help="Only under manifests that begin with these digits.")
@json_option
@asks(Action.VIEW, "artifacts")
def list_artifacts(asset: str, manifest: str, as_json: bool) -> None:
    """List what is on record: asset, manifest, revision, digest, size."""
    found = list(shared_plane(Settings.load()).lookup.on_record(asset, manifest))
    if as_json:
        say_json([_binding_facts(*item) for item in found])
        return
    table(
        ["asset", "manifest", "rev", "sha256", "size", "media type"],
        [
            [name, short(print_), str(rev), short(ref.digest), size(ref.size_bytes), ref.media_type]
            for name, print_, rev, ref in found
        ],
        empty="Nothing is bound yet.",
    )


@command.command()
@_TARGET
@json_option
@asks_within(Action.VIEW)
def show(target: str, as_json: bool) -> None:
    """Show an artifact: digests, where it is bound, who made it, its gates and a preview."""
    plane = shared_plane(Settings.load())
    found = _found(plane, Action.VIEW, target)
    first = found[0]
    gates = plane.lookup.standings(first)
    makers = [bound.attempt_id for bound in plane.lookup.makers(first.ref.digest)]
    preview, why_none = _preview(plane, target)
    if as_json:
        say_json(
            {
                "artifact": first.ref.to_json_value(),
                "bound": [item.ref.ref for item in found],
                "attempts": makers,
                "gates": {gate.gate_id: gate.word for gate in gates},
                "preview": preview,
            }
        )
        return
    rows: list[list[Cell]] = [["asset", first.asset]]
    rows += [[name, str(value)] for name, value in first.ref.to_json_value().items()]
    rows += [["also bound as", item.ref.ref] for item in found[1:]]
    rows += [["made by attempt", maker] for maker in makers]
    rows += [[f"gate {gate.gate_id}", word(gate.word)] for gate in gates]
    fields(rows)
    if preview is None:
        out.print(f"no preview: {why_none}", markup=False)
    else:
        _show_preview(preview)


@command.command()
@_TARGET
@click.argument("destination", type=click.Path(path_type=Path))
@json_option
@asks_within(Action.READ_ARTIFACT)
def get(target: str, destination: Path, as_json: bool) -> None:
    """Copy an artifact to DESTINATION, verified while it streams; refused without PASS."""
    plane = shared_plane(Settings.load())
    _found(plane, Action.READ_ARTIFACT, target)
    located = plane.lookup.readable(target)
    with err.status(f"copying {size(located.ref.size_bytes)} ..."):
        plane.store.copy_to(located.ref, destination)
    if as_json:
        say_json({"artifact": located.ref.to_json_value(), "destination": str(destination)})
    else:
        out.print(f"{destination}: sha256:{located.ref.digest}", markup=False)


@command.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Verify everything stored against the ledger."
)
@click.option("--full", is_flag=True, help="Check both digests, not only the faster one.")
@json_option
@public(
    "with --all it tells what is intact, sizes and the place of damage, and no content; of one "
    "TARGET it asks for view"
)
def verify(target: str | None, everything: bool, full: bool, as_json: bool) -> None:
    """Read artifacts and check every byte against the digests they are named by.

    With --all also receipts, configs, manifests and inputs, and whether the store still has
    everything that the ledger says was stored.
    """
    if (target is None) != everything:
        raise errors.InvalidInputError("name one TARGET, or --all.", next_step="Try `--all`.")
    plane = shared_plane(Settings.load())
    if target is not None:
        found = _found(plane, Action.VIEW, target)
        findings = [plane.audit.artifact(item.asset, item.ref, full=full) for item in found]
        for finding in findings:
            if finding.error:
                raise finding.error
    else:
        findings = _audit(plane, full=full)
    altered = [finding for finding in findings if finding.error]
    if as_json:
        say_json(_audit_facts(findings))
    elif altered:
        table(
            ["altered", "what is wrong"],
            [[finding.locator, str(finding.error)] for finding in altered],
            empty="",
        )
    else:
        counts = Counter(finding.kind for finding in findings)
        words = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        total = size(sum(finding.size_bytes for finding in findings))
        out.print(f"[green]verified[/green]: {words or 'nothing is stored yet'}; {total}")
    if not as_json:
        for finding in findings:
            if finding.kind == UNRECORDED and not finding.error:
                err.print(f"no entry of the ledger names {finding.locator}", markup=False)
    if altered:
        error = errors.IntegrityError(
            f"{len(altered)} of {len(findings)} stored objects are not what was recorded.",
            next_step="Keep their files as evidence, and restore them from a verified copy.",
        )
        if not as_json:
            say_error(error, as_json=False)
        raise click.exceptions.Exit(error.exit_code)


def _audit(plane: Plane, *, full: bool) -> list[AuditFinding]:
    findings = []
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        for finding in plane.audit.everything(full=full):
            findings.append(finding)
            progress.update(task, advance=1, description=finding.kind)
    return findings


def _found(plane: Plane, action: Action, target: str) -> list[Located]:
    """Where the artifact is bound, if its workload's artifacts may be looked at or read."""
    find = partial(plane.lookup.find, target)
    return about(plane, action, f"artifact {target}", find, lambda found: found[0].fingerprint)


def _preview(plane: Plane, target: str) -> tuple[Any, str]:
    """The first rows of what may be read; of what may not None, and why."""
    from ro_platform.artifacts.encodings import preview  # pandas: only where it is needed

    try:
        _found(plane, Action.READ_ARTIFACT, target)
        located: Located = plane.lookup.readable(target)
    except errors.AccessDeniedError as denied:
        return None, denied.message
    except errors.GateRefusedError:
        return None, _NO_PREVIEW
    return preview(plane.store, located.ref, _PREVIEW_ROWS), _NO_PREVIEW


def _show_preview(preview: Any) -> None:
    """Rows as a table, anything else as JSON."""
    rows = preview if isinstance(preview, list) else []
    if rows and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        out.print()
        table(list(rows[0]), [[plain(cell) for cell in row.values()] for row in rows], empty="")
    else:
        out.print_json(data=preview)


def _binding_facts(asset: str, fingerprint: str, revision: int, ref: Any) -> dict[str, Any]:
    return {
        "asset": asset,
        "manifest_fingerprint": fingerprint,
        "revision": revision,
        "artifact": ref.to_json_value(),
    }


def _audit_facts(findings: list[AuditFinding]) -> dict[str, Any]:
    altered = [
        {
            "kind": finding.kind,
            "ref": finding.locator,
            "error": ErrorResponse.of(finding.error).to_json_value(),
        }
        for finding in findings
        if finding.error
    ]
    whole = [item for item in findings if not item.error]
    erased = [item.locator for item in whole if item.kind.startswith("erased")]
    unrecorded = [item.locator for item in whole if item.kind == UNRECORDED]
    intact = len(whole) - len(erased) - len(unrecorded)
    return {
        "verified": intact,
        "altered": altered,
        "erased": erased,
        "unrecorded": unrecorded,
    }
