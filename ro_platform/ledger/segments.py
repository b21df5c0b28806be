"""One stretch of the log, verified by itself: every row, mention and node that lies within it.

A page that is sound is taken at once; only one that may not be is gone through entry by entry,
which says what is wrong with the first bad one.

A segment begins at a multiple of its length (a power of two) or is the whole log, so its own
subtrees are subtrees of the log. Whoever joins segments checks the nodes over several of them.

A page of rows judged at once: it is sound, or row by row has to say what is wrong with it.

What is asked of each row is what :func:`ro_platform.ledger.entry.decode_entry` and
``require_canonical`` ask, in another order: for all rows a check at a time, without an object of
the contract for each. A page is called sound only if they would pass every row of it. A row that is
beyond the quick reading (a fraction in its body, six objects one within another) is given to them
by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Struct
from pydantic import TypeAdapter, ValidationError

from ro_platform import errors
from ro_platform.contracts.base import Actor, Hex32, Name, UtcTimestamp
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel.canonical import MAX_SAFE_INTEGER, is_plain
from ro_platform.kernel.merkle import Node, Siblings, extend, leaf_hashes, node_hash, push
from ro_platform.ledger.backends.base import LedgerRows, Mention, RawRow, Row, Selection
from ro_platform.ledger.entry import decode_entry, require_canonical
from ro_platform.ledger.tree import STRIDE, is_stored

_Whole = Annotated[int, Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
_Name = Annotated[str, Meta(min_length=1, max_length=1024)]
_Scalar = str | _Whole | bool | None
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Nested = _Scalar | list[_Flat] | dict[str, _Flat]
_Nested3 = _Scalar | list[_Nested] | dict[str, _Nested]
_Nested4 = _Scalar | list[_Nested3] | dict[str, _Nested3]
_Deep = _Scalar | list[_Nested4] | dict[str, _Nested4]


class _Ids(Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The form of :class:`ro_platform.contracts.attempt.CorrelationIds`."""

    bundle_id: str | None = None
    dagster_run_id: str | None = None
    run_id: str | None = None
    train_run_id: str | None = None


class _Entry(Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The form of :class:`LedgerEntry`; what its texts must match is asked of all at once."""

    actor: str
    body: dict[str, _Deep]
    correlation_ids: _Ids
    key: _Name | None = None
    kind: str
    mentions: list[_Name] | None = None
    recorded_at_utc: str
    seq: _Whole
    subject: _Name


_KINDS = frozenset(kind.value for kind in EntryKind)
_decoder = msgspec.json.Decoder(_Entry)
_encoder = msgspec.json.Encoder(order="sorted")
_Entries = Sequence[_Entry | LedgerEntry]

_actors = TypeAdapter(list[Actor])
_moments = TypeAdapter(list[UtcTimestamp])
_hexes = TypeAdapter(list[Hex32 | None])
_names = TypeAdapter(list[Name | None])


def sound_leaves(
    page: Sequence[RawRow], mentions: Sequence[Mention], start: int, end: int
) -> list[bytes] | None:
    """The leaf hashes of entries ``start <= seq < end`` if these are their rows and these their
    mentions (by seq and name), and nothing is wrong with any. None says nothing but that something
    may be."""
    if len(page) != end - start:
        return None
    seqs, data, leaves, *columns = map(list, zip(*page, strict=True))
    hashes = leaf_hashes(data)
    if hashes != leaves or seqs != list(range(start, end)):
        return None
    try:
        entries = _read(page, data)
    except errors.LedgerCorruptError:
        return None
    if _says(entries) != [seqs, *columns] or _mentioned(entries) != mentions:
        return None
    return hashes if _patterns_hold(entries) else None


def _read(page: Sequence[RawRow], data: list[bytes]) -> _Entries:
    """All entries, from bytes that are in canonical form. Raises :class:`LedgerCorruptError`."""
    # No canonical form has a line break in it: if the lines come back as they were, each row is
    # one of them.
    lines = b"\n".join([*data, b""])
    try:
        entries = _decoder.decode_lines(lines)
        same = len(entries) == len(data) and _encoder.encode_lines(entries) == lines
        if same and (lines.isascii() or all(map(_keys_are_plain, entries, data))):
            return entries
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    return [_read_one(row) for row in page]


def _keys_are_plain(entry: _Entry, data: bytes) -> bool:
    return data.isascii() or is_plain(entry.body)


def _read_one(row: RawRow) -> _Entry | LedgerEntry:
    data = row[1]
    try:
        entry = _decoder.decode(data)
        if _encoder.encode(entry) == data and _keys_are_plain(entry, data):
            return entry
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    found = Row(*row)
    exact = decode_entry(found)
    require_canonical(found, exact)
    return exact


def _says(entries: _Entries) -> list[list[Any]]:
    """What the bytes say of the columns, in their order."""
    ids = [entry.correlation_ids for entry in entries]
    return [
        [entry.seq for entry in entries],
        [entry.kind for entry in entries],
        [entry.subject for entry in entries],
        [entry.key for entry in entries],
        [one.run_id for one in ids],
        [one.dagster_run_id for one in ids],
    ]


def _mentioned(entries: _Entries) -> list[tuple[int, str]]:
    return [
        (entry.seq, name) for entry in entries if entry.mentions for name in sorted(entry.mentions)
    ]


def _patterns_hold(entries: _Entries) -> bool:
    ids = [entry.correlation_ids for entry in entries]
    try:
        for texts, pattern in (
            ({entry.actor for entry in entries}, _actors),
            ({entry.recorded_at_utc for entry in entries}, _moments),
            ({one.run_id for one in ids}, _hexes),
            ({one.dagster_run_id for one in ids}, _names),
            ({one.train_run_id for one in ids}, _names),
            ({one.bundle_id for one in ids}, _names),
        ):
            pattern.validate_python(list(texts))
    except ValidationError:
        return False
    return _KINDS.issuperset([entry.kind for entry in entries])


_PAGE_ROWS = 1 << 2 * STRIDE
"""Aligned to stored subtrees, and so few that all that is made of them stays in a core's cache."""

Peaks = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """Entries ``start <= seq < end``, and the sizes of the log in there whose roots are wanted."""

    start: int
    end: int
    marks: tuple[int, ...] = ()


@dataclass(slots=True)
class CheckedSegment:
    """What was found up to the first fault: the segment's subtrees (largest first), those when the
    log had each size asked for, and how many names are mentioned."""

    peaks: Peaks = ()
    at_marks: list[tuple[int, Peaks]] = field(default_factory=list)
    mentions: int = 0
    fault: errors.LedgerCorruptError | None = None


def check_segment(
    rows: LedgerRows, segment: Segment, progress: Callable[[int], None] | None = None
) -> CheckedSegment:
    """Verify a segment, streaming: memory is bounded by one page of entries.

    ``progress`` is told how far it got. A row that is not what was recorded is the answer's
    ``fault``; the backend's other errors are raised.
    """
    found, peaks = CheckedSegment(), list[Node]()
    try:
        for start in range(segment.start, segment.end, _PAGE_ROWS):
            page = Segment(start, min(start + _PAGE_ROWS, segment.end), segment.marks)
            if not _take_at_once(rows, peaks, segment.start, page, found):
                _take_each(rows, peaks, segment.start, page, found)
            if progress:
                progress(page.end)
    except errors.LedgerCorruptError as fault:
        found.fault = fault
    found.peaks = _placed(peaks, segment.start)
    return found


def join(rows: LedgerRows, peaks: list[Node], segment: Peaks) -> None:
    """Add a checked segment's subtrees to those before it, in place.

    Raises :class:`LedgerCorruptError` where a stored node over several segments is not its hash.
    """
    for node in segment:
        while peaks and peaks[-1].level == node.level:
            left = peaks.pop()
            node = Node(node.level + 1, left.offset >> 1, node_hash(left.hash, node.hash))
            if is_stored(node.level):
                _require_node(node, rows.hashes(node.level, node.offset, node.offset + 1))
        peaks.append(node)


def refuse(seq: int | None, difference: str) -> NoReturn:
    """The error that verification raises about an entry, or about the whole log."""
    raise errors.LedgerCorruptError(
        difference,
        next_step="Keep the ledger's files as evidence and restore them from a verified copy.",
        seq=seq,
    )


def _placed(peaks: list[Node], start: int) -> Peaks:
    """The subtrees at their offsets in the whole log."""
    return tuple(Node(level, offset + (start >> level), hashed) for level, offset, hashed in peaks)


def _take_at_once(
    rows: LedgerRows, peaks: list[Node], origin: int, page: Segment, found: CheckedSegment
) -> bool:
    """Take a page whose rows and nodes are all sound. Otherwise take nothing, and say so."""
    mentions = rows.mentions(page.start, page.end)
    leaves = sound_leaves(rows.rows_between(page.start, page.end), mentions, page.start, page.end)
    if leaves is None:
        return False
    grown, at_marks, start = list(peaks), list[tuple[int, Peaks]](), page.start
    for size in sorted({*(mark for mark in page.marks if start < mark < page.end), page.end}):
        completed = extend(grown, leaves[start - page.start : size - page.start])
        if not all(_is_as_stored(rows, origin, some) for some in completed):
            return False
        if size in page.marks:
            at_marks.append((size, _placed(grown, origin)))
        start = size
    peaks[:] = grown
    found.at_marks += at_marks
    found.mentions += len(mentions)
    return True


def _is_as_stored(rows: LedgerRows, origin: int, some: Siblings) -> bool:
    if not is_stored(some.level):
        return True
    first = some.offset + (origin >> some.level)
    return rows.hashes(some.level, first, first + len(some.hashes)) == some.hashes


def _take_each(
    rows: LedgerRows, peaks: list[Node], origin: int, page: Segment, found: CheckedSegment
) -> None:
    """Take a page entry by entry. Raises :class:`LedgerCorruptError` for the first that is bad."""
    start, end = page.start, page.end
    stored = _stored_nodes(rows, start, end)
    listed = rows.page(Selection(start=start, end=end), end - start)
    mentioned: dict[int, list[str]] = {}
    for seq, name in rows.mentions(start, end):
        mentioned.setdefault(seq, []).append(name)
    for seq in range(start, end):
        row = listed[seq - start] if seq - start < len(listed) else None
        if row is None or row.seq != seq:
            refuse(seq, f"Entry {seq} is missing.")
        entry = decode_entry(row)
        require_canonical(row, entry)
        _require_mentions(entry, mentioned.get(seq, []))
        for level, offset, hashed in push(peaks, row.leaf):
            if is_stored(level):
                node = Node(level, offset + (origin >> level), hashed)
                _require_node(node, stored.get((level, node.offset), []))
        found.mentions += len(entry.mentions or ())
        if seq + 1 in page.marks:
            found.at_marks.append((seq + 1, _placed(peaks, origin)))


def _require_mentions(entry: LedgerEntry, found_by: list[str]) -> None:
    said, found = set(entry.mentions or ()), set(found_by)
    if said - found:
        refuse(entry.seq, f"Entry {entry.seq} cannot be found by {min(said - found)!r}.")
    if found - said:
        refuse(
            entry.seq,
            f"Entry {entry.seq} is found by {min(found - said)!r}, which it does not mention.",
        )


def _stored_nodes(rows: LedgerRows, start: int, end: int) -> dict[tuple[int, int], list[bytes]]:
    """The stored subtrees that entries ``start <= seq < end`` complete."""
    stored: dict[tuple[int, int], list[bytes]] = {}
    level = STRIDE
    while end >> level:
        first, last = start >> level, end >> level
        hashes = rows.hashes(level, first, last) if first < last else []
        # A gap would shift what follows it, so a short answer is read one by one.
        for offset in range(first, last):
            whole = len(hashes) == last - first
            found = hashes[offset - first : offset - first + 1] if whole else []
            stored[level, offset] = found or rows.hashes(level, offset, offset + 1)
        level += STRIDE
    return stored


def _require_node(node: Node, stored: list[bytes]) -> None:
    if stored == [node.hash]:
        return
    first, last = node.offset << node.level, ((node.offset + 1) << node.level) - 1
    refuse(
        first,
        f"Entries {first} to {last} do not have the hash of the node stored over them "
        f"(level {node.level}): one of them was altered or moved, or the node was.",
    )
