"""The policy in force, and its decisions: deny by default, each with its reason.

Pure but for :class:`Access`, which asks for the newest policy each time: a change holds at once,
for every process.

One role more or less: the policy that follows, as a pure function of the one before.

Why, or why not: a decision with everything that it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.access.roles import ALWAYS_FOUR_EYES, NEVER_FOUR_EYES, actions_of
from ro_platform.contracts.access import AccessPolicy, Action, RoleBinding, Scope


def with_binding(policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
    """The policy with one binding more. Raises :class:`ConflictError` if it is there already."""
    if binding in policy.bindings:
        raise errors.ConflictError(
            f"{binding.actor} has that role within that scope already.",
            next_step="See `ro access show`.",
            actor=binding.actor,
            role=binding.role.value,
        )
    return policy.model_copy(update={"bindings": (*policy.bindings, binding)})


def without_binding(policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
    """The policy with one binding less. Raises :class:`NotFoundError` if it is not there."""
    if binding not in policy.bindings:
        raise errors.NotFoundError(
            f"{binding.actor} does not have the role {binding.role} within exactly that scope.",
            next_step="See `ro access show`, and name the scope as it stands there.",
            actor=binding.actor,
            role=binding.role.value,
        )
    left = tuple(one for one in policy.bindings if one != binding)
    return policy.model_copy(update={"bindings": left})


POLICY_CONFIG = "access-policy"
"""The config whose newest version is the policy in force."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The policy, and which version of it this is: the digest that decisions name."""

    policy: AccessPolicy
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is on: where, and its name for people. What is None is not said, and then no
    role that is narrowed by it holds."""

    name: str
    environment: str | None = None
    workload: str | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an actor may do something, by which binding, and why. ``policy_digest`` is None in
    the single-user mode."""

    actor: str
    action: Action
    target: Target
    allowed: bool
    why: str
    by: RoleBinding | None = None
    policy_digest: str | None = None
    needs_second: bool = False


class Access:
    """The decisions of one environment.

    ``newest`` gives the policy in force, or None where none was ever published: then the plane is
    in its single-user mode, and ``single_user`` alone may do anything.
    """

    def __init__(
        self, newest: Callable[[], PolicyInForce | None], *, environment: str, single_user: str
    ) -> None:
        self._newest = newest
        self.environment = environment
        self.single_user = single_user

    @property
    def in_force(self) -> PolicyInForce | None:
        """The policy in force; None in the single-user mode."""
        return self._newest()

    def target(
        self, name: str, *, workload: str | None = None, stream: str | None = None
    ) -> Target:
        """A target in this environment."""
        return Target(name, self.environment, workload, stream)

    def decide(self, actor: str | None, action: Action, target: Target) -> Decision:
        """Whether the actor may do that. Raises :class:`NotAuthenticatedError` for nobody."""
        if actor is None:
            raise errors.NotAuthenticatedError(
                f"{action} on {target.name} needs somebody who does it.",
                next_step="Sign in, or set RO_TOKEN to a token of yours.",
            )
        found = self.in_force
        if found is None:
            return self._decide_single_user(actor, action, target)
        return decide(found, actor, action, target)

    def require(self, actor: str | None, action: Action, target: Target) -> Decision:
        """The decision, if it is yes. Raises :class:`AccessDeniedError` with its reason."""
        decision = self.decide(actor, action, target)
        if not decision.allowed:
            raise self.denied(decision)
        return decision

    @staticmethod
    def denied(decision: Decision) -> errors.AccessDeniedError:
        """A decision that is no, in words."""
        action, target = decision.action, decision.target
        return errors.AccessDeniedError(
            f"{decision.actor} may not {action} {target.name}: {decision.why}",
            next_step="`ro access explain` says what would allow it; an admin grants roles.",
            actor=decision.actor,
            action=action.value,
            target=target.name,
            policy=decision.policy_digest,
        )

    def require_anywhere(self, actor: str, actions: Collection[Action]) -> None:
        """Raise :class:`AccessDeniedError` for an actor who may do none of these anywhere: what
        they ask about need not be looked up, and whether it is there is not told."""
        found = self.in_force
        if found is None:
            self.require(actor, next(iter(actions)), self.target("plane"))
            return
        own = [binding for binding in found.policy.bindings if binding.actor == actor]
        if not any(action in actions_of(binding.role) for binding in own for action in actions):
            self.require(actor, next(iter(actions)), self.target("plane"))

    def _decide_single_user(self, actor: str, action: Action, target: Target) -> Decision:
        allowed = actor == self.single_user
        why = (
            "no access policy was ever published: the single user may do anything."
            if allowed
            else f"no access policy was ever published, so only {self.single_user} may act."
        )
        return Decision(actor, action, target, allowed, why)


def decide(found: PolicyInForce, actor: str, action: Action, target: Target) -> Decision:
    """What a policy says. Pure."""
    policy = found.policy
    own = [binding for binding in policy.bindings if binding.actor == actor]
    able = [binding for binding in own if action in actions_of(binding.role)]
    holding = [binding for binding in able if covers(binding.scope, target)]
    if holding:
        second = action in four_eyes_of(policy)
        why = f"by the role {said(holding[0])}."
        return Decision(actor, action, target, True, why, holding[0], found.digest, second)
    return Decision(actor, action, target, False, _why_not(own, able), None, found.digest)


def four_eyes_of(policy: AccessPolicy) -> frozenset[Action]:
    """The actions that need a second person under this policy."""
    named = {*ALWAYS_FOUR_EYES, *policy.four_eyes} - NEVER_FOUR_EYES
    return frozenset(Action(action) for action in named)


def covers(scope: Scope, target: Target) -> bool:
    """Whether a target lies within a scope."""
    return all(
        wanted is None or wanted == had
        for wanted, had in (
            (scope.environment, target.environment),
            (scope.workload, target.workload),
            (scope.stream, target.stream),
        )
    )


def _why_not(own: list[RoleBinding], able: list[RoleBinding]) -> str:
    if not own:
        return "the policy gives them no role."
    if not able:
        roles = ", ".join(sorted({binding.role.value for binding in own}))
        return f"their roles ({roles}) do not allow it."
    places = "; ".join(said(binding) for binding in able)
    return f"they could elsewhere ({places}), not there."


def is_person(actor: str) -> bool:
    """Whether the actor is a person, and no service."""
    return actor.startswith("HUMAN::")


def said(binding: RoleBinding) -> str:
    """A binding's role and where it holds, in words."""
    scope = ", ".join(f"{key} {value}" for key, value in binding.scope.to_json_value().items())
    return f"{binding.role} in {scope}" if scope else binding.role.value


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
