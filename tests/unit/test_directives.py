"""Directives: two people, one approval of one state, one outcome."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from ro_platform.contracts import (
    DirectiveRecord,
    DirectiveStatus,
    EntryKind,
    Role,
)
from ro_platform.errors import (
    AccessDeniedError,
    ConflictError,
    DirectiveRefusedError,
    EntryConflictError,
    NotFoundError,
    RunOperateError,
)
from tests.effort import times
from tests.unit.access_world import binding, policy, token_for
from tests.unit.admin_world import (
    ADMIN,
    DEPLOYER,
    OPS,
    READER,
    SECOND,
    THIRD,
    WHY,
    AdminWorld,
    Killed,
    grant,
    people,
    promote,
    publish,
    retention,
    revoke,
    take_back,
)

ENDED = {
    DirectiveStatus.REJECTED,
    DirectiveStatus.EXECUTED,
    DirectiveStatus.EXPIRED,
    DirectiveStatus.FAILED,
}


def proposed(world: AdminWorld, days: int = 30, key: str = "k") -> DirectiveRecord:
    return world.admin.directives.propose(retention(days), actor=ADMIN, key=key)


def test_two_people_do_it_and_the_story_is_on_record() -> None:
    """Proposed, approved by another, executed: each move by its person, one action by key."""
    world = AdminWorld()
    found = proposed(world)
    assert found.status is DirectiveStatus.PROPOSED
    assert world.admin.directives.difference(found) == ({}, {"days": 30})
    world.admin.directives.approve(found.directive_id, reason=WHY, actor=SECOND)
    outcome = world.admin.directives.execute(found.directive_id, actor=ADMIN)
    assert outcome.after == {"days": 30}
    moves = list(world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED))
    assert [(move.body["status"], move.actor) for move in moves] == [
        ("proposed", ADMIN),
        ("approved", SECOND),
        ("executed", ADMIN),
    ]
    event = world.events("done")[-1]
    assert event.authority is not None
    assert event.authority.directive_id == found.directive_id
    again = world.admin.directives.execute(found.directive_id, actor=ADMIN)
    assert (again.new, again.event_id) == (False, outcome.event_id)


def test_nobody_approves_their_own() -> None:
    """Not as themselves, and not by a second token, which is the same actor."""
    world = AdminWorld()
    found = proposed(world)
    with pytest.raises(DirectiveRefusedError, match="nobody approves their own"):
        world.admin.directives.approve(found.directive_id, reason=WHY, actor=ADMIN)
    other = world.plane.tokens.authenticate(token_for(world.plane, ADMIN).text)
    with pytest.raises(DirectiveRefusedError, match="nobody approves their own"):
        world.admin.directives.approve(found.directive_id, reason=WHY, actor=other.actor)
    for actor in (OPS, READER, DEPLOYER):
        with pytest.raises(AccessDeniedError):
            world.admin.directives.approve(found.directive_id, reason=WHY, actor=actor)
    with pytest.raises(DirectiveRefusedError, match="it is proposed"):
        world.admin.directives.execute(found.directive_id, actor=ADMIN)
    assert world.events("intended") == []


def test_a_role_that_one_gave_to_oneself_does_not_count() -> None:
    """An admin proposes, and another approves, a policy that makes him an approver instead. What
    he approves then is refused: by the policy he may, but he gave himself the role."""
    boss = "HUMAN::boss"
    others = [
        binding(boss, Role.ADMIN),
        binding(DEPLOYER, Role.DEPLOYER),
        binding(SECOND, Role.APPROVER),
    ]
    world = AdminWorld(policy(binding(ADMIN, Role.ADMIN), *others))
    directives = world.admin.directives
    wanted = policy(binding(ADMIN, Role.APPROVER), *others).to_json_value()
    name = world.approved(publish(world, wanted, name="access-policy"), ADMIN)
    directives.execute(name, actor=boss)
    found = directives.propose(promote(world.made_two), actor=DEPLOYER)
    with pytest.raises(DirectiveRefusedError, match="gave to themselves"):
        directives.approve(found.directive_id, reason=WHY, actor=ADMIN)
    assert directives.get(found.directive_id).status is DirectiveStatus.PROPOSED
    back = world.approved(take_back(ADMIN, Role.APPROVER), boss, key="b")
    directives.execute(back, actor=boss)
    again = world.approved(grant(ADMIN, Role.APPROVER), boss, key="a")
    directives.execute(again, actor=boss)
    assert directives.approve(found.directive_id, reason=WHY, actor=ADMIN).approver == ADMIN


def test_whoever_published_the_policy_gave_the_roles() -> None:
    """The single user who made himself approver in the first policy is no second person."""
    world = AdminWorld(governed=False)
    token_for(world.plane, "HUMAN::boss")
    world.plane.policies.publish_first(
        policy(
            binding("HUMAN::boss", Role.ADMIN),
            binding("HUMAN::tester", Role.APPROVER, workload="w"),
            binding(DEPLOYER, Role.DEPLOYER),
            binding(SECOND, Role.APPROVER),
        ),
        reason=WHY,
        actor="HUMAN::tester",
    )
    directives = world.admin.directives
    found = directives.propose(promote(world.made_two), actor=DEPLOYER)
    with pytest.raises(DirectiveRefusedError, match="gave to themselves"):
        directives.approve(found.directive_id, reason=WHY, actor="HUMAN::tester")
    directives.approve(found.directive_id, reason=WHY, actor=SECOND)


def test_a_role_given_by_others_counts_and_its_proposer_does_not() -> None:
    """The grant's proposer, its executor, and nobody else, are who gave it."""
    world = AdminWorld()
    directives = world.admin.directives
    new = "HUMAN::new"
    name = world.approved(grant(new, Role.APPROVER), ADMIN)
    directives.execute(name, actor=ADMIN)
    found = directives.propose(promote(world.made_two), actor=DEPLOYER)
    approved = directives.approve(found.directive_id, reason=WHY, actor=new)
    assert approved.approver == new


def test_a_stale_approval_fails_with_words() -> None:
    """The state moved between approval and execution: nothing is done, and it has failed."""
    world = AdminWorld()
    name = world.approved(promote(world.made_two), DEPLOYER)
    world.do(revoke(world.made_one), OPS, key="r")
    with pytest.raises(RunOperateError):
        world.admin.directives.execute(name, actor=DEPLOYER)
    stale = AdminWorld()
    name = stale.approved(retention(30), ADMIN)
    other = stale.approved(retention(60), ADMIN, key="other")
    stale.admin.directives.execute(other, actor=ADMIN)
    with pytest.raises(DirectiveRefusedError, match="stale"):
        stale.admin.directives.execute(name, actor=ADMIN)
    found = stale.admin.directives.get(name)
    assert found.status is DirectiveStatus.FAILED
    assert "stale" in str(found.words)
    assert stale.plane.administration.retentions.days("artifacts") == 60


def test_an_approval_is_of_what_was_seen() -> None:
    """Who approves with the digest of what they looked at is refused if that has changed."""
    world = AdminWorld()
    found = proposed(world)
    seen = world.admin.directives.state_digest(found)
    world.admin.directives.execute(world.approved(retention(7), ADMIN, key="o"), actor=ADMIN)
    with pytest.raises(DirectiveRefusedError, match="since you looked"):
        world.admin.directives.approve(found.directive_id, reason=WHY, actor=SECOND, seen=seen)
    fresh = world.admin.directives.state_digest(found)
    world.admin.directives.approve(found.directive_id, reason=WHY, actor=SECOND, seen=fresh)
    assert world.admin.directives.execute(found.directive_id, actor=ADMIN).result == "done"


def test_a_revoked_approvers_approval_does_not_count() -> None:
    """Nor does that of a proposer who lost the right: asked again at the execution."""
    world = AdminWorld()
    name = world.approved(promote(world.made_two), DEPLOYER)
    world.do(take_back(SECOND, Role.APPROVER), ADMIN)
    with pytest.raises(DirectiveRefusedError, match="does not stand"):
        world.admin.directives.execute(name, actor=DEPLOYER)
    assert world.admin.directives.get(name).status is DirectiveStatus.FAILED
    assert world.admin.channels.current("model", "stable") is None
    lost = AdminWorld(people(binding("HUMAN::dep2", Role.DEPLOYER)))
    name = lost.approved(promote(lost.made_two), DEPLOYER)
    lost.do(take_back(DEPLOYER, Role.DEPLOYER), ADMIN)
    with pytest.raises(DirectiveRefusedError, match="does not stand"):
        lost.admin.directives.execute(name, actor="HUMAN::dep2")


def test_it_expires() -> None:
    """After its time it is neither approved nor executed, and the end is recorded once."""
    world = AdminWorld()
    directives = world.admin.directives
    found = directives.propose(retention(3), actor=ADMIN, key="k", lifetime=timedelta(seconds=10))
    name = world.approved(retention(4), ADMIN, key="approved")
    _advance(world, 11)
    assert directives.get(found.directive_id).status is DirectiveStatus.EXPIRED
    with pytest.raises(DirectiveRefusedError, match="expired"):
        directives.approve(found.directive_id, reason=WHY, actor=SECOND)
    _advance(world, 86400)
    with pytest.raises(DirectiveRefusedError, match="expired"):
        directives.execute(name, actor=ADMIN)
    assert [item.directive_id for item in directives.record_ends(actor=OPS)] == [name]
    assert directives.record_ends(actor=OPS) == []


def test_what_was_begun_in_time_is_completed_after_it() -> None:
    """Killed between intent and outcome: it neither expires nor is it rejected any more; it has
    the outcome of its execution."""
    world = AdminWorld()
    directives = world.admin.directives
    name = world.approved(retention(4), ADMIN)
    world.steps.taken, world.steps.dies_at = 0, 2
    with pytest.raises(Killed):
        directives.execute(name, actor=ADMIN)
    world.steps.dies_at = None
    _advance(world, 2 * 86400)
    with pytest.raises(DirectiveRefusedError, match="being executed"):
        directives.reject(name, reason=WHY, actor=THIRD)
    assert directives.record_ends(actor=OPS) == []
    assert directives.execute(name, actor=ADMIN).after == {"days": 4}
    assert directives.get(name).status is DirectiveStatus.EXECUTED


def test_rejected_is_final_and_withdrawing_is_the_proposers() -> None:
    """A second person rejects, the proposer withdraws, nobody else does either."""
    world = AdminWorld()
    directives = world.admin.directives
    first, other = proposed(world), proposed(world, key="other")
    with pytest.raises(AccessDeniedError):
        directives.reject(first.directive_id, reason=WHY, actor=OPS)
    rejected = directives.reject(first.directive_id, reason=WHY, actor=THIRD)
    assert rejected.status is DirectiveStatus.REJECTED
    assert directives.reject(other.directive_id, reason=WHY, actor=ADMIN).ended_by == ADMIN
    with pytest.raises(DirectiveRefusedError, match="rejected"):
        directives.approve(first.directive_id, reason=WHY, actor=SECOND)
    assert list(directives.list(only_open=True)) == []
    assert len(list(directives.list())) == 2


def test_keys_and_names() -> None:
    """The same key is the same proposal; another request under it is a conflict; and there is no
    directive in the single-user mode, nor one that nobody proposed."""
    world = AdminWorld()
    assert proposed(world) == proposed(world)
    with pytest.raises(EntryConflictError):
        proposed(world, days=31)
    with pytest.raises(NotFoundError):
        world.admin.directives.get("0" * 32)
    with pytest.raises(AccessDeniedError):
        world.admin.directives.propose(retention(1), actor=READER)
    alone = AdminWorld(governed=False)
    with pytest.raises(DirectiveRefusedError, match="single-user"):
        proposed(alone)


def test_of_two_executions_at_once_one_is_done() -> None:
    """Eight threads execute; all hear the one outcome."""
    world = AdminWorld()
    name = world.approved(promote(world.made_two), DEPLOYER)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(world.admin.directives.execute, name, actor=DEPLOYER) for _ in range(8)
        ]
        assert len({item.result().event_id for item in asked}) == 1
    assert len(list(world.admin.channels.history("model", "stable"))) == 1
    moves = list(world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED))
    assert [move.body["status"] for move in moves] == ["proposed", "approved", "executed"]


def _advance(world: AdminWorld, seconds: float) -> None:
    clock = world.plane.clock
    assert hasattr(clock, "advance")
    clock.advance(seconds)


ACTORS = st.sampled_from([ADMIN, DEPLOYER, OPS, READER, SECOND, THIRD])
DAYS = st.integers(1, 3)


class DirectivesMachine(RuleBasedStateMachine):
    """Propose, approve, reject, execute, move the state and the clock, in any order."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.world = AdminWorld()
        self.count = 0
        self.seen: dict[str, DirectiveStatus] = {}

    @rule(target=names, actor=ACTORS, days=DAYS)
    def propose(self, actor: str, days: int) -> str:
        """Only an admin may, for retention."""
        self.count += 1
        try:
            found = self.world.admin.directives.propose(
                retention(days), actor=actor, key=str(self.count), lifetime=timedelta(hours=2)
            )
        except AccessDeniedError:
            assert actor != ADMIN
            return ""
        assert actor == ADMIN
        return found.directive_id

    @rule(name=names, actor=ACTORS)
    def approve(self, name: str, actor: str) -> None:
        """Only a second person, only what is proposed."""
        if not name:
            return
        before = self.world.admin.directives.get(name)
        try:
            found = self.world.admin.directives.approve(name, reason=WHY, actor=actor)
        except AccessDeniedError:
            assert actor not in (SECOND, THIRD) or before.status is not DirectiveStatus.PROPOSED
            return
        assert actor in (SECOND, THIRD)
        assert before.status is DirectiveStatus.PROPOSED
        assert found.approver == actor != found.proposer

    @rule(name=names, actor=ACTORS)
    def reject(self, name: str, actor: str) -> None:
        """A second person or the proposer, while it is open."""
        if not name:
            return
        before = self.world.admin.directives.get(name).status
        try:
            self.world.admin.directives.reject(name, reason=WHY, actor=actor)
        except AccessDeniedError:
            assert before in ENDED or actor not in (SECOND, THIRD, ADMIN)
            return
        assert actor in (SECOND, THIRD, ADMIN)

    @rule(name=names, actor=ACTORS)
    def execute(self, name: str, actor: str) -> None:
        """Only what stands approved on the state as it is."""
        if not name:
            return
        directives, retentions = self.world.admin.directives, self.world.admin.retentions
        before, state = directives.get(name), retentions.days("artifacts")
        was_current = before.approved_digest == directives.state_digest(before)
        try:
            outcome = directives.execute(name, actor=actor)
        except (AccessDeniedError, ConflictError):
            assert (
                actor != ADMIN or before.status is not DirectiveStatus.APPROVED or not was_current
            )
            assert retentions.days("artifacts") == state
            return
        assert actor == ADMIN
        if before.status is DirectiveStatus.EXECUTED:
            assert not outcome.new
            assert retentions.days("artifacts") == state
        else:
            assert before.status is DirectiveStatus.APPROVED
            assert was_current
            assert retentions.days("artifacts") == before.request.parameters["days"]

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        """Time passes."""
        _advance(self.world, 60 * minutes)

    @rule()
    def record(self) -> None:
        """Somebody records the ends."""
        self.world.admin.directives.record_ends(actor=OPS)

    @invariant()
    def ends_are_final(self) -> None:
        """What has ended stays as it ended, and each action has one outcome by two people."""
        for found in self.world.admin.directives.list():
            earlier = self.seen.get(found.directive_id)
            assert earlier not in ENDED or earlier is found.status
            self.seen[found.directive_id] = found.status
            if found.status is DirectiveStatus.EXECUTED:
                assert found.approver in (SECOND, THIRD)
        done = [event for event in self.world.events("done") if event.key]
        executed = [item for item in self.seen.values() if item is DirectiveStatus.EXECUTED]
        assert len(done) == len(executed)


TestDirectivesMachine = DirectivesMachine.TestCase
TestDirectivesMachine.settings = settings(
    max_examples=times(40), stateful_step_count=25, deadline=None
)


def test_who_may_not_act_records_no_end_of_a_directive() -> None:
    """A reader who reconciles leaves nothing behind, though a directive has expired."""
    world = AdminWorld()
    world.admin.directives.propose(
        promote(world.made_two), actor=DEPLOYER, lifetime=-timedelta(hours=1)
    )
    size = world.plane.ledger.size()
    assert list(world.admin.reconcile(actor=READER)) == []
    assert world.plane.ledger.size() == size
    assert list(world.admin.reconcile(actor=OPS)) == []
    assert world.plane.ledger.size() == size + 1
