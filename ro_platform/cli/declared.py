"""What a command needs is declared where it is defined; one that declares nothing does not import.

``asks`` for what looks at the whole plane: it asks before the command begins. ``asks_within`` for
what is about one thing, whose workload decides: who may do that nowhere is refused before the
command begins, and learns nothing, not even whether the thing is there; then the command asks for
the very thing. ``asks_itself`` for administrative requests: the service asks, and puts a refusal on
record with all that was requested. ``public`` for the few that say nothing of the plane, with the
reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ro_platform.cli.output import fails_clearly
from ro_platform.contracts import Action, AdminActionType

if TYPE_CHECKING:
    from ro_platform.plane import Plane

F = TypeVar("F", bound=Callable[..., Any])
_DECLARED = "ro_declared"
ADMINISTRATIVE = tuple(action for action in Action if action.value in {*AdminActionType})
"""What an administrative action may need."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a command needs: any of ``actions``, on ``target`` or on what it names; or nothing, and
    ``why``. ``by_service``: the administrative service asks. ``or_own``: what is one's own needs
    none of them."""

    actions: tuple[Action, ...] = ()
    target: str = ""
    why: str = ""
    by_service: bool = False
    or_own: bool = False


def asks(action: Action, target: str) -> Callable[[F], F]:
    """The command needs ``action`` on ``target``, wherever the plane is."""

    def require() -> None:
        plane = _plane()
        plane.identity.require(action, plane.access.target(target))

    return _declaring(Declared((action,), target), require)


def asks_within(*actions: Action, or_own: bool = False) -> Callable[[F], F]:
    """The command asks for one of these actions itself, once it knows what it is about; ``or_own``:
    what is one's own needs none of them, so it asks in any case, before it says what is there."""

    def require() -> None:
        plane = _plane()
        actor = plane.identity.actor()
        if not or_own:
            plane.access.require_anywhere(actor, actions)

    return _declaring(Declared(actions, or_own=or_own), require)


def asks_itself(*actions: Action) -> Callable[[F], F]:
    """The command hands a request to the administrative service, which asks for one of these."""
    return _declaring(Declared(actions, by_service=True), lambda: _plane().identity.actor())


def public(why: str) -> Callable[[F], F]:
    """Anybody may: ``why`` says what makes that harmless."""
    return _declaring(Declared(why=why), lambda: None)


def _plane() -> Plane:
    # Imported where it is used: what only reads a file starts without it.
    from ro_platform.config.settings import Settings
    from ro_platform.plane import shared_plane

    return shared_plane(Settings.load())


def _declaring(declared: Declared, require: Callable[[], object]) -> Callable[[F], F]:
    def declare(command: F) -> F:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            require()
            return command(*args, **kwargs)

        setattr(run, _DECLARED, declared)
        return fails_clearly(run)  # type: ignore[return-value]  # the same signature

    return declare


def declared_by(command: click.Command) -> Declared | None:
    """What a command declares; None for one that declares nothing."""
    found: Declared | None = getattr(command.callback, _DECLARED, None)
    return found


def declaring(command: click.Command) -> click.Command:
    """The command, or group of commands. Raises :class:`TypeError` for a command that does not say
    what it needs."""
    if not isinstance(command, Noun) and declared_by(command) is None:
        raise TypeError(
            f"command {command.name!r} does not say what it needs: decorate it with one of `asks`, "
            "`asks_within`, `public` (ro_platform.cli.declared)"
        )
    return command


class Noun(click.Group):
    """A group of commands, each of which says what it needs."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command. Raises :class:`TypeError` for one that does not say what it needs."""
        super().add_command(declaring(cmd), name)


Noun.group_class = type
