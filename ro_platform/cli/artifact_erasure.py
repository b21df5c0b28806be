"""``ro artifact erase``: bytes go for good, and a tombstone with the reason stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import click

from ro_platform.admin.intents import admin_request
from ro_platform.admin.outcomes import Outcome
from ro_platform.cli.admin_authority import about, acting
from ro_platform.cli.declared import asks_within
from ro_platform.cli.output import err, json_option, out, say_json, size
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType
from ro_platform.errors import InvalidInputError
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.erasure import Erasure

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
        raise InvalidInputError(
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
    key = plane.admin.key_for(request)
    outcome = plane.admin.perform(request, actor=plane.identity.actor(), key=key)
    return _shown(plane, digest, outcome)


def _completed(plane: Plane, actor: str) -> Iterator[Erasure]:
    """The erasures that an administrative action began and a crash interrupted."""
    for intent in plane.admin.open_intents():
        if intent.event.action_type is AdminActionType.ERASE_ARTIFACT:
            outcome = plane.admin.complete(intent, by=actor)
            yield _shown(plane, str(outcome.request.parameters["digest"]), outcome)


def _shown(plane: Plane, digest: str, outcome: Outcome) -> Erasure:
    """The erasure on record, with what this call removed."""
    found = plane.erasures.on_record(digest)
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
