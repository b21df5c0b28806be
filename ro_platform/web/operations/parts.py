"""The parts that pages are made of: tables, facts, times, states, words, links.

Paging by entry: what is older than an entry does not move while somebody reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from ro_platform import errors
from ro_platform.ledger import names
from ro_platform.orchestration.launches import WORKLOAD
from ro_platform.web.operations.html import Html, Node, el, together
from ro_platform.web.operations.layout import BASE, said

_GOOD = frozenset({"PASS", "SUCCEEDED", "done", "executed", "approved"})
_STANDING = ("OLDER BYTES", "REVOKED", "BLOCKED", "UNRECORDED", "ERASED", "UNVERIFIABLE")
_BAD = frozenset({"FAIL", "FAILED", "LOST", "REFUSED", "refused", "failed", "rejected", *_STANDING})
_DIGITS = 12
_HEX = re.compile(r"\b[0-9a-f]{32,}\b")
_PIECES = re.compile(r"(`[^`]+`|\b[0-9a-f]{32,}\b)")
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
    """Text for people: a digest in it is shortened, what stands between backticks is a command,
    and a path may be broken between its parts."""
    return together([_piece(part) for part in _PIECES.split(text)])


def error_words(code: str | None, words: str | None) -> Html:
    """An error on record: its code, once, and its words."""
    given = [item for item in (code, words) if item]
    return prose(
        given[-1] if len(given) > 1 and given[1].startswith(given[0]) else ": ".join(given)
    )


def refusal(error: errors.RunOperateError) -> Html:
    """An error, with its code, its words and what to do next."""
    return said(
        "bad",
        el("p", el("strong", error.code), " ", prose(error.message)),
        el("p", prose(error.next_step)) if error.next_step else None,
    )


def whole(text: str) -> Html:
    """An id in full."""
    return el("code", text)


def link(address: str, words: Node, **query: str) -> Html:
    """A link within the gateway."""
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


def asset_link(asset: str, fingerprint: str | None = None) -> Html:
    """To an asset in the Dagster UI, and there to the partition of a manifest."""
    address = f"/assets/{quote(asset)}"
    if fingerprint is None:
        return link(address, asset)
    return link(address, asset, view="partitions", partition=fingerprint)


def gate_link(asset: str, gate_id: str) -> Node:
    """To a gate's verdicts in the Dagster UI; what is in brackets is no gate."""
    if gate_id.startswith("("):
        return gate_id
    check = gate_id.removeprefix(f"{asset.replace('/', '.')}.")
    return link(f"/assets/{quote(asset)}", gate_id, view="checks", checkDetail=check)


def target_link(target: str) -> Node:
    """What an action is on, and where the Dagster UI shows it, if it does."""
    if asset := names.asset_name.parse(target):
        return link(f"/assets/{quote(asset[0])}", prose(target))
    if workload := names.workload_target.parse(target):
        return link("/runs", prose(target), **{"q[0]": f"tag:{WORKLOAD}={workload[0]}"})
    if run := names.dagster_run_target.parse(target):
        return link(f"/runs/{quote(run[0])}", prose(target))
    return prose(target)


def targets_links(targets: Sequence[str]) -> Html:
    """Several of them."""
    shown = [target_link(target) for target in targets]
    return together([[", " if number else None, item] for number, item in enumerate(shown)])


def _row(columns: Sequence[str], cells: Sequence[Node]) -> Html:
    first, *others = cells
    rest = [_cell(name, cell) for name, cell in zip(columns[1:], others, strict=True)]
    # A number alone says nothing where the row is a card.
    label = columns[0] if columns[0] == _NUMBERED else None
    return el("tr", el("th", first, scope="row", data_label=label), rest)


def _cell(name: str, cell: Node) -> Html:
    width = "long" if name in _LONG_COLUMNS else "mid" if name == "On" else None
    return el("td", cell, data_label=name if name and cell else None, class_=width)


def _piece(text: str) -> Node:
    if _HEX.fullmatch(text):
        return short(text)
    if len(text) > 1 and text[0] == text[-1] == "`":
        return el("code", text[1:-1])
    return _breakable(text)


def _breakable(text: str) -> list[Node]:
    parts: list[Node] = []
    for part in re.split(r"(?<=[/=])(?=\S)", text):
        parts += [part, _BREAK]
    return parts[:-1]


def _nameless() -> Html:
    return el("span", "Action", class_="hidden")


_MOST_DIGITS = 15


def number_of(text: str, name: str) -> int:
    """A number from an address or a form. Raises :class:`InvalidInputError`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise errors.InvalidInputError(
            f"{name} is no number: {text[:40]!r}.", next_step="Go back, and follow a link."
        )
    return int(text)


def before_of(query: Mapping[str, str]) -> int | None:
    """The entry before which a page begins; None for the newest. Raises
    :class:`InvalidInputError`."""
    text = query.get("before", "")
    return number_of(text, "before") if text else None
