"""Who acts in a command, and whether they may: every command that changes something asks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ro_platform import errors
from ro_platform.cli.output import err
from ro_platform.contracts import Action
from ro_platform.plane import Plane

Found = TypeVar("Found")

SINGLE_USER = (
    "single-user mode: no access policy is in force, so {user} may do anything (`ro access init`)"
)


def acting(plane: Plane, action: Action, name: str, *, workload: str | None = None) -> str:
    """The actor of this process, if they may do that to what is called ``name``.

    Raises :class:`NotAuthenticatedError` or :class:`AccessDeniedError`.
    """
    return plane.identity.require(action, plane.access.target(name, workload=workload))


def about(
    plane: Plane,
    action: Action,
    name: str,
    find: Callable[[], Found],
    fingerprint_of: Callable[[Found], str],
) -> Found:
    """What is found, for somebody who may do that to it: whose manifest it is of says the workload.

    Of another workload's it is said in the same words as of what is not there.
    """
    try:
        found = find()
    except errors.RunOperateError:
        acting(plane, action, name)
        raise
    acting(plane, action, name, workload=_workload(plane, fingerprint_of(found)))
    return found


def _workload(plane: Plane, fingerprint: str) -> str | None:
    """The workload of a registered manifest; None where that cannot be said."""
    try:
        return plane.runs.manifest(fingerprint).workload
    except errors.RunOperateError:
        return None


def say_mode(plane: Plane) -> None:
    """Say on standard error that the plane is in its single-user mode, if it is."""
    if plane.access.in_force is None:
        words = SINGLE_USER.format(user=plane.access.single_user)
        err.print(words, style="yellow", markup=False)
