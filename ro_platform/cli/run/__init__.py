"""``ro run``: one manifest, governed from end to end, with progress and a table of what stands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks_within
from ro_platform.cli.draft import run_draft
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
from ro_platform.cli.run import changes as run_changes
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse, JobAttemptRecord, JobStatus
from ro_platform.ledger import names
from ro_platform.plane import shared_plane
from ro_platform.runs.attempt import is_open, shown_status
from ro_platform.runs.manifest import read_manifest_file

if TYPE_CHECKING:
    from ro_platform.gates.guard import GateState
    from ro_platform.orchestration.execution import GovernedRun, RunOutcome
    from ro_platform.runs.plan import AssetState

_POLL_SECONDS = 0.25


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replay", is_flag=True, help="Execute again and prove every artifact identical.")
@run_changes.options
@click.option(
    "--draft", is_flag=True, help="Try it out apart from everything governed: see `ro draft`."
)
@click.option(
    "--draft-name", metavar="NAME", help="With --draft: its name, by default the workload's."
)
@json_option
@asks_within(Action.LAUNCH)
def command(
    file: Path,
    replay: bool,
    when_changed: run_changes.WhenChanged,
    draft: bool,
    draft_name: str | None,
    as_json: bool,
) -> None:
    """Carry the manifest in FILE through its workload.

    What already stands (bound, and passed by every gate) is not computed again; what of it other
    code or packages made than now is told.
    """
    settings = Settings.load()
    manifest = read_manifest_file(file)
    workload = manifest.manifest.workload
    if draft or draft_name:
        if replay or when_changed.is_asked:
            raise click.UsageError("A draft has nothing to replay or to be strict about.")
        run_draft(settings, manifest, draft_name or workload, as_json=as_json)
        return
    acting(
        shared_plane(settings), Action.LAUNCH, names.workload_target(workload), workload=workload
    )
    files = run_changes.files_of(shared_plane(settings), manifest, when_changed)
    with err.status("loading the deployment ..."):
        from ro_platform.orchestration.execution import GovernedRun

        run = GovernedRun.prepare(settings, manifest, replay=replay)
    changes = run_changes.since(run, files, when_changed)
    if when_changed.recompute and changes.assets:
        changes = replace(changes, old_fingerprint=run.file.fingerprint)
        run = GovernedRun.prepare(
            settings, run_changes.recomputed(run, when_changed), replay=replay
        )
    with progress(run):
        outcome = run.execute()
    if as_json:
        say_json({**_facts(outcome, settings), "changes": changes.facts()})
    else:
        _show(outcome, settings)
        changes.show()
        if outcome.error:
            say_error(outcome.error, as_json=False)
    if outcome.error:
        raise click.exceptions.Exit(outcome.error.exit_code)


@contextmanager
def progress(run: GovernedRun) -> Iterator[None]:
    """Show how far the run is, as the ledger tells it, until the block ends."""
    units = run.units
    if not units:
        yield
        return
    known = {attempt.attempt_id for attempt in run.plane.attempts.of_run(run.file.fingerprint)}
    finished = threading.Event()
    bar = Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )
    task = bar.add_task("starting", total=len(units))

    def look() -> None:
        records = run.plane.attempts.of_run(run.file.fingerprint)
        attempts = [record for record in records if record.attempt_id not in known]
        running = [item.unit for item in attempts if item.status is JobStatus.RUNNING]
        ended = {item.unit for item in attempts if not is_open(item.status)}
        bar.update(task, completed=len(ended), description=running[0] if running else "...")

    said: set[str] = set()

    def watch() -> None:
        while not finished.wait(_POLL_SECONDS):
            look()
            for words in {wait.words() for wait in run.waits()} - said:
                said.add(words)
                bar.console.print(words, markup=False, soft_wrap=True)

    watcher = threading.Thread(target=watch, name="ro-progress", daemon=True)
    with bar:
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            look()
            bar.update(task, description="ended")


def _show(outcome: RunOutcome, settings: Settings) -> None:
    out.print(f"[bold]{outcome.workload}[/bold] under manifest {outcome.fingerprint}")
    table(
        ["asset", "attempt", "status", "result", "sha256", "size", "gates"],
        [_row(item, outcome) for item in outcome.standings],
        empty="This workload has no assets.",
    )
    ledger = shared_plane(settings).ledger
    out.print(_conclusion(outcome))
    out.print(f"ledger: {ledger.size()} entries, root {ledger.root().hex()}")
    if run_id := _last_dagster_run(outcome):
        out.print(f"see it: `make ui` or `dagster dev`, then {settings.run_address(run_id)}")


def _row(standing: AssetState, outcome: RunOutcome) -> list[Cell]:
    """What stands and who made it; apart from it, in ``result``, what this call did."""
    attempt = outcome.told(standing)
    return [
        standing.asset,
        f"#{attempt.number} {attempt.attempt_id[:8]}" if attempt else "-",
        word(shown_status(attempt)) if attempt else "-",
        _result(outcome.result(standing)),
        short(standing.ref.digest) if standing.ref else "-",
        size(standing.ref.size_bytes) if standing.ref else "-",
        gates_in_words(standing),
    ]


def _result(words: str) -> Text:
    """What this call did; how its own attempt ended in that status's colour."""
    first, _, rest = words.partition(" ")
    ended = first in {*JobStatus}
    return Text.assemble(word(first), f" {rest}") if ended else Text(words)


def gates_in_words(standing: AssetState) -> Text:
    """``2 PASS`` (of them, those that warned), or what does not stand, by name: that is what a
    person looks for. What is no gate's matter says only what it is: ``BLOCKED``."""
    refused = [gate for gate in standing.gates if gate.refusal]
    if standing.ref is None:
        return Text("-")
    if not refused:
        warned = sum(gate.warned for gate in standing.gates)
        stands = Text.assemble(f"{len(standing.gates) - warned} ", word("PASS"))
        return stands.append_text(Text.assemble(f", {warned} ", word("WARN"))) if warned else stands
    named = [
        Text.assemble(word(gate.word), "" if gate.gate_id.startswith("(") else f" {_name(gate)}")
        for gate in refused
    ]
    return Text(", ").join(named)


def _name(gate: GateState) -> str:
    return gate.gate_id.rpartition(".")[2]


def _conclusion(outcome: RunOutcome) -> str:
    if outcome.error and not outcome.dagster_run_id:
        return "[red]nothing is left to do, and not everything may be read[/red]"
    if outcome.error:
        return "[red]the run did not come to its end[/red]"
    if outcome.replay:
        same = sum(outcome.result(item) == "identical" for item in outcome.standings)
        if same == len(outcome.standings):
            return f"[green]replayed: all {same} artifacts are byte-identical[/green]"
        return f"replayed: {same} artifacts are byte-identical, the others are new"
    if not outcome.dagster_run_id:
        return "[green]everything stands: nothing was computed[/green]"
    return f"[green]computed {len(outcome.executed)} of {len(outcome.standings)} assets[/green]"


def _last_dagster_run(outcome: RunOutcome) -> str | None:
    """This call's Dagster run, or the one that computed what was kept."""
    if outcome.dagster_run_id or not outcome.attempts:
        return outcome.dagster_run_id
    return outcome.attempts[-1].correlation_ids.dagster_run_id


def _facts(outcome: RunOutcome, settings: Settings) -> dict[str, Any]:
    newest = {attempt.unit: attempt for attempt in outcome.attempts}
    ledger = shared_plane(settings).ledger
    run_id = _last_dagster_run(outcome)
    return {
        "manifest_fingerprint": outcome.fingerprint,
        "run_id": outcome.run_id,
        "workload": outcome.workload,
        "registered": outcome.registered,
        "replay": outcome.replay,
        "identical": _identical(outcome),
        "executed": list(outcome.executed),
        "dagster_run_id": outcome.dagster_run_id,
        "assets": [
            {
                "result": outcome.result(item),
                "this_call": _attempt_facts(outcome.own(item.asset)),
                "made_by": _attempt_facts(outcome.told(item)) if item.ref else None,
                **_asset_facts(item, newest.get(item.asset)),
            }
            for item in outcome.standings
        ],
        "ledger": {"size": ledger.size(), "root": ledger.root().hex()},
        "ui": settings.run_address(run_id) if run_id else None,
        "error": ErrorResponse.of(outcome.error).to_json_value() if outcome.error else None,
    }


def _attempt_facts(attempt: JobAttemptRecord | None) -> dict[str, Any] | None:
    if attempt is None:
        return None
    ids = attempt.correlation_ids
    return {
        "attempt_id": attempt.attempt_id,
        "number": attempt.number,
        "status": attempt.status.value,
        "shown_as": shown_status(attempt),
        "error_code": attempt.error_code,
        "dagster_run_id": ids.dagster_run_id,
    }


def _identical(outcome: RunOutcome) -> bool | None:
    """Whether a replay proved every artifact; None where nothing was replayed."""
    if not outcome.replay:
        return None
    results = {outcome.result(item) for item in outcome.standings}
    return results <= {"identical", "skipped"}


def _asset_facts(standing: AssetState, attempt: JobAttemptRecord | None) -> dict[str, Any]:
    return {
        "asset": standing.asset,
        "stands": standing.stands,
        "artifact": standing.ref.to_json_value() if standing.ref else None,
        "attempt": attempt.to_json_value() if attempt else None,
        "gates": [
            {
                "gate_id": gate.gate_id,
                "status": gate.word,
                "refusal": ErrorResponse.of(gate.refusal).to_json_value() if gate.refusal else None,
            }
            for gate in standing.gates
        ],
    }
