"""The Merkle tree over stored rows: which subtrees are kept, and how the others are had from them.

Complete subtrees are stored sparsely, at the levels that are multiples of :data:`STRIDE`: one node
for 16 leaves, one for 256, and so on, 1/15 of a hash for an entry. A level between is folded from
at most 8 stored hashes, so roots and proofs stay O(log n) reads and a bulk append stays cheap.

Proofs that stand alone: JSON documents that anyone can check with SHA-256 and RFC 9162.

A proof is worth what the root is worth that it is checked against, so ``verify`` asks for one that
the verifier trusts (from a checkpoint it kept) and never falls back to the root inside the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, NonNegativeInt, PositiveInt

from ro_platform import errors
from ro_platform.contracts.base import Contract, Hex64
from ro_platform.contracts.ledger import LedgerEntry
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.merkle import (
    Node,
    NodeReader,
    extend,
    fold,
    leaf_hash,
    peaks_of,
    push,
    verify_consistency,
    verify_inclusion,
)
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
            raise errors.LedgerCorruptError(
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
            raise errors.LedgerCorruptError(
                f"The log has {tip.size} entries and no longer holds entry {self.tip.size - 1} as "
                "this process has seen it.",
                next_step="Nothing was appended. Run `ro ledger verify` against a kept root.",
                seq=self.tip.size - 1,
            )
        if len(leaves) == tip.size - self.tip.size:
            return self.extended(leaves)[0]
        return Frontier(tip, tuple(peaks_of(tip.size, node_reader(rows))))


class InclusionProof(Contract):
    """That one entry stands at one place of the log (RFC 9162, section 2.1.3)."""

    seq: NonNegativeInt
    size: PositiveInt = Field(description="The size of the tree that the root is of.")
    leaf: Hex64 = Field(description="SHA-256(0x00 || canonical bytes of the entry).")
    root: Hex64
    path: tuple[Hex64, ...] = Field(description="Sibling hashes, from the leaf upwards.")

    def verify(self, entry: LedgerEntry | bytes, root: bytes) -> bool:
        """Whether this entry (or its canonical bytes) is at ``seq`` under that trusted root."""
        data = entry if isinstance(entry, bytes) else canonical_bytes(entry)
        leaf, path = leaf_hash(data), [bytes.fromhex(step) for step in self.path]
        return (
            leaf.hex() == self.leaf
            and root.hex() == self.root
            and verify_inclusion(leaf, self.seq, self.size, path, root)
        )


class ConsistencyProof(Contract):
    """That the log of ``new_size`` only appended to that of ``old_size`` (section 2.1.4)."""

    old_size: NonNegativeInt
    new_size: NonNegativeInt
    old_root: Hex64
    new_root: Hex64
    path: tuple[Hex64, ...]

    def verify(self, old_root: bytes, new_root: bytes) -> bool:
        """Whether the tree under ``new_root`` extends the one under ``old_root``, both trusted."""
        path = [bytes.fromhex(step) for step in self.path]
        return (
            old_root.hex() == self.old_root
            and new_root.hex() == self.new_root
            and verify_consistency(self.old_size, self.new_size, old_root, new_root, path)
        )
