"""Tokens: ``ro1_<id, 32 hex>_<secret, 43 base64url>``, shown once and never kept.

The ledger keeps a *verifier*: HMAC-SHA256, under the deployment's access key, of the token's id,
holder, expiry and secret. The secret has 256 bits of chance, so a slow hash would add nothing; the
key makes a copy of the ledger worthless for guessing, and lets nobody who can only write the ledger
mint a token. Nothing but the holder's identity is in a token: what it may do, the policy says.

Expiry is judged by the plane's clock, revocation by the newest entry each time: both hold at once,
in every process. No message, log, entry or ``repr`` holds a token's text.

What the ledger holds about tokens: the entries, and a token's record read from them.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.access.policy import POLICY_CONFIG, Access
from ro_platform.contracts.access import Action, TokenIssued, TokenRevoked
from ro_platform.contracts.base import contract_error
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.backends.base import Row
from ro_platform.ledger.entry import EntryDraft, body_of, decode_entry, encode_entry
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader


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
    subject = names.token_name(token_id)
    return EntryDraft(
        EntryKind.TOKEN_REVOKED, subject, actor, body, key=names.token_end_key(token_id)
    )


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
        EntryKind.TOKEN_ISSUED, names.token_name("none"), "SYSTEM::nobody", body, key="none"
    )
    return encode_entry(draft, 0, body.expires_at_utc)[1]


DECOY = _decoy()
"""What an unknown id is compared with, so that it takes the work that a known one takes."""


MAX_LIFETIME = timedelta(days=366)
"""How long a token can be good for: what nobody renews, nobody misses."""

_FORM = re.compile(r"ro1_([a-f0-9]{32})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. ``text`` is shown once, to whoever hands it over, and does not print."""

    text: str = field(repr=False)
    token_id: str
    expires_at_utc: str


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Whose a token is, which one, and who issued it (see also :meth:`Tokens.vouched_by`)."""

    actor: str
    token_id: str
    issued_by: str


class Tokens:
    """The tokens of one environment."""

    def __init__(
        self, ledger: Ledger, key: Callable[[], bytes], clock: Clock, access: Access
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._clock = clock
        self._access = access

    def issue(self, holder: str, *, lifetime: timedelta, reason: str, actor: str) -> IssuedToken:
        """A new token by which its bearer is ``holder`` (``HUMAN::id`` or ``SYSTEM::service``).

        Recorded before it is answered: a crash leaves, at worst, a token on record that nobody has.
        Raises :class:`AccessDeniedError` unless the actor may issue tokens,
        :class:`InvalidInputError` for a lifetime that is not positive or is too long, and
        :class:`ContractError` for a blank reason or a holder that is none.
        """
        self._require(actor, Action.ISSUE_TOKEN, holder)
        issued, draft = self._drawn(holder, lifetime, reason, actor)
        self._ledger.append(draft)
        return issued

    def renew(self, text: str, *, lifetime: timedelta, reason: str) -> IssuedToken:
        """A new token for the holder of that one, which ends in the same commit.

        It is good for at most as long as the old one was issued for: who issues a token for a week
        decides that. Whoever vouched for the old one vouches for the new one (:meth:`vouched_by`).
        Raises what :meth:`authenticate` and :meth:`issue` raise.
        """
        old = self.authenticate(text)
        lifetime = min(lifetime, self._lifetime(old.token_id))
        issued, draft = self._drawn(old.actor, lifetime, reason, old.actor, renews=old.token_id)
        ended = revocation(old.token_id, f"renewed as {issued.token_id}", old.actor)

        def build(log: LedgerReader) -> list[EntryDraft]:
            if ended.key is not None and log.find(ended.key):
                raise _unknown()  # of two who renew it at once, one has lost it
            return [draft, ended]

        self._ledger.append_with(build)
        return issued

    def recover(self, holder: str, *, lifetime: timedelta, reason: str, actor: str) -> IssuedToken:
        """A token for an admin where no admin has one that is taken any more: the way back in.

        It is the deployment's own user's, who has the access key and so could do this and worse by
        hand; here it is done with a reason, on record. Raises :class:`AccessDeniedError` for
        anybody else, for a holder who is no admin, and as long as some admin has a token or no
        policy is in force.
        """
        if actor != self._access.single_user or self._access.in_force is None:
            raise _no_recovery(f"{actor} is not the user of a deployment that is locked out")
        self._key()  # who may not read it hears nothing of who is admin, or has a token
        if not self._may_issue(holder):
            raise _no_recovery(f"{holder} is no admin")
        if standing := sorted(one for one in self.holders() if self._may_issue(one)):
            raise _no_recovery(f"{', '.join(standing)} can issue tokens")
        issued, draft = self._drawn(holder, lifetime, reason, actor)
        self._ledger.append(draft)
        return issued

    def vouched_by(self, token_id: str) -> str | None:
        """Who alone says that the bearer of that token is its holder: whoever issued it, or the
        token that it renews. None for one from before the first access policy, when there was
        nobody but the single user to say so.

        Whoever vouches could have kept the token for themselves, so its bearer is no second person
        to them. Raises :class:`NotFoundError` for an id that is on no record.
        """
        entry = self._entry(token_id)
        while renewed := body_of(entry, TokenIssued).renews:
            entry = self._entry(renewed)
        first = self._ledger.find(names.config_version_name(POLICY_CONFIG, 1))
        return entry.actor if first is not None and first.seq < entry.seq else None

    def authenticate(self, text: str) -> Authenticated:
        """Whose token that is. One indexed read.

        Raises :class:`NotAuthenticatedError`. A text that is no token, an unknown id and a wrong
        secret are told in the same words, and the last two take about the same time; only who has
        the secret learns that the token expired or was revoked.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise _unknown()
        token_id, secret = match.groups()
        issued, revoked = self._ledger.latest_of(
            [
                (EntryKind.TOKEN_ISSUED, names.token_name(token_id)),
                (EntryKind.TOKEN_REVOKED, names.token_name(token_id)),
            ]
        )
        # An unknown id is compared with a token that nobody has: the same work, the same answer.
        entry = issued or decode_entry(DECOY)
        body = body_of(entry, TokenIssued)
        right = self._verifier(token_id, body.holder, body.expires_at_utc, secret)
        genuine = hmac.compare_digest(right, body.verifier)
        if issued is None or not genuine or body.token_id != token_id:
            raise _unknown()
        if revoked is not None:
            raise _refused(f"was revoked at {revoked.recorded_at_utc}", body)
        if moment_of(body.expires_at_utc) <= self._clock():
            raise _refused(f"expired at {body.expires_at_utc}", body)
        return Authenticated(body.holder, token_id, issued.actor)

    def revoke(self, token_id: str, *, reason: str, actor: str) -> TokenRecord:
        """End a token, at once and for good; again changes nothing, and the first reason stands.

        Its holder may always do that. Raises :class:`AccessDeniedError` unless the actor may, in
        the same words whether it is there or not; then :class:`NotFoundError` for an id that is on
        no record, and :class:`ContractError` for a blank reason.
        """
        if not self._is_own(token_id, actor):
            target = self._access.target(f"token {token_id[:40]}")
            self._access.require(actor, Action.REVOKE_TOKEN, target)
        entry = self._entry(token_id)
        draft = revocation(token_id, reason, actor)
        key = str(draft.key)

        def build(log: LedgerReader) -> list[EntryDraft]:
            return [] if log.find(key) else [draft]

        self._ledger.append_with(build)
        return record_of(entry, self._ledger.find(key), self._clock(), self._key_id())

    def list(self) -> Iterator[TokenRecord]:
        """What is on record about every token, oldest first."""
        issued = list(self._ledger.scan(kind=EntryKind.TOKEN_ISSUED))
        if not issued:
            return  # and no key is made by looking
        now, key_id = self._clock(), self._key_id()
        ended = {entry.subject: entry for entry in self._ledger.scan(kind=EntryKind.TOKEN_REVOKED)}
        for entry in issued:
            yield record_of(entry, ended.get(entry.subject), now, key_id)

    def holders(self) -> set[str]:
        """The actors who have a token that is taken now."""
        return {record.holder for record in self.list() if record.state == "standing"}

    def _drawn(
        self, holder: str, lifetime: timedelta, reason: str, actor: str, renews: str | None = None
    ) -> tuple[IssuedToken, EntryDraft]:
        """A token that nobody has yet, and what is recorded of it."""
        if not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise errors.InvalidInputError(
                f"A token is good for up to {MAX_LIFETIME.days} days, and not for {lifetime}.",
                next_step="Renew it before it has expired: `ro token renew`.",
            )
        token_id, secret = secrets.token_hex(16), _base64(secrets.token_bytes(_SECRET_BYTES))
        expires = utc_text(self._clock() + lifetime)
        try:
            body = TokenIssued(
                token_id=token_id,
                holder=holder,
                verifier=self._verifier(token_id, holder, expires, secret),
                key_id=self._key_id(),
                expires_at_utc=expires,
                reason=reason,
                renews=renews,
            )
        except ValidationError as error:
            raise contract_error(error, kind="TokenIssued", where="token issue") from None
        subject = names.token_name(token_id)
        draft = EntryDraft(EntryKind.TOKEN_ISSUED, subject, actor, body, key=subject)
        return IssuedToken(f"ro1_{token_id}_{secret}", token_id, expires), draft

    def _lifetime(self, token_id: str) -> timedelta:
        """For how long a token was issued."""
        entry = self._entry(token_id)
        expires = body_of(entry, TokenIssued).expires_at_utc
        return moment_of(expires) - moment_of(entry.recorded_at_utc)

    def _is_own(self, token_id: str, actor: str) -> bool:
        with suppress(errors.NotFoundError):
            return body_of(self._entry(token_id), TokenIssued).holder == actor
        return False

    def _entry(self, token_id: str) -> LedgerEntry:
        entry = self._ledger.find(names.token_name(token_id)) if is_token_id(token_id) else None
        if entry is None:
            raise errors.NotFoundError(
                f"there is no token {token_id[:40]!r}.",
                next_step="`ro token list` prints the ids of all tokens.",
            )
        return entry

    def _may_issue(self, actor: str) -> bool:
        target = self._access.target("a token")
        return self._access.decide(actor, Action.ISSUE_TOKEN, target).allowed

    def _require(self, actor: str, action: Action, holder: str) -> None:
        self._access.require(actor, action, self._access.target(f"a token of {holder}"))

    def _key_id(self) -> str:
        return sha256(b"ro/access-key/v0\n" + self._key()).hexdigest()[:8]

    def _verifier(self, token_id: str, holder: str, expires: str, secret: str) -> str:
        said = {"token_id": token_id, "holder": holder, "expires": expires, "secret": secret}
        message = b"ro/token/v0\n" + canonical_bytes(said)
        return hmac.new(self._key(), message, sha256).hexdigest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _no_recovery(why: str) -> errors.AccessDeniedError:
    return errors.AccessDeniedError(
        f"There is nothing to recover: {why}.",
        next_step="An admin issues tokens with `ro token issue`.",
    )


def _unknown() -> errors.NotAuthenticatedError:
    return errors.NotAuthenticatedError(
        "That is no token of this deployment.",
        next_step="Check that it is whole, and that RO_ACCESS_KEY is the deployment's; an admin "
        "issues a new one with `ro token issue`.",
    )


def _refused(why: str, body: TokenIssued) -> errors.NotAuthenticatedError:
    return errors.NotAuthenticatedError(
        f"The token {body.token_id} of {body.holder} {why}.",
        next_step="An admin issues a new one with `ro token issue`.",
        token_id=body.token_id,
    )
