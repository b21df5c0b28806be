"""The least that a verification could be: the entries' bytes, read from the same database, hashed
into the root of the same Merkle tree, by the same number of processes. No column, index, stored
hash, node or mention is looked at, and no byte of an entry is understood.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ro_platform.kernel.merkle import Node, extend, leaf_hashes, root_of
from ro_platform.ledger.verification import SEGMENT_LEVEL
from tests.benchmarks.raw_tables import Engine

_PAGE_ROWS = 256
_ask: list[Callable[[int, int], list[tuple[bytes]]]] = []


def root_by_hashing(engine: Engine, name: str, size: int, jobs: int) -> bytes:
    """The root of the ledger's first ``size`` entries."""
    step = 1 << SEGMENT_LEVEL
    starts = range(0, size, step)
    ends = [min(start + step, size) for start in starts]
    if jobs == 1:
        _open(engine, name)
        try:
            leaves = [leaf for bounds in zip(starts, ends, strict=True) for leaf in _leaves(bounds)]
        finally:
            _ask.clear()
        peaks: list[Node] = []
        extend(peaks, leaves)
        return root_of(peaks)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _open, (engine, name)) as pool:
        found = pool.map(_subtrees, zip(starts, ends, strict=True))
        return _root(list(found))


def _root(segments: list[list[Node]]) -> bytes:
    whole = [peaks[0].hash for peaks in segments if peaks[0].level == SEGMENT_LEVEL]
    peaks: list[Node] = []
    extend(peaks, whole)
    last = segments[-1] if len(whole) < len(segments) else []
    return root_of([*peaks, *last])


def _open(engine: Engine, name: str) -> None:
    _ask.append(engine.ask(name))


def _leaves(bounds: tuple[int, int]) -> list[bytes]:
    start, end = bounds
    return [
        leaf
        for first in range(start, end, _PAGE_ROWS)
        for leaf in leaf_hashes(data for (data,) in _ask[0](first, min(first + _PAGE_ROWS, end)))
    ]


def _subtrees(bounds: tuple[int, int]) -> list[Node]:
    peaks: list[Node] = []
    extend(peaks, _leaves(bounds))
    return peaks
