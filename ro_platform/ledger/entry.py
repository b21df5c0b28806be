"""From a draft to a stored row and back: the bytes that the leaf hash covers, checked on each read.

The canonical bytes are the one source of truth; the columns beside them are copies for finding, and
an entry is handed out only if bytes, leaf hash and columns still say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.base import Contract, contract_error
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.merkle import leaf_hash
from ro_platform.ledger.backends.base import Row

C = TypeVar("C", bound=Contract)

_NO_IDS = CorrelationIds()
_BODY = {"body"}

MAX_NAME_BYTES = 2048
"""How long a subject, a key or a mention may be, in UTF-8; the contract also counts characters."""


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """What a caller wants recorded; its place and time are given when it is appended.

    ``body`` is a JSON object or a contract; ``mentions`` are names beside the subject by which the
    entry can be found. ``key`` makes the append idempotent: a log holds at
    most one entry with it.
    """

    kind: EntryKind
    subject: str
    actor: str
    body: Mapping[str, Any] | Contract
    key: str | None = None
    correlation_ids: CorrelationIds = _NO_IDS
    mentions: tuple[str, ...] = ()

    def body_object(self) -> dict[str, Any]:
        """The body as the JSON object that is stored."""
        return self.body.to_json_value() if isinstance(self.body, Contract) else dict(self.body)


def encode_entry(draft: EntryDraft, seq: int, recorded_at_utc: str) -> tuple[LedgerEntry, Row]:
    """The entry at its place, and its row.

    Raises :class:`ContractError` or :class:`NotCanonicalError` for a draft that is not acceptable.
    """
    try:
        entry = LedgerEntry(
            seq=seq,
            kind=draft.kind,
            subject=draft.subject,
            key=draft.key,
            actor=draft.actor,
            recorded_at_utc=recorded_at_utc,
            mentions=tuple(sorted(set(draft.mentions))) or None,
            correlation_ids=draft.correlation_ids,
            body=draft.body_object(),
        )
    except ValidationError as error:
        raise contract_error(error, kind="LedgerEntry", where="ledger entry") from None
    for name in (entry.subject, entry.key, *(entry.mentions or ())):
        require_indexable(name)
    data = _canonical(entry)
    return entry, Row(seq, data, leaf_hash(data), *_columns(entry))


def decode_entry(row: Row) -> LedgerEntry:
    """The entry of a row. Raises :class:`LedgerCorruptError` if the row was edited."""
    if leaf_hash(row.entry) != row.leaf:
        _refuse(row.seq, "its bytes do not have the leaf hash stored beside them")
    try:
        entry = LedgerEntry.from_json(row.entry, where=f"entry {row.seq}")
    except errors.ContractError as error:
        _refuse(row.seq, f"its bytes are not a ledger entry ({error.message})")
    if entry.seq != row.seq:
        _refuse(row.seq, f"its bytes say that it is entry {entry.seq}")
    for name, stored, said in zip(Row._fields[3:], row[3:], _columns(entry), strict=True):
        if stored != said:
            _refuse(row.seq, f"its column {name} is {stored!r}, but its bytes say {said!r}")
    return entry


def body_of(entry: LedgerEntry, contract: type[C]) -> C:
    """An entry's body as the contract that its kind has. Raises :class:`ContractError`."""
    return contract.from_json(canonical_bytes(entry.body), where=f"entry {entry.seq}")


def require_canonical(row: Row, entry: LedgerEntry) -> None:
    """Raises :class:`LedgerCorruptError` unless the stored bytes are the entry's canonical form."""
    try:
        same = _canonical(entry) == row.entry
    except errors.NotCanonicalError:
        same = _is_canonical_of_doubles(row.entry, entry)
    if not same:
        _refuse(row.seq, "its bytes are not in canonical form")


def require_same(draft: EntryDraft, entry: LedgerEntry) -> None:
    """Raises :class:`EntryConflictError` unless the draft restates the entry that has its key."""
    same = (
        entry.kind == draft.kind
        and entry.subject == draft.subject
        and canonical_bytes(entry.body) == canonical_bytes(draft.body_object())
    )
    if not same:
        raise errors.EntryConflictError(
            f"Entry {entry.seq} already carries the key {draft.key!r} and says something else.",
            next_step=f"Read it with `ro ledger log`: records do not change. Entry {entry.seq}.",
            seq=entry.seq,
            key=draft.key,
        )


def require_indexable(name: str | None) -> None:
    """Raises :class:`ContractError` for a name that not every backend could find an entry by."""
    # PostgreSQL's texts have no NUL, and a row of its indexes fits a third of a page.
    if name is None or (name.isascii() and "\0" not in name):
        return
    if "\0" in name or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise errors.ContractError(
            f"The name {name[:40]!r} cannot be indexed: it holds NUL, or more than "
            f"{MAX_NAME_BYTES} bytes of UTF-8.",
            next_step="Give a shorter subject, key or mention.",
            contract="LedgerEntry",
        )


def _canonical(entry: LedgerEntry) -> bytes:
    # The same bytes as canonical_bytes(entry). A body is its own JSON form, and to have it copied
    # value by value would cost a fifth of an append.
    envelope = entry.model_dump(mode="json", exclude_none=True, exclude=_BODY)
    return canonical_bytes(envelope | {"body": entry.body})


def _is_canonical_of_doubles(data: bytes, entry: LedgerEntry) -> bool:
    # The canonical form of a large double has no fraction, and was read as a whole number that
    # has no canonical form.
    try:
        body = parse_canonical(data)["body"]
        return _canonical(entry.model_copy(update={"body": body})) == data
    except errors.NotCanonicalError:
        return False


def _columns(entry: LedgerEntry) -> tuple[str, str, str | None, str | None, str | None]:
    ids = entry.correlation_ids
    return entry.kind.value, entry.subject, entry.key, ids.run_id, ids.dagster_run_id


def _refuse(seq: int, difference: str) -> NoReturn:
    raise errors.LedgerCorruptError(
        f"Entry {seq} is not what was recorded: {difference}.",
        next_step="Keep the ledger's files as evidence and restore them from a verified copy.",
        seq=seq,
    )
