"""The run's graph: what was made from what. Its picture is :mod:`ro_platform.dossier.picture`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ro_platform.artifacts.addressing import parse_binding
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
