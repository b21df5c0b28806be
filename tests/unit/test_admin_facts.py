"""What the actions leave: channels with evidence, periods that bind, replays that were planned."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ro_platform.admin.intents import canonical_digest
from ro_platform.admin.replay import ReplayAction, ReplayPlan
from ro_platform.admin.running import drains
from ro_platform.contracts import AdminActionType, AdminRequest, EntryKind, GateStatus, JsonObject
from ro_platform.errors import (
    BackendUnavailableError,
    ContractError,
    GateAbsentError,
    GateFailedError,
    GateRevokedError,
    InvalidInputError,
    ManifestNotRegisteredError,
    NotFoundError,
    RetentionError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from tests.unit.admin_world import (
    ADMIN,
    DEPLOYER,
    OPS,
    AdminWorld,
    Killed,
    ask,
    erase,
    promote,
    replay,
    retention,
    revoke,
)


def directed(world: AdminWorld, request: AdminRequest, actor: str, key: str) -> None:
    name = world.approved(request, actor, key)
    world.admin.directives.execute(name, actor=actor)


def test_a_channel_points_to_what_was_promoted_and_back() -> None:
    """It names the bytes and the receipts; rolling back is another promotion; all of it is kept."""
    world = AdminWorld()
    for number, ref in enumerate([world.made_one, world.made_two, world.made_one]):
        directed(world, promote(ref), DEPLOYER, str(number))
    now = world.admin.channels.current("model", "stable")
    assert now is not None
    assert (now.ref, now.digest, now.actor) == (
        world.made_one.ref,
        world.made_one.digest,
        DEPLOYER,
    )
    assert len(now.receipts) == 1
    assert now.receipts[0].startswith("receipts/source/")
    history = [item.ref for item in world.admin.channels.history("model", "stable")]
    assert history == [world.made_one.ref, world.made_two.ref, world.made_one.ref]
    assert world.admin.channels.all() == [now]
    assert world.admin.channels.current("model", "beta") is None


def test_without_standing_evidence_nothing_is_promoted() -> None:
    """Never judged, FAIL, revoked after the approval, or an asset without a gate: refused."""
    world = AdminWorld()
    raw = world.made("raw", passed=False)
    with pytest.raises(GateAbsentError):
        world.approved(promote(raw), DEPLOYER)
    world.judge(raw, GateStatus.FAIL)
    with pytest.raises(GateFailedError):
        world.approved(promote(raw), DEPLOYER)
    world.plane.gates.drop("raw", "raw.good", reason="a test", actor=OPS)
    assert world.read(raw) == b"raw"
    with pytest.raises(GateAbsentError, match="nothing vouches"):
        world.approved(promote(raw), DEPLOYER)
    name = world.approved(promote(world.made_one), DEPLOYER, "late")
    world.do(revoke(world.made_one), OPS, key="r")
    with pytest.raises(GateRevokedError):
        world.admin.directives.execute(name, actor=DEPLOYER)
    assert world.admin.channels.all() == []


def test_bytes_are_kept_for_their_period() -> None:
    """Within it an erasure is refused before it begins, by anybody; after it, it is done. An
    asset's own period goes before the one for all; ending it frees them."""
    world = AdminWorld()
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    directed(world, retention(30), ADMIN, "1")
    directed(world, retention(5, "asset/report"), ADMIN, "2")
    assert world.admin.retentions.standing() == {"artifacts": 30, "asset/report": 5}
    for ref in (world.made_one, world.made_two):
        with pytest.raises(RetentionError, match="is kept until"):
            world.approved(erase(ref), ADMIN, ref.ref)
    clock.advance(timedelta(days=6).total_seconds())
    directed(world, erase(world.made_two), ADMIN, "3")
    with pytest.raises(RetentionError):
        world.approved(erase(world.made_one), ADMIN, "4")
    directed(world, retention(None), ADMIN, "5")
    directed(world, erase(world.made_one), ADMIN, "6")
    assert world.admin.retentions.standing() == {"asset/report": 5}


def test_an_erasure_waiting_for_approval_is_bound_by_a_period_set_meanwhile() -> None:
    """The period is asked for in the commit of the intent."""
    world = AdminWorld()
    name = world.approved(erase(world.made_two), ADMIN, "e")
    directed(world, retention(30), ADMIN, "1")
    with pytest.raises(RetentionError):
        world.admin.directives.execute(name, actor=ADMIN)
    assert world.read(world.made_two) == b"report"


def test_entries_are_due_for_the_archive() -> None:
    """Those older than the period that no archived segment has."""
    world = AdminWorld()
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    assert world.admin.retentions.archive_due() == 0
    directed(world, retention(1, "archives"), ADMIN, "1")
    assert world.admin.retentions.archive_due() == 0
    clock.advance(2 * 86400)
    size = world.plane.ledger.size()
    assert world.admin.retentions.archive_due() == size
    assert len(list(world.plane.archive.archive(actor=OPS, count=8))) == size // 8
    assert world.admin.retentions.archive_due() == size % 8


def test_a_replay_is_planned_and_launched_as_planned() -> None:
    """The dry run counts; what is launched is what was planned, with its actor and why."""
    world = AdminWorld()
    action = world.admin.service.action(AdminActionType.REPLAY_REQUEST)
    assert isinstance(action, ReplayAction)
    size = world.plane.ledger.size()
    plan = action.plan(replay(world))
    assert (plan.workload, [run.fingerprint for run in plan.runs]) == ("w", [world.fingerprint])
    assert plan.facts()["artifacts"] == 2
    assert plan.facts()["size_bytes"] == len(b"source") + len(b"report")
    assert world.plane.ledger.size() == size
    after = world.do(replay(world), OPS)
    (launch,) = world.orchestrator.launches.values()
    assert launch.fingerprints == (world.fingerprint,)
    assert (launch.actor, dict(launch.tags)["ro/purpose"]) == (OPS, "an audit")
    assert after["backfill_id"] == f"backfill-{launch.replay_id[:8]}"
    world.do(replay(world), OPS)
    assert len(world.orchestrator.launches) == 1


def test_what_is_stored_of_a_replay_is_bounded() -> None:
    """Over many runs the plan names the first, counts all, and binds them by their digest; what is
    launched is all of them, and a run more is another plan."""
    world = AdminWorld()
    prints = [world.register(str(number)) for number in range(100, 160)]
    for number, print_ in enumerate(prints):
        world.made("source", under=print_, data=b"%d" % number, passed=False)
    request = ask(
        AdminActionType.REPLAY_REQUEST,
        {"workload": "w", "purpose": "p", "basis": "recorded"},
    )
    name = world.admin.directives.propose(request, actor=OPS).directive_id
    (move,) = world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED)
    assert len(canonical_bytes(move.body)) < 4096
    before = world.admin.directives.get(name).before
    assert (before["runs"], before["artifacts"]) == (61, 62)
    world.do(request, OPS)
    (launch,) = world.orchestrator.launches.values()
    assert launch.fingerprints == (world.fingerprint, *prints)
    assert canonical_digest([*launch.fingerprints]) == before["manifests_digest"]
    listed: JsonObject = {"manifests": [f"{number:064x}" for number in range(101)]}
    too_many = ask(request.action_type, listed | {"purpose": "p", "basis": "recorded"})
    with pytest.raises(ContractError):
        world.do(too_many, OPS, "m")


def test_a_replay_that_was_interrupted_launches_what_was_planned_or_nothing() -> None:
    """A run more since the intent: not launched yet, it fails; launched already, it is done."""
    request = ask(
        AdminActionType.REPLAY_REQUEST,
        {"workload": "w", "purpose": "p", "basis": "recorded"},
    )
    for dies_at, result, launches in ((2, "failed", 0), (4, "done", 1)):
        world = AdminWorld()
        world.steps.taken, world.steps.dies_at = 0, dies_at
        with pytest.raises(Killed):
            world.do(request, OPS)
        world.steps.dies_at = None
        world.made("source", under=world.register("2"), data=b"more", passed=False)
        (item,) = world.admin.reconcile(actor=OPS)
        assert item.outcome is not None
        assert (item.outcome.result, len(world.orchestrator.launches)) == (result, launches)


def test_a_query_means_what_was_made() -> None:
    """Every run of the workload that made something; none at all, a strange manifest, or both
    ways at once is refused."""
    world = AdminWorld()
    world.register("2")
    action = world.admin.service.action(AdminActionType.REPLAY_REQUEST)
    assert isinstance(action, ReplayAction)

    def plan(what: JsonObject) -> ReplayPlan:
        said: JsonObject = {"purpose": "p", "basis": "changed"}
        return action.plan(ask(AdminActionType.REPLAY_REQUEST, said | what))

    assert len(plan({"workload": "w"}).runs) == 1
    with pytest.raises(NotFoundError):
        plan({"workload": "other"})
    with pytest.raises(ManifestNotRegisteredError):
        plan({"manifests": ["0" * 64]})
    with pytest.raises(ContractError):
        plan({"workload": "w", "manifests": [world.fingerprint]})
    with pytest.raises(ContractError):
        plan({})


def test_without_an_orchestrator_nothing_is_launched_or_closed() -> None:
    """A process that reaches none refuses before anything is recorded, and leaves what another one
    began to those that do."""
    world = AdminWorld()
    size = world.plane.ledger.size()
    with pytest.raises(InvalidInputError, match="Nothing executes runs here"):
        world.plane.admin.perform(replay(world), actor=OPS, key="k")
    assert world.plane.ledger.size() == size
    world.orchestrator.fault = BackendUnavailableError("nobody answers.")
    with pytest.raises(BackendUnavailableError):
        world.do(replay(world), OPS)
    (item,) = world.plane.administration.reconcile(actor=OPS)
    assert isinstance(item.error, InvalidInputError)
    world.orchestrator.fault = None
    (item,) = world.admin.reconcile(actor=OPS)
    assert item.outcome is not None
    assert item.outcome.result == "done"
    assert len(world.orchestrator.launches) == 1


def test_a_drain_says_what_it_waits_for() -> None:
    """What has started on the target, until it has ended; overdue after the limit."""
    world = AdminWorld()
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    for target, key in (("workload/w", "1"), ("asset/other", "2")):
        limit: JsonObject = {"target": target, "limit_seconds": 60}
        world.do(ask(AdminActionType.DRAIN, limit), OPS, key=key)
    other, own = drains(world.plane.pauses, world.orchestrator, clock)
    assert other.is_empty
    assert [run.dagster_run_id for run in own.running] == ["run-1"]
    assert not own.overdue
    clock.advance(61)
    assert drains(world.plane.pauses, world.orchestrator, clock)[1].overdue
    world.orchestrator.cancel("run-1", "enough")
    assert drains(world.plane.pauses, world.orchestrator, clock)[1].is_empty
