"""How the gateway is reached and who vouches for people: the variables ``RO_WEB_*``.

A variable that is misspelt is refused, so that a proxy's secret is never silently without effect.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from ro_platform import errors
from ro_platform.config.settings import Settings

DEFAULT_PORT = 3000
_NAMES = {
    "RO_WEB_OIDC_ISSUER",
    "RO_WEB_OIDC_CLIENT_ID",
    "RO_WEB_OIDC_CLIENT_SECRET",
    "RO_WEB_OIDC_CLAIM",
    "RO_WEB_PROXY_PEERS",
    "RO_WEB_PROXY_SECRET",
    "RO_WEB_PROXY_HEADER",
    "RO_WEB_SESSION_HOURS",
}
_MIN_SECRET = 32
_MAX_HOURS = 24 * 7


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One OpenID provider. The value of ``claim`` in its ID token is a person's id here."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    claim: str


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A proxy that authenticates people: it comes from one of ``peers`` and knows ``secret``."""

    peers: frozenset[str]
    secret: str = field(repr=False)
    header: str


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the gateway is and what it takes. ``origins`` are the only ones whose pages may act."""

    host: str
    port: int
    origins: frozenset[str]
    public: str
    oidc: OidcSettings | None
    proxy: ProxySettings | None
    session: timedelta

    @classmethod
    def of(cls, settings: Settings, *, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> Self:
        """The gateway's settings when it listens there.

        Raises :class:`SettingsError` for a contradiction, and for an address that is not loopback
        while ``RO_UI_URL`` is not ``https://``: a session's cookie would travel in the clear.
        """
        found = dict(settings.web)
        if unknown := sorted(found.keys() - _NAMES):
            raise _bad(unknown[0], "is no setting of the gateway", f"Known: {', '.join(_NAMES)}.")
        origins, public = _origins(settings, host, port)
        return cls(
            host=host,
            port=port,
            origins=origins,
            public=public,
            oidc=_oidc(found),
            proxy=_proxy(found),
            session=_session(found),
        )

    @property
    def secure(self) -> bool:
        """Whether browsers reach the gateway by TLS only."""
        return self.public.startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """What the header ``Host`` may say: a name that was rebound to this address is none."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)


def is_loopback(host: str | None) -> bool:
    """Whether that is this machine's own address, or ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False


def _origins(settings: Settings, host: str, port: int) -> tuple[frozenset[str], str]:
    parts = urlsplit(settings.ui_url)
    named = f"{parts.scheme}://{parts.netloc}"
    if is_loopback(host):
        own = frozenset(f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        if parts.scheme == "https":
            return own | {named}, named
        return own, f"http://{'[::1]' if ':' in host else host}:{port}"
    if parts.scheme != "https" or not parts.netloc:
        raise _bad(
            "RO_UI_URL",
            f"is {settings.ui_url!r}, but the gateway would be reached from other machines",
            "Put TLS before it and set RO_UI_URL to its https:// address, or bind to 127.0.0.1.",
        )
    return frozenset({named}), named


def _oidc(found: Mapping[str, str]) -> OidcSettings | None:
    issuer = found.get("RO_WEB_OIDC_ISSUER")
    if issuer is None:
        return None
    parts = urlsplit(issuer)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise _bad("RO_WEB_OIDC_ISSUER", "is no https:// address", "Take it from your provider.")
    return OidcSettings(
        issuer=issuer,
        client_id=_needed(found, "RO_WEB_OIDC_CLIENT_ID", "RO_WEB_OIDC_ISSUER"),
        client_secret=_needed(found, "RO_WEB_OIDC_CLIENT_SECRET", "RO_WEB_OIDC_ISSUER"),
        claim=found.get("RO_WEB_OIDC_CLAIM", "sub"),
    )


def _proxy(found: Mapping[str, str]) -> ProxySettings | None:
    peers = found.get("RO_WEB_PROXY_PEERS")
    if peers is None:
        if "RO_WEB_PROXY_SECRET" in found:
            _needed(found, "RO_WEB_PROXY_PEERS", "RO_WEB_PROXY_SECRET")
        return None
    secret = _needed(found, "RO_WEB_PROXY_SECRET", "RO_WEB_PROXY_PEERS")
    if len(secret) < _MIN_SECRET:
        raise _bad("RO_WEB_PROXY_SECRET", "is too short", f"Use {_MIN_SECRET} characters or more.")
    try:
        addresses = frozenset(str(ipaddress.ip_address(peer)) for peer in peers.split())
    except ValueError:
        raise _bad("RO_WEB_PROXY_PEERS", "holds what is no IP address", "Name each peer.") from None
    header = found.get("RO_WEB_PROXY_HEADER", "X-Forwarded-User").lower()
    return ProxySettings(addresses, secret, header)


def _session(found: Mapping[str, str]) -> timedelta:
    text = found.get("RO_WEB_SESSION_HOURS", "8")
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MAX_HOURS:
        raise _bad("RO_WEB_SESSION_HOURS", f"is {text[:20]!r}", f"Use 1 to {_MAX_HOURS} hours.")
    return timedelta(hours=int(text))


def _needed(found: Mapping[str, str], name: str, by: str) -> str:
    if name not in found:
        raise _bad(name, f"is not set, and {by} is", "Set both, or neither.")
    return found[name]


def _bad(name: str, what: str, next_step: str) -> errors.SettingsError:
    return errors.SettingsError(f"{name} {what}.", next_step=next_step, setting=name)
