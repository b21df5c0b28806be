"""What operators do to Dagster: see what runs, end a run, replay; also from the launchpad."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from definitions import defs
from ro_platform.admin.administration import Administration
from ro_platform.admin.orchestrator import ReplayLaunch
from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    AdminRequest,
    EntryKind,
    JobStatus,
)
from ro_platform.errors import (
    BackendUnavailableError,
    NotFoundError,
    OutcomeUnknownError,
    SettingsError,
)
from ro_platform.ledger.entry import body_of
from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.orchestration.admin_job import admin_job
from ro_platform.orchestration.launches import ACTOR, REPLAY, Launches
from ro_platform.orchestration.operations import DagsterOperations, ReplayProof
from ro_platform.testing import EphemeralPlane
from tests.acceptance.product import ROOT
from tests.orchestration.launch_world import ALICE, DAEMON, QUIET, READER, World, computed

_Status = dg.DagsterRunStatus
CANCEL, REPLAY_REQUEST = AdminActionType.CANCEL_RUN, AdminActionType.REPLAY_REQUEST


@pytest.fixture
def world(governed: EphemeralPlane) -> World:
    """A deployment with a workspace file, in its single-user mode."""
    computed.clear()
    (governed.settings.root / "workspace.yaml").write_text((ROOT / "workspace.yaml").read_text())
    return World(governed)


@pytest.fixture
def operations(world: World) -> DagsterOperations:
    """Its Dagster, as the administrative actions see it."""
    return DagsterOperations(world.governed.settings, world.plane, world.instance)


@pytest.fixture
def administration(world: World, operations: DagsterOperations) -> Administration:
    """All actions, over that."""
    return world.plane.administration.over(operations)


def perform(
    administration: Administration, action: AdminActionType, actor: str, **parameters: Any
) -> Any:
    """Do an action and answer what is so after it."""
    request = AdminRequest(action_type=action, reason="a test", parameters=parameters)
    service = administration.service
    return service.perform(request, actor=actor, key=service.key_for(request)).after


def test_what_runs_is_seen(world: World, operations: DagsterOperations) -> None:
    """Every run that has not ended: its workload, assets and actor; not what has."""
    world.execute(world.governed.register())
    run = world.created(world.governed.register(seed=2))
    (seen,) = operations.running()
    assert seen.dagster_run_id == run.run_id
    assert (seen.workload, seen.assets) == ("test", ("first", "second"))
    assert (seen.actor, seen.started) == (world.plane.access.single_user, False)


def test_a_waiting_run_is_cancelled(
    world: World, operations: DagsterOperations, administration: Administration
) -> None:
    """It ends as CANCELED with who and why in its log, its attempts with it; once, on record."""
    fingerprint = world.governed.register()
    run = world.created(fingerprint)
    user = world.plane.access.single_user
    perform(administration, CANCEL, user, dagster_run_id=run.run_id)
    assert world.reloaded(run).status is _Status.CANCELED
    said = [entry.user_message for entry in world.instance.all_logs(run.run_id)]
    messages = said + [
        entry.dagster_event.message or ""
        for entry in world.instance.all_logs(run.run_id)
        if entry.dagster_event
    ]
    assert any(user in text and "a test" in text for text in messages)
    assert {item.status for item in world.attempts(fingerprint).values()} == {JobStatus.CANCELED}
    operations.cancel(run.run_id, "again")
    events = [body_of(e, AdminEvent) for e in world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)]
    assert [event.result for event in events if event.action_type is CANCEL] == ["intended", "done"]
    with pytest.raises(NotFoundError):
        operations.cancel("f" * 8, "nobody")


def test_a_worker_that_cannot_be_told_is_not_called_ended(
    world: World, operations: DagsterOperations
) -> None:
    """A run that executes where nobody reaches it: the outcome is open, and says so."""
    run = world.created(world.governed.register())
    world.instance.report_dagster_event(
        dg.DagsterEvent(event_type_value="PIPELINE_START", job_name="test"), run_id=run.run_id
    )
    with pytest.raises((OutcomeUnknownError, BackendUnavailableError)):
        operations.cancel(run.run_id, "HUMAN::tester: a test")
    assert not world.reloaded(run).is_finished


def test_a_replay_is_one_backfill_of_the_workload(
    world: World, administration: Administration
) -> None:
    """Over the manifests that were planned, in the name of who asked, with the replay's tags; asked
    again under the same id it is the same one."""
    world.publish_policy()
    fingerprints = sorted(world.governed.register(seed=seed) for seed in (1, 2))
    with world.process_of(ALICE):
        for fingerprint in fingerprints:
            assert world.execute(fingerprint).success
    with world.process_of(DAEMON):
        after = perform(
            administration,
            REPLAY_REQUEST,
            ALICE,
            workload="test",
            purpose="to prove it",
            basis="recorded",
        )
        backfill = world.instance.get_backfill(after["backfill_id"])
        assert backfill is not None
        assert sorted(backfill.partition_names or ()) == fingerprints
        assert (backfill.job_name, backfill.tags[ACTOR]) == ("test", ALICE)
        assert (backfill.tags[REPLAY], backfill.tags["ro/purpose"]) == ("true", "to prove it")
        run = world.created(fingerprints[0], **{"dagster/backfill": backfill.backfill_id})
        assert run.tags[ACTOR] == ALICE
        Launches.of(world.plane, world.instance).require(run)


def test_a_replay_is_launched_once(world: World, operations: DagsterOperations) -> None:
    """A crash after it was stored leaves it; asking again answers it, and changes nothing."""
    user = world.plane.access.single_user
    launch = ReplayLaunch("a" * 32, "test", (world.governed.register(),), user, ())
    assert operations.launch_replay(launch) == operations.launch_replay(launch)
    before = world.instance.get_backfill("a" * 32)
    operations.launch_replay(replace(launch, fingerprints=()))
    assert world.instance.get_backfill("a" * 32) == before
    (world.governed.settings.root / "workspace.yaml").write_text("load_from: []\n")
    with pytest.raises(SettingsError):
        operations.launch_replay(replace(launch, replay_id="b" * 32))


def test_of_two_who_launch_a_replay_at_once_one_has_it(
    world: World, operations: DagsterOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is told to ask again, by no error of the database's own, and finds it then."""
    user = world.plane.access.single_user
    launch = ReplayLaunch("a" * 32, "test", (world.governed.register(),), user, ())
    operations.launch_replay(launch)
    with monkeypatch.context() as earlier:
        earlier.setattr(world.instance, "get_backfill", lambda _name: None)
        with pytest.raises(BackendUnavailableError):
            operations.launch_replay(launch)
    assert operations.launched("a" * 32) == operations.launch_replay(launch)
    assert len(world.instance.get_backfills()) == 1


def drifting(path: Path) -> Callable[[], dg.Definitions]:
    """Definitions whose asset says what a file says: the cause of a divergence."""

    @dg.asset(partitions_def=MANIFESTS)
    def drifts() -> dict[str, Any]:
        return {"said": path.read_text()}

    @gate(asset=drifts)
    def is_said(drifts: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(drifts["said"]))

    def definitions() -> dg.Definitions:
        job = dg.define_asset_job("test", selection=["drifts"])
        return govern(dg.Definitions(assets=[drifts], asset_checks=[is_said], jobs=[job]))

    return definitions


def test_a_replay_proves_identical_bytes_or_names_the_divergence(
    world: World, operations: DagsterOperations, tmp_path: Path
) -> None:
    """What is recorded stands; the proof says for each manifest what came of it, and where it
    diverged first."""
    user, said = world.plane.access.single_user, tmp_path / "said"
    said.write_text("one")
    job = drifting(said)().resolve_job_def("test")
    fingerprint = world.governed.register()

    def execute(**tags: str) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=world.instance,
            partition_key=fingerprint,
            raise_on_error=False,
            run_config=QUIET,
            tags=tags,
        )

    assert execute().success
    bound = world.plane.store.binding("drifts", fingerprint)
    for replay_id, text, result in (("a" * 32, "one", "identical"), ("b" * 32, "two", "diverged")):
        said.write_text(text)
        operations.launch_replay(ReplayLaunch(replay_id, "test", (fingerprint,), user, ()))
        assert [item.result for item in operations.proofs(replay_id)] == ["under way"]
        execute(**{"dagster/backfill": replay_id, REPLAY: "true"})
        (proof,) = operations.proofs(replay_id)
        assert (proof.manifest_fingerprint, proof.result) == (fingerprint, result)
    assert isinstance(proof, ReplayProof)
    assert proof.unit == "drifts"
    assert bound is not None
    assert bound.digest in (proof.words or "")
    assert world.plane.store.binding("drifts", fingerprint) == bound
    with pytest.raises(NotFoundError):
        operations.proofs("c" * 32)


# --- the launchpad -------------------------------------------------------------------------------


def administer(world: World, **config: Any) -> dg.ExecuteInProcessResult:
    """A run of ``ro_admin`` by whoever's process this is."""
    return admin_job.execute_in_process(
        instance=world.instance,
        raise_on_error=False,
        run_config={**QUIET, "ops": {"administer": {"config": {"reason": "a test", **config}}}},
    )


def test_an_operator_acts_from_the_launchpad(world: World) -> None:
    """The actor is the run's, by its grant; the action is on record with before and after."""
    world.publish_policy()
    target = {"target": "workload/test"}
    with world.process_of(ALICE):
        assert administer(world, action_type="pause", parameters=target).success
        (pause,) = world.plane.pauses.standing()
        assert (pause.target, pause.actor) == ("workload/test", ALICE)
        assert administer(world, action_type="resume", parameters=target).success
    assert world.plane.pauses.standing() == ()


def test_a_reader_is_refused_there_and_that_is_recorded(world: World) -> None:
    """No configuration makes somebody else of them, and a missing token acts for nobody."""
    world.publish_policy()
    target = {"target": "plane"}
    with world.process_of(READER):
        assert not administer(world, action_type="pause", parameters=target).success
        assert not administer(world, action_type="nonsense").success
    events = [body_of(e, AdminEvent) for e in world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)]
    refused = [event for event in events if event.result == "refused"]
    assert [(event.actor, event.action_type.value) for event in refused] == [(READER, "pause")]
    with world.process_of(None):
        assert not administer(world, action_type="pause", parameters=target).success
    assert [entry.body["code"] for entry in world.refusals()] == ["RO_NOT_AUTHENTICATED"]
    assert world.plane.pauses.standing() == ()


def test_the_job_of_administration_is_part_of_the_deployment() -> None:
    """It is loaded with the code location, and asks for what an AdminRequest asks for."""
    assert admin_job in (defs.jobs or ())
    (asked,) = admin_job.nodes
    schema: Any = asked.definition.config_schema
    assert set(schema.config_type.fields) == {"action_type", "reason", "parameters", "key"}
