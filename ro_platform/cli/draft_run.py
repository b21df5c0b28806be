"""``ro run --draft``: what a draft computed, marked as one on every screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ro_platform.cli.output import Cell, err, out, say_error, say_json, short, size, table, word
from ro_platform.config.settings import Settings
from ro_platform.contracts import ErrorResponse, JobAttemptRecord
from ro_platform.errors import RunOperateError
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.plan import AssetStanding

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
    standings: tuple[AssetStanding, ...],
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
    standings: tuple[AssetStanding, ...],
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


def _error_facts(error: RunOperateError | None) -> dict[str, Any] | None:
    return ErrorResponse.of(error).to_json_value() if error else None
