"""Reading the ledger: inside a write transaction and outside one, the same questions.

No answer is handed out unchecked: an entry whose bytes, leaf hash or columns disagree raises
:class:`LedgerCorruptError`. A ledger that does not exist yet reads as an empty one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ro_platform import errors
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel import merkle
from ro_platform.ledger.backends.base import Between, LedgerRows, Selection
from ro_platform.ledger.entry import decode_entry
from ro_platform.ledger.tree import ConsistencyProof, InclusionProof, node_reader

_PAGE_ROWS = 500


class LedgerReader:
    """The questions one can ask of a ledger."""

    def __init__(self, rows: LedgerRows) -> None:
        self._rows = rows

    def size(self) -> int:
        """How many entries there are; also the ``seq`` of the next one."""
        return self._rows.tip().size

    def root(self, size: int | None = None) -> bytes:
        """The Merkle root (32 bytes) of the log, now or when it had that size."""
        return merkle.root_of(merkle.peaks_of(self._within(size), node_reader(self._rows)))

    def get(self, seq: int) -> LedgerEntry:
        """The entry at that place. Raises :class:`NotFoundError` beyond the end."""
        size = self.size()
        if not 0 <= seq < size:
            raise errors.NotFoundError(
                f"There is no entry {seq}: the ledger has {size}.",
                next_step="List entries with `ro ledger log`.",
                seq=seq,
            )
        row = self._rows.by_seq(seq)
        if row is None:
            raise errors.LedgerCorruptError(
                f"Entry {seq} is missing from a ledger of {size}.", seq=seq
            )
        return decode_entry(row)

    def find(self, key: str) -> LedgerEntry | None:
        """The entry with that idempotency key."""
        row = self._rows.by_keys([key]).get(key)
        return decode_entry(row) if row else None

    def latest(self, kind: EntryKind, subject: str) -> LedgerEntry | None:
        """The newest entry of that kind about that subject."""
        row = self._rows.latest(kind.value, subject)
        return decode_entry(row) if row else None

    def latest_of(
        self, questions: Sequence[tuple[EntryKind, str | Between]]
    ) -> list[LedgerEntry | None]:
        """:meth:`latest` of each (kind, subject), in their order, in one round trip.

        Of subjects :class:`Between` two it is the newest entry about the greatest of them that has
        any of that kind.
        """
        rows = self._rows.latest_of([(kind.value, subject) for kind, subject in questions])
        return [decode_entry(row) if row else None for row in rows]

    def scan(
        self,
        *,
        start: int = 0,
        end: int | None = None,
        kind: EntryKind | None = None,
        subject: str | None = None,
        run_id: str | None = None,
        dagster_run_id: str | None = None,
        mention: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[LedgerEntry]:
        """Entries with ``start <= seq < end`` that match everything given, in order, streaming.

        It covers the log as it stands at the first entry asked for; what is appended meanwhile is
        not part of it. No transaction stays open between two entries.
        """
        size = self.size()
        selection = Selection(
            start=max(start, 0),
            end=size if end is None else min(end, size),
            kind=None if kind is None else kind.value,
            subject=subject,
            run_id=run_id,
            dagster_run_id=dagster_run_id,
            mention=mention,
            newest_first=newest_first,
        )
        left = size if limit is None else limit
        while left > 0 and selection.start < selection.end:
            rows = self._rows.page(selection, min(left, _PAGE_ROWS))
            for row in rows:
                yield _mentioning(decode_entry(row), mention)
            if len(rows) < min(left, _PAGE_ROWS):
                return
            left, last = left - len(rows), rows[-1].seq
            if newest_first:
                selection = replace(selection, end=last)
            else:
                selection = replace(selection, start=last + 1)

    def inclusion_proof(self, seq: int, size: int | None = None) -> InclusionProof:
        """The proof that entry ``seq`` is in the log (of that size). O(log n) reads.

        Raises :class:`NotFoundError` beyond the end, and :class:`LedgerCorruptError` if what is
        stored cannot prove it.
        """
        size, read = self._within(size), node_reader(self._rows)
        if not 0 <= seq < size:
            raise errors.NotFoundError(f"There is no entry {seq} in a tree of {size}.", seq=seq)
        leaf = merkle.leaf_hash(self._bytes_of(seq))
        root = self.root(size)
        path = merkle.inclusion_proof(seq, size, read)
        if not merkle.verify_inclusion(leaf, seq, size, path, root):
            raise _unprovable(f"entry {seq}", seq)
        hexes = tuple(step.hex() for step in path)
        return InclusionProof(seq=seq, size=size, leaf=leaf.hex(), root=root.hex(), path=hexes)

    def inclusion_paths(self, seqs: Iterable[int], size: int) -> dict[int, list[bytes]]:
        """The paths of many entries under the root of one size; a hash that they share is read
        once. They are as good as what is stored: verify them under a root."""
        read = functools.cache(node_reader(self._rows))
        return {seq: merkle.inclusion_proof(seq, size, read) for seq in seqs}

    def consistency_proof(self, old: int, new: int | None = None) -> ConsistencyProof:
        """The proof that the log of size ``new`` (now) extends the one of size ``old``.

        Raises :class:`InvalidInputError` for sizes that the log does not have.
        """
        new = self._within(new)
        old_root, new_root = self.root(self._within(old, new)), self.root(new)
        path = merkle.consistency_proof(old, new, node_reader(self._rows))
        if not merkle.verify_consistency(old, new, old_root, new_root, path):
            raise _unprovable(f"the growth from {old} to {new}", old)
        return ConsistencyProof(
            old_size=old,
            new_size=new,
            old_root=old_root.hex(),
            new_root=new_root.hex(),
            path=tuple(step.hex() for step in path),
        )

    def _bytes_of(self, seq: int) -> bytes:
        row = self._rows.by_seq(seq)
        if row is None:
            raise errors.LedgerCorruptError(f"Entry {seq} is missing.", seq=seq)
        decode_entry(row)
        return row.entry

    def _within(self, size: int | None, most: int | None = None) -> int:
        most = self.size() if most is None else most
        if size is not None and not 0 <= size <= most:
            raise errors.InvalidInputError(
                f"A tree of size {size} is not part of this ledger's {most} entries.",
                next_step=f"Give a size from 0 to {most}.",
            )
        return most if size is None else size


def _mentioning(entry: LedgerEntry, name: str | None) -> LedgerEntry:
    """The entry itself, if it does mention the name by which it was found."""
    if name is not None and name not in (entry.mentions or ()):
        raise errors.LedgerCorruptError(
            f"Entry {entry.seq} was found by {name!r}, which its bytes do not mention.",
            next_step="Run `ro ledger verify` and keep the files as evidence.",
            seq=entry.seq,
        )
    return entry


def _unprovable(what: str, seq: int) -> errors.LedgerCorruptError:
    return errors.LedgerCorruptError(
        f"The stored hashes do not prove {what}: an entry or a node was altered.",
        next_step="Run `ro ledger verify` and keep the files as evidence.",
        seq=seq,
    )
