"""The run's graph as inline SVG: what was made from what, producers above consumers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.dossier.verify import Dossier

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 168, 46, 16, 38, 8
_SHOWN = 22


@dataclass(frozen=True, slots=True)
class Graph:
    """Artifacts by asset, newest making of each; ``edges`` are (from, to); ``outside`` are those
    that the run used and did not make."""

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
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:  # a longest path has fewer edges than there are nodes
        for source, target in edges:
            if source != target:
                depth[target] = max(depth[target], min(depth[source] + 1, len(nodes)))
    return Graph(tuple(nodes), tuple(sorted(edges)), frozenset(outside), depth)


def svg(graph: Graph, states: Mapping[str, str]) -> str:
    """The picture. ``states`` are words by asset, shown below its name; nothing in it is a script
    or comes from elsewhere."""
    rows: dict[int, list[str]] = {}
    for node in graph.nodes:
        rows.setdefault(graph.depth[node], []).append(node)
    widest = max((len(row) for row in rows.values()), default=1)
    width = 2 * _MARGIN + widest * (_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y
    places: dict[str, tuple[float, float]] = {}
    for number, level in enumerate(sorted(rows)):
        row = rows[level]
        left = (width - len(row) * (_WIDTH + _GAP_X) + _GAP_X) / 2
        for position, node in enumerate(row):
            places[node] = (left + position * (_WIDTH + _GAP_X), _row_top(number))
    lines = [_edge(places[source], places[target]) for source, target in graph.edges]
    boxes = [_box(node, places[node], graph, states.get(node, "")) for node in graph.nodes]
    return (
        f'<svg role="img" aria-labelledby="graph-title graph-words" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">'
        '<title id="graph-title">What was made from what</title>'
        f'<desc id="graph-words">{escape(words(graph))}</desc>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def words(graph: Graph) -> str:
    """The graph in words, for those who do not see it."""
    if not graph.edges:
        return "Nothing in this run was made from another artifact."
    return ". ".join(f"{target} was made from {source}" for source, target in graph.edges) + "."


def _row_top(number: int) -> float:
    return _MARGIN + number * (_HEIGHT + _GAP_Y)


def _edge(source: tuple[float, float], target: tuple[float, float]) -> str:
    x1, y1 = source[0] + _WIDTH / 2, source[1] + _HEIGHT
    x2, y2 = target[0] + _WIDTH / 2, target[1]
    bend = (y2 - y1) / 2
    return (
        f'<path class="edge" d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} '
        f'{x2:g} {y2:g}"/>'
    )


def _box(node: str, place: tuple[float, float], graph: Graph, state: str) -> str:
    x, y = place
    outside = node in graph.outside
    kind = "outside" if outside else "bad" if state and not state.startswith("PASS") else "good"
    below = "made outside this run" if outside else state or "no gates"
    middle = x + _WIDTH / 2
    return (
        f'<g class="node {kind}"><title>{escape(node)}: {escape(below)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{middle:g}" y="{y + 20:g}">{escape(_short(node))}</text>'
        f'<text class="state" x="{middle:g}" y="{y + 36:g}">{escape(_short(below))}</text></g>'
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _name_of(ref: str, fingerprint: str) -> str:
    address = parse_binding(ref)
    if address is None:
        return ref
    if address.fingerprint == fingerprint:
        return address.asset
    return f"{address.asset}@{address.fingerprint[:12]}"
