"""The gateway: one door before everything that Dagster's webserver serves.

Each request is judged here, before any routing: its path, host and origin, who it is from, and what
it would do. Unauthenticated requests reach the sign-in page and an empty ``/healthz``. What is let
through runs under :func:`acting_as`, without its credentials, and a GraphQL request is handed on as
it was read and not as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ro_platform import errors
from ro_platform.access.identity import acting_as
from ro_platform.web.admission import GRAPHQL, SIGN_OUT, Admission, Guards
from ro_platform.web.authentication import (
    IncomingRequest,
    Principal,
)
from ro_platform.web.documents import request_refused
from ro_platform.web.firewall import operation_name
from ro_platform.web.graphql_requests import (
    GraphQLRequest,
    call_of_body,
    call_of_query_string,
    require_no_second_call,
)
from ro_platform.web.messages import (
    MAX_BODY_BYTES,
    MAX_FORM_BYTES,
    error_response,
    is_safe,
    own_page,
    read_body,
    replayed,
    require_known_host,
    require_not_foreign,
    require_own_page,
    require_plain_path,
    status_of,
    with_security,
    without_headers,
)
from ro_platform.web.pages import refusal_page
from ro_platform.web.refusals import SIGN_IN as SIGN_IN_TRIED
from ro_platform.web.settings import WebSettings
from ro_platform.web.signin import PATH as SIGN_IN
from ro_platform.web.signin import SignIn, form_fields
from ro_platform.web.sockets import Websockets

if TYPE_CHECKING:
    from ro_platform.web.oidc import OpenIdProvider

HEALTH = "/healthz"
OPERATIONS = "/operations"
_BODY_HEADERS = (b"content-length", b"content-type", b"transfer-encoding")

Onward = tuple[ASGIApp, Scope, Receive]


class Gateway:
    """The ASGI application. ``dagster`` is what it guards; ``operations`` are routes of its own,
    mounted at ``/operations``, which find ``principal``, ``form_token`` and ``refused`` (which
    records an error that refused an operation) in ``request.state``."""

    def __init__(
        self, dagster: ASGIApp, guards: Guards, operations: Sequence[BaseRoute] = ()
    ) -> None:
        self._dagster = dagster
        self._guards = guards
        self._admission = Admission(guards)
        self._web = guards.web
        self._sign_in = SignIn(
            guards.authenticator,
            guards.sessions,
            guards.web,
            self._sign_in_failed,
            _provider(guards.web),
        )
        self._sign_in_app = self._sign_in.app()
        self._websockets = Websockets(dagster, self._admission)
        self._operations = Router([Mount(OPERATIONS, routes=list(operations))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, with_security(send, self._web))
        elif scope["type"] == "websocket":
            await self._websockets.serve(scope, receive, send)
        else:
            await self._dagster(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = IncomingRequest.of(scope)
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            app, onward, body = await self._judged(incoming, receive)
            with acting_as(incoming.actor):
                await app(onward, body, noting)
        except ClientDisconnect:
            return  # nobody is left to answer, and nothing was refused
        except errors.RunOperateError as error:
            if started:
                raise
            answer = await self._refused(incoming, error)
            await answer(scope, receive, send)

    async def _judged(self, incoming: IncomingRequest, receive: Receive) -> Onward:
        """Where the request goes on, if it may. Raises :class:`RunOperateError`."""
        if incoming.path == HEALTH and is_safe(incoming.method):
            return Response(status_code=204), incoming.scope, receive
        require_plain_path(incoming.scope)
        require_known_host(incoming.headers, self._web)
        if incoming.path == SIGN_IN or incoming.path.startswith(f"{SIGN_IN}/"):
            if not is_safe(incoming.method):
                require_own_page(incoming.headers, self._web)
            return self._sign_in_app, incoming.scope, receive
        principal = await run_in_threadpool(self._admission.admit, incoming)
        if principal.ambient:
            (require_not_foreign if is_safe(incoming.method) else self._require_own)(
                incoming.headers
            )
        if incoming.path == GRAPHQL:
            return await self._graphql(incoming, principal, receive)
        if incoming.path == OPERATIONS or incoming.path.startswith(f"{OPERATIONS}/"):
            return await self._own_pages(incoming, principal, receive, self._operations)
        if incoming.path == SIGN_OUT:
            return await self._own_pages(incoming, principal, receive, self._signing_out(incoming))
        if not is_safe(incoming.method):
            raise request_refused(f"{incoming.method} is not taken there.", status=405)
        return self._dagster, self._admission.bare(incoming), receive

    def _require_own(self, headers: Headers) -> None:
        require_own_page(headers, self._web)

    # --- GraphQL ---------------------------------------------------------------------------------

    async def _graphql(
        self, incoming: IncomingRequest, principal: Principal, receive: Receive
    ) -> Onward:
        scope = self._admission.bare(incoming)
        if is_safe(incoming.method):
            if not incoming.scope["query_string"]:
                return self._dagster, scope, receive
            call = call_of_query_string(incoming.scope["query_string"])
            await self._require(incoming, principal, call, mutations=False)
            if incoming.navigates:
                return self._dagster, {**scope, "query_string": b""}, receive
            return self._handed_on(scope, call, receive)
        if incoming.method != "POST":
            raise request_refused(f"{incoming.method} is not taken there.", status=405)
        require_no_second_call(incoming.scope["query_string"])
        body = await read_body(incoming.headers, receive, MAX_BODY_BYTES)
        call = call_of_body(incoming.headers.get("content-type", ""), body)
        await self._require(incoming, principal, call, mutations=True)
        return self._handed_on(scope, call, receive)

    async def _require(
        self,
        incoming: IncomingRequest,
        principal: Principal,
        call: GraphQLRequest,
        *,
        mutations: bool,
    ) -> None:
        incoming.operation = operation_name(call)
        if call.dropped:
            names = ", ".join(sorted({name for name, _ in call.dropped}))
            why = f"{names}: only the server sets it, and what was sent was dropped"
            await run_in_threadpool(
                self._admission.record, incoming, "RO_REQUEST_REFUSED", why, operation="forged.tag"
            )
        if all(operation.kind == "query" for operation in call.operations):
            return  # to look was allowed already
        await run_in_threadpool(
            self._guards.firewall.require,
            call,
            principal.actor,
            mutations=mutations,
            subscriptions=False,
        )

    def _handed_on(self, scope: Scope, call: GraphQLRequest, receive: Receive) -> Onward:
        body = json.dumps(call.body()).encode()
        given = {
            b"content-type": b"application/json",
            b"content-length": str(len(body)).encode(),
        }
        headers = without_headers(scope, _BODY_HEADERS, given)
        onward = {**scope, "method": "POST", "query_string": b"", "headers": headers}
        return self._dagster, onward, replayed(body, receive)

    # --- pages of our own ------------------------------------------------------------------------

    async def _own_pages(
        self, incoming: IncomingRequest, principal: Principal, receive: Receive, app: ASGIApp
    ) -> Onward:
        sessions = self._guards.sessions
        bound = principal.session_id or f"actor {principal.actor}"
        if not is_safe(incoming.method):
            body = await read_body(incoming.headers, receive, MAX_FORM_BYTES)
            token = form_fields(body).get("form_token", "")
            if principal.ambient and not sessions.is_form_token(bound, token):
                raise request_refused("The form is not one that was shown to you.", status=403)
            receive = replayed(body, receive)
        scope = self._admission.bare(incoming)
        state = {
            "principal": principal,
            "form_token": sessions.form_token(bound),
            "refused": lambda error, what: self._admission.record(
                incoming, error.code, error.message, operation=what
            ),
        }
        return app, {**scope, "state": {**scope.get("state", {}), **state}}, receive

    def _signing_out(self, incoming: IncomingRequest) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            principal, token = scope["state"]["principal"], scope["state"]["form_token"]
            answer = (
                self._sign_in.sign_out_page(principal, token)
                if is_safe(incoming.method)
                else await run_in_threadpool(self._sign_in.sign_out, principal)
            )
            await answer(scope, receive, send)

        return app

    # --- refusals --------------------------------------------------------------------------------

    async def _refused(self, incoming: IncomingRequest, error: errors.RunOperateError) -> Response:
        nobody = isinstance(error, errors.NotAuthenticatedError)
        if not (nobody and incoming.navigates and not self._has_credential(incoming)):
            try:
                await self._admission.record_error(incoming, error)
            except errors.RunOperateError as unrecorded:
                return error_response(unrecorded, known=False)
        if nobody and incoming.navigates:
            wanted = incoming.scope["path"]
            answer = RedirectResponse(f"{SIGN_IN}?next={quote(wanted)}", 303)
            answer.delete_cookie(self._guards.sessions.cookie, path="/", secure=self._web.secure)
            return answer
        if incoming.navigates and incoming.principal is not None:
            words = refusal_page(
                error.message,
                error.next_step,
                incoming.actor,
                self._guards.authenticator.single_user,
            )
            return own_page(words, status_of(error))
        return error_response(error, known=incoming.principal is not None)

    def _has_credential(self, incoming: IncomingRequest) -> bool:
        return (
            "authorization" in incoming.headers or self._guards.sessions.cookie in incoming.cookies
        )

    def _sign_in_failed(self, request: Request, error: errors.NotAuthenticatedError) -> None:
        incoming = IncomingRequest.of(request.scope)
        self._admission.record(incoming, error.code, error.message, operation=SIGN_IN_TRIED)


def _provider(web: WebSettings) -> OpenIdProvider | None:
    if web.oidc is None:
        return None
    # Imported where it is used: most gateways have no provider.
    from ro_platform.web.oidc import OpenIdProvider

    return OpenIdProvider(web.oidc)
