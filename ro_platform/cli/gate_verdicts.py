"""``ro gate receipts`` and ``ro gate evidence``: what gates said of an artifact, and on what."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ro_platform.cli.admin_authority import about
from ro_platform.cli.declared import asks_within
from ro_platform.cli.output import (
    Cell,
    json_option,
    moment,
    out,
    say_json,
    short,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, BoundRef
from ro_platform.errors import InvalidInputError, NotFoundError
from ro_platform.gates.verdicts import Verdict, verdicts_on
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.lookup import Located

target_argument = click.argument("target", metavar="TARGET")


def one_artifact(plane: Plane, target: str) -> BoundRef:
    """The one bound artifact that ``target`` names; raises as :func:`one_located`."""
    return one_located(plane, target).ref


def one_located(plane: Plane, target: str) -> Located:
    """The one bound artifact that ``target`` names, and where it is bound.

    Raises :class:`InvalidInputError` where the same bytes are bound in several places: verdicts
    speak of one asset under one manifest.
    """
    found = {item.ref.ref: item for item in plane.lookup.find(target)}
    places = {(item.asset, item.fingerprint): item for item in found.values()}
    if len(places) > 1:
        named = ", ".join(sorted(f"{asset}@{print_[:12]}" for asset, print_ in places)[:4])
        raise InvalidInputError(
            f"{target!r} is bound in {len(places)} places: {named}"
            f"{', ...' if len(places) > 4 else ''}.",
            next_step="Name the one that is meant as ASSET@FINGERPRINT.",
        )
    [located] = places.values()
    return located


def one_artifact_for(plane: Plane, action: Action, target: str) -> BoundRef:
    """The one bound artifact that ``target`` names, for somebody who may do that to its workload's.

    Raises also :class:`AccessDeniedError`.
    """
    find = partial(one_located, plane, target)
    return about(plane, action, f"artifact {target}", find, lambda found: found.fingerprint).ref


@click.command()
@target_argument
@json_option
@asks_within(Action.VIEW)
def receipts(target: str, as_json: bool) -> None:
    """List every verdict on an artifact, oldest first: status, rule, receipt, evidence, revocation.

    A TARGET is ASSET@FINGERPRINT, a locator (refs/...json) or a SHA-256.
    """
    plane = shared_plane(Settings.load())
    ref = one_artifact_for(plane, Action.VIEW, target)
    found = verdicts_on(plane.store, plane.ledger, ref)
    if as_json:
        say_json({"artifact": ref.to_json_value(), "verdicts": [_facts(item) for item in found]})
        return
    table(
        ["gate", "status", "rule", "when (UTC)", "revoked", "receipt and evidence"],
        [_row(item) for item in found],
        empty="No gate has judged it yet.",
    )


@click.command()
@target_argument
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--gate", "gate_id", required=True, help="Whose newest verdict it is.")
@json_option
@asks_within(Action.READ_ARTIFACT)
def evidence(target: str, destination: Path, gate_id: str, as_json: bool) -> None:
    """Copy the evidence of a gate's newest verdict on an artifact to DESTINATION, verified."""
    plane = shared_plane(Settings.load())
    ref = one_artifact_for(plane, Action.READ_ARTIFACT, target)
    found = [
        item
        for item in verdicts_on(plane.store, plane.ledger, ref)
        if item.recorded.gate_id == gate_id
    ]
    if not found:
        raise NotFoundError(
            f"gate {gate_id!r} has given no verdict on sha256:{ref.digest}.",
            next_step="`ro gate receipts TARGET` lists those there are.",
        )
    newest = found[-1]
    if newest.problem:
        raise newest.problem
    if newest.evidence is None:
        raise NotFoundError(
            f"the newest verdict of gate {gate_id!r} on sha256:{ref.digest} came without evidence.",
            next_step="A gate keeps evidence by `plane.run(context).evidence(...)`, "
            "if its author wants it.",
        )
    plane.store.copy_to(newest.evidence, destination)
    if as_json:
        say_json({"evidence": newest.evidence.to_json_value(), "destination": str(destination)})
    else:
        out.print(f"{destination}: sha256:{newest.evidence.digest}", markup=False)


def _row(verdict: Verdict) -> list[Cell]:
    recorded, revoked = verdict.recorded, verdict.revoked
    kept = f"  evidence {verdict.evidence.ref}" if verdict.evidence else ""
    return [
        recorded.gate_id,
        word(verdict.word),
        short(recorded.rule_digest),
        moment(verdict.entry.recorded_at_utc),
        f"{revoked.actor} {moment(revoked.recorded_at_utc)}" if revoked else "-",
        f"{recorded.receipt.ref}{kept}",
    ]


def _facts(verdict: Verdict) -> dict[str, Any]:
    revoked = verdict.revoked
    return {
        "seq": verdict.entry.seq,
        "gate_id": verdict.recorded.gate_id,
        "status": verdict.word,
        "rule_digest": verdict.recorded.rule_digest,
        "recorded_at_utc": verdict.entry.recorded_at_utc,
        "receipt": verdict.recorded.receipt.to_json_value(),
        "evidence": verdict.evidence.to_json_value() if verdict.evidence else None,
        "problem": verdict.problem.message if verdict.problem else None,
        "revoked": {
            "seq": revoked.seq,
            "actor": revoked.actor,
            "recorded_at_utc": revoked.recorded_at_utc,
            "reason": revoked.body["reason"],
        }
        if revoked
        else None,
    }
