"""A verified dossier as one HTML page: no script, nothing from elsewhere, readable without colour.

Every value is escaped; a content security policy in the page forbids what it does not need.

The run's graph: what was made from what. Its picture is :mod:`ro_platform.dossier.page`.

The picture of a run's graph as inline SVG, producers above consumers.

A line that skips rows has a place of its own in each of them, so that none runs behind a box. The
lines of one producer share these places.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.dossier.summary import (
    Table,
    gate_states,
    identity_rows,
    objections,
    tables,
    verified_facts,
)
from ro_platform.dossier.verify import Dossier


@dataclass(frozen=True, slots=True)
class Graph:
    """Artifacts by asset, newest making of each; ``edges`` are (from, to); ``outside`` are those
    that the run used and did not make; ``depth`` is the length of the longest way to each."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    outside: frozenset[str]
    depth: Mapping[str, int] = field(default_factory=dict)


def graph_of(dossier: Dossier) -> Graph:
    """The graph of a run."""
    newest = {made.asset: made for made in dossier.bound}
    edges = {
        (_name_of(used.ref, dossier.fingerprint), asset)
        for asset, made in newest.items()
        for used in made.inputs or ()
    }
    outside = {name for name, _ in edges} - newest.keys()
    nodes = sorted(outside | newest.keys())
    return Graph(tuple(nodes), tuple(sorted(edges)), frozenset(outside), depths(nodes, edges))


def depths(nodes: Iterable[str], edges: Collection[tuple[str, str]]) -> dict[str, int]:
    """How many edges the longest way to each node has; a cycle ends at the number of nodes."""
    depth = dict.fromkeys(nodes, 0)
    for _ in depth:  # a longest way has fewer edges than there are nodes
        for source, target in edges:
            if source != target:
                depth[target] = max(depth[target], min(depth[source] + 1, len(depth)))
    return depth


def words(graph: Graph) -> str:
    """The graph in words, for those who do not see it."""
    if not graph.edges:
        return "Nothing in this run was made from another artifact."
    return ". ".join(f"{target} was made from {source}" for source, target in graph.edges) + "."


def _name_of(ref: str, fingerprint: str) -> str:
    address = parse_binding(ref)
    if address is None:
        return ref
    if address.fingerprint == fingerprint:
        return address.asset
    return f"{address.asset}@{address.fingerprint[:12]}"


_WIDTH, _HEIGHT, _LANE, _GAP_X, _GAP_Y, _MARGIN = 168, 46, 8, 16, 38, 8
_SHOWN = 22
_SWEEPS = 4
_LEAST_SCALE = 0.75

Slot = tuple[str, int]
"""An artifact and a row: its box where that is its own row, else a place of its lines."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``places`` are the middle of each slot and the top of its row, in pixels; ``steps`` lead
    from one slot to another."""

    places: Mapping[Slot, tuple[float, float]]
    steps: Sequence[tuple[Slot, Slot]]
    width: int
    height: int


def svg(graph: Graph, states: Mapping[str, str]) -> str:
    """The picture. ``states`` are words by asset, shown below its name; nothing in it is a script
    or comes from elsewhere. It shrinks with the screen as long as its words can be read."""
    layout = layout_of(graph)
    own = [slot for slot in layout.places if graph.depth[slot[0]] == slot[1]]
    lanes = [_lane(layout.places[slot]) for slot in layout.places if slot not in own]
    lines = [_line(layout.places[start], layout.places[end]) for start, end in layout.steps]
    boxes = [_box(slot[0], layout.places[slot], graph, states.get(slot[0], "")) for slot in own]
    size = f"{layout.width} {layout.height}"
    return (
        f'<svg role="img" aria-labelledby="graph-title graph-words" viewBox="0 0 {size}" '
        f'width="{layout.width}" style="min-width:{layout.width * _LEAST_SCALE:g}px" '
        'xmlns="http://www.w3.org/2000/svg"><title id="graph-title">What was made from what</title>'
        f'<desc id="graph-words">{escape(words(graph))}</desc>'
        f"{''.join(lanes)}{''.join(lines)}{''.join(boxes)}</svg>"
    )


def layout_of(graph: Graph) -> Layout:
    """Where everything goes: the same graph has the same picture."""
    steps = sorted({step for edge in graph.edges for step in _steps(edge, graph)})
    slots = sorted(
        {(node, graph.depth[node]) for node in graph.nodes} | {s for p in steps for s in p}
    )
    levels = sorted({row for _, row in slots})
    rows = [[slot for slot in slots if slot[1] == level] for level in levels]
    widths = [sum(_width(slot, graph) + _GAP_X for slot in row) - _GAP_X for row in rows]
    width = max(widths, default=_WIDTH) + 2 * _MARGIN
    places: dict[Slot, tuple[float, float]] = {}
    for _ in range(_SWEEPS):
        for order in (range(len(rows)), range(len(rows) - 1, -1, -1)):
            for number in order:
                rows[number].sort(key=lambda slot: (_pull(slot, steps, places, width), slot))
                left = (width - widths[number]) / 2
                for slot in rows[number]:
                    wide = _width(slot, graph)
                    places[slot] = (left + wide / 2, _MARGIN + number * (_HEIGHT + _GAP_Y))
                    left += wide + _GAP_X
    height = 2 * _MARGIN + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y
    return Layout(places, steps, width, height)


def _steps(edge: tuple[str, str], graph: Graph) -> Iterator[tuple[Slot, Slot]]:
    source, target = edge
    top, bottom = graph.depth[source], graph.depth[target]
    way = [*((source, row) for row in range(top, max(bottom, top + 1))), (target, bottom)]
    return pairwise(way)


def _pull(
    slot: Slot,
    steps: Sequence[tuple[Slot, Slot]],
    places: Mapping[Slot, tuple[float, float]],
    width: float,
) -> float:
    """The middle of what a slot is joined to, as far as that has a place already."""
    joined = [end for start, end in steps if start == slot]
    joined += [start for start, end in steps if end == slot]
    known = [places[other][0] for other in joined if other in places]
    return sum(known) / len(known) if known else width / 2


def _width(slot: Slot, graph: Graph) -> int:
    return _WIDTH if graph.depth[slot[0]] == slot[1] else _LANE


def _lane(place: tuple[float, float]) -> str:
    x, y = place
    return f'<path class="edge" d="M{x:g} {y:g}v{_HEIGHT}"/>'


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0], start[1] + _HEIGHT, end[0], end[1]
    bend = (y2 - y1) / 2
    return (
        f'<path class="edge" d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} '
        f'{x2:g} {y2:g}"/>'
    )


def _box(node: str, place: tuple[float, float], graph: Graph, state: str) -> str:
    middle, y = place
    outside = node in graph.outside
    kind = "outside" if outside else "bad" if state and not state.startswith("PASS") else "good"
    below = "made outside this run" if outside else state or "no gates"
    return (
        f'<g class="node {kind}"><title>{escape(node)}: {escape(below)}</title>'
        f'<rect x="{middle - _WIDTH / 2:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{middle:g}" y="{y + 20:g}">{escape(_short(node))}</text>'
        f'<text class="state" x="{middle:g}" y="{y + 36:g}">{escape(_short(below))}</text></g>'
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


_STYLE = """
:root{color-scheme:light dark;--ink:#1a1c1e;--soft:#565c62;--paper:#fff;--line:#c9ced3;
--band:#f3f5f7;--good:#0b6b35;--bad:#a61b1b}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a9b0b7;--paper:#15181b;
--line:#444b52;--band:#1f2429;--good:#6cd492;--bad:#ff9a90}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;color:var(--ink);
background:var(--paper);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.verdict{border-left:.4rem solid var(--good);background:var(--band);padding:.6rem 1rem}
.verdict strong{color:var(--good)}ul{padding-left:1.2rem;margin:.3rem 0}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.4rem}
.scroll:focus-visible{outline:3px solid var(--good)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-top:1px solid var(--line)}
thead th{border-top:0;background:var(--band);white-space:nowrap}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:1rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{font-size:.85em}
td{white-space:nowrap}td.long{white-space:normal;min-width:18rem}.num{text-align:right}
.good{color:var(--good)}.bad{color:var(--bad)}.note{color:var(--soft);margin:0 0 .5rem}
svg{display:block;margin:0 auto;max-width:100%;height:auto}svg text{font:13px system-ui,sans-serif;
text-anchor:middle;fill:var(--ink)}svg .state{font-size:11px;fill:var(--soft)}
svg rect{fill:var(--paper);stroke:var(--line);stroke-width:1.5}svg .good rect{stroke:var(--good)}
svg .bad rect{stroke:var(--bad);stroke-width:2.5}svg .bad .state{fill:var(--bad)}
svg .outside rect{stroke-dasharray:4 3}svg .edge{fill:none;stroke:var(--soft);stroke-width:1.5}
footer{margin:2rem 0;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){dl{grid-template-columns:minmax(0,1fr)}dt{margin-top:.4rem}
td:first-child{position:sticky;left:0;min-width:8rem;max-width:11rem;white-space:normal;
background:var(--paper);border-right:1px solid var(--line)}}
@media print{.scroll{overflow:visible;border:0}td,td.long{white-space:normal;min-width:0;
overflow-wrap:anywhere}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_GOOD = ("PASS", "SUCCEEDED")
_BAD = ("FAIL", "LOST", "REFUSED", "CANCELED", "REVOKED", "BLOCKED", "RO_")
_HEX = re.compile(r"\b[0-9a-f]{32,}\b")
_LONG = 40
_BELOW = '<p class="note">Each artifact stands below what it was made from.</p>'


def page(dossier: Dossier) -> str:
    """The page of a dossier that was verified."""
    title = f"Dossier of {dossier.manifest.workload}, run {dossier.run_id[:12]}"
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in verified_facts(dossier))
    facts += "".join(f'<li class="bad">{escape(bad)}</li>' for bad in objections(dossier))
    fields = "".join(
        f"<dt>{escape(name)}</dt><dd>{_value(value)}</dd>" for name, value in identity_rows(dossier)
    )
    picture = svg(graph_of(dossier), gate_states(dossier))
    sections = "".join(_section(number, table) for number, table in enumerate(tables(dossier)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>"
        f'<div class="verdict"><strong>Verified</strong><ul>{facts}</ul></div>'
        f'<dl>{fields}</dl><h2 id="graph">Graph</h2>{_BELOW}{_scroll("graph", picture)}{sections}'
        "</main><footer>This page says what was verified when it was made. The dossier itself is "
        "the evidence: <code>ro dossier verify FILE --key PUB</code> checks it again.</footer>"
        "</body></html>\n"
    )


def _section(number: int, table: Table) -> str:
    heading = f'<h2 id="t{number}">{escape(table.title)}</h2>'
    if not table.rows:
        return f"{heading}<p>{escape(table.empty)}</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(
        f"<tr><td>{_name(row[0])}</td>"
        f"{''.join(f'<td{_kind(cell)}>{_value(cell)}</td>' for cell in row[1:])}</tr>"
        for row in table.rows
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"{heading}{_scroll(f't{number}', body)}"


def _scroll(label: str, content: str) -> str:
    """A part that scrolls by itself where the screen is narrow, by keyboard, too."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{label}">{content}</div>'
    )


def _value(text: str) -> str:
    if text.startswith(_GOOD):
        return f'<span class="good">{escape(text)}</span>'
    if text.startswith(_BAD):
        return f'<span class="bad">{escape(text)}</span>'
    return _HEX.sub(lambda found: f"<code>{found[0]}</code>", escape(text))


def _name(text: str) -> str:
    """What a row is about; a long name breaks between its parts."""
    return "<wbr>".join(escape(part) for part in re.split(r"(?<=[._#/])", text))


def _kind(text: str) -> str:
    """A number stands to the right; what is longer than a name or a date takes several lines."""
    if text.isdecimal():
        return ' class="num"'
    return ' class="long"' if len(_HEX.sub("", text)) > _LONG else ""
