"""HTML as Python: every text is escaped, and what is HTML already says so by its type.

There are no templates: a page is made of functions that give :class:`Html`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TypeAlias

_VOID = frozenset({"input", "meta", "br", "hr"})


class Html(str):
    """Text that is HTML already, so that it is not escaped again."""

    __slots__ = ()


Node: TypeAlias = "str | Sequence[Node] | None"
"""What an element holds: HTML, text (which is escaped), several of them, or nothing."""


def el(name: str, /, *children: Node, **attributes: str | int | bool | None) -> Html:
    """One element. An attribute's ``_`` stands for ``-``, one at its end for nothing (``class_``);
    true is an attribute without a value, and false or None is none."""
    parts = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{parts}>")
    return Html(f"<{name}{parts}>{together(*children)}</{name}>")


def together(*nodes: Node) -> Html:
    """Nodes one after another, without an element around them."""
    return Html("".join(map(_rendered, nodes)))


def _rendered(node: Node) -> str:
    match node:
        case None:
            return ""
        case Html():
            return str(node)
        case str():
            return escape(node)
        case _:
            return together(*node)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
