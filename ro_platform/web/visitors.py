"""Who a request is from: a bearer token, a named proxy's word, or a session's cookie.

In that order, and the first that is there decides: a bad one is refused, never passed over for
another. What only a trusted proxy may say is dropped from everybody else.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers

from ro_platform.access.policy import Access
from ro_platform.access.tokens import Tokens
from ro_platform.contracts.base import Actor
from ro_platform.errors import NotAuthenticatedError
from ro_platform.web.sessions import Sessions
from ro_platform.web.settings import ProxySettings

PROXY_SECRET = "x-ro-proxy-secret"
_ACTOR: TypeAdapter[str] = TypeAdapter(Actor)


@dataclass(frozen=True, slots=True)
class Visitor:
    """An authenticated actor. ``ambient`` is true where a browser sends the credential by itself,
    so that another site's page could make it act; ``local`` where it comes from the key of this
    process's sign-in link."""

    actor: str
    token_id: str | None
    ambient: bool
    session_id: str | None = None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Visitors:
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

    def of(self, headers: Headers, cookies: Mapping[str, str], peer: str) -> Visitor | None:
        """Whose request this is; None where nothing says so.

        Raises :class:`NotAuthenticatedError` for what is expired, revoked, malformed or forged.
        """
        authorization = headers.getlist("authorization")
        if authorization:
            return self.by_token(_bearer(authorization))
        if self.proxy is not None and self._is_from_proxy(headers, peer):
            names = headers.getlist(self.proxy.header)
            return self._by_proxy(names) if names else None
        cookie = cookies.get(self.sessions.cookie)
        return self._by_session(cookie) if cookie else None

    def forged(self, headers: Headers, peer: str) -> bool:
        """Whether somebody else says what only the proxy may."""
        said = PROXY_SECRET in headers or (self.proxy is not None and self.proxy.header in headers)
        return said and not self._is_from_proxy(headers, peer)

    def by_token(self, text: str) -> Visitor:
        """Whose that token is, or the key of the sign-in link. Raises
        :class:`NotAuthenticatedError`."""
        # Compared first and always, so that the time says nothing about the mode.
        is_local = hmac.compare_digest(text.encode(), self.local_key.encode())
        if is_local and self.access.in_force is None:
            actor = self.access.single_user
            return Visitor(actor, None, ambient=False, local=True)
        found = self.tokens.authenticate(text)
        return Visitor(found.actor, found.token_id, ambient=False)

    def _by_session(self, cookie: str) -> Visitor:
        session = self.sessions.read(cookie)
        if session.local and self.access.in_force is not None:
            raise NotAuthenticatedError(
                "The single-user mode is over, and the session with it.",
                next_step="Sign in with a token.",
            )
        return Visitor(session.actor, session.token_id, True, session.session_id, session.local)

    def _is_from_proxy(self, headers: Headers, peer: str) -> bool:
        if self.proxy is None:
            return False
        said = headers.getlist(PROXY_SECRET)
        known = len(said) == 1 and hmac.compare_digest(said[0].encode(), self.proxy.secret.encode())
        return known and peer in self.proxy.peers

    def _by_proxy(self, names: list[str]) -> Visitor:
        if len(names) != 1:
            raise NotAuthenticatedError("The proxy names more than one person.")
        actor = person(names[0])
        return Visitor(actor, None, ambient=True)


def person(name: str) -> str:
    """``HUMAN::name``. Raises :class:`NotAuthenticatedError` for a name that is no actor's id."""
    try:
        return _ACTOR.validate_python(f"HUMAN::{name}", strict=True)
    except ValidationError:
        raise NotAuthenticatedError(
            f"{name[:80]!r} cannot be the id of a person here.",
            next_step="Choose another claim or header, whose values are letters, digits, _.@-",
        ) from None


def _bearer(values: list[str]) -> str:
    scheme, _, text = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer":
        raise NotAuthenticatedError(
            "The header Authorization is not one bearer token.",
            next_step="Send `Authorization: Bearer ro1_...`.",
        )
    return text.strip()
