"""What the tests of access share: a plane with a clock to set, and policies in few words."""

from __future__ import annotations

from datetime import timedelta

from ro_platform.access.identity import EPHEMERAL_USER
from ro_platform.access.policy import PolicyInForce
from ro_platform.access.tokens import IssuedToken
from ro_platform.contracts import AccessPolicy, AdminActionType, Role, RoleBinding, Scope
from ro_platform.kernel.clock import ManualClock
from ro_platform.plane import Plane

BOSS = EPHEMERAL_USER
SECOND = "HUMAN::second"
READER = "HUMAN::reader"


def binding(actor: str, role: Role, **scope: str) -> RoleBinding:
    """A role within a scope."""
    return RoleBinding(actor=actor, role=role, scope=Scope(**scope))


def policy(*bindings: RoleBinding, four_eyes: tuple[AdminActionType, ...] = ()) -> AccessPolicy:
    """A policy of those bindings."""
    return AccessPolicy(kind="ro.access_policy.v0", bindings=bindings, four_eyes=four_eyes)


def sound_policy(*more: RoleBinding) -> AccessPolicy:
    """An admin, a second person who approves, and whoever else."""
    return policy(binding(BOSS, Role.ADMIN), binding(SECOND, Role.APPROVER), *more)


def plane_of(clock: ManualClock | None = None) -> Plane:
    """A plane that keeps nothing, in its single-user mode."""
    return Plane.in_memory(clock=clock or ManualClock())


def token_for(plane: Plane, holder: str, *, days: int = 1, actor: str = BOSS) -> IssuedToken:
    """A token, issued by somebody who may."""
    return plane.tokens.issue(holder, lifetime=timedelta(days=days), reason="a test", actor=actor)


def published(plane: Plane, content: AccessPolicy) -> PolicyInForce:
    """The first policy, in force; its admin has a token."""
    token_for(plane, BOSS)
    return plane.policies.publish_first(content, reason="a test", actor=BOSS)
