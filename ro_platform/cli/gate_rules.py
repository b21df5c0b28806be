"""``ro gate explain``, ``diff`` and ``run``: what a gate judges by, and judging again by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ro_platform.artifacts.addressing import blob_name
from ro_platform.cli.declared import asks, asks_within
from ro_platform.cli.output import (
    Cell,
    err,
    fields,
    json_option,
    out,
    say_json,
    short,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ArtifactRef, EntryKind
from ro_platform.errors import GateRefusedError, NotFoundError
from ro_platform.gates.catalogue import declared_in
from ro_platform.kernel.code.listing import NOT_COVERED, listing_digest
from ro_platform.kernel.code.shown import difference, lines_of
from ro_platform.plane import Plane, shared_plane

if TYPE_CHECKING:
    from ro_platform.gates.guard import Standing


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
        raise NotFoundError(
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
    rows: list[tuple[str, Standing]] = []
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
        raise click.exceptions.Exit(GateRefusedError.exit_code)


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


def _unknown(gate_id: str) -> NotFoundError:
    return NotFoundError(
        f"no gate {gate_id!r} is on record or in the code.",
        next_step="See `ro gate list` for those on record.",
    )
