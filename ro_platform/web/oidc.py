"""OpenID Connect (code flow) through Authlib: state, nonce, PKCE, signature, issuer, audience and
expiry are the library's work; here is only which claim of the ID token says who somebody is."""

from __future__ import annotations

import warnings
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from ro_platform import errors
from ro_platform.web.authentication import person
from ro_platform.web.settings import OidcSettings

# Authlib announces, to everybody who starts the gateway, another HTTP client than httpx; and it
# turns its own warnings on, so that they can only be caught.
with warnings.catch_warnings(record=True):
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.starlette_client import OAuth
    from httpx import HTTPError
    from joserfc.errors import JoseError

_FAILURES = (AuthlibBaseError, JoseError, HTTPError, RuntimeError, ValueError, KeyError, TypeError)
"""What Authlib and its libraries raise for a provider that does not answer as one."""
_SECONDS = 10


class OpenIdProvider:
    """One provider. ``request.session`` carries what the browser must bring back."""

    def __init__(self, oidc: OidcSettings) -> None:
        self._oidc = oidc
        self._client: Any = OAuth().register(
            "oidc",
            client_id=oidc.client_id,
            client_secret=oidc.client_secret,
            server_metadata_url=f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": _SECONDS,
            },
        )

    @property
    def name(self) -> str:
        """Its host, for people."""
        return urlsplit(self._oidc.issuer).netloc

    async def start(self, request: Request, callback: str) -> Response:
        """Send the browser there. Raises :class:`NotAuthenticatedError` if it does not answer."""
        try:
            return cast(Response, await self._client.authorize_redirect(request, callback))
        except _FAILURES as error:
            raise _failed(f"does not answer as one ({type(error).__name__})") from None

    async def finish(self, request: Request) -> str:
        """Who came back, as the checked ID token says. Raises :class:`NotAuthenticatedError`."""
        options = {
            "iss": {"essential": True, "values": [self._oidc.issuer]},
            "aud": {"essential": True, "value": self._oidc.client_id},
            "nonce": {"essential": True},
        }
        try:
            found = await self._client.authorize_access_token(request, claims_options=options)
        except _FAILURES as error:
            raise _failed(f"did not vouch for you ({type(error).__name__})") from None
        claims = found.get("userinfo")
        if not claims:
            raise _failed("sent no ID token")
        return person_of(dict(claims), self._oidc)


def person_of(claims: dict[str, Any], oidc: OidcSettings) -> str:
    """The person that a checked ID token is about. Raises :class:`NotAuthenticatedError` where the
    claim is absent, is no id, or is an address that the provider did not verify."""
    value = claims.get(oidc.claim)
    if not isinstance(value, str) or not value:
        raise _failed(f"sent no claim {oidc.claim}")
    if oidc.claim == "email" and claims.get("email_verified") is not True:
        raise _failed("has not verified your address")
    return person(value)


def _failed(why: str) -> errors.NotAuthenticatedError:
    return errors.NotAuthenticatedError(
        f"The identity provider {why}.", next_step="Try again, or sign in with a token."
    )
