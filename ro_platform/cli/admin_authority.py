"""Who acts in a command, and whether they may: every command that changes something asks here."""

from __future__ import annotations

from ro_platform.cli.output import err
from ro_platform.contracts import Action
from ro_platform.plane import Plane

SINGLE_USER = (
    "single-user mode: no access policy is in force, so {user} may do anything (`ro access init`)"
)


def acting(plane: Plane, action: Action, name: str, *, workload: str | None = None) -> str:
    """The actor of this process, if they may do that to what is called ``name``.

    Raises :class:`NotAuthenticatedError` or :class:`AccessDeniedError`.
    """
    return plane.identity.require(action, plane.access.target(name, workload=workload))


def say_mode(plane: Plane) -> None:
    """Say on standard error that the plane is in its single-user mode, if it is."""
    if plane.access.in_force is None:
        words = SINGLE_USER.format(user=plane.access.single_user)
        err.print(words, style="yellow", markup=False)
