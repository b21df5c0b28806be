"""The operations pages over a plane in memory, without the gateway: the test says who visits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from starlette.routing import Mount, Router
from starlette.types import Receive, Scope, Send

from ro_platform.admin.orchestrator import Orchestrator
from ro_platform.config.settings import Settings
from ro_platform.errors import RunOperateError
from ro_platform.plane import Plane
from ro_platform.web.authentication import Principal
from ro_platform.web.operations.context import PageServices
from ro_platform.web.operations.routes import routes_of

_VOID = {"input", "meta", "br", "hr", "wbr", "link", "img"}
_INLINE = {"a", "code", "del", "ins", "span", "strong", "time", "wbr"}


@dataclass
class OperationsWorld:
    """A plane and its pages. ``refusals`` are those that the gateway would record, and ``token_id``
    is that of the token by which the visitor is known."""

    plane: Plane
    folder: Path
    orchestrator: Orchestrator
    refusals: list[str] = field(default_factory=list)
    token_id: str | None = None

    def __post_init__(self) -> None:
        settings = Settings.load({"RO_ROOT": str(self.folder)}, cwd=self.folder)
        self.services = PageServices(self.plane, settings, lambda _settings: self.orchestrator)
        self._router = Router([Mount("/operations", routes=list(routes_of(self.services)))])

    def get(self, actor: str, path: str = "/", /, **query: str) -> Seen:
        """A page."""
        return Seen(self._ask(actor, "GET", path, params=query))

    def post(self, actor: str, path: str, fields: Mapping[str, str]) -> Seen:
        """What a form leads to."""
        return Seen(self._ask(actor, "POST", path, data=dict(fields)))

    def sent(self, actor: str, path: str, /, **fields: str) -> Seen:
        """A form as its page shows it, filled in with more, and sent."""
        return self.sent_form(actor, path, f"/operations{path}", **fields)

    def sent_form(self, actor: str, path: str, action: str, /, **fields: str) -> Seen:
        """As :meth:`sent`, for a form that leads elsewhere than to its own page."""
        found = next(form for form in self.get(actor, path).forms if form.action == action)
        address = action.removeprefix("/operations")
        return self.post(actor, address, {**found.fields, **fields})

    def _ask(self, actor: str, method: str, path: str, **said: Any) -> httpx.Response:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            state = {
                "principal": Principal(actor, self.token_id, ambient=True),
                "form_token": "a-token",
                "refused": self._refused,
            }
            await self._router({**scope, "state": state}, receive, send)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://face") as client:
                return await client.request(method, f"/operations{path}", **said)

        return asyncio.run(ask())

    def _refused(self, error: RunOperateError, _operation: str) -> None:
        self.refusals.append(error.code)


@dataclass
class Form:
    """A form, and what its fields hold."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Seen(HTMLParser):
    """An answer, as a browser and a screen reader meet it."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.location = answer.headers.get("location", "")
        self.headers = answer.headers
        self.html = answer.text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.headings: list[int] = []
        self._open: list[str] = []
        self.unclosed: list[str] = []
        self._words: list[str] = []
        if "text/html" in answer.headers.get("content-type", ""):
            self.feed(self.html)
            self.unclosed = self._open

    @property
    def text(self) -> str:
        """What a person reads."""
        return re.sub(r"\s+", " ", "".join(self._words)).strip()

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element with that name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """See HTMLParser."""
        attributes = {key: value or "" for key, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in _VOID:
            self._open.append(tag)
        self._parted(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "form":
            self.forms.append(Form(attributes.get("action", ""), attributes.get("method", "")))
        if tag in ("input", "textarea") and "name" in attributes and self.forms:
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, tag
        self._parted(tag)

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if self._open and self._open[-1] not in ("style", "title"):
            self._words.append(data)

    def _parted(self, tag: str) -> None:
        if tag not in _INLINE:
            self._words.append(" ")
