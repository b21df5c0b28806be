"""Sessions of browsers: a signed cookie that is bound to the token it came from.

The cookie holds who, until when, and which token. It is signed (itsdangerous, HMAC-SHA256) under a
key derived from the deployment's access key. Each request asks the ledger whether the session was
ended or its token revoked, so both hold at once, also in other processes and after a restart.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from ro_platform.contracts.access import TokenIssued, TokenRevoked
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import NotAuthenticatedError
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.names import token_end_key, token_name

_FIELDS = {"actor", "token_id", "session_id", "expires", "local"}


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in. ``expires`` is UTC. ``local`` says that it was by the key of the
    sign-in link, which is worth nothing once a policy is in force."""

    actor: str
    token_id: str | None
    session_id: str
    expires: str
    local: bool


class Sessions:
    """Opens, reads and ends sessions. ``key`` answers the access key."""

    def __init__(
        self,
        ledger: Ledger,
        key: Callable[[], bytes],
        clock: Clock,
        *,
        lifetime: timedelta,
        secure: bool,
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._clock = clock
        self._lifetime = lifetime
        self.secure = secure
        self.cookie = "__Host-ro_session" if secure else "ro_session"
        """The cookie's name: browsers take one with that prefix by TLS from this host only."""

    def open(self, actor: str, token_id: str | None, *, local: bool = False) -> str:
        """The cookie's value of a new session, which lasts no longer than its token. Nothing is
        recorded."""
        expires = utc_text(self._clock() + self._lifetime)
        if token_id is not None:
            expires = min(expires, self._token_expiry(token_id))
        session = Session(actor, token_id, secrets.token_hex(16), expires, local)
        fields = {name: getattr(session, name) for name in _FIELDS}
        return str(self._signer().dumps(fields))

    def read(self, value: str) -> Session:
        """The session of a cookie. Raises :class:`NotAuthenticatedError` unless it stands."""
        try:
            session = Session(**_checked(self._signer().loads(value)))
        except (BadData, TypeError, ValueError):
            raise _refused("is not genuine") from None
        if moment_of(session.expires) <= self._clock():
            raise _refused("has expired")
        ended = [(EntryKind.TOKEN_REVOKED, token_name(session.session_id))]
        if session.token_id is not None:
            ended.append((EntryKind.TOKEN_REVOKED, token_name(session.token_id)))
        if any(self._ledger.latest_of(ended)):
            raise _refused("was ended, or its token was revoked")
        return session

    def end(self, session_id: str, actor: str) -> None:
        """End a session for good, by a record like that of a revoked token; again is the same."""
        body = TokenRevoked(token_id=session_id, reason="signed out")
        subject, key = token_name(session_id), token_end_key(session_id)
        draft = EntryDraft(EntryKind.TOKEN_REVOKED, subject, actor, body, key=key)
        self._ledger.append(draft)

    def form_token(self, session_id: str) -> str:
        """What a form of ours carries, so that nobody else's page can submit it."""
        return hmac.new(self._derived(b"form"), session_id.encode(), sha256).hexdigest()

    def is_form_token(self, session_id: str, text: str) -> bool:
        """Whether a form carries it; compared in constant time."""
        return hmac.compare_digest(self.form_token(session_id).encode(), text.encode())

    def sign_in_key(self) -> str:
        """The key that signs what a browser brings back while it signs in."""
        return self._derived(b"sign-in").hex()

    def _token_expiry(self, token_id: str) -> str:
        entry = self._ledger.find(token_name(token_id))
        if entry is None:
            raise _refused("is of no token on record")
        return body_of(entry, TokenIssued).expires_at_utc

    def _signer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._derived(b"cookie"), salt="ro/session/v0", signer_kwargs={"digest_method": sha256}
        )

    def _derived(self, purpose: bytes) -> bytes:
        return hmac.new(self._key(), b"ro/web/v0\n" + purpose, sha256).digest()


def _checked(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict) or said.keys() != _FIELDS:
        raise ValueError("not the fields of a session")
    return said


def _refused(why: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(f"The session {why}.", next_step="Sign in again.")
