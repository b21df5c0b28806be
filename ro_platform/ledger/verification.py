"""Verification: recompute the whole tree from the stored bytes, and compare all that is stored.

It finds every edited, missing, moved or added row, column and node, and a backend whose own guards
were taken away. What it cannot find alone: a tail cut off together with its nodes, or a history
rewritten consistently from some entry on. That needs a size and root kept elsewhere (``against``).
The last entries (at most 15) are under no stored node yet, so for them too only ``against`` counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ro_platform.contracts.ledger import LedgerEntry
from ro_platform.errors import LedgerCorruptError
from ro_platform.kernel.merkle import Node, push, root_of
from ro_platform.ledger.backends.base import Census, LedgerRows, Row, Selection
from ro_platform.ledger.entry import checked, require_canonical
from ro_platform.ledger.tree import STRIDE, is_stored

_PAGE_ROWS = 1 << 2 * STRIDE + 2
"""Aligned to stored subtrees, and a few hundred kilobytes of entries."""

Progress = Callable[[int, int], None]
"""Told how many entries are verified, and of how many."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified: that many entries, under this root (32 bytes)."""

    size: int
    root: bytes


def verify(
    rows: LedgerRows, progress: Progress | None = None, against: tuple[int, bytes] | None = None
) -> Verification:
    """Verify the log as it stands now; appends meanwhile are welcome and not covered.

    ``against`` is a (size, root) kept elsewhere that the log must extend. Raises
    :class:`LedgerCorruptError` naming the first bad ``seq`` and what differs. Memory is bounded by
    one page of entries.
    """
    census = rows.census()
    _require_whole(census, against)
    peaks: list[Node] = []
    mentions = 0
    for start in range(0, census.size, _PAGE_ROWS):
        end = min(start + _PAGE_ROWS, census.size)
        for row, mentioned in _verified_page(rows, peaks, start, end):
            mentions += mentioned
            if against and row.seq + 1 == against[0]:
                _require_root(peaks, against)
        if progress:
            progress(end, census.size)
    if against and against[0] == 0:
        _require_root([], against)
    _require_counts(census, mentions)
    return Verification(census.size, root_of(peaks))


def _verified_page(
    rows: LedgerRows, peaks: list[Node], start: int, end: int
) -> Iterator[tuple[Row, int]]:
    """Each row, verified, and how many names it mentions."""
    stored = _stored_nodes(rows, start, end)
    page = rows.page(Selection(start=start, end=end), end - start)
    mentioned: dict[int, list[str]] = {}
    for seq, name in rows.mentions(start, end):
        mentioned.setdefault(seq, []).append(name)
    for seq in range(start, end):
        row = page[seq - start] if seq - start < len(page) else None
        if row is None or row.seq != seq:
            _refuse(seq, f"Entry {seq} is missing.")
        entry = checked(row)
        require_canonical(row, entry)
        _require_mentions(entry, mentioned.get(seq, []))
        for node in push(peaks, row.leaf):
            if is_stored(node.level) and stored.get((node.level, node.offset)) != node.hash:
                _refuse_node(node)
        yield row, len(entry.mentions or ())


def _require_mentions(entry: LedgerEntry, found_by: list[str]) -> None:
    said, found = set(entry.mentions or ()), set(found_by)
    if said - found:
        _refuse(entry.seq, f"Entry {entry.seq} cannot be found by {min(said - found)!r}.")
    if found - said:
        _refuse(
            entry.seq,
            f"Entry {entry.seq} is found by {min(found - said)!r}, which it does not mention.",
        )


def _stored_nodes(rows: LedgerRows, start: int, end: int) -> dict[tuple[int, int], bytes]:
    """The stored subtrees that entries ``start <= seq < end`` complete."""
    stored: dict[tuple[int, int], bytes] = {}
    level = STRIDE
    while end >> level:
        first, last = start >> level, end >> level
        hashes = rows.hashes(level, first, last) if first < last else []
        # A gap would shift what follows it, so a short answer is read one by one.
        for offset in range(first, last):
            found = [hashes[offset - first]] if len(hashes) == last - first else []
            found = found or rows.hashes(level, offset, offset + 1)
            if found:
                stored[level, offset] = found[0]
        level += STRIDE
    return stored


def _require_whole(census: Census, against: tuple[int, bytes] | None) -> None:
    if census.faults:
        _refuse(None, f"The ledger's own guards are not in order: {'; '.join(census.faults)}.")
    if against and against[0] > census.size:
        _refuse(
            census.size,
            f"The ledger has {census.size} entries, fewer than the {against[0]} it is verified "
            f"against: entry {census.size} is missing.",
        )


def _require_root(peaks: list[Node], against: tuple[int, bytes]) -> None:
    size, root = against
    if root_of(peaks) != root:
        _refuse(
            None,
            f"The first {size} entries have the root {root_of(peaks).hex()}, not {root.hex()}: "
            "one of them was altered.",
        )


def _require_counts(census: Census, mentions: int) -> None:
    for level, count in sorted(census.nodes.items()):
        if count > census.size >> level or not is_stored(level):
            _refuse(
                census.size,
                f"Entry {census.size} is missing: nodes of level {level} cover {count << level} "
                f"entries, and {census.size} are stored.",
            )
    if census.rows != census.size:
        _refuse(None, f"{census.rows} entries are stored where {census.size} belong.")
    if census.mentions != mentions:
        _refuse(
            None,
            f"{census.mentions} mentions are stored where {mentions} belong: the others are of "
            f"entries outside 0 to {census.size - 1}.",
        )


def _refuse_node(node: Node) -> NoReturn:
    first, last = node.offset << node.level, ((node.offset + 1) << node.level) - 1
    _refuse(
        first,
        f"Entries {first} to {last} do not have the hash of the node stored over them "
        f"(level {node.level}): one of them was altered or moved, or the node was.",
    )


def _refuse(seq: int | None, difference: str) -> NoReturn:
    raise LedgerCorruptError(
        difference,
        next_step="Keep the ledger's files as evidence and restore them from a verified copy.",
        seq=seq,
    )
