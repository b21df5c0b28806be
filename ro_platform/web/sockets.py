"""Websockets: who may open one, and what passes through it.

Each message that starts something is judged, and a session that ends is cut off.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ro_platform import errors
from ro_platform.access.identity import acting_as
from ro_platform.web.admission import GRAPHQL, Admission
from ro_platform.web.authentication import IncomingRequest
from ro_platform.web.documents import request_refused
from ro_platform.web.graphql_requests import GraphQLRequest, call_of, json_of
from ro_platform.web.messages import require_known_host, require_own_page, require_plain_path

MAX_MESSAGE_CHARS = 256_000
MAX_RUNNING = 200
MAX_SOCKETS = 50
"""Of one actor: a tab of the UI has one."""
PROTOCOL = "graphql-ws"
POLICY_VIOLATION = 1008
_TOO_BIG = 1009
_RECHECK = timedelta(seconds=1)
"""A page gets many answers a second; who signed out is cut off within this time all the same."""
_PLAIN = frozenset({"connection_init", "connection_terminate", "stop"})

Record = Callable[[errors.RunOperateError], Awaitable[None]]
Judge = Callable[[GraphQLRequest], Awaitable[None]]
"""Raises a :class:`RunOperateError` for a call that is refused."""


class GuardedSocket:
    """One connection of an authenticated visitor, between a client and Dagster's endpoint.

    ``judge`` decides about what a client starts. ``still_stands`` raises when the visitor may look
    no longer; it is asked before each answer that is sent, and decides itself how often it looks.
    ``record`` is told of each refusal.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        judge: Judge,
        still_stands: Callable[[], Awaitable[None]],
        record: Record,
    ) -> None:
        self._receive = receive
        self._send = send
        self._judge = judge
        self._still_stands = still_stands
        self._record = record
        self._closed = False
        self._running: set[str] = set()

    async def receive(self) -> Message:
        """The client's next message, judged; a refused one ends the connection."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            if message.get("code") == _TOO_BIG:  # cut off by the server, before it came here
                await self._record(request_refused("The message is too long.", status=413))
            return message
        try:
            return {"type": "websocket.receive", "text": await self._judged(message.get("text"))}
        except errors.RunOperateError as error:
            await self._record(error)
            await self._close()
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

    async def send(self, message: Message) -> None:
        """Pass an answer on, while the visitor may see it."""
        if self._closed:
            return
        if message["type"] == "websocket.send":
            try:
                await self._still_stands()
            except errors.RunOperateError as error:
                await self._close()
                await self._record(error)
                return
        if message["type"] == "websocket.close":
            self._closed = True
        await self._send(message)

    async def _judged(self, text: str | None) -> str:
        if text is None or len(text) > MAX_MESSAGE_CHARS:
            raise request_refused("The message is no text, or too long.", status=400)
        said = json_of(text.encode())
        kind = said.get("type") if isinstance(said, dict) else None
        name = said.get("id") if isinstance(said, dict) else None
        if not isinstance(name, str | None):
            raise request_refused("The message's id is no text.", status=400)
        if kind in _PLAIN:
            self._running.discard(name or "")
            return json.dumps({"type": kind, "id": name})
        if kind != "start":
            raise request_refused("The message is of no known type.", status=400)
        return await self._started(name, said.get("payload"))

    async def _started(self, name: str | None, payload: Any) -> str:
        call = call_of(payload)
        await self._judge(call)
        self._running.add(name or "")
        if len(self._running) > MAX_RUNNING:
            raise request_refused("Too many subscriptions at once.", status=429)
        # Dagster's endpoint reads `operation_name`; others read `operationName`.
        handed = {**call.body(), "operation_name": call.operation_name}
        return json.dumps({"type": "start", "id": name, "payload": handed})

    async def _close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION})


class Websockets:
    """All websockets: each is admitted at its handshake, and again while it is open."""

    def __init__(self, dagster: ASGIApp, admission: Admission) -> None:
        self._dagster = dagster
        self._admission = admission
        self._guards = admission.guards
        self._open: Counter[str] = Counter()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its end."""
        incoming = IncomingRequest.of(scope)
        try:
            require_plain_path(scope)
            require_known_host(incoming.headers, self._guards.web)
            principal = await run_in_threadpool(self._admission.admit, incoming)
            if principal.ambient:
                require_own_page(incoming.headers, self._guards.web)
            if incoming.path != GRAPHQL or PROTOCOL not in scope.get("subprotocols", ()):
                raise request_refused("There is no such websocket.", status=404)
            if self._open[principal.actor] >= MAX_SOCKETS:
                raise request_refused("Too many websockets of one actor.", status=429)
        except errors.RunOperateError as error:
            await self._admission.record_error(incoming, error)
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        socket = self._guarded(incoming, receive, send)
        self._open[principal.actor] += 1
        try:
            with acting_as(principal.actor):
                await self._dagster(self._admission.bare(incoming), socket.receive, socket.send)
        finally:
            self._open[principal.actor] -= 1

    def _guarded(self, incoming: IncomingRequest, receive: Receive, send: Send) -> GuardedSocket:
        clock, firewall = self._guards.clock, self._guards.firewall
        checked = clock()

        async def judge(call: GraphQLRequest) -> None:
            principal = await run_in_threadpool(self._admission.admit, incoming)
            await run_in_threadpool(
                firewall.require, call, principal.actor, mutations=False, subscriptions=True
            )

        async def still_stands() -> None:
            nonlocal checked
            now = clock()
            if now - checked >= _RECHECK:
                checked = now
                await run_in_threadpool(self._admission.admit, incoming)

        async def record(error: errors.RunOperateError) -> None:
            await self._admission.record_error(incoming, error)

        return GuardedSocket(receive, send, judge=judge, still_stands=still_stands, record=record)
