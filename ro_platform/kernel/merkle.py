"""Merkle trees after RFC 9162 section 2.1: roots, inclusion and consistency proofs, pure.

Leaf hash = SHA-256(0x00 || data), node hash = SHA-256(0x01 || left || right). A tree is known by
its size and a :data:`NodeReader`, which answers the hash of a *complete* subtree: level 0 is a
leaf, ``(level, index)`` covers the leaves ``index << level`` up to ``(index + 1) << level``. Roots
and proofs ask for O(log n) of them. Nothing here does I/O or remembers anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]


class Node(NamedTuple):
    """A complete subtree: its level (0 is a leaf), its offset on that level, its hash."""

    level: int
    offset: int
    hash: bytes


class Siblings(NamedTuple):
    """Neighbouring complete subtrees: their level, the offset of the first, their hashes."""

    level: int
    offset: int
    hashes: list[bytes]


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's data (32 bytes)."""
    return hashlib.sha256(b"\x00" + data).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """The hash of each leaf's data."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + data).digest() for data in leaves]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an interior node (32 bytes)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a row of sibling hashes (RFC 9162's MTH on hashes); of none, SHA-256 of no
    bytes."""
    row = list(hashes) or [EMPTY_ROOT]
    while len(row) > 1:
        paired = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = paired + row[len(row) - len(row) % 2 :]
    return row[0]


def push(peaks: list[Node], leaf: bytes) -> Iterator[Node]:
    """Append a leaf to the peaks (the complete subtrees of a tree, largest first), in place.

    Yields every subtree that this leaf completes, from the leaf upwards.
    """
    top = peaks[-1] if peaks else None
    index = ((top.offset + 1) << top.level) if top else 0
    node = Node(0, index, leaf)
    yield node
    while peaks and peaks[-1].level == node.level:
        left = peaks.pop()
        node = Node(node.level + 1, left.offset >> 1, node_hash(left.hash, node.hash))
        yield node
    peaks.append(node)


def extend(peaks: list[Node], leaves: Sequence[bytes]) -> list[Siblings]:
    """Append many leaves to the peaks, in place: what :func:`push` does for each, level by level.

    Returns every subtree that they complete, from the leaves upwards.
    """
    below = {node.level: node for node in peaks}
    size = ((peaks[-1].offset + 1) << peaks[-1].level) if peaks else 0
    completed, row, level = list[Siblings](), list(leaves), 0
    while row:
        completed.append(Siblings(level, size >> level, row))
        waiting = below.pop(level, None)
        whole = [waiting.hash, *row] if waiting else row
        if len(whole) % 2:
            below[level] = Node(level, (size + len(leaves) >> level) - 1, whole[-1])
        row = _paired(whole)
        level += 1
    peaks[:] = sorted(below.values(), reverse=True)
    return completed


def _paired(row: Sequence[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    return [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(row[::2], row[1::2], strict=False)
    ]


def peaks_of(size: int, read: NodeReader) -> list[Node]:
    """The complete subtrees that make up a tree of that size, largest first."""
    peaks, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            peaks.append(Node(level, start >> level, read(level, start >> level)))
            start += 1 << level
    return peaks


def root_of(peaks: Sequence[Node]) -> bytes:
    """The root of the tree with these peaks; of the empty tree, SHA-256 of nothing."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1].hash
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak.hash, root)
    return root


def subtree(start: int, end: int, read: NodeReader) -> bytes:
    """MTH(D[start:end]) for a range that the tree's recursion can reach (start is aligned)."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(count)
    return node_hash(subtree(start, middle, read), subtree(middle, end, read))


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 9162 section 2.1.3.1. Raises IndexError outside the tree."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} is not in a tree of {size}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree(middle, end, read))
            end = middle
        else:
            path.append(subtree(start, middle, read))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read: NodeReader) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 9162 section 2.1.4.1; empty for equal sizes and from nothing."""
    if not 0 <= old <= new:
        raise IndexError(f"a tree of {new} cannot be shown to extend one of {old}")
    if old in (0, new):
        return []
    start, end, whole, path = 0, new, True, []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(subtree(middle, end, read))
            end = middle
        else:
            path.append(subtree(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(subtree(start, end, read))
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows that leaf hash at that index under the root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, result = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the new tree extends the old one (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT and new > 0
    if not 0 < old < new or not proof:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    seen_old = seen_new = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            seen_old, seen_new = node_hash(sibling, seen_old), node_hash(sibling, seen_new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            seen_new = node_hash(seen_new, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and seen_old == old_root and seen_new == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than count (which is at least 2)."""
    return 1 << (count - 1).bit_length() - 1
