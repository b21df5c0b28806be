"""The frame of every operations page: landmarks, the way about, who is signed in, and the mode.

The one style sheet of the operations pages: light and dark, wide and narrow, no images.

A table becomes a list of cards where the screen is narrow; each cell then says its column's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ro_platform.web.operations.html import Html, Node, el, together

STYLE = """
:root{color-scheme:light dark;--ink:#1a1c1e;--soft:#565c62;--paper:#f6f7f9;--card:#fff;
--line:#d3d8dd;--edge:#767d84;--band:#eef1f4;--good:#0b6b35;--bad:#a61b1b;--warn:#8a4b00;
--link:#1d4ed8;--act:#1d4ed8;--on:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a9b0b7;--paper:#111417;
--card:#191d21;--line:#363d44;--edge:#8b949d;--band:#22282e;--good:#6cd492;--bad:#ff9a90;
--warn:#f2b35e;--link:#93b4ff;--act:#2f5fd6;--on:#fff}}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:var(--paper);font:1rem/1.5 system-ui,sans-serif}
a{color:var(--link)}code{font-size:.875em;overflow-wrap:anywhere}
:focus-visible{outline:3px solid #f59e0b;outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--card);
padding:.5rem 1rem;z-index:1}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
header{background:var(--card);border-bottom:1px solid var(--line)}
.wide{max-width:76rem;margin:0 auto;padding-inline:1.25rem}
.bar{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:center;padding-block:.6rem}
.bar strong{font-size:1.05rem}
nav ul{display:flex;flex-wrap:wrap;gap:.15rem .35rem;list-style:none;margin:0;padding:0}
nav a{display:block;padding:.4rem .6rem;border-radius:.35rem;text-decoration:none}
nav a:hover{text-decoration:underline}
nav a[aria-current]{background:var(--band);color:var(--ink);font-weight:600}
.who{margin-left:auto;color:var(--soft);overflow-wrap:anywhere}
main.wide{padding-block:1.25rem 3rem}
main:focus{outline:none}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0 0 .6rem}h3{font-size:1rem;margin:1rem 0 .4rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;
padding:1rem 1.25rem;margin:0 0 1rem;overflow-x:auto}
p{overflow-wrap:anywhere}
.say{border-left:.35rem solid var(--edge);background:var(--card);padding:.6rem 1rem;
margin:0 0 1rem;overflow-wrap:anywhere}.say p{margin:.2rem 0}
.say.good{border-color:var(--good)}.say.bad{border-color:var(--bad)}
.say.warn{border-color:var(--warn)}
.none,.note{color:var(--soft);margin:.25rem 0}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1.25rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.925rem}
caption{text-align:left;color:var(--soft);padding:0 0 .4rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;
border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:600;white-space:nowrap}
tbody th{font-weight:600}.near{white-space:nowrap}
td.long{min-width:14rem;overflow-wrap:anywhere}td.mid{min-width:11rem;overflow-wrap:anywhere}
.word{font-weight:600;white-space:nowrap}.word.good{color:var(--good)}
.word.bad{color:var(--bad)}.word.warn{color:var(--warn)}
form{margin:0}form+form{margin-top:1.5rem;padding-top:.4rem;border-top:1px solid var(--line)}
summary{cursor:pointer;margin-top:.75rem}details dl{margin-top:.6rem}
label{display:block;font-weight:600;margin:.9rem 0 .2rem}
[role=search]{display:flex;flex-wrap:wrap;gap:0 1.25rem;align-items:end}
[role=search] .field{flex:1 1 14rem}[role=search] input,[role=search] select{width:100%}
.hint{color:var(--soft);font-size:.9rem;margin:.1rem 0 .3rem}
input,textarea,select,button,.button{font:inherit;color:inherit;max-width:100%;min-height:2.6rem;
padding:.45rem .75rem;border:1px solid var(--edge);border-radius:.375rem;background:var(--card)}
input,textarea,select{width:34rem}textarea{min-height:4.5rem;resize:vertical}
button,.button{cursor:pointer;display:inline-block;font-weight:600;text-decoration:none}
button.main,.button.main{background:var(--act);border-color:var(--act);color:var(--on)}
button:disabled{cursor:not-allowed;opacity:.55}
.row{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin-top:1rem}
.row label{margin:0}.row input,.row select{width:auto;flex:0 1 15rem}
td .row{margin:0}td .row input{flex:1 1 10rem}
.tiles{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;margin:0;padding:0}
pre{margin:.5rem 0;padding:.75rem 1rem;background:var(--band);border-radius:.375rem;
overflow-x:auto;font-size:.875rem;line-height:1.45}
pre.diff ins{color:var(--good);text-decoration:none}pre.diff del{color:var(--bad);
text-decoration:none}
.cards{display:grid;gap:1rem;margin:0 0 1rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
.cards section{margin:0}
@media(max-width:46rem){.wide{padding-inline:.85rem}section{padding:.85rem .9rem}
.who{margin-left:0;width:100%}dl{grid-template-columns:minmax(5.5rem,max-content) minmax(0,1fr);
gap:.25rem .85rem}
input,textarea,select,.row input,.row select{width:100%;flex-basis:100%}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,th,td,caption{display:block}tbody tr{border-top:1px solid var(--line);
padding:.5rem 0}th,td{border:0;padding:.15rem 0;min-width:0;overflow-wrap:anywhere}
td.long,td.mid{min-width:0}
td:empty{display:none}.near,.word{white-space:normal}
[data-label]::before{content:attr(data-label)": ";color:var(--soft)}
td .row{margin-top:.3rem}}
@media print{header nav,form,.tiles{display:none}section{break-inside:avoid}}
"""


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
