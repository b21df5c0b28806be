"""HTTP as the gateway judges it before any routing: the path, the host, the origin, the size."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.types import Message, Receive, Scope, Send

from ro_platform import errors
from ro_platform.web.documents import request_refused
from ro_platform.web.settings import WebSettings, is_loopback

MAX_BODY_BYTES = 4 << 20
MAX_FORM_BYTES = 16 << 10
MAX_QUERY_STRING = 64 << 10
BODY_SECONDS = 60
_SAFE = frozenset({"GET", "HEAD"})
_TRICKS = re.compile(rb"//|;|\\|%2f|%5c|%00|%3b|%25|[\x00-\x20\x7f-\xff]", re.IGNORECASE)
_DOTS = re.compile(rb"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)

_POLICY = "frame-ancestors 'none'; base-uri 'self'; object-src 'none'"
"""Beside the policy that a page brings; a browser keeps to both. ``form-action`` is not in it: it
would hold for the redirect to an identity provider, too."""
_OWN_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def require_plain_path(scope: Scope) -> None:
    """Raises :class:`RequestRefusedError` for a path that two programs could read in two ways."""
    raw = scope.get("raw_path") or scope["path"].encode()
    raw = raw.partition(b"?")[0]
    if _TRICKS.search(raw) or _DOTS.search(raw) or not raw.startswith(b"/"):
        raise request_refused("The path is not in its plain form.", status=400)
    if len(scope["query_string"]) > MAX_QUERY_STRING:
        raise request_refused("The address is too long.", status=414)


def require_known_host(headers: Headers, web: WebSettings) -> None:
    """Raises :class:`RequestRefusedError` for a host that is not the gateway's own."""
    said = headers.getlist("host")
    if len(said) != 1 or said[0].lower() not in web.hosts:
        raise request_refused("The request is for another host.", status=421)


def require_own_page(headers: Headers, web: WebSettings) -> None:
    """Raises :class:`RequestRefusedError` unless a page of the gateway itself asks.

    Browsers say so in ``Origin`` or ``Sec-Fetch-Site``; where neither is there, nothing says so.
    """
    origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
    own = len(origins) == 1 and origins[0] in web.origins
    if (origins and not own) or (not origins and site != "same-origin"):
        raise request_refused("The request is not from a page of this gateway.", status=403)


def require_not_foreign(headers: Headers) -> None:
    """Raises :class:`RequestRefusedError` for data that another site's page asks for."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    if site in ("cross-site", "same-site") and mode != "navigate":
        raise request_refused("The request is from a page of another site.", status=403)


def is_safe(method: str) -> bool:
    """Whether the method only reads."""
    return method in _SAFE


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises :class:`RequestRefusedError` for one of more than ``limit`` bytes,
    whatever its length is said to be, or one that takes too long, and ``ClientDisconnect`` for one
    that ends early: who leaves a page ends what it was asking."""
    said = headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit() or int(said[:20]) > limit:
        raise request_refused("The body is too large.", status=413)
    if "content-encoding" in headers:
        raise request_refused("A body is taken as it is only.", status=415)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _received(receive, limit)
    except TimeoutError:
        raise request_refused("The body did not come in time.", status=408) from None


async def _received(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > limit:
            raise request_refused("The body is too large.", status=413)
    return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives that body, and then what the connection really says."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def own_page(text: str, status: int = 200) -> HTMLResponse:
    """A page of ours: nothing in it may load or run anything."""
    return HTMLResponse(text, status, {"content-security-policy": _OWN_POLICY})


def peer_of(scope: Scope) -> str:
    """The address that the connection comes from. One of IPv4 is written as such, also where the
    socket listens for both."""
    client = scope.get("client")
    said = str(client[0]) if client else "unknown"
    try:
        mapped = getattr(ipaddress.ip_address(said), "ipv4_mapped", None)
    except ValueError:
        return said
    return str(mapped or said)


def without_headers(
    scope: Scope, names: Iterable[bytes], add: Mapping[bytes, bytes] | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers of a request without those, and with others in their place."""
    gone = set(names)
    kept = [(name, value) for name, value in scope["headers"] if name not in gone]
    return kept + list((add or {}).items())


def with_security(send: Send, web: WebSettings) -> Send:
    """Sends answers with the headers that every one of them has."""
    own = {
        b"x-frame-options": b"DENY",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"same-origin",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
    }
    if web.secure and not is_loopback(web.public):
        own[b"strict-transport-security"] = b"max-age=31536000"

    async def safe(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [item for item in message["headers"] if item[0].lower() not in own]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            headers.append((b"content-security-policy", _POLICY.encode()))
            message = {**message, "headers": [*headers, *own.items()]}
        await send(message)

    return safe


def status_of(error: errors.RunOperateError) -> int:
    """The HTTP status of an error."""
    match error:
        case errors.RequestRefusedError():
            return int(error.diagnostics().get("status", "403"))
        case errors.NotAuthenticatedError():
            return 401
        case errors.AccessDeniedError():
            return 403
        case errors.BackendUnavailableError():
            return 503
        case _:
            return 500


def error_response(error: errors.RunOperateError, *, known: bool) -> Response:
    """An error as a GraphQL client reads it; to nobody in particular it says nothing."""
    status = status_of(error)
    if not known:
        words = "Not authenticated." if status == 401 else "Refused."
        return Response(words, status, media_type="text/plain")
    shown = {"message": str(error), "extensions": {"code": error.code}}
    body = json.dumps({"data": None, "errors": [shown]}, ensure_ascii=False)
    return Response(body, status, media_type="application/json")
