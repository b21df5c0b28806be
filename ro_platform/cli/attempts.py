"""``ro attempts``: every execution, how it stands, and ending those whose end nobody told."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import click

from ro_platform import errors
from ro_platform.cli.admin_authority import about, acting
from ro_platform.cli.declared import Noun, asks, asks_within
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
from ro_platform.contracts import Action, EntryKind, JobAttemptRecord, JobStatus, LedgerEntry
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.log import Ledger
from ro_platform.plane import shared_plane
from ro_platform.runs.attempt import is_open, project, shown_status, transition_of
from ro_platform.runs.lookup import MIN_PREFIX
from ro_platform.runs.reconciliation import Ending, Pass

_FINGERPRINT_DIGITS, _ID_DIGITS = 64, 32


@click.group(cls=Noun)
def command() -> None:
    """List attempts, show one, and end those whose worker vanished."""


@command.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that have not ended.")
@click.option("--run", "run", metavar="FP", help="Only under this manifest fingerprint or run_id.")
@click.option("--status", type=click.Choice([item.value for item in JobStatus]))
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="No limit.")
@json_option
@asks(Action.VIEW, "attempts")
def list_attempts(
    only_open: bool,
    run: str | None,
    status: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """List the newest attempts in the order in which they began."""
    ledger = shared_plane(Settings.load()).ledger
    found = [
        record
        for record in project(_moves(ledger, run_id=_run_id(run)))
        if (is_open(record.status) or not only_open) and status in (None, record.status.value)
    ]
    found = found if everything else found[-limit:]
    if as_json:
        say_json([record.to_json_value() for record in found])
        return
    table(
        ["attempt", "unit", "manifest", "no", "status", "since (UTC)", "error"],
        [_row(record) for record in found],
        empty="There is no such attempt.",
    )


@command.command()
@click.argument("attempt_id")
@json_option
@asks_within(Action.VIEW)
def show(attempt_id: str, as_json: bool) -> None:
    """Show an attempt: every transition, what went in and came out, and its error.

    ATTEMPT_ID may be shortened to digits that only one begins with.
    """
    plane = shared_plane(Settings.load())
    find = partial(_moves_of, plane.ledger, attempt_id)
    moves = about(plane, Action.VIEW, f"attempt {attempt_id}", find, _fingerprint)
    (record,) = project(moves)
    if as_json:
        transitions = [entry.to_json_value() for entry in moves]
        say_json({"attempt": record.to_json_value(), "transitions": transitions})
        return
    fields(list(_about(record)))
    out.print()
    table(
        ["seq", "recorded (UTC)", "status", "actor"],
        [
            [str(item.seq), moment(item.recorded_at_utc), word(_status(item)), item.actor]
            for item in moves
        ],
        empty="",
    )


@command.command()
@click.option("--dry-run", is_flag=True, help="Say what would be ended; write nothing.")
@json_option
@asks_within(Action.AUTOMATE)
def reconcile(dry_run: bool, as_json: bool) -> None:
    """End the attempts whose end nobody told, by what Dagster has on record of their runs.

    A run that has finished and that nobody sealed is sealed. It is safe at any time and as often as
    one likes: what runs or waits is left alone, and what has ended stays as it ended. The
    deployment's sensor does the same every half minute.
    """
    settings = Settings.load()
    actor = acting(shared_plane(settings), Action.AUTOMATE, "attempts")
    with err.status("asking Dagster ..."):
        from ro_platform.orchestration.reconcile import reconcile_attempts

        done = reconcile_attempts(settings, actor=actor, dry_run=dry_run)
    if as_json:
        say_json(_pass_facts(done, dry_run=dry_run))
        return
    table(
        ["attempt", "unit", "was", "becomes" if dry_run else "became", "why"],
        [_ended_row(ending) for ending in done.ended],
        empty="No attempt is open that should not be.",
    )
    verb = "would be" if dry_run else "were"
    out.print(
        f"{len(done.ended)} attempts {verb} ended; {len(done.open)} are open, waiting or running.\n"
        f"Finished runs without a seal that {verb} sealed: {len(done.sealed)}."
    )


def _moves(ledger: Ledger, **selection: Any) -> Iterable[LedgerEntry]:
    return ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION, **selection)


def _fingerprint(moves: list[LedgerEntry]) -> str:
    (record,) = project(moves)
    return record.manifest_fingerprint


def _moves_of(ledger: Ledger, prefix: str) -> list[LedgerEntry]:
    if len(prefix) == _ID_DIGITS:
        known = (ledger.find(names.attempt_key(prefix, status)) for status in JobStatus)
        found = sorted(filter(None, known), key=lambda entry: entry.seq)
    elif len(prefix) >= MIN_PREFIX:
        found = [
            entry for entry in _moves(ledger) if transition_of(entry).attempt_id.startswith(prefix)
        ]
    else:
        raise errors.InvalidInputError(
            f"{prefix!r} is too short.", next_step=f"Give at least {MIN_PREFIX} digits."
        )
    matching = {transition_of(entry).attempt_id for entry in found}
    if len(matching) > 1:
        raise errors.InvalidInputError(
            f"{prefix!r} is the beginning of {len(matching)} attempts.",
            next_step="Give more digits.",
        )
    if not matching:
        raise errors.NotFoundError(
            f"no attempt is called {prefix!r}.", next_step="See `ro attempts list --all`."
        )
    return found


def _run_id(named: str | None) -> str | None:
    """The ``run_id`` of a manifest named by its fingerprint, or by its ``run_id``."""
    if named is None or len(named) == _ID_DIGITS:
        return named
    if len(named) != _FINGERPRINT_DIGITS:
        raise errors.InvalidInputError(
            f"{named!r} names no manifest.",
            next_step="Give the whole fingerprint or run_id; `ro manifest list` prints them.",
        )
    return run_id(named)


def _row(record: JobAttemptRecord) -> list[Cell]:
    return [
        short(record.attempt_id),
        record.unit,
        short(record.manifest_fingerprint),
        f"#{record.number}",
        word(shown_status(record)),
        moment(record.updated_at_utc),
        record.error_code or "-",
    ]


def _about(record: JobAttemptRecord) -> Iterable[list[Cell]]:
    yield ["attempt_id", record.attempt_id]
    yield ["unit", f"{record.unit} #{record.number}"]
    yield ["status", word(shown_status(record))]
    yield ["manifest", record.manifest_fingerprint]
    ids = record.correlation_ids.model_dump(exclude_none=True)
    for name, value in ids.items():
        yield [name, str(value)]
    yield ["step", record.step_key]
    if record.code_version:
        yield ["code version", record.code_version]
    if record.runtime:
        yield ["runtime", f"{record.runtime.implementation} {record.runtime.python}"]
    for pin in record.config_versions:
        yield [f"config {pin.config_name}", f"version {pin.config_version}, sha256:{pin.digest}"]
    for title, items in (("input", record.inputs), ("output", record.outputs)):
        for item in items:
            yield [f"{title} {item.name}", f"sha256:{item.artifact.digest}"]
    if record.error_code or record.error:
        yield ["error", f"{record.error_code or ''} {record.error or ''}".strip()]


def _status(entry: LedgerEntry) -> str:
    return shown_status(transition_of(entry))


def _ended_row(ending: Ending) -> list[Cell]:
    attempt = ending.item.attempt
    return [
        short(attempt.attempt_id),
        attempt.unit,
        word(attempt.status),
        word(ending.status),
        ending.why,
    ]


def _pass_facts(done: Pass, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "ended": [
            {
                "attempt_id": item.item.attempt.attempt_id,
                "unit": item.item.attempt.unit,
                "manifest_fingerprint": item.item.attempt.manifest_fingerprint,
                "dagster_run_id": item.item.dagster_run_id,
                "was": item.item.attempt.status.value,
                "status": item.status.value,
                "error_code": item.error_code,
                "why": item.why,
            }
            for item in done.ended
        ],
        "open": [item.attempt.attempt_id for item in done.open],
        "sealed": list(done.sealed),
    }
