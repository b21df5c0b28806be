"""``ro directive``: actions that a second person approves, with what would change as a diff."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import click
from rich.text import Text

from ro_platform import errors
from ro_platform.admin.differences import diff_lines
from ro_platform.admin.directives import LIFETIME, MAX_LIFETIME, Directives
from ro_platform.cli.admin import outcome_facts, say_outcome
from ro_platform.cli.admin_authority import say_mode
from ro_platform.cli.admin_dagster import administration_for
from ro_platform.cli.admin_forms import Values, commands
from ro_platform.cli.declared import ADMINISTRATIVE, Noun, asks, asks_itself
from ro_platform.cli.output import (
    Cell,
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
from ro_platform.contracts import Action, AdminRequest, DirectiveRecord, DirectiveStatus
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.lookup import MIN_PREFIX

_REASON = click.option("--reason", required=True, help="Why; it is recorded.")


@click.group(cls=Noun)
def command() -> None:
    """Propose what needs a second person; approve, reject and execute what others proposed."""


@command.group()
@click.option(
    "--hours",
    type=click.IntRange(1, int(MAX_LIFETIME / timedelta(hours=1))),
    default=int(LIFETIME / timedelta(hours=1)),
    show_default=True,
    help="How long it may be approved and executed.",
)
def propose(hours: int) -> None:
    """Propose an action: it waits for a second person."""


def _propose(plane: Plane, request: AdminRequest, values: Values) -> None:
    parent = click.get_current_context().parent
    hours = parent.params["hours"] if parent else None
    directives = _directives(plane, request)
    found = directives.propose(
        request,
        actor=plane.identity.actor(),
        key=values["key"],
        lifetime=timedelta(hours=hours) if hours else LIFETIME,
    )
    if values["as_json"]:
        say_json(found.to_json_value())
        return
    out.print(f"proposed: {found.directive_id}, until {moment(found.expires_at_utc)}")
    out.print(f"A second person: `ro directive approve {found.directive_id} --reason ...`")


for part in commands(_propose, with_extra=False):
    propose.add_command(part)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
@asks(Action.VIEW, "directives")
def list_directives(everything: bool, as_json: bool) -> None:
    """List the directives that are open, newest first."""
    plane = shared_plane(Settings.load())
    found = list(plane.directives.list(only_open=not everything))
    if as_json:
        say_json([item.to_json_value() for item in found])
        return
    table(
        ["directive", "status", "action", "target", "by", "until (UTC)", "reason"],
        [_row(item) for item in found],
        empty="No directive is open.",
    )


@command.command()
@click.argument("directive")
@json_option
@asks(Action.VIEW, "directives")
def show(directive: str, as_json: bool) -> None:
    """Show a directive, and what it would change now."""
    plane = shared_plane(Settings.load())
    found = _find(plane, directive)
    directives = _directives(plane, found.request)
    diff, state = _difference(directives, found)
    if as_json:
        say_json({**found.to_json_value(), "diff": diff, "state_now": state})
        return
    is_open = found.status in (DirectiveStatus.PROPOSED, DirectiveStatus.APPROVED)
    fields(_about(found, state if is_open else None))
    if is_open:
        if state not in (found.approved_digest or found.state_digest, None):
            out.print(f"the state has changed since it was {found.status}")
        out.print("what would change:")
        for line in diff:
            out.print(_coloured(line))


@command.command()
@click.argument("directive")
@_REASON
@click.option(
    "--state",
    help="The digest of the state that you looked at (`ro directive show`); by default that of "
    "the proposal.",
)
@json_option
@asks_itself(Action.APPROVE)
def approve(directive: str, reason: str, state: str | None, as_json: bool) -> None:
    """Approve what somebody else proposed, if what it would change has not changed since."""
    plane = shared_plane(Settings.load())
    found = _find(plane, directive)
    directives = _directives(plane, found.request)
    actor = plane.identity.actor()
    _say_moved(
        directives.approve(
            found.directive_id,
            reason=reason,
            actor=actor,
            seen=state,
            vouched_by=plane.identity.vouched_by(),
        ),
        as_json=as_json,
    )


@command.command()
@click.argument("directive")
@_REASON
@json_option
@asks_itself(Action.APPROVE)
def reject(directive: str, reason: str, as_json: bool) -> None:
    """Reject what was proposed, or withdraw what you proposed."""
    plane = shared_plane(Settings.load())
    found = _find(plane, directive)
    directives = _directives(plane, found.request)
    actor = plane.identity.actor()
    moved = directives.reject(found.directive_id, reason=reason, actor=actor)
    _say_moved(moved, as_json=as_json)


@command.command()
@click.argument("directive")
@json_option
@asks_itself(*ADMINISTRATIVE)
def execute(directive: str, as_json: bool) -> None:
    """Do what was approved, once: refused if what it would change has changed since."""
    plane = shared_plane(Settings.load())
    say_mode(plane)
    found = _find(plane, directive)
    directives = _directives(plane, found.request)
    outcome = directives.execute(found.directive_id, actor=plane.identity.actor())
    if as_json:
        say_json({"directive_id": found.directive_id, **outcome_facts(outcome)})
    else:
        say_outcome(outcome)


def _directives(plane: Plane, request: AdminRequest) -> Directives:
    return administration_for(plane, [request.action_type]).directives


def _find(plane: Plane, prefix: str) -> DirectiveRecord:
    """The directive that a name, or its first digits, name.

    Who may not look at directives finds those about which they may do something. Of any other they
    hear the same as of what is not there.
    """
    actor, directives = plane.identity.actor(), plane.directives
    found = [item for item in directives.list() if item.directive_id.startswith(prefix)]
    if not directives.may_look(actor):
        own = [item for item in found if _concerns(plane, item, actor)]
        if not own:  # which is refused, whatever there is
            name = found[0].directive_id if len(found) == 1 else prefix
            return directives.found(name, actor, called=prefix)
        found = own
    if len(found) > 1 or len(prefix) < MIN_PREFIX:
        raise errors.InvalidInputError(
            f"{prefix!r} is the beginning of {len(found)} directives.",
            next_step=f"Give at least {MIN_PREFIX} digits that only one begins with.",
        )
    if not found:
        raise errors.NotFoundError(
            f"there is no directive {prefix!r}.", next_step="See `ro directive list --all`."
        )
    return found[0]


def _concerns(plane: Plane, found: DirectiveRecord, actor: str) -> bool:
    """Whether somebody may do something about a directive. For who can do nothing of the kind
    anywhere the orchestrator is not opened, whose faults would tell that there is one."""
    with suppress(errors.RunOperateError):
        if actor != found.proposer:
            plane.access.require_anywhere(actor, (Action.APPROVE, *ADMINISTRATIVE))
        return _directives(plane, found.request).concerns(found, actor)
    return False


def _difference(directives: Directives, found: DirectiveRecord) -> tuple[list[str], str | None]:
    """The diff now, and the state's digest; why there is none, where it cannot be done."""
    try:
        before, after = directives.difference(found)
        return diff_lines(before, after), directives.state_digest(found)
    except errors.RunOperateError as error:
        return [f"it cannot be done now: {error.message}"], None


def _coloured(line: str) -> Text:
    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    return Text(line, style=style)


def _row(item: DirectiveRecord) -> list[Cell]:
    return [
        short(item.directive_id),
        word(item.status),
        item.request.action_type,
        ", ".join(item.request.targets),
        item.proposer,
        moment(item.expires_at_utc),
        item.request.reason,
    ]


def _about(item: DirectiveRecord, state: str | None) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [
        ("directive", item.directive_id),
        ("status", word(item.status)),
        ("action", item.request.action_type),
        ("target", ", ".join(item.request.targets)),
        ("reason", item.request.reason),
        ("proposed by", f"{item.proposer}, {moment(item.proposed_at_utc)}"),
        ("until", moment(item.expires_at_utc)),
    ]
    if state:
        rows.append(("state now", state))
    if item.approver:
        rows.append(("approved by", item.approver))
    if item.ended_by:
        rows.append(("ended by", f"{item.ended_by}: {item.words}"))
    return rows


def _say_moved(found: DirectiveRecord, *, as_json: bool) -> None:
    if as_json:
        say_json(found.to_json_value())
    else:
        out.print(f"{found.directive_id} is {found.status}", markup=False)
        if found.status is DirectiveStatus.APPROVED:
            out.print(f"Who may do it: `ro directive execute {found.directive_id}`", markup=False)
