"""The parts that pages are made of: tables, facts, times, states, links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from ro_platform.web.operations.html import Html, Node, el, together
from ro_platform.web.operations.layout import BASE

_GOOD = frozenset({"PASS", "SUCCEEDED", "done", "executed", "approved"})
_STANDING = ("OLDER BYTES", "REVOKED", "BLOCKED", "UNRECORDED", "ERASED", "UNVERIFIABLE")
_BAD = frozenset({"FAIL", "FAILED", "LOST", "REFUSED", "refused", "failed", "rejected", *_STANDING})
_DIGITS = 12
_HEX = re.compile(r"\b[0-9a-f]{32,}\b")
_NUMBERED = "Entry"
_BREAK = Html("<wbr>")
_LONG_COLUMNS = frozenset({"Why", "What to do", "What"})


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Node]], empty: str) -> Html:
    """A table, the first cell of each row being its heading; a sentence where there is no row."""
    if not rows:
        return el("p", empty, class_="none")
    head = el("tr", [el("th", name or _nameless(), scope="col") for name in columns])
    return el(
        "table",
        el("caption", caption),
        el("thead", head),
        el("tbody", [_row(columns, cells) for cells in rows]),
    )


def facts(rows: Sequence[tuple[str, Node]]) -> Html:
    """Names and values."""
    return el("dl", [[el("dt", name), el("dd", value)] for name, value in rows])


def when(recorded_at_utc: str) -> Html:
    """A moment, to the second, UTC."""
    words = f"{recorded_at_utc[:19].replace('T', ' ')}"
    return el("time", words, datetime=recorded_at_utc, class_="near")


def word(state: str) -> Html:
    """A state: the word says it, and the colour repeats it."""
    kind = "good" if state in _GOOD else "bad" if state in _BAD else "warn"
    return el("span", state, class_=f"word {kind}")


def short(digest: str) -> Html:
    """The first digits of an id; all of it for who asks."""
    return el("code", digest[:_DIGITS], title=digest, class_="near")


def prose(text: str) -> Html:
    """Text for people: a digest in it is shortened, and its path may be broken between parts."""
    parts = re.split(r"(\b[0-9a-f]{32,}\b)", text)
    return together([short(part) if _HEX.fullmatch(part) else _breakable(part) for part in parts])


def error_words(code: str | None, words: str | None) -> Html:
    """An error on record: its code, once, and its words."""
    said = [item for item in (code, words) if item]
    return prose(said[-1] if len(said) > 1 and said[1].startswith(said[0]) else ": ".join(said))


def whole(text: str) -> Html:
    """An id in full."""
    return el("code", text)


def link(address: str, words: Node, **query: str) -> Html:
    """A link within the face."""
    return el("a", words, href=f"{address}?{urlencode(query)}" if query else address)


def run_link(run_id: str | None) -> Node:
    """To the page of a run; nothing where there is none."""
    if run_id is None:
        return None
    return el("a", short(run_id), href=f"{BASE}/runs/{quote(run_id)}")


def dagster_link(dagster_run_id: str | None) -> Node:
    """To the run in the Dagster UI; nothing where there is none."""
    if dagster_run_id is None:
        return None
    words = el("code", dagster_run_id[:8], title=dagster_run_id)
    return el("a", words, href=f"/runs/{quote(dagster_run_id)}")


def _row(columns: Sequence[str], cells: Sequence[Node]) -> Html:
    first, *others = cells
    rest = [_cell(name, cell) for name, cell in zip(columns[1:], others, strict=True)]
    # A number alone says nothing where the row is a card.
    label = columns[0] if columns[0] == _NUMBERED else None
    return el("tr", el("th", first, scope="row", data_label=label), rest)


def _cell(name: str, cell: Node) -> Html:
    width = "long" if name in _LONG_COLUMNS else "mid" if name == "On" else None
    return el("td", cell, data_label=name if name and cell else None, class_=width)


def _breakable(text: str) -> list[Node]:
    parts: list[Node] = []
    for part in re.split(r"(?<=[/=])(?=\S)", text):
        parts += [part, _BREAK]
    return parts[:-1]


def _nameless() -> Html:
    return el("span", "Action", class_="hidden")
