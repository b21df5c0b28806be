"""The overview: who and by what policy, what is paused, what waits, what runs, what refuses."""

from __future__ import annotations

from ro_platform.admin.outcomes import Outcome, outcome_of
from ro_platform.contracts import Action
from ro_platform.ledger.names import outcome_key
from ro_platform.web.operations.acts import ACTS, BY_COMMAND, NOTHING
from ro_platform.web.operations.attempts import (
    TROUBLED,
    UNDER_WAY,
    Lately,
    attempts_table,
    back_to,
    lately,
)
from ro_platform.web.operations.desk import Desk, Visit
from ro_platform.web.operations.directive_list import directives_part
from ro_platform.web.operations.events import events_before, events_table
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import BASE, Page, listed, said, section
from ro_platform.web.operations.parts import facts, link, prose, short, targets_links, word
from ro_platform.web.operations.pauses import pauses_part
from ro_platform.web.operations.refusing import refusing_now, refusing_table

_FEW = 10


def overview_page(desk: Desk, visit: Visit) -> Page:
    """The first page."""
    found = lately(desk.plane.ledger)
    body = [
        _done(desk, visit.query.get("done")),
        el(
            "div",
            section("You", facts(_about(desk, visit)), anchor="you"),
            section("Act", _ways(desk, visit), anchor="act"),
            class_="cards",
        ),
        section("Paused", pauses_part(desk, visit, _FEW), anchor="paused"),
        section("To decide", directives_part(desk.plane), anchor="directives"),
        section("Under way", _under_way(desk, visit, found), anchor="under-way"),
        section("Lost and refused", _troubled(desk, visit, found), anchor="troubled"),
        section("Gates that refuse", refusing_table(refusing_now(desk.plane)), anchor="gates"),
        section("Events", _events(desk), anchor="events"),
    ]
    return Page("Operations", body)


def _done(desk: Desk, event_id: str | None) -> Html | None:
    """What came of the action that led here, from the record and not from the address."""
    if event_id is None:
        return None
    if event_id == NOTHING:
        return said("good", el("p", "It was so already: nothing was recorded."))
    entry = desk.plane.ledger.find(outcome_key(event_id)) if len(event_id) <= 64 else None
    return _said(outcome_of(entry, new=False)) if entry else None


def _said(outcome: Outcome) -> Html:
    request, entry = outcome.request, outcome.entry
    words = f"{request.action_type.replace('_', ' ')} of "
    place = f" by {outcome.actor}, entry {entry.seq:,}" if entry else ""
    good = "good" if outcome.result == "done" else "bad"
    return said(
        good,
        el("p", words, targets_links(request.targets), ": ", word(outcome.result), f"{place}."),
    )


def _about(desk: Desk, visit: Visit) -> list[tuple[str, Node]]:
    access = desk.plane.access
    found = access.in_force
    rows: list[tuple[str, Node]] = [("Signed in as", visit.actor)]
    if found is None:
        rows.append(("Mode", "single user: no access policy was ever published"))
    else:
        roles = desk.roles(visit.actor)
        rows.append(("Roles", ", ".join(roles) or "none"))
        rows.append(("Policy", [f"version {found.version}, ", short(found.digest)]))
    rows.append(("Environment", access.environment))
    rows.append(("Ledger", f"{desk.plane.ledger.size():,} entries"))
    return rows


def _ways(desk: Desk, visit: Visit) -> Node:
    """The forms that this visitor may use, and what the others are done with."""
    may: list[Node] = []
    why_not: dict[str, list[str]] = {}
    for act in ACTS.values():
        allowed, words = desk.may(visit.actor, Action(act.kind.value))
        if allowed:
            may.append(el("a", act.title, href=f"{BASE}/act/{act.name}", class_="button"))
        else:
            why_not.setdefault(words.partition(": ")[2], []).append(act.title.lower())
    refused = [f"Not for you: {', '.join(acts)}. Why: {why}" for why, acts in why_not.items()]
    commands = [(words, el("code", line)) for words, line in BY_COMMAND]
    return [
        listed(may) if may else None,
        [el("p", prose(words), class_="note") for words in refused],
        el("details", el("summary", "What is done by a command"), facts(commands)),
    ]


def _under_way(desk: Desk, visit: Visit, found: Lately) -> Node:
    running = found.of(UNDER_WAY)
    return [
        attempts_table(
            desk,
            visit,
            running[:_FEW],
            "Attempts that run or wait, newest first",
            empty="No attempt runs or waits.",
        ),
        _more(len(running), "under way"),
        back_to(found),
    ]


def _troubled(desk: Desk, visit: Visit, found: Lately) -> Node:
    troubled = found.of(TROUBLED)
    return [
        attempts_table(
            desk,
            visit,
            troubled[:_FEW],
            "Attempts that ended so, newest first",
            empty="No attempt was lost or refused lately.",
        ),
        _more(len(troubled), "lost or refused"),
    ]


def _events(desk: Desk) -> Node:
    found = events_before(desk.plane.ledger, most=_FEW)
    caption = "The newest administrative actions and refusals"
    return [events_table(found, caption), el("p", link(f"{BASE}/events", "All events"))]


def _more(count: int, state: str) -> Html | None:
    if count <= _FEW:
        return None
    words = f"All {count} that moved lately"
    return el("p", link(f"{BASE}/attempts", words, state=state))
