"""Everybody: one actor for each role and each scope, and the few who prepare things."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ro_platform.contracts import AccessPolicy, Role, RoleBinding, Scope

WORKLOAD = "adding"
ENVIRONMENT = "local"
HANDS, ASKS, SECOND, BOSS = "HUMAN::hands", "HUMAN::asks", "HUMAN::second", "HUMAN::boss"
LEAVING = tuple(f"HUMAN::leaving-{number}" for number in range(12))
"""Who has a role to lose."""


class Where(StrEnum):
    """How a role is narrowed."""

    NOT = "not narrowed"
    HERE = "this environment"
    ITS = "the workload"
    ANOTHER = "another workload"
    ELSEWHERE = "another environment"

    @property
    def scope(self) -> Scope:
        """The scope of the binding."""
        match self:
            case Where.NOT:
                return Scope()
            case Where.HERE:
                return Scope(environment=ENVIRONMENT)
            case Where.ITS:
                return Scope(environment=ENVIRONMENT, workload=WORKLOAD)
            case Where.ANOTHER:
                return Scope(workload="another")
            case Where.ELSEWHERE:
                return Scope(environment="elsewhere")


@dataclass(frozen=True)
class Person:
    """Somebody with one role, narrowed in one way; who may look, too, so the UI lets them in."""

    role: Role
    where: Where

    @property
    def actor(self) -> str:
        """Their name."""
        return f"HUMAN::{self.role}.{self.where.name.lower()}"


PEOPLE = tuple(Person(role, where) for role in Role for where in Where)


def policy() -> AccessPolicy:
    """Everybody's roles."""
    own = [RoleBinding(actor=one.actor, role=one.role, scope=one.where.scope) for one in PEOPLE]
    look = [
        RoleBinding(actor=one.actor, role=Role.READER)
        for one in PEOPLE
        if one.role is not Role.READER or one.where is not Where.NOT
    ]
    prepare = [
        RoleBinding(actor=HANDS, role=Role.OPERATOR),
        RoleBinding(actor=ASKS, role=Role.DEPLOYER),
        RoleBinding(actor=SECOND, role=Role.APPROVER),
        RoleBinding(actor=BOSS, role=Role.ADMIN),
    ]
    leaving = [RoleBinding(actor=actor, role=Role.AUDITOR) for actor in LEAVING]
    return AccessPolicy(kind="ro.access_policy.v0", bindings=(*own, *look, *prepare, *leaving))
