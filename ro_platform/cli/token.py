"""``ro token``: issue and renew tokens, list what is on record, revoke one."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from ro_platform.access.tokens import IssuedToken
from ro_platform.cli.output import err, fails_clearly, json_option, moment, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.plane import shared_plane

_DAYS = 90
_LONG = "For how long it is good."


@click.group()
def command() -> None:
    """Issue, renew, list and revoke the tokens by which people and services say who they are."""


@command.command()
@click.option("--for", "holder", metavar="ACTOR", required=True, help="HUMAN::id or SYSTEM::name.")
@click.option("--days", type=click.IntRange(1, 366), default=_DAYS, show_default=True, help=_LONG)
@click.option("--reason", required=True, help="What it is for; it is recorded.")
@json_option
@fails_clearly
def issue(holder: str, days: int, reason: str, as_json: bool) -> None:
    """Issue a token for ACTOR, and print it: once, here, and never again.

    Standard output holds the token alone. It carries only who its bearer is; what they may do, the
    access policy says. Keep it out of command lines and shell histories.
    """
    plane = shared_plane(Settings.load())
    issued = plane.tokens.issue(
        holder, lifetime=timedelta(days=days), reason=reason, actor=plane.identity.actor()
    )
    _say(issued, holder, as_json=as_json)


@command.command()
@click.option("--days", type=click.IntRange(1, 366), default=_DAYS, show_default=True, help=_LONG)
@click.option("--reason", default="renewed by its holder", show_default=True, help="Recorded.")
@json_option
@fails_clearly
def renew(days: int, reason: str, as_json: bool) -> None:
    """Print a new token in place of the one in RO_TOKEN, which ends. It needs no role."""
    settings = Settings.load()
    tokens = shared_plane(settings).tokens
    issued = tokens.renew(settings.token, lifetime=timedelta(days=days), reason=reason)
    _say(issued, tokens.authenticate(issued.text).actor, as_json=as_json)


@command.command()
@click.option("--for", "holder", metavar="ACTOR", required=True, help="An admin of the policy.")
@click.option("--days", type=click.IntRange(1, 366), default=_DAYS, show_default=True, help=_LONG)
@click.option("--reason", required=True, help="How it came to this; it is recorded.")
@json_option
@fails_clearly
def recover(holder: str, days: int, reason: str, as_json: bool) -> None:
    """Print a token for an admin, where no admin has one that is taken any more.

    It needs no token, but the access key: only the deployment's own user can do it, on record.
    """
    settings = Settings.load()
    issued = shared_plane(settings).tokens.recover(
        holder, lifetime=timedelta(days=days), reason=reason, actor=settings.actor
    )
    _say(issued, holder, as_json=as_json)


@command.command("list")
@json_option
@fails_clearly
def list_tokens(as_json: bool) -> None:
    """List all tokens, oldest first: whose, by whom, until when, and whether they are taken."""
    plane = shared_plane(Settings.load())
    plane.identity.require(Action.AUDIT, plane.access.target("the list of tokens"))
    found = list(plane.tokens.list())
    if as_json:
        say_json([asdict(record) for record in found])
        return
    table(
        ["token", "holder", "state", "expires", "issued", "by", "reason"],
        [
            [
                record.token_id,
                record.holder,
                record.state,
                moment(record.expires_at_utc),
                moment(record.issued_at_utc),
                record.issued_by,
                record.reason,
            ]
            for record in found
        ],
        empty="No token was issued yet: `ro token issue --for ACTOR --reason ...`.",
    )


@command.command()
@click.argument("token_id", metavar="ID")
@click.option("--reason", required=True, help="Why it is not taken any more; it is recorded.")
@json_option
@fails_clearly
def revoke(token_id: str, reason: str, as_json: bool) -> None:
    """Revoke the token with that ID, at once and for good. Its holder may always do that."""
    plane = shared_plane(Settings.load())
    record = plane.tokens.revoke(token_id, reason=reason, actor=plane.identity.actor())
    if as_json:
        say_json(asdict(record))
        return
    out.print(
        f"revoked: token {record.token_id} of {record.holder}, by {record.revoked_by} "
        f"('{record.revoked_because}')",
        markup=False,
    )


def _say(issued: IssuedToken, holder: str, *, as_json: bool) -> None:
    """The token, this once; what a person reads beside it goes to standard error."""
    if as_json:
        say_json(
            {
                "token": issued.text,
                "token_id": issued.token_id,
                "holder": holder,
                "expires_at_utc": issued.expires_at_utc,
            }
        )
        return
    err.print(
        f"token {issued.token_id} of {holder}, good until {moment(issued.expires_at_utc)} UTC; "
        "it is not shown again:",
        markup=False,
    )
    click.echo(issued.text)
