"""What was intended or approved on one state is not done on another, whoever completes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ro_platform.admin.intents import Intent
from ro_platform.admin.pausing import PauseAction
from ro_platform.contracts import AdminActionType, AdminRequest, DirectiveStatus, Role
from ro_platform.errors import AccessDeniedError, ConflictError, RunOperateError
from tests.unit.access_world import binding
from tests.unit.admin_world import (
    ADMIN,
    DEPLOYER,
    OPS,
    READER,
    SECOND,
    WHY,
    AdminWorld,
    Killed,
    ask,
    pause,
    people,
    publish,
    retention,
    take_back,
)


def killed_after_the_intent(world: AdminWorld, act: Callable[[], object]) -> None:
    """Die between the commit of the intent and that of the outcome."""
    world.steps.taken, world.steps.dies_at = 0, 2
    with pytest.raises(Killed):
        act()
    world.steps.dies_at = None
    assert len(list(world.admin.service.open_intents())) == 1


def test_the_same_key_does_not_do_it_over_what_changed_since() -> None:
    """Interrupted on Monday, decided otherwise on Tuesday, asked again on Wednesday: it fails."""
    world = AdminWorld()
    request = publish(world, {"most": 3})
    killed_after_the_intent(world, lambda: world.do(request, DEPLOYER))
    world.do(publish(world, {"most": 4}), DEPLOYER, key="tuesday")
    for _ in range(2):
        with pytest.raises(ConflictError, match="changed since"):
            world.do(request, DEPLOYER)
    newest = world.plane.configs.newest_pin("limits")
    assert newest is not None
    assert world.plane.configs.kept(newest.digest) == {"most": 4}


def test_an_interrupted_directive_is_not_executed_on_a_state_nobody_approved() -> None:
    """Executing it again does not do it over another directive's change; it has failed."""
    world = AdminWorld()
    directives = world.admin.directives
    name, other = world.approved(retention(30), ADMIN), world.approved(retention(60), ADMIN, "o")
    killed_after_the_intent(world, lambda: directives.execute(name, actor=ADMIN))
    directives.execute(other, actor=ADMIN)
    with pytest.raises(ConflictError, match="changed since"):
        directives.execute(name, actor=ADMIN)
    assert directives.get(name).status is DirectiveStatus.FAILED
    assert world.admin.retentions.days("artifacts") == 60


@pytest.mark.parametrize("again", ["reconcile", "repeat"])
def test_an_interrupted_action_is_not_done_under_another_policy(again: str) -> None:
    """Who lost the role since does not get it by reconciling, nor does a proposer or approver."""
    world = AdminWorld()
    directives = world.admin.directives
    name = world.approved(retention(30), ADMIN)
    killed_after_the_intent(world, lambda: directives.execute(name, actor=ADMIN))
    world.do(take_back(SECOND, Role.APPROVER), ADMIN, key="gone")
    if again == "reconcile":
        (item,) = world.admin.reconcile(actor=ADMIN)
        assert item.outcome is not None
        assert item.outcome.result == "failed"
    else:
        with pytest.raises(ConflictError, match="policy"):
            directives.execute(name, actor=ADMIN)
    assert directives.get(name).status is DirectiveStatus.FAILED
    assert world.admin.retentions.days("artifacts") is None


def test_the_state_before_is_the_one_that_was_changed() -> None:
    """Somebody else pauses between intent and commit: it fails, and no `before` is untrue."""
    world = AdminWorld()

    class Late(PauseAction):
        def act(self, intent: Intent, request: AdminRequest) -> None:
            world.do(pause(), OPS, key="other")
            super().act(intent, request)

    service = world.admin.service.extended([Late(world.plane.ledger)])
    with pytest.raises(ConflictError, match="changed since"):
        service.perform(pause(), actor=OPS, key="late")
    assert [item.result for item in world.events() if item.key == "late"] == ["intended", "failed"]
    assert [item.reason for item in world.plane.pauses.standing()] == [WHY]


def test_what_was_left_open_and_closed_meanwhile_is_not_done() -> None:
    """A failure on record stays the outcome of an erasure that somebody is just beginning."""
    world = AdminWorld()
    kind = AdminActionType.ERASE_ARTIFACT
    name = world.approved(ask(kind, {"digest": world.made_two.digest}), ADMIN)
    world.steps.taken, world.steps.dies_at = 0, 1
    with pytest.raises(Killed):
        world.admin.directives.execute(name, actor=ADMIN)
    world.steps.dies_at = None
    world.do(take_back(SECOND, Role.APPROVER), ADMIN, key="gone")
    (item,) = world.admin.reconcile(actor=ADMIN)
    assert item.outcome is not None
    assert item.outcome.result == "failed"
    with pytest.raises(RunOperateError):
        world.admin.directives.execute(name, actor=ADMIN)
    assert world.plane.erasures.find(world.made_two.digest) is None


def test_who_may_not_look_hears_of_no_open_action_of_others() -> None:
    """An operator of another workload reconciles nothing and is told nothing; who may look at the
    plane is told what is not theirs to complete, and it stays open."""
    other = "HUMAN::other"
    world = AdminWorld(people(binding(other, Role.OPERATOR, workload="elsewhere")))
    killed_after_the_intent(world, lambda: world.do(pause(), OPS))
    assert list(world.admin.reconcile(actor=other)) == []
    (item,) = world.admin.reconcile(actor=READER)
    assert isinstance(item.error, AccessDeniedError)
    assert len(list(world.admin.service.open_intents())) == 1
