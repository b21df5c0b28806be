"""The frame of every operations page: landmarks, the way about, who is signed in, and the mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ro_platform.web.operations.html import Html, Node, el, together
from ro_platform.web.operations.style import STYLE

BASE = "/operations"
HOME = f"{BASE}/"
_WAYS = (
    (HOME, "Overview"),
    (f"{BASE}/attempts", "Attempts"),
    (f"{BASE}/directives", "Directives"),
    (f"{BASE}/events", "Events"),
    ("/", "Dagster UI"),
    ("/signout", "Sign out"),
)
_WARNING = Html("<strong>Single-user mode.</strong> ")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: its heading, its body, and the HTTP status that goes with it."""

    title: str
    body: Node
    status: int = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """What the frame says of the visit: who, where, and the single user if that mode holds."""

    actor: str
    environment: str
    single_user: str | None
    path: str


def framed(page: Page, frame: Frame) -> str:
    """A whole page as HTML."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("title", f"{page.title} - {frame.environment}"),
        el("style", Html(STYLE)),
    )
    body = el(
        "body",
        el("a", "Skip to the content", href="#content", class_="skip"),
        _header(frame),
        el(
            "main",
            _mode(frame),
            el("h1", page.title),
            page.body,
            id="content",
            tabindex="-1",
            class_="wide",
        ),
    )
    return f"<!doctype html>{el('html', head, body, lang='en')}\n"


def said(kind: str, *children: Node) -> Html:
    """A message that is read out: ``good``, ``warn``, or ``bad``, which is an alert."""
    role = "alert" if kind == "bad" else "status"
    return el("div", *children, class_=f"say {kind}", role=role)


def section(title: str, *children: Node, anchor: str) -> Html:
    """A part of a page, by its heading a landmark."""
    name = f"{anchor}-heading"
    return el("section", el("h2", title, id=name), *children, id=anchor, aria_labelledby=name)


def _header(frame: Frame) -> Html:
    links = [el("li", _way(address, name, frame.path)) for address, name in _WAYS]
    return el(
        "header",
        el(
            "div",
            el("strong", "Operations"),
            el("nav", el("ul", links), aria_label="Pages"),
            el("span", frame.actor, class_="who"),
            class_="wide bar",
        ),
    )


def _way(address: str, name: str, path: str) -> Html:
    return el("a", name, href=address, aria_current="page" if address.rstrip("/") == path else None)


def _mode(frame: Frame) -> Html | None:
    if frame.single_user is None:
        return None
    words = (
        f"No access policy was published yet, so only {frame.single_user} may act, from this "
        "machine, and there is no second person."
    )
    return el("div", el("p", together(_WARNING), words), class_="say warn")


def listed(items: Sequence[Node]) -> Html:
    """A list of links or buttons, side by side."""
    return el("ul", [el("li", item) for item in items], class_="tiles")
