"""Refusals of commands, on record: who tried what, and why it was refused."""

from __future__ import annotations

from contextlib import suppress

import click

from ro_platform import errors
from ro_platform.access.refusals import access_refusal_draft, record_once
from ro_platform.admin.intents import canonical_digest
from ro_platform.config.settings import Settings
from ro_platform.ledger import names
from ro_platform.plane import shared_plane

_COMMANDS = "SYSTEM::ro"


def record_refusal(error: errors.AccessDeniedError) -> None:
    """Record that this command was refused; the same to the same actor is one entry a day.

    Raises what the ledger raises. A process that nobody is known to act in is recorded by the
    operating system's user.
    """
    settings = Settings.load()
    plane = shared_plane(settings)
    actor, moment = None, plane.clock()
    with suppress(errors.AccessDeniedError):
        actor = plane.identity.actor()
    operation, source = _operation(), f"a process of {settings.actor}"
    day = moment.date().isoformat()
    known = canonical_digest([operation, actor, source, error.code, error.message, day])
    draft = access_refusal_draft(
        operation=operation,
        actor=actor,
        source=source,
        code=error.code,
        why=error.message,
        moment=moment,
        by=_COMMANDS,
        subject=names.access_subject(actor or "command"),
        key=names.command_refusal_key(known),
    )
    record_once(plane.ledger, draft)


def _operation() -> str:
    """The command as it is typed, without what it was given: ``ro.directive.approve``."""
    context = click.get_current_context(silent=True)
    return ".".join(context.command_path.split()) if context else "ro"
