"""What is wrong with a policy: who could act alone, and what nobody could do any more.

A *place* is what a target says of itself: environment, workload and stream. Only the names that the
policy itself uses tell places apart, so looking at those, and at one other place for each, is
looking at all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ro_platform.access.policy import POLICY_CONFIG, Target, covers, four_eyes_of, is_person, said
from ro_platform.access.roles import NEVER_FOUR_EYES, actions_of
from ro_platform.contracts.access import AccessPolicy, Action, RoleBinding, Scope

_FIELDS = ("environment", "workload", "stream")


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """One thing that is wrong. ``code`` is alone, nobody, no-admin, no-person, alike, duplicate or
    no-directive; ``actor`` is whom it concerns, if one."""

    code: str
    words: str
    actor: str | None = None


def findings(policy: AccessPolicy, *, environment: str) -> tuple[PolicyFinding, ...]:
    """Everything that is wrong with a policy, in this environment; empty for one that may be
    published. Pure."""
    return (
        *_duplicates(policy),
        *_alone(policy),
        *_unapproved(policy),
        *_headless(policy, environment),
        *_no_persons(policy),
        *_alike(policy),
        *_undirected(policy),
    )


def overlap(one: Scope, other: Scope) -> bool:
    """Whether some place lies within both scopes."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in _FIELDS)
    return all(a is None or b is None or a == b for a, b in pairs)


def _duplicates(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    for number, binding in enumerate(policy.bindings):
        if policy.bindings.index(binding) < number:
            words = f"{binding.actor} is given {said(binding)} twice."
            yield PolicyFinding("duplicate", words, binding.actor)
    if len(set(policy.four_eyes)) < len(policy.four_eyes):
        yield PolicyFinding("duplicate", "four_eyes names an action twice.")


def _alone(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    """Actors who could propose something and approve it, in one place."""
    proposing, approving = _proposing(policy), _approving(policy)
    for actor in sorted({binding.actor for binding in policy.bindings}):
        pairs = (
            (asks, approves)
            for asks in proposing
            for approves in approving
            if asks.actor == approves.actor == actor and overlap(asks.scope, approves.scope)
        )
        if pair := next(pairs, None):
            words = f"{actor} could propose (as {said(pair[0])}) and approve ({said(pair[1])})."
            yield PolicyFinding("alone", words, actor)


def _unapproved(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    """Proposers in whose scope is a place where nobody else may approve."""
    approving = _approving(policy)
    seen: set[tuple[str, Scope]] = set()
    for asks in _proposing(policy):
        if (asks.actor, asks.scope) in seen:
            continue
        seen.add((asks.actor, asks.scope))
        others = [one.scope for one in approving if one.actor != asks.actor]
        if place := _uncovered(asks.scope, others):
            words = f"nobody could approve what {asks.actor} proposes as {said(asks)}, {place}."
            yield PolicyFinding("nobody", words, asks.actor)


def _headless(policy: AccessPolicy, environment: str) -> Iterator[PolicyFinding]:
    """Whether nobody could change the policy any more."""
    target = Target(POLICY_CONFIG, environment=environment)
    able = (
        binding
        for binding in policy.bindings
        if Action.GRANT_ROLE in actions_of(binding.role) and covers(binding.scope, target)
    )
    if not any(able):
        words = f"nobody is admin in the environment {environment}: nobody could change the policy."
        yield PolicyFinding("no-admin", words)


def _no_persons(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    """Services that could approve: whoever runs one could be its second person."""
    approvers = {one.actor: one for one in _approving(policy) if not is_person(one.actor)}
    for actor, binding in sorted(approvers.items()):
        words = f"{actor} could approve ({said(binding)}), and is not a person."
        yield PolicyFinding("no-person", words, actor)


def _alike(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    """Actors told apart by upper and lower case alone: the sign-in of one person can give both."""
    seen: dict[str, str] = {}
    for actor in sorted({binding.actor for binding in policy.bindings}):
        other = seen.setdefault(actor.lower(), actor)
        if other != actor:
            words = f"{other} and {actor} differ in upper and lower case alone."
            yield PolicyFinding("alike", words, actor)


def _undirected(policy: AccessPolicy) -> Iterator[PolicyFinding]:
    """Actions for which a second person is asked, and that no directive does."""
    for action in sorted(NEVER_FOUR_EYES.intersection(policy.four_eyes)):
        yield PolicyFinding("no-directive", f"four_eyes names {action}, which no directive does.")


def _proposing(policy: AccessPolicy) -> Sequence[RoleBinding]:
    needing = four_eyes_of(policy)
    return [binding for binding in policy.bindings if needing & actions_of(binding.role)]


def _approving(policy: AccessPolicy) -> Sequence[RoleBinding]:
    return [one for one in policy.bindings if Action.APPROVE in actions_of(one.role)]


def _uncovered(scope: Scope, others: Iterable[Scope]) -> str | None:
    """A place within the scope that none of the others covers, in words; None if there is none."""
    relevant = [other for other in others if overlap(scope, other)]
    for values in product(*(_values(name, scope, relevant) for name in _FIELDS)):
        target = Target("", *values)
        if not any(covers(other, target) for other in relevant):
            return _place(values)
    return None


def _values(name: str, scope: Scope, relevant: Sequence[Scope]) -> Sequence[str | None]:
    """What this field of a place can be: None stands for whatever the policy does not name."""
    if (fixed := getattr(scope, name)) is not None:
        return (fixed,)
    named = {value for other in relevant if (value := getattr(other, name)) is not None}
    return (None, *sorted(named))


def _place(values: Sequence[str | None]) -> str:
    named = [f"{key} {value}" for key, value in zip(_FIELDS, values, strict=True) if value]
    return f"for example in {', '.join(named)}" if named else "for example where no scope is named"
