"""The page of a directive, on which a second person looks and decides.

A decision is made on a page of its own, with what would change now. The approval names the digest
of the state that was shown: if that moved between the looking and the pressing, it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform import errors
from ro_platform.admin.differences import diff_lines
from ro_platform.admin.directives import Directives
from ro_platform.contracts import Action, DirectiveRecord, DirectiveStatus
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.directive_list import OPEN, address_of
from ro_platform.web.operations.forms import button, hidden, post_form, reason
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import Page, said, section

_MOVED = "The state has changed since then: what would change now is below."


@dataclass(frozen=True, slots=True)
class Looked:
    """A directive as it stands now: what it would change, and the digest of the state that this
    was computed on; or why it cannot be done."""

    found: DirectiveRecord
    lines: tuple[str, ...]
    state: str | None
    why_not: errors.RunOperateError | None


def directive_page(
    services: PageServices, context: PageContext, name: str, *, above: Node = None
) -> Page:
    """One directive: what it would change, and what the visitor may do with it.

    Raises :class:`NotFoundError`.
    """
    found = services.plane.directives.get(name)
    directives = services.administration(found.request.action_type).directives
    looked = _looked(directives, found)
    title = f"Directive: {found.request.action_type.replace('_', ' ')}"
    body = [
        above,
        said("good" if found.status is DirectiveStatus.EXECUTED else "warn", _state(found)),
        section("Directive", parts.facts(_about(found)), anchor="about"),
        _changes(looked) if found.status in OPEN else None,
        _decisions(services, context, looked) if found.status in OPEN else None,
    ]
    return Page(title, body)


def decide(
    services: PageServices, context: PageContext, name: str, move: str, form: dict[str, str]
) -> None:
    """Approve, reject or execute, as the services decide. Raises what they raise."""
    found = services.plane.directives.get(name)
    directives = services.administration(found.request.action_type).directives
    words = form.get("reason", "")
    try:
        match move:
            case "approve":
                token = context.principal.token_id
                vouched = services.plane.tokens.vouched_by(token) if token else None
                directives.approve(
                    name,
                    reason=words,
                    actor=context.actor,
                    seen=form.get("seen", ""),
                    vouched_by=vouched,
                )
            case "reject":
                directives.reject(name, reason=words, actor=context.actor)
            case _:
                directives.execute(name, actor=context.actor)
    except errors.DirectiveRefusedError as error:
        context.refused(error, f"directive.{move}")
        raise
    except errors.AccessDeniedError as error:
        if move != "execute":  # the service recorded that it refused the action itself
            context.refused(error, f"directive.{move}")
        raise


def _looked(directives: Directives, found: DirectiveRecord) -> Looked:
    if found.status not in OPEN:
        return Looked(found, (), None, None)
    try:
        state: str | None = directives.state_digest(found)
        before, after = directives.difference(found)
        if directives.state_digest(found) != state:
            state = None  # it moves while we look
    except errors.RunOperateError as error:
        return Looked(found, (), None, error)
    return Looked(found, tuple(diff_lines(before, after)), state, None)


def _about(found: DirectiveRecord) -> list[tuple[str, Node]]:
    rows: list[tuple[str, Node]] = [
        ("Action", found.request.action_type.replace("_", " ")),
        ("On", parts.targets_links(found.request.targets)),
        ("Why", found.request.reason),
        ("Proposed", [found.proposer, ", ", parts.when(found.proposed_at_utc), " UTC"]),
        ("Expires", [parts.when(found.expires_at_utc), " UTC"]),
        ("Directive", parts.whole(found.directive_id)),
    ]
    if found.approver:
        rows.append(("Approved by", found.approver))
    if found.words:
        rows.append(("Last words", found.words))
    return rows


def _state(found: DirectiveRecord) -> Html:
    match found.status:
        case DirectiveStatus.PROPOSED:
            words = "It waits for a second person."
        case DirectiveStatus.APPROVED:
            words = f"{found.approver} approved it: it can be executed."
        case DirectiveStatus.EXECUTED:
            words = "It was done."
        case _:
            words = found.words or "It has ended."
    return el("p", parts.word(found.status.value), f". {words}")


def _changes(looked: Looked) -> Html:
    found = looked.found
    based_on = found.approved_digest or found.state_digest
    moved = looked.state is not None and looked.state != based_on
    return section(
        "What would change",
        said("warn", _MOVED) if moved else None,
        el("p", "It cannot be done now: ", parts.prose(looked.why_not.message))
        if looked.why_not
        else None,
        _diff(looked.lines) if looked.lines else None,
        parts.facts([("State shown", parts.whole(looked.state))]) if looked.state else None,
        anchor="changes",
    )


def _diff(lines: tuple[str, ...]) -> Html:
    """Each line begins with its sign, so that no colour is needed to read it."""
    marked: list[Node] = []
    for line in lines:
        kind = {"+": "ins", "-": "del"}.get(line[:1])
        marked += [el(kind, line) if kind else line, "\n"]
    return el("pre", marked, class_="diff", tabindex="0", aria_label="Difference, before to after")


def _decisions(services: PageServices, context: PageContext, looked: Looked) -> Html:
    found = looked.found
    nodes: list[Node] = []
    if found.status is DirectiveStatus.PROPOSED:
        nodes.append(_approval(services, context, looked))
    else:
        nodes.append(_execution(services, context, looked))
    nodes.append(_rejection(services, context, found))
    return section("Decide", nodes, anchor="decide")


def _approval(services: PageServices, context: PageContext, looked: Looked) -> Node:
    found = looked.found
    if context.actor == found.proposer:
        return el("p", "You proposed it, and nobody approves their own.", class_="note")
    may, why_not = services.may(context.actor, Action.APPROVE)
    if not may:
        return el("p", why_not, class_="note")
    if looked.state is None:
        return el("p", "It cannot be approved while it cannot be done.", class_="note")
    return post_form(
        context,
        f"{address_of(found.directive_id)}/approve",
        hidden("seen", looked.state),
        reason(name="approve-reason", label="Why you approve it"),
        el("div", button("Approve what is shown", main=True), class_="row"),
        label="Approve",
    )


def _execution(services: PageServices, context: PageContext, looked: Looked) -> Node:
    found = looked.found
    may, why_not = services.may(context.actor, Action(found.request.action_type.value))
    if not may:
        return el("p", why_not, class_="note")
    return post_form(
        context,
        f"{address_of(found.directive_id)}/execute",
        el("div", button("Execute it", main=True), class_="row"),
        label="Execute",
    )


def _rejection(services: PageServices, context: PageContext, found: DirectiveRecord) -> Node:
    own = context.actor == found.proposer
    if not own and not services.may(context.actor, Action.APPROVE)[0]:
        return None
    return post_form(
        context,
        f"{address_of(found.directive_id)}/reject",
        reason(name="reject-reason", label="Why it is not to be done"),
        el("div", button("Withdraw it" if own else "Reject it"), class_="row"),
        label="Reject",
    )
