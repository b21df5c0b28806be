"""A run's record: closed by a seal, and opened again only by an entry that links to it."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from ro_platform.contracts.base import Contract, Hex32, Hex64, Reason


class RunSealed(Contract):
    """The ledger's body for the end of a run's record.

    ``root`` is the RFC 9162 root over the leaf hashes of the record's entries in their order: all
    entries that carry the run's id, from ``first`` up to and without the seal itself. ``touched``
    counts all entries before the seal that touched the run without being of its record, and
    ``touched_root`` is the root over theirs: of a run that nothing touched, SHA-256 of no bytes.
    """

    run_id: Hex32
    manifest_fingerprint: Hex64
    record: PositiveInt
    first: NonNegativeInt
    count: PositiveInt
    root: Hex64
    touched: NonNegativeInt
    touched_root: Hex64
    previous: NonNegativeInt | None = None


class RunReopened(Contract):
    """The ledger's body for the first entry of a further record: why, and the seal before it."""

    run_id: Hex32
    manifest_fingerprint: Hex64
    record: PositiveInt
    sealed: NonNegativeInt
    reason: Reason
