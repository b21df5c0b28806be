"""``ro admin``: the closed set of administrative actions, and what they left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import click

from ro_platform.admin.administration import Administration, Reconciled
from ro_platform.admin.outcomes import Outcome
from ro_platform.admin.replay import ReplayAction
from ro_platform.cli.admin_authority import say_mode
from ro_platform.cli.admin_dagster import (
    administration_for,
    drains_of,
    say_drain,
    with_orchestrator,
)
from ro_platform.cli.admin_forms import Values, commands
from ro_platform.cli.admin_proofs import proofs
from ro_platform.cli.admin_status import status
from ro_platform.cli.declared import ADMINISTRATIVE, Noun, asks, asks_within
from ro_platform.cli.output import (
    Cell,
    err,
    fields,
    json_option,
    moment,
    out,
    plain,
    say_json,
    size,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import (
    Action,
    AdminActionType,
    AdminEvent,
    AdminRequest,
    EntryKind,
    ErrorResponse,
    LedgerEntry,
)
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane, shared_plane

_POLL_SECONDS = 1.0
_OVERDUE = 9
_LISTS = ("standing", "pause", "manifests", "manifests_digest")
"""What `ro admin status` shows better than a line could."""


@click.group(cls=Noun)
def command() -> None:
    """Pause, drain, cancel, replay, revoke, promote, erase, publish, grant: each on record."""


def _perform(plane: Plane, request: AdminRequest, values: Values) -> None:
    say_mode(plane)
    administration = administration_for(plane, [request.action_type])
    if values.get("dry_run"):
        _plan(plane, administration, request, as_json=values["as_json"])
        return
    service = administration.service
    key = values["key"] or service.key_for(request)
    outcome = service.perform(request, actor=plane.identity.actor(), key=key)
    _warn_of_a_new_name(plane, request)
    if values["as_json"]:
        say_json(outcome_facts(outcome, key))
    else:
        say_outcome(outcome)
    if values.get("wait"):
        _wait(plane, outcome, as_json=values["as_json"])


def _warn_of_a_new_name(plane: Plane, request: AdminRequest) -> None:
    """A pause may come before the first run; more often such a name is a slip of the pen."""
    found = names.workload_target.parse(str(request.parameters.get("target")))
    if not found or request.action_type not in (AdminActionType.PAUSE, AdminActionType.DRAIN):
        return
    if all(found[0] != item.workload for item in plane.runs.registered()):
        err.print(f"No manifest of a workload {found[0]} is registered yet.", style="yellow")


for part in commands(_perform, with_extra=True):
    command.add_command(part)
command.add_command(proofs)
command.add_command(status)


@command.command()
@json_option
@asks_within(Action.AUTOMATE, *ADMINISTRATIVE)
def reconcile(as_json: bool) -> None:
    """Bring every action that a crash left without an outcome to exactly one.

    It is safe at any time and as often as one likes.
    """
    plane = shared_plane(Settings.load())
    say_mode(plane)
    waiting = {intent.event.action_type for intent in plane.admin.open_intents()}
    administration = administration_for(plane, waiting)
    done = list(administration.reconcile(actor=plane.identity.actor()))
    if as_json:
        say_json({"reconciled": [_reconciled_facts(item) for item in done]})
    else:
        table(
            ["action", "target", "by", "outcome"],
            [
                [
                    item.intent.event.action_type,
                    ", ".join(item.intent.event.targets),
                    item.intent.event.actor,
                    item.outcome.result if item.outcome else str(item.error),
                ]
                for item in done
            ],
            empty="Every action on record has its outcome.",
        )
    failed = [item.error for item in done if item.error]
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


@command.command()
@click.option(
    "--action",
    metavar="ACTION",
    type=click.Choice([item.value for item in AdminActionType]),
    help="Only this action, such as pause.",
)
@click.option("--by", "actor", help="Only what this actor did.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--all", "everything", is_flag=True, help="No limit.")
@json_option
@asks(Action.VIEW, "administrative events")
def events(
    action: str | None, actor: str | None, limit: int, everything: bool, as_json: bool
) -> None:
    """List the newest administrative events, refusals included, newest first."""
    plane = shared_plane(Settings.load())
    found: list[tuple[LedgerEntry, AdminEvent]] = []
    for entry, event in _events(plane):
        if action in (None, event.action_type.value) and actor in (None, event.actor):
            found.append((entry, event))
        if len(found) == limit and not everything:
            break
    if as_json:
        say_json([{"seq": entry.seq, **event.to_json_value()} for entry, event in found])
        return
    table(
        ["seq", "when (UTC)", "action", "result", "by", "target", "reason"],
        [_event_row(entry, event) for entry, event in found],
        empty="Nobody did anything yet.",
    )


def _events(plane: Plane) -> Iterator[tuple[LedgerEntry, AdminEvent]]:
    for entry in plane.ledger.scan(kind=EntryKind.ADMIN_EVENT, newest_first=True):
        yield entry, body_of(entry, AdminEvent)


def _event_row(entry: LedgerEntry, event: AdminEvent) -> list[Cell]:
    return [
        str(entry.seq),
        moment(entry.recorded_at_utc),
        event.action_type,
        word(event.result or "-"),
        event.actor,
        ", ".join(event.targets),
        event.reason,
    ]


def say_outcome(outcome: Outcome) -> None:
    """Print what came of an action: what it changed, and where that is on record."""
    kind, targets = outcome.request.action_type, ", ".join(outcome.request.targets)
    if outcome.entry is None:
        out.print(f"{kind} of {targets}: it is so already, nothing was recorded", markup=False)
        return
    again = "" if outcome.new else " (on record already)"
    if kind is AdminActionType.RESUME and not outcome.before:
        again = f"{again} (it had no pause of its own)"
    out.print(f"{kind} of {targets}: {outcome.result}{again}", markup=False)
    rows: list[tuple[str, Cell]] = [
        (name, plain(value)) for name, value in outcome.after.items() if name not in _LISTS
    ]
    fields([*rows, ("event", f"{outcome.event_id}, entry {outcome.entry.seq}")])


def outcome_facts(outcome: Outcome, key: str | None = None) -> dict[str, Any]:
    """An outcome as JSON."""
    return {
        "request": outcome.request.to_json_value(),
        "actor": outcome.actor,
        "result": outcome.result,
        "before": outcome.before,
        "after": outcome.after,
        "admin_event_id": outcome.event_id,
        "seq": outcome.entry.seq if outcome.entry else None,
        "new": outcome.new,
        **({"key": key} if key else {}),
    }


def _plan(
    plane: Plane, administration: Administration, request: AdminRequest, *, as_json: bool
) -> None:
    service = administration.service
    action = service.action(request.action_type)
    assert isinstance(action, ReplayAction)
    service.authorised(request, plane.identity.actor())
    plan = action.plan(request)
    if as_json:
        say_json({"dry_run": True, **plan.facts(), "manifests": [*plan.fingerprints]})
        return
    table(
        ["manifest", "artifacts", "size"],
        [[run.fingerprint, str(run.artifacts), size(run.size_bytes)] for run in plan.runs],
        empty="Nothing would be executed again.",
    )
    total = sum(run.size_bytes for run in plan.runs)
    runs = f"{len(plan.runs)} run{'s' * (len(plan.runs) != 1)}"
    out.print(f"would replay {runs} of {plan.workload}: {size(total)} to prove", markup=False)


def _wait(plane: Plane, outcome: Outcome, *, as_json: bool) -> None:
    """Until nothing runs on the drained target any more, or its time is over."""
    administration = with_orchestrator(plane)
    (target,) = outcome.request.targets
    while True:
        found = [item for item in drains_of(plane, administration) if item.pause.target == target]
        if not found or found[0].is_empty or found[0].overdue:
            break
        threading.Event().wait(_POLL_SECONDS)
    if not as_json:
        for drain in found:
            say_drain(drain)
    if found and not found[0].is_empty:
        raise click.exceptions.Exit(_OVERDUE)


def _reconciled_facts(item: Reconciled) -> dict[str, Any]:
    error = ErrorResponse.of(item.error).to_json_value() if item.error else None
    outcome = outcome_facts(item.outcome) if item.outcome else None
    return {"intent": item.intent.event.to_json_value(), "outcome": outcome, "error": error}
