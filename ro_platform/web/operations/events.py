"""What was done and what was refused, newest first, by pages of a bounded cost.

Entries are indexed by kind, not by who acted, so a filter looks through so many entries and says
how far it came; the next page goes on from there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from ro_platform.admin.intents import INTENDED
from ro_platform.contracts import AdminActionType, AdminEvent, EntryKind, LedgerEntry
from ro_platform.contracts.access import AccessRefused
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.directive_list import address_of
from ro_platform.web.operations.forms import choice, field, search
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import BASE, Page, section

MOST_LOOKED_AT = 1000
"""Entries that one page looks through."""
_SHOWN = 50
REFUSED = "refused"
_KINDS = (EntryKind.ADMIN_EVENT, EntryKind.ACCESS_REFUSED)
_COLUMNS = ("Entry", "When (UTC)", "Action", "Result", "Who", "On", "Why")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the list: an action's state, or requests that were refused."""

    entry: LedgerEntry
    what: str
    result: str
    who: str
    on: Node
    why: str
    directive: str | None = None

    def cells(self) -> list[Node]:
        """A row of a table."""
        return [
            str(self.entry.seq),
            parts.when(self.entry.recorded_at_utc),
            parts.link(address_of(self.directive), self.what) if self.directive else self.what,
            parts.word(self.result),
            self.who,
            self.on,
            parts.prose(self.why),
        ]


@dataclass(frozen=True, slots=True)
class Events:
    """Those that were found, and the entry before which the next page begins, if there is more."""

    found: tuple[Event, ...]
    onward: int | None


def events_before(
    log: LedgerReader,
    before: int | None = None,
    *,
    actor: str = "",
    action: str = "",
    most: int = _SHOWN,
) -> Events:
    """The newest events of that actor and that action (empty is any), before an entry.

    The action ``refused`` stands for everything that was refused.
    """
    found: list[Event] = []
    for looked, entry in enumerate(_newest_first(log, before), 1):
        event = _event(log, entry)
        if event and actor in ("", event.who) and _is(action, event):
            found.append(event)
        if len(found) == most or looked == MOST_LOOKED_AT:
            return Events(tuple(found), entry.seq)
    return Events(tuple(found), None)


def events_page(services: PageServices, context: PageContext) -> Page:
    """The list, with its filter."""
    actor, action = context.query.get("actor", "").strip(), context.query.get("action", "")
    found = events_before(
        services.plane.ledger,
        parts.before_of(context.query),
        actor=actor,
        action=action,
        most=_SHOWN,
    )
    actions = ["", REFUSED, *(kind.value for kind in AdminActionType)]
    form = search(
        f"{BASE}/events",
        field("actor", "Who", value=actor, hint="An actor, such as HUMAN::ann"),
        choice("action", "Action", actions, chosen=action),
    )
    words = "Administrative actions and refusals, newest first"
    listed = section(
        "Events", events_table(found, words), _onward(found, actor, action), anchor="events"
    )
    return Page("Events", [section("Filter", form, anchor="filter"), listed])


def events_table(events: Events, caption: str) -> Html:
    """Events as a table."""
    return parts.table(
        caption, _COLUMNS, [item.cells() for item in events.found], "There was none."
    )


def _onward(events: Events, actor: str, action: str) -> Node:
    if events.onward is None:
        return None
    query = {"actor": actor, "action": action, "before": str(events.onward)}
    given = {name: value for name, value in query.items() if value}
    words = f"Looked back to entry {events.onward:,}. "
    return el("p", words, parts.link(f"{BASE}/events", "Older ones", **given), class_="note")


def _newest_first(log: LedgerReader, before: int | None) -> Iterator[LedgerEntry]:
    scans = [
        log.scan(kind=kind, end=before, newest_first=True, limit=MOST_LOOKED_AT) for kind in _KINDS
    ]
    return heapq.merge(*scans, key=lambda entry: entry.seq, reverse=True)


def _event(log: LedgerReader, entry: LedgerEntry) -> Event | None:
    """The line of an entry; None for an intent that has its outcome, which has a line itself."""
    if entry.kind is EntryKind.ACCESS_REFUSED:
        body = body_of(entry, AccessRefused)
        times = f" ({body.count} times)" if body.count > 1 else ""
        who = body.actor or "nobody"
        return Event(
            entry,
            body.operation,
            REFUSED,
            who,
            f"from {body.source}",
            f"{body.code}: {body.reason}{times}",
        )
    event = body_of(entry, AdminEvent)
    if event.result == INTENDED and log.find(names.outcome_key(event.admin_event_id)):
        return None
    return Event(
        entry,
        event.action_type.value,
        "no outcome yet" if event.result == INTENDED else event.result or "done",
        event.actor,
        parts.targets_links(event.targets),
        " ".join(filter(None, (event.reason, _error(event)))),
        _directive(event),
    )


def _directive(event: AdminEvent) -> str | None:
    """The directive by which it was done, if it was."""
    found = names.directive_name.parse(event.key or "")
    return found[0] if found else None


def _error(event: AdminEvent) -> str:
    after = event.after or {}
    return f"({after['error_code']}: {after.get('error', '')})" if "error_code" in after else ""


def _is(action: str, event: Event) -> bool:
    return action in ("", event.what) or (action == REFUSED and event.result == REFUSED)
