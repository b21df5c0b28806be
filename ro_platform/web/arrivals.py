"""A request at the door: what is known about it before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ro_platform.web.messages import peer_of
from ro_platform.web.visitors import Visitor


@dataclass
class Arrival:
    """One HTTP request or websocket. ``visitor`` is set once somebody is authenticated, and
    ``operation`` names what it would do, for a record of its refusal."""

    scope: Scope
    headers: Headers
    cookies: dict[str, str]
    peer: str
    path: str
    method: str
    operation: str
    visitor: Visitor | None = None

    @classmethod
    def of(cls, scope: Scope) -> Arrival:
        """What a connection's scope says."""
        connection = HTTPConnection(scope)
        method = scope.get("method", "WEBSOCKET")
        first = scope["path"].strip("/").split("/")[0][:60]
        return cls(
            scope=scope,
            headers=connection.headers,
            cookies=dict(connection.cookies),
            peer=peer_of(scope),
            path=scope["path"],
            method=method,
            operation=f"{method}.{first or 'index'}",
        )

    @property
    def actor(self) -> str | None:
        """Who it is from, if that is known."""
        return self.visitor.actor if self.visitor else None

    @property
    def navigates(self) -> bool:
        """Whether a browser wants a page to show."""
        return self.method == "GET" and "text/html" in self.headers.get("accept", "")
