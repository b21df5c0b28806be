"""The picture of a run's graph as inline SVG, producers above consumers.

A line that skips rows has a place of its own in each of them, so that none runs behind a box. The
lines of one producer share these places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from ro_platform.dossier.graph import Graph, words

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
