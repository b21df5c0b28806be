"""The overview: who and by what policy, what is paused, what waits, what runs, what refuses.

What stands paused: by whom, since when, why, and the form that ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ro_platform import errors
from ro_platform.admin.outcomes import Outcome, outcome_of
from ro_platform.admin.running import Draining, drains
from ro_platform.contracts import Action, Pause
from ro_platform.ledger import names
from ro_platform.web.operations import parts
from ro_platform.web.operations.acts import ACTS, BY_COMMAND, NOTHING, resume_form
from ro_platform.web.operations.attempts import (
    TROUBLED,
    UNDER_WAY,
    Lately,
    attempts_table,
    back_to,
    lately,
)
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.directive_list import directives_part
from ro_platform.web.operations.events import events_before, events_table
from ro_platform.web.operations.html import Html, Node, el, together
from ro_platform.web.operations.layout import BASE, Page, listed, said, section
from ro_platform.web.operations.refusing import refusing_now, refusing_table

_SHOWN = 50
_COLUMNS = ("On", "How", "By", "Since (UTC)", "Why")


def pauses_part(services: PageServices, context: PageContext, most: int) -> Node:
    """The first pauses by target, and the way to all of them."""
    standing = services.plane.pauses.standing()
    more = len(standing) > most
    words = f"All {len(standing):,} pauses"
    return [
        _table(services, context, standing[:most]),
        el("p", parts.link(f"{BASE}/pauses", words)) if more else None,
    ]


def pauses_page(services: PageServices, context: PageContext) -> Page:
    """All of them by target, so many at a time; ``after`` is the target before the first."""
    after = context.query.get("after", "")
    standing = [pause for pause in services.plane.pauses.standing() if pause.target > after]
    shown = standing[:_SHOWN]
    onward = None
    if len(standing) > _SHOWN:
        words = f"The next of {len(standing) - _SHOWN:,} more"
        onward = el("p", parts.link(f"{BASE}/pauses", words, after=shown[-1].target))
    return Page(
        "Paused", section("By target", _table(services, context, shown), onward, anchor="paused")
    )


def _table(services: PageServices, context: PageContext, shown: Sequence[Pause]) -> Node:
    may, why_not = services.may(context.actor, Action.RESUME)
    draining = _draining(services, shown)
    rows = [
        [
            parts.target_link(pause.target),
            _how(pause, draining),
            pause.actor,
            parts.when(pause.since),
            parts.prose(pause.reason),
            *([resume_form(services, context, pause.target, number)] if may else []),
        ]
        for number, pause in enumerate(shown)
    ]
    columns = (*_COLUMNS, "") if may else _COLUMNS
    note = el("p", parts.prose(why_not), class_="note") if shown and not may else None
    return together(
        parts.table("What nothing may start on", columns, rows, "Nothing is paused."), note
    )


def _draining(services: PageServices, shown: Sequence[Pause]) -> Mapping[str, Draining]:
    """What each drain waits for, as Dagster knows it; it is asked only where something drains."""
    if not any(pause.draining for pause in shown):
        return {}
    try:
        found = drains(services.plane.pauses, services.orchestrator(), services.plane.clock)
    except errors.RunOperateError:
        return {}
    return {item.pause.target: item for item in found}


def _how(pause: Pause, draining: Mapping[str, Draining]) -> Node:
    if not pause.draining:
        return parts.word("paused")
    found = draining.get(pause.target)
    if found is None:
        words = ": Dagster does not say what runs there"
    elif found.is_empty:
        words = ": nothing runs there"
    else:
        count = len(found.running)
        words = f": {count:,} run{'s' if count > 1 else ''} still to end"
        words += ", and its time is over" if found.overdue else ""
    return [parts.word("draining"), words]


_FEW = 10


def overview_page(services: PageServices, context: PageContext) -> Page:
    """The first page."""
    found = lately(services.plane.ledger)
    body = [
        _done(services, context.query.get("done")),
        el(
            "div",
            section("You", parts.facts(_about(services, context)), anchor="you"),
            section("Act", _ways(services, context), anchor="act"),
            class_="cards",
        ),
        section("Paused", pauses_part(services, context, _FEW), anchor="paused"),
        section("To decide", directives_part(services.plane), anchor="directives"),
        section("Under way", _under_way(services, context, found), anchor="under-way"),
        section("Lost and refused", _troubled(services, context, found), anchor="troubled"),
        section("Gates that refuse", refusing_table(refusing_now(services.plane)), anchor="gates"),
        section("Events", _events(services), anchor="events"),
    ]
    return Page("Operations", body)


def _done(services: PageServices, event_id: str | None) -> Html | None:
    """What came of the action that led here, from the record and not from the address."""
    if event_id is None:
        return None
    if event_id == NOTHING:
        return said("good", el("p", "It was so already: nothing was recorded."))
    entry = services.plane.ledger.find(names.outcome_key(event_id)) if len(event_id) <= 64 else None
    return _said(outcome_of(entry, new=False)) if entry else None


def _said(outcome: Outcome) -> Html:
    request, entry = outcome.request, outcome.entry
    words = f"{request.action_type.replace('_', ' ')} of "
    place = f" by {outcome.actor}, entry {entry.seq:,}" if entry else ""
    good = "good" if outcome.result == "done" else "bad"
    return said(
        good,
        el(
            "p",
            words,
            parts.targets_links(request.targets),
            ": ",
            parts.word(outcome.result),
            f"{place}.",
        ),
    )


def _about(services: PageServices, context: PageContext) -> list[tuple[str, Node]]:
    access = services.plane.access
    found = access.in_force
    rows: list[tuple[str, Node]] = [("Signed in as", context.actor)]
    if found is None:
        rows.append(("Mode", "single user: no access policy was ever published"))
    else:
        roles = services.roles(context.actor)
        rows.append(("Roles", ", ".join(roles) or "none"))
        rows.append(("Policy", [f"version {found.version}, ", parts.short(found.digest)]))
    rows.append(("Environment", access.environment))
    rows.append(("Ledger", f"{services.plane.ledger.size():,} entries"))
    return rows


def _ways(services: PageServices, context: PageContext) -> Node:
    """The forms that this visitor may use, and what the others are done with."""
    may: list[Node] = []
    why_not: dict[str, list[str]] = {}
    for act in ACTS.values():
        allowed, words = services.may(context.actor, Action(act.kind.value))
        if allowed:
            may.append(el("a", act.title, href=f"{BASE}/act/{act.name}", class_="button"))
        else:
            why_not.setdefault(words.partition(": ")[2], []).append(act.title.lower())
    refused = [f"Not for you: {', '.join(acts)}. Why: {why}" for why, acts in why_not.items()]
    commands = [(words, el("code", line)) for words, line in BY_COMMAND]
    return [
        listed(may) if may else None,
        [el("p", parts.prose(words), class_="note") for words in refused],
        el("details", el("summary", "What is done by a command"), parts.facts(commands)),
    ]


def _under_way(services: PageServices, context: PageContext, found: Lately) -> Node:
    running = found.of(UNDER_WAY)
    return [
        attempts_table(
            services,
            context,
            running[:_FEW],
            "Attempts that run or wait, newest first",
            empty="No attempt runs or waits.",
        ),
        _more(len(running), "under way"),
        back_to(found),
    ]


def _troubled(services: PageServices, context: PageContext, found: Lately) -> Node:
    troubled = found.of(TROUBLED)
    return [
        attempts_table(
            services,
            context,
            troubled[:_FEW],
            "Attempts that ended so, newest first",
            empty="No attempt was lost or refused lately.",
        ),
        _more(len(troubled), "lost or refused"),
    ]


def _events(services: PageServices) -> Node:
    found = events_before(services.plane.ledger, most=_FEW)
    caption = "The newest administrative actions and refusals"
    return [events_table(found, caption), el("p", parts.link(f"{BASE}/events", "All events"))]


def _more(count: int, state: str) -> Html | None:
    if count <= _FEW:
        return None
    words = f"All {count} that moved lately"
    return el("p", parts.link(f"{BASE}/attempts", words, state=state))
