"""The Merkle tree over stored rows: which subtrees are kept, and how the others are had from them.

Complete subtrees are stored sparsely, at the levels that are multiples of :data:`STRIDE`: one node
for 16 leaves, one for 256, and so on, 1/15 of a hash for an entry. A level between is folded from
at most 8 stored hashes, so roots and proofs stay O(log n) reads and a bulk append stays cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ro_platform.errors import LedgerCorruptError
from ro_platform.kernel.merkle import Node, NodeReader, extend, fold, peaks_of, push
from ro_platform.ledger.backends.base import LedgerRows, Tip

STRIDE = 4
_READ_LEAVES_AT_MOST = 4096


def is_stored(level: int) -> bool:
    """Whether complete subtrees of that level have a row of their own (leaves are entries)."""
    return level > 0 and level % STRIDE == 0


def node_reader(rows: LedgerRows) -> NodeReader:
    """Complete subtrees at any level. Raises :class:`LedgerCorruptError` where hashes miss."""

    def read(level: int, offset: int) -> bytes:
        base = level - level % STRIDE
        count = 1 << (level - base)
        hashes = rows.hashes(base, offset * count, (offset + 1) * count)
        if len(hashes) != count:
            raise LedgerCorruptError(
                f"{count - len(hashes)} hashes of the subtree over entries {offset << level} to "
                f"{((offset + 1) << level) - 1} are missing.",
                next_step="Run `ro ledger verify` and keep the files as evidence.",
                seq=offset << level,
            )
        return fold(hashes)

    return read


_NOTHING = Tip(0, None)


@dataclass(frozen=True, slots=True)
class Frontier:
    """The end of the tree as an appender last saw it: its tip and its peaks, largest first."""

    tip: Tip = _NOTHING
    peaks: tuple[Node, ...] = ()

    def extended(self, leaves: Sequence[bytes]) -> tuple[Frontier, list[Node]]:
        """The frontier after these leaves, and the subtrees they complete that are stored."""
        peaks = list(self.peaks)
        if len(leaves) == 1:
            completed = [node for node in push(peaks, leaves[0]) if is_stored(node.level)]
        else:
            completed = [
                Node(level, offset + number, hashed)
                for level, offset, hashes in extend(peaks, leaves)
                if is_stored(level)
                for number, hashed in enumerate(hashes)
            ]
        last = leaves[-1] if leaves else self.tip.leaf
        return Frontier(Tip(self.tip.size + len(leaves), last), tuple(peaks)), completed

    def caught_up(self, rows: LedgerRows, tip: Tip) -> Frontier:
        """The frontier of the stored log, which ends at that tip.

        Raises :class:`LedgerCorruptError` if it went backwards, which is what a truncated or
        replaced log looks like to a process that saw more of it.
        """
        if tip == self.tip:
            return self
        if self.tip.leaf is None:
            return Frontier(tip, tuple(peaks_of(tip.size, node_reader(rows))))
        near = tip.size - self.tip.size <= _READ_LEAVES_AT_MOST
        last = self.tip.size - 1
        seen, *leaves = rows.hashes(0, last, tip.size if near else last + 1) or [b""]
        if seen != self.tip.leaf:
            raise LedgerCorruptError(
                f"The log has {tip.size} entries and no longer holds entry {self.tip.size - 1} as "
                "this process has seen it.",
                next_step="Nothing was appended. Run `ro ledger verify` against a kept root.",
                seq=self.tip.size - 1,
            )
        if len(leaves) == tip.size - self.tip.size:
            return self.extended(leaves)[0]
        return Frontier(tip, tuple(peaks_of(tip.size, node_reader(rows))))
