"""Directives, newest proposal first, by pages of a bounded cost."""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform.admin.directives import MAX_LIFETIME
from ro_platform.contracts import DirectiveMoved, DirectiveRecord, DirectiveStatus, EntryKind
from ro_platform.kernel.clock import moment_of
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import BASE, Page, listed, section

MOST_LOOKED_AT = 200
"""Moves that one page looks through."""
OPEN = (DirectiveStatus.PROPOSED, DirectiveStatus.APPROVED)
_SHOWN = 20
_COLUMNS = ("Action", "On", "State", "Proposed by", "Expires (UTC)", "Why")


@dataclass(frozen=True, slots=True)
class Found:
    """Directives as they stand now, and the entry before which the next page begins, if there is
    more."""

    directives: tuple[DirectiveRecord, ...]
    onward: int | None


def directives_before(
    plane: Plane, before: int | None = None, *, ended: bool = False, most: int = _SHOWN
) -> Found:
    """The newest directives that were proposed before an entry: those that are open, which none is
    that is older than the longest lifetime, or with ``ended`` all of them."""
    oldest = plane.clock() - MAX_LIFETIME
    found: list[DirectiveRecord] = []
    moves = plane.ledger.scan(
        kind=EntryKind.DIRECTIVE_MOVED, end=before, newest_first=True, limit=MOST_LOOKED_AT
    )
    for looked, entry in enumerate(moves, 1):
        if not ended and moment_of(entry.recorded_at_utc) < oldest:
            break
        if body_of(entry, DirectiveMoved).status is DirectiveStatus.PROPOSED:
            item = plane.directives.get(names.directive_name.part_of(entry.subject))
            if ended or item.status in OPEN:
                found.append(item)
        if len(found) == most or looked == MOST_LOOKED_AT:
            return Found(tuple(found), entry.seq)
    return Found(tuple(found), None)


def directives_part(plane: Plane) -> Node:
    """The newest that are open, and the way to older ones."""
    return [*_shown(directives_before(plane)), el("p", parts.link(_address(), "All directives"))]


def directives_page(services: PageServices, context: PageContext) -> Page:
    """Those that are open, or all. Raises :class:`InvalidInputError` for an address that makes
    none."""
    ended = context.query.get("state") == "all"
    found = directives_before(services.plane, parts.before_of(context.query), ended=ended)
    choices = [_choice("open", chosen=not ended), _choice("all", chosen=ended)]
    body = [
        el("nav", listed(choices), aria_label="Directives by state"),
        section(
            "All directives" if ended else "Open directives",
            _shown(found, ended=ended),
            anchor="directives",
        ),
    ]
    return Page("Directives", body)


def address_of(name: str) -> str:
    """The page of a directive."""
    return f"{_address()}/{name}"


def _shown(found: Found, *, ended: bool = False) -> list[Node]:
    onward = None
    if found.onward is not None:
        given = {"before": str(found.onward)} | ({"state": "all"} if ended else {})
        words = f"Looked back to entry {found.onward:,}. "
        onward = el("p", words, parts.link(_address(), "Older ones", **given), class_="note")
    return [_table(found, ended=ended), onward]


def _table(found: Found, *, ended: bool) -> Html:
    rows = [
        [
            parts.link(address_of(item.directive_id), item.request.action_type.replace("_", " ")),
            parts.targets_links(item.request.targets),
            parts.word(item.status.value),
            item.proposer,
            parts.when(item.expires_at_utc),
            parts.prose(item.request.reason),
        ]
        for item in found.directives
    ]
    caption = "Newest first" if ended else "Open directives, newest first"
    empty = "There is none." if ended else "No directive is open."
    return parts.table(caption, _COLUMNS, rows, empty)


def _choice(name: str, *, chosen: bool) -> Html:
    current = "page" if chosen else None
    address = f"{_address()}?state={name}"
    return el("a", name.capitalize(), href=address, aria_current=current, class_="button")


def _address() -> str:
    return f"{BASE}/directives"
