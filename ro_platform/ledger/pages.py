"""A page of rows judged at once: it is sound, or row by row has to say what is wrong with it.

What is asked of each row is what :func:`ro_platform.ledger.entry.checked` and ``require_canonical``
ask, in another order: for all rows a check at a time, without an object of the contract for each. A
page is called sound only if they would pass every row of it. A row that is beyond the quick reading
(a fraction in its body, six objects one within another) is given to them by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from pydantic import TypeAdapter, ValidationError

from ro_platform.contracts.base import Actor, Hex32, Name, UtcTimestamp
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.errors import LedgerCorruptError
from ro_platform.kernel.canonical import MAX_SAFE_INTEGER, is_plain
from ro_platform.kernel.merkle import leaf_hashes
from ro_platform.ledger.backends.base import Mention, RawRow, Row
from ro_platform.ledger.entry import checked, require_canonical

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
    except LedgerCorruptError:
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
    exact = checked(found)
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
