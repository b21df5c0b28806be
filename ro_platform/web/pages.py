"""The gateway's own pages: plain HTML, readable without scripts, with all their style inside."""

from __future__ import annotations

from html import escape

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}
main{max-width:26rem;margin:12vh auto 2rem;padding:0 1.25rem}
h1{font-size:1.5rem;margin:0 0 .75rem}
label{display:block;font-weight:600;margin:1rem 0 .25rem}
input,button{font:inherit;box-sizing:border-box;width:100%;min-height:2.75rem;padding:.5rem .75rem;
border:1px solid GrayText;border-radius:.375rem}
button{margin-top:1rem;background:#1d4ed8;border-color:#1d4ed8;color:#fff;font-weight:600;
cursor:pointer}
button.second{background:transparent;color:inherit}
:focus-visible{outline:3px solid #f59e0b;outline-offset:2px}
.note{border-left:4px solid #f59e0b;padding:.5rem .75rem;margin:1rem 0}
.wrong{border-left:4px solid #dc2626;padding:.5rem .75rem;margin:1rem 0}
"""
_STRIP = """
#ro-face{position:fixed;inset:0 0 auto;z-index:15;height:28px;padding:3px 24px;
font:12px/22px system-ui,sans-serif;background:#111827;color:#f9fafb;
white-space:nowrap;
overflow:hidden;text-overflow:ellipsis}
#ro-face a{color:#93c5fd;margin-left:12px}
body{padding-top:28px}body,#ro-face{box-sizing:border-box}
#__next>div>div,[class*=AppContainer_nav__]{height:calc(100vh - 28px)!important}
"""
"""Above the UI, not on it: in a corner it would hide a button of Dagster's."""


def page(title: str, body: str) -> str:
    """A whole page around a body of HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def sign_in_page(
    *, form_token: str, single_user: str | None, key: str, provider: str | None, wrong: str = ""
) -> str:
    """The page that asks who you are. ``single_user`` is said in the single-user mode, ``provider``
    offers to sign in by OpenID Connect, ``wrong`` says why the last try failed."""
    hidden = f'<input type="hidden" name="form_token" value="{escape(form_token)}">'
    said = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    if single_user:
        said += _mode(single_user)
        said += "<p>The link that <code>ro web</code> printed fills in the key.</p>"
    other = ""
    if provider:
        other = (
            f'<form method="post" action="/signin/oidc">{hidden}'
            f'<button class="second">Sign in with {escape(provider)}</button></form>'
        )
    form = (
        f'<form method="post" action="/signin">{hidden}'
        '<label for="token">Token</label>'
        '<input id="token" name="token" type="password" autocomplete="off" required '
        f'spellcheck="false" value="{escape(key)}"><button>Sign in</button></form>'
    )
    return page("Sign in", said + form + other)


def sign_out_page(actor: str, form_token: str, single_user: str | None) -> str:
    """The page that ends a session."""
    return page(
        "Sign out",
        f"{_mode(single_user)}<p>You are signed in as <strong>{escape(actor)}</strong>.</p>"
        '<form method="post" action="/signout">'
        f'<input type="hidden" name="form_token" value="{escape(form_token)}">'
        '<button>Sign out</button></form><p><a href="/">Back</a></p>',
    )


def refusal_page(
    words: str, next_step: str | None, actor: str | None, single_user: str | None
) -> str:
    """The page for somebody who may not see what they asked for."""
    who = f"<p>You are signed in as <strong>{escape(actor)}</strong>.</p>" if actor else ""
    step = f"<p>{escape(next_step)}</p>" if next_step else ""
    return page(
        "Refused",
        f'{_mode(single_user)}<p class="wrong" role="alert">{escape(words)}</p>{step}{who}'
        '<p><a href="/signout">Sign out</a></p>',
    )


def _mode(single_user: str | None) -> str:
    """What every page says while no policy was ever published."""
    if single_user is None:
        return ""
    return (
        '<p class="note">Single-user mode: no access policy was published yet, so only '
        f"<strong>{escape(single_user)}</strong> may act, from this machine.</p>"
    )


def strip(actor: str | None, *, single_user: bool, operations: bool) -> str:
    """The line above each page of the Dagster UI."""
    mode = "Single-user mode, " if single_user else ""
    pages = '<a href="/operations/">Operations</a>' if operations else ""
    return (
        f'<style>{_STRIP}</style><div id="ro-face" role="contentinfo">{mode}'
        f'{escape(actor or "nobody")}{pages}<a href="/signout">Sign out</a></div>'
    )
