"""The picture of a run's graph: what one sees is what was made from what."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ro_platform.dossier.page import Graph, depths, layout_of, svg


def graph(edges: set[tuple[str, str]]) -> Graph:
    """A graph of just these edges."""
    nodes = sorted({node for edge in edges for node in edge})
    return Graph(tuple(nodes), tuple(sorted(edges)), frozenset(), depths(nodes, edges))


acyclic = st.sets(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda edge: edge[0] < edge[1]),
    min_size=1,
).map(lambda edges: graph({(f"a{source}", f"a{target}") for source, target in edges}))


@given(acyclic)
def test_no_line_runs_behind_a_box(shown: Graph) -> None:
    """Each step of a line leads to the next row, and in a row everything stands beside each
    other, so a line passes a box at a place of its own."""
    layout = layout_of(shown)
    assert all(end[1] == start[1] + 1 for start, end in layout.steps)
    rows: dict[float, list[tuple[float, bool]]] = {}
    for (node, level), (middle, top) in layout.places.items():
        rows.setdefault(top, []).append((middle, shown.depth[node] == level))
    for row in (sorted(beside) for beside in rows.values()):
        for (left, left_is_box), (right, right_is_box) in pairwise(row):
            assert right - left >= 16 + 84 * (left_is_box + right_is_box)
        assert row[0][0] >= 8
        assert row[-1][0] <= layout.width - 8


@given(acyclic)
def test_every_edge_is_a_line_from_producer_to_consumer(shown: Graph) -> None:
    """Following the steps from a box leads to exactly the boxes that were made from it."""
    layout = layout_of(shown)
    found = set()
    for node in shown.nodes:
        reached = [(node, shown.depth[node])]
        for slot in reached:
            for start, end in layout.steps:
                if start == slot and end[1] == shown.depth[end[0]]:
                    found.add((node, end[0]))
                elif start == slot:
                    reached.append(end)
    assert found == set(shown.edges)


def test_the_same_graph_has_the_same_picture() -> None:
    """Nothing but the graph and its states decides the picture; a cycle has one, too."""
    shown = graph({("a", "b"), ("b", "c"), ("a", "c")})
    assert svg(shown, {"a": "PASS"}) == svg(shown, {"a": "PASS"})
    assert svg(graph({("a", "b"), ("b", "a")}), {}).count("<rect") == 2
