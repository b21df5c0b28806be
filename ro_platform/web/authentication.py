"""Who a request is from: the token, the proxy or the session that vouches for it.

In that order, and the first that is there decides: a bad one is refused, never passed over for
another. What only a trusted proxy may say is dropped from everybody else.

Sessions of browsers: a signed cookie that is bound to the token it came from.

The cookie holds who, until when, and which token. It is signed (itsdangerous, HMAC-SHA256) under a
key derived from the deployment's access key. Each request asks the ledger whether the session was
ended or its token revoked, so both hold at once, also in other processes and after a restart.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ro_platform import errors
from ro_platform.access.policy import Access
from ro_platform.access.tokens import Tokens
from ro_platform.contracts.access import TokenIssued, TokenRevoked
from ro_platform.contracts.base import Actor
from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.web.messages import peer_of
from ro_platform.web.settings import ProxySettings


@dataclass
class IncomingRequest:
    """One HTTP request or websocket. ``principal`` is set once somebody is authenticated, and
    ``operation`` names what it would do, for a record of its refusal."""

    scope: Scope
    headers: Headers
    cookies: dict[str, str]
    peer: str
    path: str
    method: str
    operation: str
    principal: Principal | None = None

    @classmethod
    def of(cls, scope: Scope) -> IncomingRequest:
        """What a connection's scope says."""
        connection = HTTPConnection(scope)
        method = scope.get("method", "WEBSOCKET")
        first = scope["path"].strip("/").split("/")[0][:60]
        return cls(
            scope=scope,
            headers=connection.headers,
            cookies=dict(connection.cookies),
            peer=peer_of(scope),
            path=scope["path"],
            method=method,
            operation=f"{method}.{first or 'index'}",
        )

    @property
    def actor(self) -> str | None:
        """Who it is from, if that is known."""
        return self.principal.actor if self.principal else None

    @property
    def navigates(self) -> bool:
        """Whether a browser wants a page to show."""
        return self.method == "GET" and "text/html" in self.headers.get("accept", "")


_FIELDS = {"actor", "token_id", "session_id", "expires", "local"}


@dataclass(frozen=True, slots=True)
class BrowserSession:
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
        session = BrowserSession(actor, token_id, secrets.token_hex(16), expires, local)
        fields = {name: getattr(session, name) for name in _FIELDS}
        return str(self._signer().dumps(fields))

    def read(self, value: str) -> BrowserSession:
        """The session of a cookie. Raises :class:`NotAuthenticatedError` unless it stands."""
        try:
            session = BrowserSession(**_checked(self._signer().loads(value)))
        except (BadData, TypeError, ValueError):
            raise _refused("is not genuine") from None
        if moment_of(session.expires) <= self._clock():
            raise _refused("has expired")
        ended = [(EntryKind.TOKEN_REVOKED, names.token_name(session.session_id))]
        if session.token_id is not None:
            ended.append((EntryKind.TOKEN_REVOKED, names.token_name(session.token_id)))
        if any(self._ledger.latest_of(ended)):
            raise _refused("was ended, or its token was revoked")
        return session

    def end(self, session_id: str, actor: str) -> None:
        """End a session for good, by a record like that of a revoked token; again is the same."""
        body = TokenRevoked(token_id=session_id, reason="signed out")
        subject, key = names.token_name(session_id), names.token_end_key(session_id)
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
        entry = self._ledger.find(names.token_name(token_id))
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


def _refused(why: str) -> errors.NotAuthenticatedError:
    return errors.NotAuthenticatedError(f"The session {why}.", next_step="Sign in again.")


PROXY_SECRET = "x-ro-proxy-secret"
_ACTOR: TypeAdapter[str] = TypeAdapter(Actor)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated actor. ``ambient`` is true where a browser sends the credential by itself,
    so that another site's page could make it act; ``local`` where it comes from the key of this
    process's sign-in link."""

    actor: str
    token_id: str | None
    ambient: bool
    session_id: str | None = None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Authenticates. ``local_key`` is the secret of this process's sign-in link, good only while
    the plane is in its single-user mode."""

    tokens: Tokens
    access: Access
    sessions: Sessions
    proxy: ProxySettings | None
    local_key: str

    @property
    def single_user(self) -> str | None:
        """The single user, while no policy was ever published."""
        return self.access.single_user if self.access.in_force is None else None

    def of(self, headers: Headers, cookies: Mapping[str, str], peer: str) -> Principal | None:
        """Whose request this is; None where nothing says so.

        Raises :class:`NotAuthenticatedError` for what is expired, revoked, malformed or forged.
        """
        authorization = headers.getlist("authorization")
        if authorization:
            return self.by_token(_bearer(authorization))
        if self.proxy is not None and self._is_from_proxy(headers, peer):
            persons = headers.getlist(self.proxy.header)
            return self._by_proxy(persons) if persons else None
        cookie = cookies.get(self.sessions.cookie)
        return self._by_session(cookie) if cookie else None

    def forged(self, headers: Headers, peer: str) -> bool:
        """Whether somebody else says what only the proxy may."""
        said = PROXY_SECRET in headers or (self.proxy is not None and self.proxy.header in headers)
        return said and not self._is_from_proxy(headers, peer)

    def by_token(self, text: str) -> Principal:
        """Whose that token is, or the key of the sign-in link. Raises
        :class:`NotAuthenticatedError`."""
        # Compared first and always, so that the time says nothing about the mode.
        is_local = hmac.compare_digest(text.encode(), self.local_key.encode())
        if is_local and self.access.in_force is None:
            actor = self.access.single_user
            return Principal(actor, None, ambient=False, local=True)
        found = self.tokens.authenticate(text)
        return Principal(found.actor, found.token_id, ambient=False)

    def _by_session(self, cookie: str) -> Principal:
        session = self.sessions.read(cookie)
        if session.local and self.access.in_force is not None:
            raise errors.NotAuthenticatedError(
                "The single-user mode is over, and the session with it.",
                next_step="Sign in with a token.",
            )
        return Principal(session.actor, session.token_id, True, session.session_id, session.local)

    def _is_from_proxy(self, headers: Headers, peer: str) -> bool:
        if self.proxy is None:
            return False
        said = headers.getlist(PROXY_SECRET)
        known = len(said) == 1 and hmac.compare_digest(said[0].encode(), self.proxy.secret.encode())
        return known and peer in self.proxy.peers

    def _by_proxy(self, persons: list[str]) -> Principal:
        if len(persons) != 1:
            raise errors.NotAuthenticatedError("The proxy names more than one person.")
        actor = person(persons[0])
        return Principal(actor, None, ambient=True)


def person(name: str) -> str:
    """``HUMAN::name``. Raises :class:`NotAuthenticatedError` for a name that is no actor's id."""
    try:
        return _ACTOR.validate_python(f"HUMAN::{name}", strict=True)
    except ValidationError:
        raise errors.NotAuthenticatedError(
            f"{name[:80]!r} cannot be the id of a person here.",
            next_step="Choose another claim or header, whose values are letters, digits, _.@-",
        ) from None


def _bearer(values: list[str]) -> str:
    scheme, _, text = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer":
        raise errors.NotAuthenticatedError(
            "The header Authorization is not one bearer token.",
            next_step="Send `Authorization: Bearer ro1_...`.",
        )
    return text.strip()
