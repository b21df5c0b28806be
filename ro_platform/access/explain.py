"""Why, or why not: a decision with everything that it came from."""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform.access.policy import (
    Access,
    Decision,
    PolicyInForce,
    Target,
    covers,
    decide,
    said,
)
from ro_platform.access.roles import actions_of
from ro_platform.contracts.access import Action, RoleBinding


@dataclass(frozen=True, slots=True)
class Considered:
    """One binding of the actor: whether it allows the action there, and why."""

    binding: RoleBinding
    allows: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, the version of the policy that it names, and each binding of the actor.

    ``approvers`` may give the second pair of eyes, where the action needs one. In the single-user
    mode there is no version, no binding and no approver.
    """

    decision: Decision
    version: int | None
    considered: tuple[Considered, ...] = ()
    approvers: tuple[str, ...] = ()


def explain(access: Access, actor: str, action: Action, target: Target) -> Explanation:
    """Why the actor may do that, or why not. Raises what :meth:`Access.decide` raises."""
    found = access.in_force
    if found is None:
        return Explanation(access.decide(actor, action, target), None)
    return explain_policy(found, actor, action, target)


def explain_policy(found: PolicyInForce, actor: str, action: Action, target: Target) -> Explanation:
    """As :func:`explain`, of one policy. Pure."""
    decision = decide(found, actor, action, target)
    considered = tuple(
        _considered(binding, action, target)
        for binding in found.policy.bindings
        if binding.actor == actor
    )
    approvers = _approvers(found, actor, target) if decision.needs_second else ()
    return Explanation(decision, found.version, considered, approvers)


def _considered(binding: RoleBinding, action: Action, target: Target) -> Considered:
    if action not in actions_of(binding.role):
        return Considered(binding, False, f"{binding.role} does not allow {action}")
    if not covers(binding.scope, target):
        return Considered(binding, False, f"{said(binding)} does not reach there")
    return Considered(binding, True, f"{said(binding)} allows it")


def _approvers(found: PolicyInForce, actor: str, target: Target) -> tuple[str, ...]:
    others = sorted({one.actor for one in found.policy.bindings} - {actor})
    return tuple(one for one in others if decide(found, one, Action.APPROVE, target).allowed)
