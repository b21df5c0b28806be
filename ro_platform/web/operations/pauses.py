"""What stands paused: by whom, since when, why, and the form that ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ro_platform.admin.running import Draining, drains
from ro_platform.contracts import Action, Pause
from ro_platform.errors import RunOperateError
from ro_platform.web.operations.acts import resume_form
from ro_platform.web.operations.desk import Desk, Visit
from ro_platform.web.operations.html import Node, el, together
from ro_platform.web.operations.layout import BASE, Page, section
from ro_platform.web.operations.parts import link, prose, table, target_link, when, word

_SHOWN = 50
_COLUMNS = ("On", "How", "By", "Since (UTC)", "Why")


def pauses_part(desk: Desk, visit: Visit, most: int) -> Node:
    """The first pauses by target, and the way to all of them."""
    standing = desk.plane.pauses.standing()
    more = len(standing) > most
    words = f"All {len(standing):,} pauses"
    return [
        _table(desk, visit, standing[:most]),
        el("p", link(f"{BASE}/pauses", words)) if more else None,
    ]


def pauses_page(desk: Desk, visit: Visit) -> Page:
    """All of them by target, so many at a time; ``after`` is the target before the first."""
    after = visit.query.get("after", "")
    standing = [pause for pause in desk.plane.pauses.standing() if pause.target > after]
    shown = standing[:_SHOWN]
    onward = None
    if len(standing) > _SHOWN:
        words = f"The next of {len(standing) - _SHOWN:,} more"
        onward = el("p", link(f"{BASE}/pauses", words, after=shown[-1].target))
    return Page("Paused", section("By target", _table(desk, visit, shown), onward, anchor="paused"))


def _table(desk: Desk, visit: Visit, shown: Sequence[Pause]) -> Node:
    may, why_not = desk.may(visit.actor, Action.RESUME)
    draining = _draining(desk, shown)
    rows = [
        [
            target_link(pause.target),
            _how(pause, draining),
            pause.actor,
            when(pause.since),
            prose(pause.reason),
            *([resume_form(desk, visit, pause.target, number)] if may else []),
        ]
        for number, pause in enumerate(shown)
    ]
    columns = (*_COLUMNS, "") if may else _COLUMNS
    note = el("p", prose(why_not), class_="note") if shown and not may else None
    return together(table("What nothing may start on", columns, rows, "Nothing is paused."), note)


def _draining(desk: Desk, shown: Sequence[Pause]) -> Mapping[str, Draining]:
    """What each drain waits for, as Dagster knows it; it is asked only where something drains."""
    if not any(pause.draining for pause in shown):
        return {}
    try:
        found = drains(desk.plane.pauses, desk.orchestrator(), desk.plane.clock)
    except RunOperateError:
        return {}
    return {item.pause.target: item for item in found}


def _how(pause: Pause, draining: Mapping[str, Draining]) -> Node:
    if not pause.draining:
        return word("paused")
    found = draining.get(pause.target)
    if found is None:
        words = ": Dagster does not say what runs there"
    elif found.is_empty:
        words = ": nothing runs there"
    else:
        count = len(found.running)
        words = f": {count:,} run{'s' if count > 1 else ''} still to end"
        words += ", and its time is over" if found.overdue else ""
    return [word("draining"), words]
