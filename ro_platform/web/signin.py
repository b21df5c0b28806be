"""Signing in and out: by token, or by OpenID Connect (:mod:`ro_platform.web.oidc`).

While somebody signs in, what their browser must bring back (the form's token, and the state, nonce
and PKCE verifier of OpenID Connect) is in a signed cookie that lasts ten minutes. By TLS it has the
prefix ``__Host-``, so that no neighbouring host can plant one of its own sign-in here.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from ro_platform import errors
from ro_platform.web.authentication import Authenticator, Principal, Sessions
from ro_platform.web.documents import request_refused
from ro_platform.web.messages import MAX_FORM_BYTES, own_page, read_body
from ro_platform.web.pages import sign_in_page, sign_out_page
from ro_platform.web.settings import WebSettings

if TYPE_CHECKING:
    from ro_platform.web.oidc import OpenIdProvider

PATH = "/signin"
_COOKIE = "ro_signin"
_SECONDS = 600
_FORM = "application/x-www-form-urlencoded"

Failed = Callable[[Request, errors.NotAuthenticatedError], None]
"""Records a sign-in that failed."""


@dataclass(frozen=True)
class SignIn:
    """The routes below ``/signin``, and ``/signout``."""

    authenticator: Authenticator
    sessions: Sessions
    web: WebSettings
    failed: Failed
    provider: OpenIdProvider | None

    def app(self) -> ASGIApp:
        """The pages for those who are nobody yet. The caller has checked path, host and origin."""
        router = Router(
            [
                Route(PATH, self._show, methods=["GET"]),
                Route(PATH, self._by_token, methods=["POST"]),
                Route(f"{PATH}/oidc", self._to_provider, methods=["POST"]),
                Route(f"{PATH}/callback", self._from_provider, methods=["GET"]),
            ]
        )
        return SessionMiddleware(
            router,
            secret_key=self.sessions.sign_in_key(),
            session_cookie=f"__Host-{_COOKIE}" if self.web.secure else _COOKIE,
            max_age=_SECONDS,
            path="/" if self.web.secure else PATH,
            same_site="lax",
            https_only=self.web.secure,
        )

    def _page(self, request: Request, *, wrong: str = "", status: int = 200) -> Response:
        token = request.session.setdefault("form_token", secrets.token_urlsafe(24))
        text = sign_in_page(
            form_token=token,
            single_user=self.authenticator.single_user,
            key=request.query_params.get("key", "") if not wrong else "",
            provider=self.provider.name if self.provider else None,
            wrong=wrong,
        )
        return own_page(text, status)

    async def _show(self, request: Request) -> Response:
        if wanted := local_path(request.query_params.get("next", "")):
            request.session["next"] = wanted
        return await run_in_threadpool(self._page, request)

    async def _by_token(self, request: Request) -> Response:
        form = await self._form(request)
        try:
            token = form.get("token", "").strip()
            principal = await run_in_threadpool(self.authenticator.by_token, token)
            return await run_in_threadpool(self._signed_in, request, principal)
        except errors.NotAuthenticatedError as error:
            return await self._wrong(request, error)

    async def _to_provider(self, request: Request) -> Response:
        provider = self._provider()
        await self._form(request)
        try:
            return await provider.start(request, f"{self.web.public}{PATH}/callback")
        except errors.NotAuthenticatedError as error:
            return await self._wrong(request, error)

    async def _from_provider(self, request: Request) -> Response:
        provider = self._provider()
        try:
            actor = await provider.finish(request)
            principal = Principal(actor, None, ambient=True)
            return await run_in_threadpool(self._signed_in, request, principal)
        except errors.NotAuthenticatedError as error:
            return await self._wrong(request, error)

    def _provider(self) -> OpenIdProvider:
        if self.provider is None:
            raise request_refused("OpenID Connect is not set up here.", status=404)
        return self.provider

    def _signed_in(self, request: Request, principal: Principal) -> Response:
        cookie = self.sessions.open(principal.actor, principal.token_id, local=principal.local)
        wanted = local_path(request.session.get("next", "")) or "/"
        request.session.clear()
        answer = RedirectResponse(wanted, 303)
        answer.set_cookie(
            self.sessions.cookie,
            cookie,
            path="/",
            secure=self.web.secure,
            httponly=True,
            samesite="lax",
            max_age=int(self.web.session.total_seconds()),
        )
        return answer

    async def _wrong(self, request: Request, error: errors.NotAuthenticatedError) -> Response:
        await run_in_threadpool(self.failed, request, error)
        return await run_in_threadpool(self._page, request, wrong=error.message, status=401)

    async def _form(self, request: Request) -> dict[str, str]:
        form = await form_of(request)
        expected = request.session.get("form_token", "")
        if not expected or not hmac.compare_digest(
            expected.encode(), form.get("form_token", "").encode()
        ):
            raise request_refused("The form is not one that was shown to you lately.", status=403)
        return form

    def sign_out_page(self, principal: Principal, form_token: str) -> Response:
        """Asks whether to end the session."""
        return own_page(sign_out_page(principal.actor, form_token, self.authenticator.single_user))

    def sign_out(self, principal: Principal) -> Response:
        """Ends the session, for good."""
        if principal.session_id is not None:
            self.sessions.end(principal.session_id, principal.actor)
        answer = RedirectResponse(PATH, 303)
        answer.delete_cookie(
            self.sessions.cookie, path="/", secure=self.web.secure, httponly=True, samesite="lax"
        )
        return answer


async def form_of(request: Request) -> dict[str, str]:
    """A small form, each field once. Raises :class:`RequestRefusedError` for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        raise request_refused("A form is expected.", status=415)
    body = await read_body(request.headers, request.receive, MAX_FORM_BYTES)
    return form_fields(body)


def form_fields(body: bytes) -> dict[str, str]:
    """The fields of a form's body. Raises :class:`RequestRefusedError`."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise request_refused("The form cannot be read.", status=400) from None
    if len(dict(pairs)) < len(pairs):
        raise request_refused("The form says something twice.", status=400)
    return dict(pairs)


def local_path(text: str) -> str:
    """A path of this gateway, or nothing for what would lead elsewhere."""
    plain = text.startswith("/") and text[1:2] not in ("/", "\\") and text.isprintable()
    return text if plain and "\\" not in text and len(text) < 2000 else ""
