"""The people of a deployment: its first policy, and everybody's token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from ro_platform.contracts import AccessPolicy, Role, RoleBinding
from ro_platform.plane import Plane


def published_roles(plane: Plane, roles: Mapping[str, Role]) -> dict[str, str]:
    """End the single-user mode: each actor has that role. Their tokens."""
    user, day = plane.access.single_user, timedelta(days=1)
    tokens = {
        actor: plane.tokens.issue(actor, lifetime=day, reason="a test", actor=user).text
        for actor in roles
    }
    bindings = tuple(RoleBinding(actor=actor, role=role) for actor, role in roles.items())
    policy = AccessPolicy(kind="ro.access_policy.v0", bindings=bindings)
    plane.policies.publish_first(policy, reason="a test", actor=user)
    return tokens
