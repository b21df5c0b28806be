"""One role more or less: the policy that follows, as a pure function of the one before."""

from __future__ import annotations

from ro_platform.contracts.access import AccessPolicy, RoleBinding
from ro_platform.errors import ConflictError, NotFoundError


def with_binding(policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
    """The policy with one binding more. Raises :class:`ConflictError` if it is there already."""
    if binding in policy.bindings:
        raise ConflictError(
            f"{binding.actor} has that role within that scope already.",
            next_step="See `ro access show`.",
            actor=binding.actor,
            role=binding.role.value,
        )
    return policy.model_copy(update={"bindings": (*policy.bindings, binding)})


def without_binding(policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
    """The policy with one binding less. Raises :class:`NotFoundError` if it is not there."""
    if binding not in policy.bindings:
        raise NotFoundError(
            f"{binding.actor} does not have the role {binding.role} within exactly that scope.",
            next_step="See `ro access show`, and name the scope as it stands there.",
            actor=binding.actor,
            role=binding.role.value,
        )
    left = tuple(one for one in policy.bindings if one != binding)
    return policy.model_copy(update={"bindings": left})
