"""The administrative service: who may, done once, recorded always, refusals too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ro_platform.contracts import AdminActionType, EntryKind, Role, RoleBinding, Scope
from ro_platform.errors import (
    AccessDeniedError,
    ArtifactNotFoundError,
    BackendUnavailableError,
    ConflictError,
    ContractError,
    EntryConflictError,
    InvalidInputError,
    NotFoundError,
    PausedError,
    SecondPersonRequiredError,
)
from ro_platform.ledger.words import entry_words
from tests.unit.admin_world import (
    ADMIN,
    CASES,
    DEPLOYER,
    OPS,
    READER,
    SECOND,
    AdminWorld,
    Killed,
    ask,
    erase,
    grant,
    pause,
    people,
    publish,
    resume,
    revoke,
    take_back,
)


def test_a_pause_is_a_fact_with_its_story() -> None:
    """Intent and outcome name who, why, by which policy, what was so before and after; and the
    pause stands for a reader of the same ledger, until it is resumed."""
    world = AdminWorld()
    world.do(pause(), OPS)
    intended, done = world.events("intended", "done")[-2:]
    assert (intended.actor, intended.targets, intended.before) == (OPS, ("workload/w",), {})
    assert intended.authority is not None
    assert intended.authority.policy == world.plane.policies.newest().digest  # type: ignore[union-attr]
    assert intended.authority.single_user is None
    assert done.after is not None
    assert done.admin_event_id == intended.admin_event_id
    with pytest.raises(PausedError) as refused:
        world.plane.pauses.require_running(workload="w", assets=())
    assert refused.value.diagnostics()["actor"] == OPS
    world.plane.pauses.require_running(workload="other", assets=["source"])
    world.do(resume(), OPS, key="r")
    assert world.events("done")[-1].before == {"pause": done.after["pause"]}
    world.plane.pauses.require_running(workload="w", assets=())


def test_in_words_only_what_was_done_reads_as_done() -> None:
    """An intent says so, and so does a refusal: both are in dossiers beside the outcome."""
    world = AdminWorld()
    world.do(pause(), OPS)
    with pytest.raises(AccessDeniedError):
        world.do(resume(), READER, key="r")
    entries = world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    words = [entry_words(entry).split(" ")[:2] for entry in entries]
    assert words[-3:] == [["pause", "intended"], ["pause", "pauses:"], ["resume", "refused"]]


@pytest.mark.parametrize(
    ("target", "stopped"),
    [("plane", True), ("workload/w", True), ("asset/a/b", True), ("asset/a", False)],
)
def test_a_pause_covers_its_target(target: str, stopped: bool) -> None:
    """The plane's covers everything, a workload's its runs, an asset's that very key."""
    world = AdminWorld()
    world.do(pause(target), OPS)
    if stopped:
        with pytest.raises(PausedError):
            world.plane.pauses.require_running(workload="w", assets=["a/b"])
    else:
        world.plane.pauses.require_running(workload="w", assets=["a/b"])


@pytest.mark.parametrize(
    ("target", "stopped"),
    [("plane", True), ("consumer/orders/scorer", True), ("consumer/orders/archive", False)],
)
def test_a_pause_covers_one_consumer_of_a_stream(target: str, stopped: bool) -> None:
    """That one and no other, nor a workload of the same name; the plane's covers every one."""
    world = AdminWorld()
    world.do(pause(target), OPS)
    if stopped:
        with pytest.raises(PausedError):
            world.plane.pauses.require_running(consumer=("orders", "scorer"))
    else:
        world.plane.pauses.require_running(consumer=("orders", "scorer"))
    if target != "plane":
        world.plane.pauses.require_running(workload="scorer", assets=["orders/scorer"])


def test_a_role_narrowed_to_a_stream_pauses_its_consumers_alone() -> None:
    """Not those of another stream, and no workload."""
    scope = Scope(stream="orders")
    narrow = RoleBinding(actor="HUMAN::narrow", role=Role.OPERATOR, scope=scope)
    world = AdminWorld(people(narrow))
    world.do(pause("consumer/orders/scorer"), "HUMAN::narrow")
    for other in ("consumer/refunds/scorer", "workload/orders", "plane"):
        with pytest.raises(AccessDeniedError):
            world.do(pause(other), "HUMAN::narrow", key=other)


def test_a_consumer_is_paused_and_not_drained() -> None:
    """No run would show when it is empty."""
    with pytest.raises(ContractError, match="is paused"):
        AdminWorld().do(ask(AdminActionType.DRAIN, {"target": "consumer/orders/scorer"}), OPS)


def test_pauses_of_several_stand_side_by_side() -> None:
    """Ending one leaves the others; pausing again renews the words."""
    world = AdminWorld()
    for number, target in enumerate(["plane", "asset/x", "plane"]):
        world.do(pause(target), OPS, key=str(number))
    assert [item.target for item in world.plane.pauses.standing()] == ["asset/x", "plane"]
    world.do(resume("plane"), OPS, key="r")
    assert [item.target for item in world.plane.pauses.standing()] == ["asset/x"]


def test_the_same_key_is_the_same_action() -> None:
    """Asked again it answers the outcome and records nothing; another request under that key, and
    the same one by somebody else, is a conflict."""
    world = AdminWorld()
    first = world.admin.service.perform(pause(), actor=OPS, key="k")
    size = world.plane.ledger.size()
    again = world.admin.service.perform(pause(), actor=OPS, key="k")
    assert (again.event_id, again.after, again.new) == (first.event_id, first.after, False)
    with pytest.raises(EntryConflictError):
        world.do(pause("plane"), OPS)
    assert world.plane.ledger.size() == size


def test_of_many_at_once_one_is_done() -> None:
    """Eight threads with one key: one intent, one outcome, one answer."""
    world = AdminWorld()
    with ThreadPoolExecutor(8) as pool:
        request = publish(world, {"most": 3})
        asked = [
            pool.submit(world.admin.service.perform, request, actor=DEPLOYER, key="k")
            for _ in range(8)
        ]
        assert len({item.result().event_id for item in asked} - {None}) == 1
    assert len([event for event in world.events() if event.key == "k"]) == 2
    assert len(list(world.plane.configs.list("limits"))) == 1


@pytest.mark.parametrize("kind", CASES, ids=str)
def test_who_may_not_changes_nothing_and_is_recorded_once(kind: AdminActionType) -> None:
    """A reader is refused, whatever the key; it is one entry, which says why, and nothing else."""
    world = AdminWorld()
    request = CASES[kind][0](world)
    size = world.plane.ledger.size()
    for key in ("1", "2", "3"):
        with pytest.raises(AccessDeniedError):
            world.admin.service.perform(request, actor=READER, key=key)
    assert world.plane.ledger.size() == size + 1
    (refusal,) = world.events("refused")
    assert (refusal.actor, refusal.action_type) == (READER, kind)
    assert "do not allow" in str((refusal.after or {})["error"])


def test_four_eyes_are_asked_for() -> None:
    """What needs a second person is not done alone, and that somebody tried is on record."""
    world = AdminWorld()
    with pytest.raises(SecondPersonRequiredError):
        world.do(erase(world.made_two), ADMIN)
    assert world.read(world.made_two) == b"report"
    assert (world.events("refused")[0].after or {})["error_code"] == "RO_SECOND_PERSON_REQUIRED"
    strict = AdminWorld(people(four_eyes=(AdminActionType.PAUSE,)))
    with pytest.raises(SecondPersonRequiredError):
        strict.do(pause(), OPS)


def test_alone_in_the_single_user_mode() -> None:
    """There is no second person, so the single user acts alone, and the event says so; nobody else
    does anything."""
    world = AdminWorld(governed=False)
    world.do(erase(world.made_two), ADMIN)
    authority = world.events("done")[-1].authority
    assert authority is not None
    assert authority.single_user is True
    with pytest.raises(AccessDeniedError):
        world.do(pause(), OPS, key="p")


def test_a_request_that_cannot_be_done_leaves_nothing() -> None:
    """Bad parameters, a missing artifact, a PASS that never was, a run that is gone: refused with
    their own errors before anything is recorded."""
    world = AdminWorld()
    size = world.plane.ledger.size()
    nowhere = world.made_one.model_copy(
        update={"ref": world.made_one.ref.replace("000001", "000009")}
    )
    tries = [
        (ask(AdminActionType.PAUSE, {"target": "everything"}), OPS, ContractError),
        (ask(AdminActionType.PAUSE, {}), OPS, ContractError),
        (revoke(nowhere), OPS, ArtifactNotFoundError),
        (ask(AdminActionType.CANCEL_RUN, {"dagster_run_id": "run-9"}), OPS, NotFoundError),
        (ask(AdminActionType.DEPLOY, {}), DEPLOYER, InvalidInputError),
        (take_back(READER, Role.ADMIN), ADMIN, NotFoundError),
    ]
    for request, actor, error in tries:
        with pytest.raises(error):
            world.do(request, actor)
    with pytest.raises(ContractError):
        ask(AdminActionType.PAUSE, {"target": "plane"}, reason=" ")
    assert world.plane.ledger.size() == size


@pytest.mark.parametrize("subject", ["pauses", "registry/m/stable", "retention/artifacts"])
def test_the_facts_are_only_the_services_to_record(subject: str) -> None:
    """No other way to record an event can say what is paused, promoted or kept."""
    world = AdminWorld()
    with pytest.raises(InvalidInputError, match="only an action can change"):
        world.plane.record_admin_event(
            AdminActionType.RESUME, key="k", subject=subject, actor=OPS, reason="forged"
        )


def test_what_is_so_already_is_not_recorded() -> None:
    """Publishing what is published, revoking what is revoked: the answer is what stands."""
    world = AdminWorld()
    world.do(revoke(world.made_one), OPS)
    world.do(publish(world, {"most": 3}), DEPLOYER)
    size = world.plane.ledger.size()
    found = world.admin.service.perform(revoke(world.made_one), actor=OPS, key="again")
    assert (found.entry, found.after["verdict"]) == (None, "REVOKED")
    found = world.admin.service.perform(publish(world, {"most": 3}), actor=DEPLOYER, key="again")
    assert found.entry is None
    assert world.plane.ledger.size() == size


def test_a_revocation_is_one_event_and_blocks() -> None:
    """The doer records no second event: one intent, one outcome, in the commit of the blocks."""
    world = AdminWorld()
    world.do(revoke(world.made_one), OPS)
    own = [item for item in world.events() if item.action_type is AdminActionType.REVOKE_PASS]
    assert [item.result for item in own] == ["intended", "done"]
    assert (own[1].after or {})["blocked"] == 1
    assert world.word(world.made_two) == "BLOCKED"
    blocked = next(world.plane.ledger.scan(kind=EntryKind.ARTIFACT_BLOCKED))
    assert blocked.body["admin_event_id"] == own[0].admin_event_id
    traced = world.plane.tracer.trace(own[0].admin_event_id)
    assert {EntryKind.PASS_REVOKED, EntryKind.ARTIFACT_BLOCKED} <= {
        line.entry.kind for line in traced.lines
    }


def test_a_failure_is_the_outcome() -> None:
    """What the act itself comes to is on record, and answered again for the same key."""
    world = AdminWorld()
    world.orchestrator.fault = NotFoundError("the run is gone.")
    request = CASES[AdminActionType.CANCEL_RUN][0](world)
    for _ in range(2):
        with pytest.raises(NotFoundError, match="the run is gone"):
            world.do(request, OPS)
    assert [item.result for item in world.events() if item.key == "k"] == ["intended", "failed"]


def test_what_may_pass_stays_open() -> None:
    """A store that does not serve is no outcome: the same key completes it later."""
    world = AdminWorld()
    world.orchestrator.fault = BackendUnavailableError("nobody answers.")
    request = CASES[AdminActionType.CANCEL_RUN][0](world)
    with pytest.raises(BackendUnavailableError):
        world.do(request, OPS)
    (item,) = world.admin.reconcile(actor=OPS)
    assert isinstance(item.error, BackendUnavailableError)
    world.orchestrator.fault = None
    assert world.do(request, OPS) == {"canceled": True}
    assert world.orchestrator.canceled == {"run-1": f"{OPS}: {request.reason}"}


def test_reconciling_takes_a_right() -> None:
    """Who may neither automate nor do the action leaves it open, and hears why."""
    world = AdminWorld()
    world.steps.taken, world.steps.dies_at = 0, 2
    with pytest.raises(Killed):
        world.do(pause(), OPS)
    world.steps.dies_at = None
    (item,) = world.admin.reconcile(actor=READER)
    assert isinstance(item.error, AccessDeniedError)
    assert len(list(world.admin.service.open_intents())) == 1
    (item,) = world.admin.reconcile(actor=OPS)
    assert item.outcome is not None
    assert item.outcome.result == "done"


def test_roles_change_at_once() -> None:
    """A role taken away holds for the next action; two changes on one policy: the second is
    refused, because the policy is another one."""
    world = AdminWorld()
    world.do(take_back(OPS, Role.OPERATOR), ADMIN)
    with pytest.raises(AccessDeniedError):
        world.do(pause(), OPS, key="p")
    with pytest.raises(NotFoundError):
        world.do(take_back(OPS, Role.OPERATOR), ADMIN, key="again")
    with pytest.raises((SecondPersonRequiredError, ConflictError)):
        world.do(grant(OPS, Role.OPERATOR), ADMIN, key="back")


def test_the_policy_as_a_whole_asks_for_what_a_grant_asks_for() -> None:
    """A deployer publishes configs, but not the access policy; an admin needs a second person."""
    world = AdminWorld()
    content = people().to_json_value() | {"four_eyes": ["pause"]}
    request = publish(world, content, name="access-policy")
    with pytest.raises(AccessDeniedError):
        world.do(request, DEPLOYER)
    with pytest.raises(SecondPersonRequiredError):
        world.do(request, ADMIN)
    name = world.approved(request, ADMIN)
    world.admin.directives.execute(name, actor=ADMIN)
    assert world.plane.policies.newest().policy.four_eyes == (AdminActionType.PAUSE,)  # type: ignore[union-attr]


def test_a_policy_that_fails_its_check_is_no_change() -> None:
    """Nobody can be made proposer and approver of one thing, not even by two people: whoever
    proposes it hears so, and nothing is recorded."""
    world = AdminWorld()
    size = world.plane.ledger.size()
    with pytest.raises(InvalidInputError, match="fails its check"):
        world.admin.directives.propose(grant(SECOND, Role.ADMIN), actor=ADMIN)
    assert world.plane.ledger.size() == size
    assert world.plane.policies.newest().version == 1  # type: ignore[union-attr]
