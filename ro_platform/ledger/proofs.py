"""Proofs that stand alone: JSON documents that anyone can check with SHA-256 and RFC 9162.

A proof is worth what the root is worth that it is checked against, so ``verify`` asks for one that
the verifier trusts (from a checkpoint it kept) and never falls back to the root inside the proof.
"""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt

from ro_platform.contracts.base import Contract, Hex64
from ro_platform.contracts.ledger import LedgerEntry
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.merkle import leaf_hash, verify_consistency, verify_inclusion


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
