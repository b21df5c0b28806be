"""``ro token``: issue and renew tokens, list what is on record, revoke one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

import click

from ro_platform import errors
from ro_platform.access.tokens import MAX_LIFETIME, IssuedToken
from ro_platform.cli.declared import Noun, asks, asks_within, public
from ro_platform.cli.output import err, json_option, moment, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.plane import shared_plane

F = TypeVar("F", bound=Callable[..., Any])


def _holder_option(words: str) -> Callable[[F], F]:
    return click.option("--for", "holder", metavar="ACTOR", required=True, help=words)


def _reason_option(words: str) -> Callable[[F], F]:
    return click.option("--reason", required=True, help=f"{words}; it is recorded.")


_days_option = click.option(
    "--days",
    type=click.IntRange(1, MAX_LIFETIME.days),
    default=90,
    show_default=True,
    help="For how long it is good.",
)


@click.group(cls=Noun)
def command() -> None:
    """Issue, renew, list and revoke the tokens by which people and services say who they are."""


@command.command()
@_holder_option("HUMAN::id or SYSTEM::service.")
@_days_option
@_reason_option("What it is for")
@json_option
@asks_within(Action.ISSUE_TOKEN)
def issue(holder: str, days: int, reason: str, as_json: bool) -> None:
    """Issue a token for ACTOR, and print it: once, here, and never again.

    Standard output holds the token alone. It carries only who its bearer is; what they may do, the
    access policy says. Keep it out of command lines and shell histories.

    \b
    ro token issue --for HUMAN::ann --reason "The first admin"
    (umask 077; ro token issue --for SYSTEM::daemon --reason "The daemon" > daemon.token)
    """
    plane = shared_plane(Settings.load())
    issued = plane.tokens.issue(
        holder, lifetime=timedelta(days=days), reason=reason, actor=plane.identity.actor()
    )
    _say(issued, holder, as_json=as_json)


@command.command()
@_days_option
@click.option("--reason", default="renewed by its holder", show_default=True, help="Recorded.")
@json_option
@public("the token that is renewed is the proof")
def renew(days: int, reason: str, as_json: bool) -> None:
    """Print a new token in place of the one in RO_TOKEN, which ends. It needs no role.

    It is good for at most as long as the one before was issued for.

    \b
    (umask 077; RO_TOKEN="$(cat daemon.token)" ro token renew > daemon.token.new)
    """
    settings = Settings.load()
    if not settings.token:
        raise errors.NotAuthenticatedError(
            "There is no token to renew: RO_TOKEN is not set.",
            next_step="Set it to the token that is to be renewed, for this one command.",
        )
    tokens = shared_plane(settings).tokens
    issued = tokens.renew(settings.token, lifetime=timedelta(days=days), reason=reason)
    _say(issued, tokens.authenticate(issued.text).actor, as_json=as_json)


@command.command()
@_holder_option("An admin of the policy.")
@_days_option
@_reason_option("How it came to this")
@json_option
@public("it needs the access key, which only the deployment's own user can read")
def recover(holder: str, days: int, reason: str, as_json: bool) -> None:
    """Print a token for an admin, where no admin has one that is taken any more.

    It needs no token, but the access key: only the deployment's own user can do it, on record.

    \b
    ro token recover --for HUMAN::ann --reason "All tokens expired over the summer"
    """
    settings = Settings.load()
    issued = shared_plane(settings).tokens.recover(
        holder, lifetime=timedelta(days=days), reason=reason, actor=settings.actor
    )
    _say(issued, holder, as_json=as_json)


@command.command("list")
@json_option
@asks(Action.AUDIT, "the list of tokens")
def list_tokens(as_json: bool) -> None:
    """List all tokens, oldest first: whose, by whom, until when, and whether they are taken.

    A token is standing, expired, revoked, or lost: issued under another access key than today's.
    """
    plane = shared_plane(Settings.load())
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
@_reason_option("Why it is not taken any more")
@json_option
@asks_within(Action.REVOKE_TOKEN, or_own=True)
def revoke(token_id: str, reason: str, as_json: bool) -> None:
    """Revoke the token with that ID, at once and for good. Its holder may always do that.

    The ID is the 32 hex digits after `ro1_`, as `ro token list` prints it.

    \b
    ro token revoke a14decd2d1c327f4c08512e17226dcc0 --reason "A lost laptop"
    """
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
