"""Who this process is: the CLI, the daemon, a code server.

By its token (``RO_TOKEN``), asked afresh each time, so that a token revoked or expired ends what a
long-lived process may do. While no access policy was ever published, a process without a token is
the operating system's user of this deployment.
"""

from __future__ import annotations

from ro_platform.access.policy import Access, Target
from ro_platform.access.tokens import Authenticated, Tokens
from ro_platform.contracts.access import Action
from ro_platform.errors import NotAuthenticatedError


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
        raise NotAuthenticatedError(
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
