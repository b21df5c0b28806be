"""One person in the place of two: ways around the second pair of eyes."""

from __future__ import annotations

import pytest

from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.contracts import (
    AdminActionType,
    BoundRef,
    CodeRef,
    DirectiveStatus,
    Role,
    RunManifest,
)
from ro_platform.errors import AccessDeniedError, DirectiveRefusedError, InvalidInputError
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.runs.manifest import ManifestFile
from tests.unit.access_world import binding
from tests.unit.admin_world import (
    ADMIN,
    DEPLOYER,
    SECOND,
    THIRD,
    WHY,
    AdminWorld,
    grant,
    people,
    promote,
    publish,
    retention,
)


def test_nobody_approves_what_gives_themselves_a_role() -> None:
    """An approver is no second person for a role of their own; another one is."""
    world = AdminWorld()
    directives = world.admin.directives
    found = directives.propose(grant(SECOND, Role.OPERATOR), actor=ADMIN)
    with pytest.raises(DirectiveRefusedError, match="gives them a role"):
        directives.approve(found.directive_id, reason=WHY, actor=SECOND)
    assert directives.approve(found.directive_id, reason=WHY, actor=THIRD).approver == THIRD


def test_nobody_approves_a_policy_that_gives_themselves_a_role() -> None:
    """Not inside a whole new policy either; what it leaves them as they are is no gain."""
    world = AdminWorld()
    directives = world.admin.directives
    more = people(binding(SECOND, Role.OPERATOR)).to_json_value()
    found = directives.propose(publish(world, more, POLICY_CONFIG), actor=ADMIN)
    with pytest.raises(DirectiveRefusedError, match="gives them a role"):
        directives.approve(found.directive_id, reason=WHY, actor=SECOND)
    directives.approve(found.directive_id, reason=WHY, actor=THIRD)
    same = people(four_eyes=(AdminActionType.PAUSE,)).to_json_value()
    found = directives.propose(publish(world, same, POLICY_CONFIG), actor=ADMIN, key="same")
    directives.approve(found.directive_id, reason=WHY, actor=SECOND)


def test_an_approval_is_of_what_was_proposed() -> None:
    """Without naming the state that was looked at, it is of the state of the proposal only."""
    world = AdminWorld()
    directives = world.admin.directives
    found = directives.propose(retention(30), actor=ADMIN)
    directives.execute(world.approved(retention(7), ADMIN, "other"), actor=ADMIN)
    with pytest.raises(DirectiveRefusedError, match="since it was proposed"):
        directives.approve(found.directive_id, reason=WHY, actor=SECOND)
    state = directives.state_digest(found)
    directives.approve(found.directive_id, reason=WHY, actor=SECOND, seen=state)
    assert directives.get(found.directive_id).status is DirectiveStatus.APPROVED


def test_an_approval_of_another_directives_state_is_none() -> None:
    """Its digest names the request as well as the state."""
    world = AdminWorld()
    directives = world.admin.directives
    found = directives.propose(retention(30), actor=ADMIN)
    other = directives.propose(retention(60), actor=ADMIN, key="other")
    with pytest.raises(DirectiveRefusedError, match="since you looked"):
        directives.approve(
            found.directive_id, reason=WHY, actor=SECOND, seen=directives.state_digest(other)
        )


def test_a_narrow_role_takes_no_channel_of_another_workload() -> None:
    """A deployer of one workload does not point another's channel to their own bytes."""
    world = AdminWorld(people(binding("HUMAN::narrow", Role.DEPLOYER, workload="other")))
    other = _made_in(world, "other")
    directives = world.admin.directives
    directives.execute(world.approved(promote(world.made_two), DEPLOYER), actor=DEPLOYER)
    with pytest.raises(AccessDeniedError):
        directives.propose(promote(other), actor="HUMAN::narrow")
    found = directives.propose(promote(other, channel="own"), actor="HUMAN::narrow")
    assert found.status is DirectiveStatus.PROPOSED


@pytest.mark.parametrize("key", ["directive/0123", "refused/0123"])
def test_no_other_event_takes_the_key_of_a_directive(key: str) -> None:
    """It would read as an execution that has begun, and the directive would never expire."""
    world = AdminWorld()
    with pytest.raises(InvalidInputError, match="key"):
        world.plane.record_admin_event(
            AdminActionType.PROMOTE, key=key, subject="anything", actor=DEPLOYER, reason=WHY
        )


def _made_in(world: AdminWorld, workload: str) -> BoundRef:
    manifest = RunManifest(kind="ro.run_manifest.v0", workload=workload, code=CodeRef(version="1"))
    file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
    world.plane.runs.register(file, actor=DEPLOYER)
    return world.made("source", under=file.fingerprint)
