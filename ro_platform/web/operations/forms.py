"""Forms: every field has its label, and every form that changes something carries its token."""

from __future__ import annotations

from collections.abc import Sequence

from ro_platform.web.operations.context import PageContext
from ro_platform.web.operations.html import Html, Node, el


def post_form(
    context: PageContext, address: str, *children: Node, label: str | None = None
) -> Html:
    """A form that changes something."""
    token = hidden("form_token", context.form_token)
    return el("form", token, *children, method="post", action=address, aria_label=label)


def search(address: str, *children: Node) -> Html:
    """A form that looks something up."""
    return el(
        "form",
        *children,
        el("div", el("button", "Show"), class_="row"),
        method="get",
        action=address,
        role="search",
    )


def hidden(name: str, value: str) -> Html:
    """What goes with a form unseen."""
    return el("input", type="hidden", name=name, value=value)


def field(
    name: str,
    label: str,
    *,
    value: str = "",
    hint: str = "",
    required: bool = False,
    options: Sequence[str] = (),
    kind: str = "text",
) -> Html:
    """One line of text; ``options`` are offered, and others can be written."""
    listed = f"{name}-options" if options else None
    box = el(
        "input",
        id=name,
        name=name,
        type=kind,
        value=value,
        required=required,
        autocomplete="off",
        list=listed,
        aria_describedby=f"{name}-hint" if hint else None,
    )
    offered = el("datalist", [el("option", value=item) for item in options], id=listed)
    return _labelled(name, label, hint, box, offered if options else None)


def reason(value: str = "", *, name: str = "reason", label: str = "Reason") -> Html:
    """Why: it is recorded, and never empty."""
    box = el(
        "textarea",
        value,
        id=name,
        name="reason",
        required=True,
        maxlength=2000,
        aria_describedby=f"{name}-hint",
    )
    return _labelled(name, label, "It is kept on record for good.", box)


def choice(name: str, label: str, values: Sequence[str], *, chosen: str = "") -> Html:
    """One of several; the empty one is any."""
    options = [
        el("option", item.replace("_", " ") or "any", value=item, selected=item == chosen)
        for item in values
    ]
    return _labelled(name, label, "", el("select", options, id=name, name=name))


def button(words: str, *, main: bool = False, name: str | None = None, value: str = "") -> Html:
    """Sends its form; ``name`` and ``value`` say which of several was pressed."""
    return el(
        "button",
        words,
        class_="main" if main else None,
        name=name,
        value=value if name else None,
    )


def _labelled(name: str, label: str, hint: str, *box: Node) -> Html:
    words = el("p", hint, id=f"{name}-hint", class_="hint") if hint else None
    return el("div", el("label", label, for_=name), words, *box, class_="field")
