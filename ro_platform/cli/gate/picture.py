"""A blast radius drawn as one SVG file: its assets in layers, from the origin to the right.

The same radius gives the same bytes. The file needs nothing beside it, follows the reader's light
or dark scheme, and says in words what it shows (``title`` and ``desc``).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from ro_platform.gates.impact import Impact

Edge = tuple[str, str]
Point = tuple[str, int]
"""A node of the drawing: an asset in its layer, or an edge's way through a layer between."""

_CHAR, _PAD, _HEIGHT, _THIN = 8, 14, 58, 18
_GAP_X, _GAP_Y, _MARGIN, _HEAD = 96, 26, 24, 52
_SWEEPS = 6

_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .name { font: 600 13px ui-monospace, monospace; }
  .note, .count { font-size: 12px; fill: #57606a; }
  .ground { fill: #ffffff; }
  .box { fill: #f6f8fa; stroke: #8c959f; }
  .origin { fill: #ffebe9; stroke: #cf222e; stroke-width: 2; }
  .bundle { fill: #fff8c5; stroke: #9a6700; stroke-width: 2; }
  .edge { fill: none; stroke: #8c959f; stroke-width: 1.5; }
  .tip { fill: #8c959f; }
  .count { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note, .count { fill: #9da7b3; }
    .ground { fill: #0d1117; }
    .box { fill: #161b22; stroke: #6e7681; }
    .origin { fill: #3c1214; stroke: #f85149; }
    .bundle { fill: #2e2a1f; stroke: #d29922; }
    .edge { stroke: #6e7681; }
    .tip { fill: #6e7681; }
    .count { stroke: #0d1117; }
  }
"""


_ROLE = 'role="img" aria-labelledby="title desc"'
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
)


class _Spot(NamedTuple):
    """Where a place is drawn: its left edge, its middle, and its width."""

    x: int
    y: int
    width: int


@dataclass(frozen=True, slots=True)
class _Node:
    """An asset with the lines of text in its box, and the class that draws it."""

    lines: tuple[str, ...]
    look: str

    @property
    def width(self) -> int:
        return 2 * _PAD + _CHAR * max(map(len, self.lines))


def picture(impact: Impact) -> str:
    """The SVG document, UTF-8 text that ends in a newline."""
    nodes = _nodes(impact)
    layers = layers_of(impact.origin.asset, impact.edges)
    rows = _ordered(layers, impact.edges)
    places, width, height = _placed(rows, nodes)
    heading = f"Made from {impact.origin.asset}, sha256 {impact.origin.digest[:12]}"
    told = f"{len(impact.artifacts):,} artifacts of {len(layers) - 1:,} assets"
    width = max(width, 2 * _MARGIN + _CHAR * len(heading))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_ROLE}>',
        f'<title id="title">{escape(heading)}</title>',
        f'<desc id="desc">{escape(_description(impact, nodes))}</desc>',
        f"<style>{_STYLE}</style>",
        _TIP,
        f'<rect class="ground" width="{width}" height="{height}"/>',
        _text(_MARGIN, 28, heading, "name"),
        _text(_MARGIN, 46, told, "note"),
        *(_edge(edge, count, layers, places) for edge, count in impact.edges.items()),
        *(_box(nodes[name], places[name, layer]) for name, layer in sorted(layers.items())),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def layers_of(origin: str, edges: Iterable[Edge]) -> dict[str, int]:
    """Each asset's layer: the longest way to it from the origin, in layer 0.

    An edge that closes a circle (an asset made, under another manifest, from what was made of it)
    does not count.
    """
    below: defaultdict[str, list[str]] = defaultdict(list)
    for used, made in sorted(edges):
        below[used].append(made)
    layers = {origin: 0}
    finished = _finished(origin, below)
    order = {name: place for place, name in enumerate(reversed(finished))}
    for used in order:
        for made in below[used]:
            if order[made] > order[used]:
                layers[made] = max(layers.get(made, 0), layers[used] + 1)
    return layers


def _finished(origin: str, below: dict[str, list[str]]) -> list[str]:
    """The assets in the order in which a walk in depth leaves them."""
    finished: list[str] = []
    seen = {origin}
    path = [(origin, iter(below[origin]))]
    while path:
        name, rest = path[-1]
        following = next((made for made in rest if made not in seen), None)
        if following is None:
            finished.append(name)
            path.pop()
        else:
            seen.add(following)
            path.append((following, iter(below[following])))
    return finished


def _nodes(impact: Impact) -> dict[str, _Node]:
    artifacts = Counter(item.asset for item in impact.artifacts)
    bundles = Counter(item.asset for item in impact.bundles)
    manifests: defaultdict[str, set[str]] = defaultdict(set)
    for item in impact.artifacts:
        manifests[item.asset].add(item.fingerprint)
    nodes = {}
    for asset in sorted({*artifacts, impact.origin.asset}):
        marks = ["origin"] if asset == impact.origin.asset else []
        marks += [_counted(bundles[asset], "bundle")] if bundles[asset] else []
        lines = [asset, *([", ".join(marks)] if marks else [])]
        if artifacts[asset]:
            lines.append(
                f"{_counted(artifacts[asset], 'artifact')}, "
                f"{_counted(len(manifests[asset]), 'manifest')}"
            )
        look = "bundle" if bundles[asset] else "box"
        look = "origin" if asset == impact.origin.asset else look
        nodes[asset] = _Node(tuple(lines), look)
    return nodes


def _ordered(layers: dict[str, int], edges: Iterable[Edge]) -> list[list[str]]:
    """The names in each layer from top to bottom, long edges' ways among them, few crossings."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for name, layer in sorted(layers.items()):
        rows[layer].append(name)
    near: defaultdict[Point, list[Point]] = defaultdict(list)
    for edge in edges:
        way = _way(edge, layers)
        for name, layer in way[1:-1]:
            rows[layer].append(name)
        for one, next_ in itertools.pairwise(way):
            near[one].append(next_)
            near[next_].append(one)
    for sweep in range(_SWEEPS):
        ahead = sweep % 2 == 0
        for layer in range(len(rows)) if ahead else reversed(range(len(rows))):
            beside = layer - 1 if ahead else layer + 1
            if 0 <= beside < len(rows):
                _sort(rows[layer], layer, rows[beside], beside, near)
    return rows


def _sort(
    row: list[str],
    layer: int,
    fixed: list[str],
    beside: int,
    near: dict[Point, list[Point]],
) -> None:
    """Order a layer by where its neighbours are in the one beside it."""
    heights = {name: place for place, name in enumerate(fixed)}
    weights: dict[str, float] = {}
    for place, name in enumerate(row):
        found = [heights[other] for other, level in near.get((name, layer), ()) if level == beside]
        weights[name] = sum(found) / len(found) if found else float(place)
    row.sort(key=lambda name: (weights[name], name))


def _way(edge: Edge, layers: dict[str, int]) -> list[Point]:
    """The places that an edge goes through, its ends included."""
    used, made = edge
    first, last = layers[used], layers[made]
    between = [(f"{used}\n{made}", layer) for layer in range(first + 1, last)]
    return [(used, first), *between, (made, last)]


def _placed(rows: list[list[str]], nodes: dict[str, _Node]) -> tuple[dict[Point, _Spot], int, int]:
    """Where everything is drawn, and the size of the whole."""
    heights = [sum((_HEIGHT if name in nodes else _THIN) + _GAP_Y for name in row) for row in rows]
    tallest, x = max(heights), _MARGIN
    places: dict[Point, _Spot] = {}
    for layer, row in enumerate(rows):
        y = _MARGIN + _HEAD + (tallest - heights[layer]) // 2
        widest = max(nodes[name].width for name in row if name in nodes)
        for name in row:
            tall = _HEIGHT if name in nodes else _THIN
            width = nodes[name].width if name in nodes else widest
            places[name, layer] = _Spot(x, y + tall // 2, width)
            y += tall + _GAP_Y
        x += widest + _GAP_X
    return places, x - _GAP_X + _MARGIN, _MARGIN + _HEAD + tallest


def _edge(edge: Edge, count: int, layers: dict[str, int], places: dict[Point, _Spot]) -> str:
    """A curve from box to box, straight through the layers between, with its count."""
    way = _way(edge, layers)
    start = places[way[0]]
    x, y = start.x + start.width, start.y
    drawn, label = [f"M{x} {y}"], (0, 0)
    for place in way[1:]:
        spot = places[place]
        bend = max(abs(spot.x - x) // 2, _GAP_X // 2)
        drawn.append(f"C{x + bend} {y} {spot.x - bend} {spot.y} {spot.x} {spot.y}")
        label = ((x + spot.x) // 2, (y + spot.y) // 2 - 4) if place == way[1] else label
        x, y = spot.x + spot.width, spot.y
        if place != way[-1]:
            drawn.append(f"L{x} {y}")
    words = _text(*label, f"{count:,}", "count", middle=True)
    return f'<path class="edge" marker-end="url(#tip)" d="{" ".join(drawn)}"/>{words}'


def _box(node: _Node, spot: _Spot) -> str:
    x, y, _ = spot
    top, step = y - _HEIGHT // 2, 17
    first = y - step * (len(node.lines) - 1) // 2 + 4
    texts = [
        _text(x + _PAD, first + step * place, line, "note" if place else "name")
        for place, line in enumerate(node.lines)
    ]
    shape = (
        f'<rect class="{node.look}" x="{x}" y="{top}" width="{node.width}" '
        f'height="{_HEIGHT}" rx="6"/>'
    )
    return shape + "".join(texts)


def _text(x: int, y: int, words: str, look: str, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text class="{look}" x="{x}" y="{y}"{anchor}>{escape(words)}</text>'


def _description(impact: Impact, nodes: dict[str, _Node]) -> str:
    assets = "; ".join(f"{node.lines[0]}: {', '.join(node.lines[1:])}" for node in nodes.values())
    edges = "; ".join(
        f"{used} went into {made} {count:,} times" for (used, made), count in impact.edges.items()
    )
    return f"{assets}. {edges or 'Nothing was made from it'}."


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'s' * (count != 1)}"
