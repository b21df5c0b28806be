"""Archiving the ledger: complete segments of it, copied to the store, each verifiable by itself.

A segment is an aligned range of entries, its length a power of two: a complete subtree of the log.
Its blob holds the entries' canonical bytes in their order, a line feed after each (canonical JSON
has none inside), so that anyone recomputes the leaf hashes and the root with SHA-256 alone. The
``segment_archived`` entry names the blob by digest, the root of the range, and the sibling hashes
up to the log's root as it was when the segment's last entry had just been appended.

Archiving copies. The entries, the tree and every index stay in the database, and no way to take
archived rows out of it is offered: nothing can be lost by archiving. A crash leaves at worst a blob
that no entry names; archiving again finds it and completes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ro_platform import errors
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import BoundRef, EntryKind, LedgerEntry, SegmentArchived
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.merkle import Node, leaf_hash, push, root_of, verify_inclusion
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger

SEGMENT = "application/vnd.ro.ledger-segment"
SEGMENT_SCHEMA = "ro.ledger_segment.v0"
SEGMENT_SIZE = 1 << 16
"""Entries in a segment, unless told otherwise."""

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Segment:
    """An archived segment on record; ``new`` if this call archived it."""

    entry: LedgerEntry
    body: SegmentArchived
    new: bool = False

    @property
    def end(self) -> int:
        """The ``seq`` after its last entry."""
        return self.body.first + self.body.count


@dataclass(frozen=True, slots=True)
class CheckedSegment:
    """A segment, and what is wrong with its copy, if anything."""

    segment: Segment
    error: errors.RunOperateError | None = None


class Archive:
    """The copies of one ledger's segments in the store."""

    def __init__(self, store: ArtifactStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def archive(
        self,
        *,
        actor: str,
        upto: int | None = None,
        count: int = SEGMENT_SIZE,
        progress: Progress = lambda _done, _total: None,
    ) -> Iterator[Segment]:
        """Copy every complete segment of ``count`` entries that ends at or before ``upto`` (now).

        Answers each, oldest first; what is on record already is not copied again. Raises
        :class:`InvalidInputError` for a length that is no power of two, and
        :class:`LedgerCorruptError`, recording nothing, if the entries do not have the tree's root.
        """
        if count < 1 or count & (count - 1):
            raise errors.InvalidInputError(
                f"A segment of {count} entries is not a subtree of the log.",
                next_step=f"Give a power of two, such as {SEGMENT_SIZE}.",
            )
        size = self._ledger.size()
        end = (size if upto is None else min(max(upto, 0), size)) // count * count
        for first in range(0, end, count):
            found = self._ledger.find(names.segment_key(first, count))
            yield (
                Segment(found, body_of(found, SegmentArchived))
                if found
                else self._copy(first, count, actor)
            )
            progress(first + count, end)

    def segments(self) -> Iterator[Segment]:
        """Every archived segment, in the order in which they were archived."""
        for entry in self._ledger.scan(kind=EntryKind.SEGMENT_ARCHIVED):
            yield Segment(entry, body_of(entry, SegmentArchived))

    def verify(self) -> Iterator[CheckedSegment]:
        """Read every copy back, against its own entry and against the log as it stands."""
        for segment in self.segments():
            try:
                with self._store.open_verified(segment.body.segment) as lines:
                    verify_segment(lines, segment.body)
                if self._ledger.root(segment.end).hex() != segment.body.log_root:
                    _refuse(segment.body, "the log has another root at its end")
            except errors.RunOperateError as error:
                yield CheckedSegment(segment, error)
            else:
                yield CheckedSegment(segment)

    def _copy(self, first: int, count: int, actor: str) -> Segment:
        end = first + count
        ref = self._write(first, end)
        proof = self._ledger.inclusion_proof(first, end)
        within = count.bit_length() - 1
        peaks: list[Node] = []
        with self._store.open_verified(ref) as lines:
            for line in lines:
                list(push(peaks, leaf_hash(line[:-1])))
        body = SegmentArchived(
            first=first,
            count=count,
            root=root_of(peaks).hex(),
            log_root=proof.root,
            path=proof.path[within:],
            segment=ref,
        )
        _require_linked(body)
        entry = self._ledger.append(
            EntryDraft(
                kind=EntryKind.SEGMENT_ARCHIVED,
                subject=names.segment_subject(first),
                key=names.segment_key(first, count),
                actor=actor,
                body=body,
            )
        )
        return Segment(entry, body, new=True)

    def _write(self, first: int, end: int) -> BoundRef:
        with self._store.writer(media_type=SEGMENT, schema_version=SEGMENT_SCHEMA) as out:
            for entry in self._ledger.scan(start=first, end=end):
                out.write(canonical_bytes(entry) + b"\n")
        return out.ref


def verify_segment(lines: Iterable[bytes], body: SegmentArchived) -> None:
    """Check a segment's lines, with nothing but them and its entry's body, up to ``log_root``.

    That root is worth what vouches for it: the ledger itself, or a signed checkpoint of that size.
    Raises :class:`LedgerCorruptError` naming the segment and what differs.
    """
    peaks: list[Node] = []
    seen = 0
    for line in lines:
        if not line.endswith(b"\n"):
            _refuse(body, "its last line is cut off")
        if _seq_of(line) != body.first + seen:
            _refuse(body, f"line {seen + 1} is not entry {body.first + seen}")
        list(push(peaks, leaf_hash(line[:-1])))
        seen += 1
    if seen != body.count:
        _refuse(body, f"it has {seen} entries")
    if root_of(peaks).hex() != body.root:
        _refuse(body, f"its entries have the root {root_of(peaks).hex()}, not {body.root}")
    _require_linked(body)


def _seq_of(line: bytes) -> int | None:
    try:
        return LedgerEntry.from_json(line).seq
    except errors.ContractError:
        return None


def _require_linked(body: SegmentArchived) -> None:
    """That the segment's root leads to the log's: blocks of one length are the leaves of a tree
    of their own, since every split of the log falls between two of them (RFC 9162, 2.1.1)."""
    index, blocks = body.first // body.count, body.first // body.count + 1
    path = [bytes.fromhex(step) for step in body.path]
    root, log_root = bytes.fromhex(body.root), bytes.fromhex(body.log_root)
    if body.first % body.count or not verify_inclusion(root, index, blocks, path, log_root):
        _refuse(body, f"its root does not lead to the log's root {body.log_root}")


def _refuse(body: SegmentArchived, difference: str) -> NoReturn:
    last = body.first + body.count - 1
    raise errors.LedgerCorruptError(
        f"The archived segment of entries {body.first} to {last} is not what was recorded: "
        f"{difference}.",
        next_step="Keep the blob as evidence and run `ro ledger verify`: where the ledger is "
        "whole, nothing is lost.",
        seq=body.first,
    )
