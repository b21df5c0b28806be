"""Who is let in, and what is put on record of a request that is refused: the same for each
request and each websocket, and for whoever's session ends meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from ro_platform import errors
from ro_platform.kernel.clock import Clock
from ro_platform.web.authentication import (
    PROXY_SECRET,
    Authenticator,
    IncomingRequest,
    Principal,
    Sessions,
)
from ro_platform.web.firewall import Firewall
from ro_platform.web.messages import without_headers
from ro_platform.web.refusals import FORGED_HEADER, Refusals, RefusedRequest
from ro_platform.web.settings import WebSettings

GRAPHQL = "/graphql"
SIGN_OUT = "/signout"
_CREDENTIALS = (b"authorization", b"cookie", PROXY_SECRET.encode())


@dataclass(frozen=True)
class Guards:
    """Those who decide, and who writes it down."""

    authenticator: Authenticator
    sessions: Sessions
    firewall: Firewall
    refusals: Refusals
    web: WebSettings
    clock: Clock


class Admission:
    """Asks the guards about a request, and tells them what became of it."""

    def __init__(self, guards: Guards) -> None:
        self.guards = guards

    def admit(self, incoming: IncomingRequest) -> Principal:
        """Who it is, if they may look at all.

        Raises :class:`NotAuthenticatedError` and :class:`AccessDeniedError`. A forged header of a
        proxy is put on record, and does not count.
        """
        guards = self.guards
        if guards.authenticator.forged(incoming.headers, incoming.peer):
            why = "a header that only a named proxy may send was dropped"
            self.record(incoming, "RO_REQUEST_REFUSED", why, operation=FORGED_HEADER)
        principal = guards.authenticator.of(incoming.headers, incoming.cookies, incoming.peer)
        if principal is None:
            raise errors.NotAuthenticatedError(
                "Nobody is signed in.", next_step="Sign in at /signin, or send a bearer token."
            )
        incoming.principal = principal
        if incoming.path != SIGN_OUT:
            guards.firewall.require_view(principal.actor)
        return principal

    def bare(self, incoming: IncomingRequest) -> Scope:
        """The request without what says who it is from: further in only the context does
        (:func:`~ro_platform.access.identity.current_actor`)."""
        gone = [*_CREDENTIALS]
        if self.guards.web.proxy is not None:
            gone.append(self.guards.web.proxy.header.encode())
        return {**incoming.scope, "headers": without_headers(incoming.scope, gone)}

    def record(
        self, incoming: IncomingRequest, code: str, why: str, *, operation: str | None = None
    ) -> None:
        """Put on record that a request was refused, or was not what it seemed."""
        what = operation or incoming.operation
        self.guards.refusals.record(RefusedRequest(incoming.actor, incoming.peer, what, code, why))

    async def record_error(self, incoming: IncomingRequest, error: errors.RunOperateError) -> None:
        """The same for the error that refused it. The event loop does not wait for the ledger."""
        await run_in_threadpool(self.record, incoming, error.code, error.message)
