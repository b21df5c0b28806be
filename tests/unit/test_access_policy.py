"""The laws of policies: deny by default, narrowing narrows, and one answer from every question."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.access.check import PolicyFinding, findings
from ro_platform.access.policy import (
    POLICY_CONFIG,
    Access,
    PolicyInForce,
    Target,
    covers,
    decide,
    explain,
    explain_policy,
    four_eyes_of,
    with_binding,
    without_binding,
)
from ro_platform.access.roles import ALWAYS_FOUR_EYES, NEVER_FOUR_EYES, ROLE_ACTIONS
from ro_platform.contracts import AccessPolicy, Action, AdminActionType, Role, RoleBinding, Scope
from ro_platform.errors import AccessDeniedError, ConflictError, NotFoundError
from tests.unit.access_world import (
    BOSS,
    READER,
    SECOND,
    binding,
    plane_of,
    policy,
    published,
    sound_policy,
)

ACTORS = ("HUMAN::ann", "HUMAN::bob", "SYSTEM::daemon")
ENVIRONMENTS, WORKLOADS, STREAMS = ("local", "production"), ("purchases", "returns"), ("orders",)
OTHER = "some-other"


def _maybe(names: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.sampled_from(names))


scopes = st.builds(
    Scope,
    environment=_maybe(ENVIRONMENTS),
    workload=_maybe(WORKLOADS),
    stream=_maybe(STREAMS),
)
bindings = st.builds(
    RoleBinding, actor=st.sampled_from(ACTORS), role=st.sampled_from(Role), scope=scopes
)
targets = st.builds(
    Target,
    name=st.just("it"),
    environment=_maybe(ENVIRONMENTS),
    workload=_maybe(WORKLOADS),
    stream=_maybe(STREAMS),
)
policies = st.builds(
    lambda given_bindings, more: policy(*given_bindings, four_eyes=tuple(sorted(more))),
    st.lists(bindings, max_size=7),
    st.sets(st.sampled_from(AdminActionType), max_size=2),
)
# Policies of the roles that the check is about, so that sound ones come up as well.
powers = st.builds(
    RoleBinding,
    actor=st.sampled_from(ACTORS),
    role=st.sampled_from([Role.ADMIN, Role.APPROVER, Role.DEPLOYER, Role.READER]),
    scope=scopes,
)
power_policies = st.builds(lambda some: policy(*some), st.lists(powers, max_size=5))
actions = st.sampled_from(Action)
actors = st.sampled_from(ACTORS)


def in_force(content: AccessPolicy) -> PolicyInForce:
    """A policy as if it had been published."""
    return PolicyInForce(content, 7, "ab" * 32)


def may(content: AccessPolicy, actor: str, action: Action, target: Target) -> bool:
    """Whether that policy allows it."""
    return decide(in_force(content), actor, action, target).allowed


# --- laws -----------------------------------------------------------------------------------------


@given(policies, actors, actions, targets, st.data())
def test_less_bindings_never_allow_more(
    content: AccessPolicy, actor: str, action: Action, target: Target, data: st.DataObject
) -> None:
    """Deny by default: what a policy allows, each policy with more bindings allows, too."""
    kept = [one for one in content.bindings if data.draw(st.booleans())]
    if may(policy(*kept), actor, action, target):
        assert may(content, actor, action, target)


@given(bindings, actions, targets, st.sampled_from(["environment", "workload", "stream"]))
def test_a_narrower_scope_allows_no_more(
    one: RoleBinding, action: Action, target: Target, field: str
) -> None:
    """Naming one more field of a scope only takes away."""
    narrower = one.model_copy(
        update={"scope": one.scope.model_copy(update={field: getattr(one.scope, field) or "local"})}
    )
    if may(policy(narrower), one.actor, action, target):
        assert may(policy(one), one.actor, action, target)


@given(policies, actors, actions, targets)
def test_an_empty_policy_and_a_stranger_are_allowed_nothing(
    content: AccessPolicy, actor: str, action: Action, target: Target
) -> None:
    """No binding, no permission; and nobody's permission is another's."""
    assert not may(policy(), actor, action, target)
    assert not may(content, "HUMAN::stranger", action, target)
    others = [one for one in content.bindings if one.actor != actor]
    assert not may(policy(*others), actor, action, target)


@given(policies, actors, actions, targets)
def test_explaining_and_deciding_agree(
    content: AccessPolicy, actor: str, action: Action, target: Target
) -> None:
    """An explanation is the decision, and a yes is exactly a binding that allows it."""
    found = in_force(content)
    explained = explain_policy(found, actor, action, target)
    assert explained.decision == decide(found, actor, action, target)
    assert explained.decision.allowed == any(one.allows for one in explained.considered)
    assert [one.binding for one in explained.considered] == [
        one for one in content.bindings if one.actor == actor
    ]
    for approver in explained.approvers:
        assert approver != actor
        assert may(content, approver, Action.APPROVE, target)


@given(st.one_of(st.none(), policies), actors, actions, targets)
def test_what_is_explained_is_what_is_required(
    content: AccessPolicy | None, actor: str, action: Action, target: Target
) -> None:
    """In both modes: `ro access explain` says yes exactly where the action is let through."""
    found = in_force(content) if content else None
    access = Access(lambda: found, environment="local", single_user=ACTORS[0])
    explained = explain(access, actor, action, target)
    assert (explained.version is None) == (explained.decision.policy_digest is None)
    if explained.decision.allowed:
        assert access.require(actor, action, target) == explained.decision
    else:
        with pytest.raises(AccessDeniedError) as refused:
            access.require(actor, action, target)
        assert explained.decision.why in refused.value.message


@given(policies, actors, actions, targets)
def test_every_decision_of_a_policy_names_its_digest(
    content: AccessPolicy, actor: str, action: Action, target: Target
) -> None:
    """A yes as much as a no."""
    assert decide(in_force(content), actor, action, target).policy_digest == "ab" * 32


@given(policies, bindings)
def test_a_role_granted_and_taken_back_leaves_the_policy_as_it_was(
    content: AccessPolicy, one: RoleBinding
) -> None:
    """Granting what is there and revoking what is not are refused."""
    if one in content.bindings:
        with pytest.raises(ConflictError):
            with_binding(content, one)
    else:
        with pytest.raises(NotFoundError):
            without_binding(content, one)
        granted = with_binding(content, one)
        assert one in granted.bindings
        assert without_binding(granted, one) == content


# --- the check ------------------------------------------------------------------------------------


def _places() -> list[Target]:
    """Every place that a policy of these names can tell from others."""
    return [
        Target("", *values)
        for values in product((*ENVIRONMENTS, OTHER), (*WORKLOADS, OTHER), (*STREAMS, OTHER))
    ]


def _naively(content: AccessPolicy, environment: str) -> set[tuple[str, str | None]]:
    """What is wrong, by asking for each actor, action and place."""
    found: set[tuple[str, str | None]] = set()
    for actor, place in product(ACTORS, _places()):
        asks = any(may(content, actor, action, place) for action in four_eyes_of(content))
        if asks and may(content, actor, Action.APPROVE, place):
            found.add(("alone", actor))
        others = (other for other in ACTORS if other != actor)
        if asks and not any(may(content, other, Action.APPROVE, place) for other in others):
            found.add(("nobody", actor))
    here = Target(POLICY_CONFIG, environment)
    if not any(may(content, actor, Action.GRANT_ROLE, here) for actor in ACTORS):
        found.add(("no-admin", None))
    for actor in ACTORS[2:]:
        if any(may(content, actor, Action.APPROVE, place) for place in _places()):
            found.add(("no-person", actor))
    for one in content.bindings:
        if content.bindings.count(one) > 1:
            found.add(("duplicate", one.actor))
    for action in content.four_eyes:
        if action in ("grant_ledger", "migrate_ledger"):
            found.add(("no-directive", None))
    return found


@given(st.one_of(policies, power_policies), st.sampled_from(ENVIRONMENTS))
def test_the_check_finds_what_asking_everybody_everything_finds(
    content: AccessPolicy, environment: str
) -> None:
    """Exactly the same, nothing more and nothing less."""
    checked = {(one.code, one.actor) for one in findings(content, environment=environment)}
    assert checked == _naively(content, environment)


def _codes(content: AccessPolicy) -> list[str]:
    return [one.code for one in findings(content, environment="local")]


def test_a_sound_policy_has_no_findings() -> None:
    """An admin and another who approves are enough."""
    assert _codes(sound_policy(binding(READER, Role.READER))) == []


def test_who_proposes_and_approves_in_one_place_is_found() -> None:
    """By scopes that overlap anywhere; scopes apart are fine."""
    both = sound_policy(
        binding("HUMAN::third", Role.APPROVER),
        binding(SECOND, Role.DEPLOYER, workload="purchases"),
    )
    [found] = findings(both, environment="local")
    assert found == PolicyFinding(
        "alone",
        "HUMAN::second could propose (as deployer in workload purchases) and approve (approver).",
        SECOND,
    )
    apart = policy(
        binding(BOSS, Role.ADMIN, environment="local"),
        binding(SECOND, Role.APPROVER, environment="local"),
        binding(BOSS, Role.APPROVER, environment="production"),
        binding(SECOND, Role.DEPLOYER, environment="production"),
    )
    assert _codes(apart) == []


def test_what_nobody_else_may_approve_is_found_with_an_example() -> None:
    """An approver of one workload is none for the others, nor for the policy itself."""
    content = policy(
        binding(BOSS, Role.ADMIN), binding(SECOND, Role.APPROVER, workload="purchases")
    )
    [found] = findings(content, environment="local")
    assert found.code == "nobody"
    assert "for example where no scope is named" in found.words
    assert _codes(policy(binding(BOSS, Role.ADMIN))) == ["nobody"]


def test_a_wider_approver_covers_a_narrower_proposer() -> None:
    """Whichever of the two fields of the proposer's scope the approver's is narrowed by."""
    deployer = binding(BOSS, Role.DEPLOYER, environment="local", workload="purchases")
    approvers = (
        binding(SECOND, Role.APPROVER, environment="local"),
        binding(READER, Role.APPROVER, workload="purchases"),
    )
    for approver in approvers:
        assert _codes(policy(deployer, approver)) == ["no-admin"]


def test_an_action_that_the_policy_adds_to_the_four_eyes_counts() -> None:
    """An operator who may cancel runs needs an approver once cancelling needs two."""
    content = policy(
        binding(BOSS, Role.ADMIN, environment="local"),
        binding(SECOND, Role.APPROVER, environment="local"),
        binding(READER, Role.OPERATOR),
        four_eyes=(),
    )
    assert _codes(content) == []
    stricter = content.model_copy(update={"four_eyes": (AdminActionType.CANCEL_RUN,)})
    assert _codes(stricter) == ["nobody"]


def test_a_service_is_no_second_person() -> None:
    """Whoever runs it would approve; and that it is one of several approvers does not help."""
    content = sound_policy(binding("SYSTEM::ci", Role.APPROVER, workload="purchases"))
    [found] = findings(content, environment="local")
    assert (found.code, found.actor) == ("no-person", "SYSTEM::ci")
    assert "SYSTEM::ci could approve (approver in workload purchases)" in found.words


def test_people_who_differ_only_in_case_are_found() -> None:
    """An identity provider may send one person's name in either form, who would be two."""
    content = policy(
        binding("HUMAN::Ann@x.org", Role.ADMIN), binding("HUMAN::ann@x.org", Role.APPROVER)
    )
    assert _codes(content) == ["alike"]
    assert _codes(sound_policy(binding(f"SYSTEM::{BOSS[7:]}", Role.READER))) == []


def test_what_is_said_twice_is_found() -> None:
    """A binding, and an action of the four eyes."""
    assert _codes(sound_policy(binding(BOSS, Role.ADMIN))) == ["duplicate"]
    twice = (AdminActionType.PAUSE, AdminActionType.PAUSE)
    content = sound_policy().model_copy(update={"four_eyes": twice})
    assert _codes(content) == ["duplicate"]


@pytest.mark.parametrize("action", sorted(NEVER_FOUR_EYES))
def test_no_second_person_is_asked_for_what_no_directive_does(action: AdminActionType) -> None:
    """A policy that says so has a finding, and in force it would ask nobody more."""
    content = sound_policy().model_copy(update={"four_eyes": (action,)})
    assert _codes(content) == ["no-directive"]
    assert action.value not in {found.value for found in four_eyes_of(content)}


# --- roles ----------------------------------------------------------------------------------------


def test_every_role_is_defined_and_every_action_is_somebodys() -> None:
    """No role is left out, and no action that nobody could ever be allowed; what an outdated ledger
    could not say who may is nobody's to be allowed."""
    assert set(ROLE_ACTIONS) == set(Role)
    assert set().union(*ROLE_ACTIONS.values()) == set(Action)
    asked = set(AdminActionType) - {AdminActionType.MIGRATE_LEDGER}
    assert {action.value for action in asked} <= {action.value for action in Action}
    assert "migrate_ledger" not in {action.value for action in Action}


def test_no_single_role_can_propose_and_approve() -> None:
    """The four eyes are not one role's."""
    for allowed in ROLE_ACTIONS.values():
        if Action.APPROVE in allowed:
            assert not allowed & {Action(action) for action in ALWAYS_FOUR_EYES}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_each_role_allows_its_actions_and_no_other(role: Role, action: Action) -> None:
    """Cell by cell, where the scope reaches and where it does not."""
    content = policy(binding(READER, role, workload="purchases"))
    inside, outside = Target("it", workload="purchases"), Target("it", workload="returns")
    assert may(content, READER, action, inside) == (action in ROLE_ACTIONS[role])
    assert not may(content, READER, action, outside)
    assert not may(content, READER, action, Target("it"))


def test_a_scope_reaches_what_it_names_and_whatever_it_does_not_speak_of() -> None:
    """A target that does not say its workload is not within a workload's scope."""
    assert covers(Scope(), Target("it"))
    assert covers(Scope(workload="a"), Target("it", "local", "a"))
    assert not covers(Scope(workload="a"), Target("it", "local"))
    assert not covers(Scope(workload="a", environment="x"), Target("it", "local", "a"))


# --- the single user ------------------------------------------------------------------------------


@pytest.mark.parametrize("action", list(Action))
def test_without_a_policy_the_single_user_alone_may_act(action: Action) -> None:
    """Everything, and nobody else anything; no digest is named, since there is none."""
    plane = plane_of()
    target = plane.access.target("it")
    assert plane.access.decide(BOSS, action, target).allowed
    refused = explain(plane.access, SECOND, action, target)
    assert not refused.decision.allowed
    assert refused.decision.policy_digest is None
    assert "no access policy was ever published" in refused.decision.why


def test_with_a_policy_the_single_user_is_like_others() -> None:
    """From the first publication on, for good."""
    plane = plane_of()
    found = published(plane, sound_policy())
    decision = plane.access.decide(BOSS, Action.LAUNCH, plane.access.target("it"))
    assert not decision.allowed
    assert decision.policy_digest == found.digest
