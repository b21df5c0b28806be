"""``ro draft`` and ``ro run --draft``: what was tried out. Nothing of it is governed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ro_platform import errors
from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import Noun, asks, asks_within
from ro_platform.cli.output import (
    Cell,
    err,
    json_option,
    out,
    say_error,
    say_json,
    short,
    size,
    table,
    word,
)
from ro_platform.config.drafts import draft_facts, drafts_of, find_draft, remove_draft
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse, JobAttemptRecord
from ro_platform.plane import shared_plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.plan import AssetState

NOTHING_GOVERNED = "DRAFT: nothing of this is governed"


def run_draft(settings: Settings, file: ManifestFile, name: str, *, as_json: bool) -> None:
    """Carry a manifest through its workload in a draft, and show what came of it."""
    with err.status("loading the deployment ..."):
        # Imported where it is used: it imports Dagster.
        from ro_platform.orchestration import draft
        from ro_platform.orchestration.code_location import load_definitions

    with draft.drafting(settings, name, file) as (own, instance):
        from ro_platform.cli.run import progress

        with err.status("DRAFT: loading the deployment ..."):
            run = draft.prepare_draft(own, instance, file, load_definitions(own))
        with progress(run):
            outcome = run.execute()
        newest = {attempt.unit: attempt for attempt in outcome.attempts}
        results = draft.results(run, outcome)
    if as_json:
        say_json(
            {
                "draft": name,
                "governed": False,
                "folder": str(own.home),
                "manifest_fingerprint": outcome.fingerprint,
                "workload": outcome.workload,
                "executed": list(outcome.executed),
                **standing_facts(outcome.standings, newest, results),
                "error": _error_facts(outcome.error),
            }
        )
    else:
        out.print(f"[bold red]DRAFT {name}[/bold red] of {outcome.workload}: nothing is governed")
        show_standings(outcome.standings, newest, results)
        computed = f"DRAFT: computed {len(outcome.executed)} of {len(outcome.standings)} assets"
        folder = own.home.relative_to(own.root) if own.home.is_relative_to(own.root) else own.home
        out.print(f"{computed}, below {folder}", style="yellow", markup=False)
        if outcome.error:
            say_error(outcome.error, as_json=False)
    if outcome.error:
        raise click.exceptions.Exit(outcome.error.exit_code)


def show_standings(
    standings: tuple[AssetState, ...],
    newest: Mapping[str, JobAttemptRecord],
    results: Mapping[str, str],
) -> None:
    """The table of a draft. Its attempts and verdicts are the draft's; of what is read where it is
    governed, the verdicts are those there."""
    # Imported where it is used: it imports this module.
    from ro_platform.cli.run import gates_in_words

    rows: list[list[Cell]] = []
    for item in standings:
        attempt = newest.get(item.asset)
        result = results[item.asset]
        drafted = result != "governed"
        rows.append(
            [
                item.asset,
                f"#{attempt.number} {attempt.attempt_id[:8]}" if attempt and drafted else "-",
                word(attempt.status) if attempt and drafted else "-",
                result if result == "governed" else f"DRAFT {result}",
                short(item.ref.digest) if item.ref else "-",
                size(item.ref.size_bytes) if item.ref else "-",
                gates_in_words(item),
            ]
        )
    table(
        ["asset", "attempt", "status", "result", "sha256", "size", "gates"],
        rows,
        empty="DRAFT: this workload has no assets.",
    )


def standing_facts(
    standings: tuple[AssetState, ...],
    newest: Mapping[str, JobAttemptRecord],
    results: Mapping[str, str],
) -> dict[str, Any]:
    """The same for ``--json``."""
    assets = [
        {
            "asset": item.asset,
            "result": results[item.asset],
            "stands_in_draft": item.stands,
            "artifact": item.ref.to_json_value() if item.ref else None,
            "attempt": newest[item.asset].to_json_value() if item.asset in newest else None,
            "gates": {gate.gate_id: gate.word for gate in item.gates},
        }
        for item in standings
    ]
    return {"assets": assets}


def _error_facts(error: errors.RunOperateError | None) -> dict[str, Any] | None:
    return ErrorResponse.of(error).to_json_value() if error else None


_NAME = click.argument("name")


@click.group(cls=Noun)
def command() -> None:
    """List, show, look into and remove drafts. Nothing of a draft is governed.

    `ro run FILE --draft` makes one: below RO_HOME/drafts, apart from everything governed.
    """


@command.command("list")
@json_option
@asks(Action.VIEW, "drafts")
def list_drafts(as_json: bool) -> None:
    """List the drafts of this deployment, and the manifest of the newest run of each."""
    settings = Settings.load()
    found = [draft_facts(find_draft(settings, name)) for name in drafts_of(settings)]
    if as_json:
        say_json({"governed": False, "drafts": found})
        return
    table(
        ["DRAFT", "workload", "manifest_fingerprint", "by"],
        [[str(item.get(field, "-")) for field in _COLUMNS] for item in found],
        empty="There is no draft: `ro run FILE --draft` makes one.",
    )


@command.command()
@_NAME
@json_option
@asks_within(Action.VIEW)
def show(name: str, as_json: bool) -> None:
    """Show what the newest run of draft NAME has made, and what its gates said."""
    draft = _allowed(Action.VIEW, name)
    plane, fingerprint = shared_plane(draft), str(draft_facts(draft)["manifest_fingerprint"])
    made = sorted({asset for asset, _, _, _ in plane.lookup.on_record(beginning=fingerprint)})
    standings: tuple[AssetState, ...] = ()
    if made:
        standings = plane.planner.standings(fingerprint, plane.runs.manifest(fingerprint), made)
    newest = {attempt.unit: attempt for attempt in plane.attempts.of_run(fingerprint)}
    results = dict.fromkeys(made, "made")
    if as_json:
        facts = standing_facts(standings, newest, results)
        say_json({"draft": name, "governed": False, "manifest_fingerprint": fingerprint, **facts})
        return
    out.print(f"[bold red]DRAFT {name}[/bold red] under manifest {fingerprint}")
    show_standings(standings, newest, results)
    out.print(NOTHING_GOVERNED, style="yellow")


@command.command()
@_NAME
@click.argument("target", metavar="TARGET")
@click.argument("destination", type=click.Path(path_type=Path))
@json_option
@asks_within(Action.READ_ARTIFACT)
def get(name: str, target: str, destination: Path, as_json: bool) -> None:
    """Copy what draft NAME made to DESTINATION, whatever its gates said.

    A TARGET is as in `ro artifact get`.
    """
    plane = shared_plane(_allowed(Action.READ_ARTIFACT, name))
    located = plane.lookup.find(target)[0]
    plane.store.copy_to(located.ref, destination)
    facts = {"draft": name, "governed": False, "artifact": located.ref.to_json_value()}
    if as_json:
        say_json({**facts, "destination": str(destination)})
        return
    words = f"{destination}: sha256:{located.ref.digest}, {size(located.ref.size_bytes)}"
    out.print(f"DRAFT {name}: {words}", markup=False)


@command.command()
@_NAME
@json_option
@asks_within(Action.LAUNCH)
def remove(name: str, as_json: bool) -> None:
    """Remove draft NAME and all that it made. Nothing governed refers to any of it."""
    _allowed(Action.LAUNCH, name)
    remove_draft(Settings.load(), name)
    if as_json:
        say_json({"removed": name})
    else:
        out.print(f"DRAFT {name} is removed", markup=False)


def _allowed(action: Action, name: str) -> Settings:
    """The settings of a draft, for somebody who may do that to its workload's."""
    settings = Settings.load()
    plane, target = shared_plane(settings), f"draft {name}"
    try:
        draft = find_draft(settings, name)
    except errors.RunOperateError:
        acting(plane, action, target)
        raise
    acting(plane, action, target, workload=draft_facts(draft).get("workload"))
    return draft


_COLUMNS = ("draft", "workload", "manifest_fingerprint", "actor")
