"""Who acts: this process, by its token and its keys, and whoever a request was authenticated as.

By its token (``RO_TOKEN``), asked afresh each time, so that a token revoked or expired ends what a
long-lived process may do. While no access policy was ever published, a process without a token is
the operating system's user of this deployment.

Who acts in the current request: known to whoever authenticated it, and to nobody else.

A context variable, so it follows a request through ``await`` and through what copies the context
(``asyncio.to_thread``, the thread pools of Starlette and Dagster's webserver). A bare thread starts
without it, and then nobody acts: fail closed.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from ro_platform import errors
from ro_platform.access.policy import Access, Target
from ro_platform.access.tokens import Authenticated, Tokens
from ro_platform.contracts.access import Action
from ro_platform.kernel.signing import SigningKey, VerifierKey

_ACTING: ContextVar[str | None] = ContextVar("ro_acting", default=None)


@contextmanager
def acting_as(actor: str | None) -> Iterator[None]:
    """Within this block the authenticated actor is that one; None is nobody. Blocks nest."""
    before = _ACTING.set(actor)
    try:
        yield
    finally:
        _ACTING.reset(before)


def current_actor() -> str | None:
    """The actor whose request this is, as authentication said; None outside of any request."""
    return _ACTING.get()


EPHEMERAL_USER = "HUMAN::tester"
"""The single user of a plane that keeps nothing."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the rooms of access take what is not in the ledger from.

    The keys are asked for when they are needed, so a process that never issues a token or launches
    makes none.
    """

    environment: str
    single_user: str
    token: str = field(repr=False)
    access_key: Callable[[], bytes] = field(repr=False)
    launch_key: Callable[[], SigningKey] = field(repr=False)
    launch_verifiers: Callable[[], Sequence[VerifierKey]] = field(repr=False)

    @classmethod
    def ephemeral(cls) -> Credentials:
        """Keys that live in this object only, and :data:`EPHEMERAL_USER`."""
        key = secrets.token_bytes(32)
        signer = functools.cache(lambda: SigningKey.generate("ro-platform/ephemeral"))
        return cls("local", EPHEMERAL_USER, "", lambda: key, signer, lambda: (signer().verifier,))


class ProcessIdentity:
    """The identity of the process that this is part of. ``token`` may be empty."""

    def __init__(self, access: Access, tokens: Tokens, token: str) -> None:
        self._access = access
        self._tokens = tokens
        self._token = token

    def actor(self) -> str:
        """Who acts (``HUMAN::id`` or ``SYSTEM::service``). Raises :class:`NotAuthenticatedError`
        for a token that is not taken, and for none where a policy is in force."""
        found = self.authenticated()
        return found.actor if found else self._access.single_user

    def authenticated(self) -> Authenticated | None:
        """As :meth:`actor`, with which token says so; None for the single user without one."""
        if self._token:
            return self._tokens.authenticate(self._token)
        if self._access.in_force is None:
            return None
        raise errors.NotAuthenticatedError(
            "An access policy is in force, and this process has no token.",
            next_step="Set RO_TOKEN to a token of yours; an admin issues one with `ro token "
            "issue`.",
        )

    def vouched_by(self) -> str | None:
        """Who vouches for this process's token (:meth:`Tokens.vouched_by`); None without one."""
        found = self.authenticated()
        return self._tokens.vouched_by(found.token_id) if found else None

    def require(self, action: Action, target: Target) -> str:
        """Who acts, if they may do that. Raises also :class:`AccessDeniedError`."""
        actor = self.actor()
        self._access.require(actor, action, target)
        return actor
