"""``ro gate explain``, ``diff``, ``run``, ``receipts``, ``evidence``: rules, what they judged."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name
from ro_platform.cli.admin_authority import about
from ro_platform.cli.declared import asks, asks_within
from ro_platform.cli.output import (
    Cell,
    err,
    fields,
    json_option,
    moment,
    out,
    say_json,
    short,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ArtifactRef, BoundRef, EntryKind
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.receipts import GateVerdict, verdicts_on
from ro_platform.kernel.code.listing import NOT_COVERED, listing_digest
from ro_platform.kernel.code.shown import difference, lines_of
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.lookup import Located

if TYPE_CHECKING:
    from ro_platform.gates.guard import GateState


@click.command()
@click.argument("gate_id", metavar="GATE")
@json_option
@asks(Action.VIEW, "gates")
def explain(gate_id: str, as_json: bool) -> None:
    """Show what gate GATE judges by: its rule, all that went into it, and what is not covered."""
    settings = Settings.load()
    plane = shared_plane(settings)
    recorded = _recorded(plane, gate_id)
    now = _of_code(settings, gate_id) or (recorded[-1] if recorded else None)
    if now is None:
        raise _unknown(gate_id)
    listing = _listing(plane, now)
    if as_json:
        say_json({"gate_id": gate_id, "rule": now, "on_record": recorded, "listing": listing,
                  "not_covered": dict(NOT_COVERED)})  # fmt: skip
        return
    rows: list[list[Cell]] = [["gate", gate_id], ["rule", now]]
    rows.append(["on record", recorded[-1] if recorded else "not yet"])
    fields(rows)
    if listing is None:
        out.print("\nIts author vouches for this rule: no listing went into it.", markup=False)
    else:
        out.print("", *lines_of(listing), sep="\n", markup=False)
    out.print("\nNot covered:", markup=False)
    fields([[f"  {name}", words] for name, words in NOT_COVERED])


@click.command("diff")
@click.argument("old", metavar="GATE_OR_OLD")
@click.argument("new", required=False)
@json_option
@asks(Action.VIEW, "gates")
def diff(old: str, new: str | None, as_json: bool) -> None:
    """Compare two rules, part by part: rule OLD with rule NEW, or what gate GATE judged by before
    with what it judges by now."""
    settings = Settings.load()
    plane = shared_plane(settings)
    first, second = (old, new) if new else _before_and_now(settings, plane, old)
    listings = [_listing(plane, version) for version in (first, second)]
    if listings[0] is None or listings[1] is None:
        missing = first if listings[0] is None else second
        raise errors.NotFoundError(
            f"there is no listing of rule {missing!r} to compare.",
            next_step="Rules have one from `rule1-` on; it is kept when the gate is put on record.",
        )
    lines = difference(listings[0], listings[1], (first, second))
    if as_json:
        say_json({"old": first, "new": second, "diff": lines})
    elif lines:
        out.print(*lines, sep="\n", markup=False)
    else:
        out.print("both rules are the same", markup=False)


@click.command()
@click.option("--manifest", help="Only this manifest, by its fingerprint or the start of it.")
@click.option("--asset", help="Only the gates of this asset.")
@click.option("--gate", help="Only this gate.")
@json_option
@asks_within(Action.LAUNCH)
def run(manifest: str | None, asset: str | None, gate: str | None, as_json: bool) -> None:
    """Judge what exists again, wherever a gate has no verdict under its rule of now.

    Nothing is made. Whoever may launch a workload may do this to it.
    """
    settings = Settings.load()
    with err.status("loading the deployment ..."):
        from ro_platform.orchestration.judging import Choice, judge, runs_to_judge

        choice = Choice(manifest, asset, gate)
        runs = list(runs_to_judge(settings, choice))
    rows: list[tuple[str, GateState]] = []
    for number, each in enumerate(runs, 1):
        with err.status(f"judging under manifest {number} of {len(runs)} ..."):
            rows += [(each.file.fingerprint, item) for item in judge(each, choice)]
    if as_json:
        say_json([{"manifest_fingerprint": print_, "gate_id": item.gate_id, "status": item.word}
                  for print_, item in rows])  # fmt: skip
    else:
        table(
            ["manifest", "gate", "verdict"],
            [[short(print_), item.gate_id, word(item.word)] for print_, item in rows],
            empty="Every verdict on what exists is under the rules of now.",
        )
    refused = [item.refusal for _, item in rows if item.refusal]
    if refused:
        raise click.exceptions.Exit(errors.GateRefusedError.exit_code)


def _of_code(settings: Settings, gate_id: str) -> str | None:
    """The gate's code version as this deployment's code has it; None if it has no such gate."""
    with err.status("loading the deployment ..."):
        from ro_platform.orchestration.judging import rules_of_code

        found = rules_of_code(settings).get(gate_id)
    return found[1].code_version if found else None


def _recorded(plane: Plane, gate_id: str) -> list[str]:
    """The code versions that a gate had on record, oldest first, each once in a row."""
    versions: list[str] = []
    for entry in plane.ledger.scan(kind=EntryKind.GATE_SET_DECLARED):
        for rule in declared_in(entry).gates:
            if rule.gate_id == gate_id and versions[-1:] != [rule.code_version]:
                versions.append(rule.code_version)
    return versions


def _before_and_now(settings: Settings, plane: Plane, gate_id: str) -> tuple[str, str]:
    recorded = _recorded(plane, gate_id)
    now = _of_code(settings, gate_id) or (recorded[-1] if recorded else None)
    if now is None:
        raise _unknown(gate_id)
    before = [version for version in recorded if version != now]
    return (before[-1] if before else now), now


def _listing(plane: Plane, version: str) -> dict[str, Any] | None:
    """The listing of a rule: of the code that is loaded, or as it was kept; None for a rule that
    has none."""
    digest = listing_digest(version)
    if digest is None:
        return None
    from ro_platform.orchestration.listings import known_listing

    data = known_listing(version)
    if data is None:
        data = plane.store.read(
            ArtifactRef(ref=blob_name(digest), digest=digest, digest_alg="sha256")
        )
    found: dict[str, Any] = json.loads(data)
    return found


def _unknown(gate_id: str) -> errors.NotFoundError:
    return errors.NotFoundError(
        f"no gate {gate_id!r} is on record or in the code.",
        next_step="See `ro gate list` for those on record.",
    )


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
        raise errors.InvalidInputError(
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
        raise errors.NotFoundError(
            f"gate {gate_id!r} has given no verdict on sha256:{ref.digest}.",
            next_step="`ro gate receipts TARGET` lists those there are.",
        )
    newest = found[-1]
    if newest.problem:
        raise newest.problem
    if newest.evidence is None:
        raise errors.NotFoundError(
            f"the newest verdict of gate {gate_id!r} on sha256:{ref.digest} came without evidence.",
            next_step="A gate keeps evidence by `plane.run(context).evidence(...)`, "
            "if its author wants it.",
        )
    plane.store.copy_to(newest.evidence, destination)
    if as_json:
        say_json({"evidence": newest.evidence.to_json_value(), "destination": str(destination)})
    else:
        out.print(f"{destination}: sha256:{newest.evidence.digest}", markup=False)


def _row(verdict: GateVerdict) -> list[Cell]:
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


def _facts(verdict: GateVerdict) -> dict[str, Any]:
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
