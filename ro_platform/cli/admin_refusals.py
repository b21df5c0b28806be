"""Refusals of commands, on record: who tried what, and why it was refused."""

from __future__ import annotations

import re
from contextlib import suppress

import click

from ro_platform.admin.intents import canonical_digest
from ro_platform.config.settings import Settings
from ro_platform.contracts import EntryKind
from ro_platform.contracts.access import AccessRefused
from ro_platform.errors import AccessDeniedError
from ro_platform.kernel.clock import utc_text
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import Plane, shared_plane

_MOST_WORDS = 300
_COMMANDS = "SYSTEM::ro"


def record_refusal(error: AccessDeniedError) -> None:
    """Record that this command was refused; the same to the same actor is one entry a day.

    Raises what the ledger raises. A process that nobody is known to act in is recorded by the
    operating system's user.
    """
    settings = Settings.load()
    plane = shared_plane(settings)
    draft = _draft(plane, settings, _operation(), error)
    plane.ledger.append_with(lambda log: [] if log.find(str(draft.key)) else [draft])


def _draft(
    plane: Plane, settings: Settings, operation: str, error: AccessDeniedError
) -> EntryDraft:
    actor, moment = None, utc_text(plane.clock())
    with suppress(AccessDeniedError):
        actor = plane.identity.actor()
    body = AccessRefused(
        operation=operation,
        actor=actor,
        source=f"a process of {settings.actor}",
        code=error.code,
        reason=" ".join(error.message.split())[:_MOST_WORDS],
        count=1,
        observed_at_utc=moment,
    )
    known = [operation, actor, body.source, error.code, body.reason, moment[:10]]
    return EntryDraft(
        EntryKind.ACCESS_REFUSED,
        f"access/{actor or 'command'}",
        actor or _COMMANDS,
        body,
        key=f"refused/command/{canonical_digest(known)}",
    )


def _operation() -> str:
    """The command as it is typed, without what it was given: ``ro.directive.approve``."""
    context = click.get_current_context(silent=True)
    path = context.command_path if context else "ro"
    return re.sub(r"[^A-Za-z0-9_.\-]+", ".", path)[:128]
