"""A verified dossier as one HTML page: no script, nothing from elsewhere, readable without colour.

Every value is escaped; a content security policy in the page forbids what it does not need.
"""

from __future__ import annotations

import re
from html import escape

from ro_platform.dossier.graph import graph_of
from ro_platform.dossier.picture import svg
from ro_platform.dossier.summary import (
    Table,
    gate_states,
    identity_rows,
    objections,
    tables,
    verified_facts,
)
from ro_platform.dossier.verify import Dossier

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1c1e;--soft:#565c62;--paper:#fff;--line:#c9ced3;
--band:#f3f5f7;--good:#0b6b35;--bad:#a61b1b}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a9b0b7;--paper:#15181b;
--line:#444b52;--band:#1f2429;--good:#6cd492;--bad:#ff9a90}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;color:var(--ink);
background:var(--paper);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.verdict{border-left:.4rem solid var(--good);background:var(--band);padding:.6rem 1rem}
.verdict strong{color:var(--good)}ul{padding-left:1.2rem;margin:.3rem 0}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.4rem}
.scroll:focus-visible{outline:3px solid var(--good)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-top:1px solid var(--line)}
thead th{border-top:0;background:var(--band);white-space:nowrap}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:1rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{font-size:.85em}
td{white-space:nowrap}td.long{white-space:normal;min-width:18rem}.num{text-align:right}
.good{color:var(--good)}.bad{color:var(--bad)}.note{color:var(--soft);margin:0 0 .5rem}
svg{display:block;margin:0 auto;max-width:100%;height:auto}svg text{font:13px system-ui,sans-serif;
text-anchor:middle;fill:var(--ink)}svg .state{font-size:11px;fill:var(--soft)}
svg rect{fill:var(--paper);stroke:var(--line);stroke-width:1.5}svg .good rect{stroke:var(--good)}
svg .bad rect{stroke:var(--bad);stroke-width:2.5}svg .bad .state{fill:var(--bad)}
svg .outside rect{stroke-dasharray:4 3}svg .edge{fill:none;stroke:var(--soft);stroke-width:1.5}
footer{margin:2rem 0;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){dl{grid-template-columns:minmax(0,1fr)}dt{margin-top:.4rem}
td:first-child{position:sticky;left:0;min-width:8rem;max-width:11rem;white-space:normal;
background:var(--paper);border-right:1px solid var(--line)}}
@media print{.scroll{overflow:visible;border:0}td,td.long{white-space:normal;min-width:0;
overflow-wrap:anywhere}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_GOOD = ("PASS", "SUCCEEDED")
_BAD = ("FAIL", "LOST", "REFUSED", "CANCELED", "REVOKED", "BLOCKED", "RO_")
_HEX = re.compile(r"\b[0-9a-f]{32,}\b")
_LONG = 40
_BELOW = '<p class="note">Each artifact stands below what it was made from.</p>'


def page(dossier: Dossier) -> str:
    """The page of a dossier that was verified."""
    title = f"Dossier of {dossier.manifest.workload}, run {dossier.run_id[:12]}"
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in verified_facts(dossier))
    facts += "".join(f'<li class="bad">{escape(bad)}</li>' for bad in objections(dossier))
    fields = "".join(
        f"<dt>{escape(name)}</dt><dd>{_value(value)}</dd>" for name, value in identity_rows(dossier)
    )
    picture = svg(graph_of(dossier), gate_states(dossier))
    sections = "".join(_section(number, table) for number, table in enumerate(tables(dossier)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>"
        f'<div class="verdict"><strong>Verified</strong><ul>{facts}</ul></div>'
        f'<dl>{fields}</dl><h2 id="graph">Graph</h2>{_BELOW}{_scroll("graph", picture)}{sections}'
        "</main><footer>This page says what was verified when it was made. The dossier itself is "
        "the evidence: <code>ro dossier verify FILE --key PUB</code> checks it again.</footer>"
        "</body></html>\n"
    )


def _section(number: int, table: Table) -> str:
    heading = f'<h2 id="t{number}">{escape(table.title)}</h2>'
    if not table.rows:
        return f"{heading}<p>{escape(table.empty)}</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(
        f"<tr><td>{_name(row[0])}</td>"
        f"{''.join(f'<td{_kind(cell)}>{_value(cell)}</td>' for cell in row[1:])}</tr>"
        for row in table.rows
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"{heading}{_scroll(f't{number}', body)}"


def _scroll(label: str, content: str) -> str:
    """A part that scrolls by itself where the screen is narrow, by keyboard, too."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{label}">{content}</div>'
    )


def _value(text: str) -> str:
    if text.startswith(_GOOD):
        return f'<span class="good">{escape(text)}</span>'
    if text.startswith(_BAD):
        return f'<span class="bad">{escape(text)}</span>'
    return _HEX.sub(lambda found: f"<code>{found[0]}</code>", escape(text))


def _name(text: str) -> str:
    """What a row is about; a long name breaks between its parts."""
    return "<wbr>".join(escape(part) for part in re.split(r"(?<=[._#/])", text))


def _kind(text: str) -> str:
    """A number stands to the right; what is longer than a name or a date takes several lines."""
    if text.isdecimal():
        return ' class="num"'
    return ' class="long"' if len(_HEX.sub("", text)) > _LONG else ""
