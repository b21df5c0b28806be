"""What the ledger holds about tokens: the entries, and a token's record read from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from ro_platform.contracts.access import TokenIssued, TokenRevoked
from ro_platform.contracts.base import contract_error
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel.clock import moment_of
from ro_platform.ledger.backends.base import Row
from ro_platform.ledger.entry import EntryDraft, body_of, sealed
from ro_platform.ledger.names import token_end_key, token_name


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is on record about a token: never its secret. ``state`` is standing, expired, revoked,
    or lost where it was issued under another access key than today's."""

    token_id: str
    holder: str
    issued_by: str
    issued_at_utc: str
    expires_at_utc: str
    reason: str
    state: str
    revoked_by: str | None = None
    revoked_because: str | None = None


def record_of(
    entry: LedgerEntry, revoked: LedgerEntry | None, now: datetime, key_id: str
) -> TokenRecord:
    """What an issue and, if there is one, its revocation say at that moment, under that key."""
    body = body_of(entry, TokenIssued)
    state = "standing" if body.key_id == key_id else "lost"
    if moment_of(body.expires_at_utc) <= now:
        state = "expired"
    return TokenRecord(
        token_id=body.token_id,
        holder=body.holder,
        issued_by=entry.actor,
        issued_at_utc=entry.recorded_at_utc,
        expires_at_utc=body.expires_at_utc,
        reason=body.reason,
        state="revoked" if revoked else state,
        revoked_by=revoked.actor if revoked else None,
        revoked_because=body_of(revoked, TokenRevoked).reason if revoked else None,
    )


def revocation(token_id: str, reason: str, actor: str) -> EntryDraft:
    """The entry by which a token ends. Raises :class:`ContractError` for a blank reason."""
    try:
        body = TokenRevoked(token_id=token_id, reason=reason)
    except ValidationError as error:
        raise contract_error(error, kind="TokenRevoked", where="token revoke") from None
    subject = token_name(token_id)
    return EntryDraft(EntryKind.TOKEN_REVOKED, subject, actor, body, key=token_end_key(token_id))


def is_token_id(text: str) -> bool:
    """Whether it can be the id of a token: 32 lowercase hex digits."""
    return re.fullmatch(r"[a-f0-9]{32}", text) is not None


def _decoy() -> Row:
    body = TokenIssued(
        token_id="0" * 32,
        holder="SYSTEM::nobody",
        verifier="0" * 64,
        key_id="0" * 8,
        expires_at_utc="2000-01-01T00:00:00.000000Z",
        reason="the token that nobody has",
    )
    draft = EntryDraft(
        EntryKind.TOKEN_ISSUED, token_name("none"), "SYSTEM::nobody", body, key="none"
    )
    return sealed(draft, 0, body.expires_at_utc)[1]


DECOY = _decoy()
"""What an unknown id is compared with, so that it takes the work that a known one takes."""
