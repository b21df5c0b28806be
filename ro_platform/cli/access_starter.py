"""The policy that ``ro access init`` writes: a start that passes its check."""

from __future__ import annotations

from pathlib import Path

from ro_platform.contracts import AccessPolicy, Role, RoleBinding
from ro_platform.errors import InvalidInputError

_HEAD = """\
# Who may do what. What each role may do: docs/reference/access.md.
# A binding may be narrowed, for example:  scope: {environment: production, workload: purchases}
# Check it with `ro access check FILE`, publish it with `ro access publish FILE --reason ...`.
kind: ro.access_policy.v0
bindings:
"""

_TAIL = """\
# Actions that need a second person, beyond those that always do, such as cancel_run.
four_eyes: []
"""


def starter_policy(admin: str, approver: str, daemon: str) -> AccessPolicy:
    """Everything daily for the admin, a second person who approves, and Dagster's daemon."""
    daily = (Role.ADMIN, Role.OPERATOR, Role.DEPLOYER, Role.SECRET_ADMIN, Role.STREAM_ADMIN)
    bindings = (
        *(RoleBinding(actor=admin, role=role) for role in daily),
        RoleBinding(actor=approver, role=Role.APPROVER),
        RoleBinding(actor=approver, role=Role.READER),
        RoleBinding(actor=daemon, role=Role.OPERATOR),
    )
    return AccessPolicy(kind="ro.access_policy.v0", bindings=bindings)


def write_starter(path: Path, policy: AccessPolicy) -> None:
    """Write a policy as a YAML file to be edited. Raises :class:`InvalidInputError` where a file is
    already, or none can be written."""
    lines = [f'  - {{actor: "{one.actor}", role: {one.role}}}\n' for one in policy.bindings]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_HEAD + "".join(lines) + _TAIL)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written: {error.strerror or error}.",
            next_step="Name another file; none is overwritten.",
        ) from None
