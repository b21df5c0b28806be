"""Ways around the administrative service that somebody with some rights might try."""

from __future__ import annotations

import pytest

from ro_platform.access.identity import EPHEMERAL_USER
from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.admin.pausing import PauseAction
from ro_platform.contracts import (
    AdminActionType,
    AdminRequest,
    DirectiveStatus,
    ErrorResponse,
    Role,
)
from ro_platform.errors import (
    AccessDeniedError,
    ConflictError,
    ContractError,
    InvalidInputError,
    RetentionError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import system_clock
from ro_platform.ledger.events import admin_event_draft
from ro_platform.ledger.names import PAUSES
from tests.unit.access_world import binding, published
from tests.unit.admin_world import (
    ADMIN,
    CASES,
    DEPLOYER,
    READER,
    WHY,
    AdminWorld,
    Killed,
    erase,
    pause,
    people,
    publish,
    retention,
)


def test_nobody_does_another_action_under_the_key_of_a_directive() -> None:
    """It would read as the directive's outcome, executed without anybody's approval."""
    world = AdminWorld()
    content = people().to_json_value()
    asked = publish(world, {**content, "four_eyes": ["pause"]}, POLICY_CONFIG)
    found = world.admin.directives.propose(asked, actor=ADMIN)
    with pytest.raises(InvalidInputError, match="key"):
        world.do(publish(world, {"limit": 9}), DEPLOYER, f"directive/{found.directive_id}")
    assert world.admin.directives.get(found.directive_id).status is DirectiveStatus.PROPOSED


def test_nobody_does_an_action_under_the_key_of_a_refusal() -> None:
    """The refusal that has that key would not be recorded any more."""
    world = AdminWorld()
    with pytest.raises(InvalidInputError, match="key"):
        world.do(publish(world, {"limit": 9}), DEPLOYER, "refused/0123")
    assert world.events("intended") == []


def test_a_decision_of_a_policy_that_changed_meanwhile_is_no_authority() -> None:
    """Between the decision and the intent the single-user mode ended: nothing is intended."""
    world = AdminWorld(governed=False)

    class Slow(PauseAction):
        def ready(self) -> None:
            published(world.plane, people())

    service = world.admin.service.extended([Slow(world.plane.ledger)])
    with pytest.raises(ConflictError, match="policy"):
        service.perform(pause(), actor=EPHEMERAL_USER, key="k")
    assert world.events("intended") == []
    assert world.plane.pauses.standing() == ()


ELSEWHERE = "HUMAN::elsewhere"
"""May do everything, to another workload."""


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("actor", [READER, ELSEWHERE])
def test_who_may_not_hears_nothing_of_what_is_there(kind: AdminActionType, actor: str) -> None:
    """Asked for alone or proposed: of a manifest, an artifact, bytes or a run that is there it is
    said byte for byte what is said of one that is not, and each refusal is on record."""
    roles = (Role.OPERATOR, Role.DEPLOYER, Role.ADMIN)
    world = AdminWorld(people(*(binding(ELSEWHERE, role, workload="elsewhere") for role in roles)))
    there = CASES[kind][0](world)
    ids = {
        world.fingerprint: "f" * 64,
        world.made_one.digest: "e" * 64,
        world.made_two.digest: "d" * 64,
        "run-1": "run-9",
    }

    def without(text: str) -> str:
        for known, unknown in ids.items():
            text = text.replace(known, unknown)
        return text

    missing = AdminRequest.from_json(without(canonical_bytes(there).decode()).encode())
    told = []
    for request in (there, missing):
        for way in (world.admin.service.perform, world.admin.directives.propose):
            with pytest.raises(AccessDeniedError) as refused:
                way(request, actor=actor, key="k")
            assert refused.value.recorded
            told.append(without(canonical_bytes(ErrorResponse.of(refused.value)).decode()))
    assert len(set(told)) == 1, told
    assert "workload/w" not in told[0] or "workload/w" in canonical_bytes(there).decode()


def test_an_erasure_that_a_kill_stopped_is_not_completed_on_another_state() -> None:
    """Bytes that have to be kept since then stay, and the action has failed, on record."""
    world = AdminWorld()
    digest = world.made_two.digest
    name = world.approved(erase(world.made_two), ADMIN)
    world.steps.taken, world.steps.dies_at = 0, 1
    with pytest.raises(Killed):
        world.admin.directives.execute(name, actor=ADMIN)
    world.steps.dies_at = None
    assert [item.action_type for item in world.events("intended")] == [
        AdminActionType.ERASE_ARTIFACT
    ]
    kept = world.approved(retention(30), ADMIN, "keep")
    world.admin.directives.execute(kept, actor=ADMIN)
    (reconciled,) = world.admin.reconcile(actor=ADMIN)
    assert reconciled.outcome is not None
    assert reconciled.outcome.after["error_code"] == RetentionError.code
    assert world.plane.erasures.find(digest) is None


def test_an_entry_about_pauses_that_lists_none_stops_everything() -> None:
    """What cannot be read as the list of pauses is damage, and damage lets nothing start."""
    world = AdminWorld()
    draft = admin_event_draft(
        AdminActionType.PAUSE,
        key="forged",
        subject=PAUSES,
        actor=ADMIN,
        reason=WHY,
        moment=system_clock(),
        after={"something": "else"},
        result="done",
    )
    world.plane.ledger.append(draft)
    with pytest.raises(ContractError):
        world.plane.pauses.require_running(workload=None, assets=())
