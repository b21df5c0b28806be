"""Launch grants: who launched a run is signed onto it, and nothing executes without."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.access.grants import Grants
from ro_platform.access.identity import acting_as
from ro_platform.contracts import (
    AdminActionType,
    EntryKind,
    JobStatus,
    Role,
    RoleBinding,
    Scope,
)
from ro_platform.contracts.access import SignedGrant
from ro_platform.dagster_private.launches import (
    LaunchRunContext,
    PartitionBackfill,
    backfill_covers,
    backfill_facts,
    job_backfill,
    launch_facts,
    location_of,
)
from ro_platform.dagster_private.running import QueuedRunCoordinator, SubmitRunContext
from ro_platform.errors import AccessDeniedError, GrantRefusedError, NotAuthenticatedError
from ro_platform.kernel.clock import moment_of
from ro_platform.orchestration.coordinator import REFUSED, GovernedRunCoordinator
from ro_platform.orchestration.launcher import GovernedRunLauncher
from ro_platform.orchestration.launches import (
    ACTOR,
    GRANT,
    HELD,
    UNATTENDED_LIFETIME,
    WORKLOAD,
    Launches,
    backfill_digest,
    launch_digest,
)
from ro_platform.orchestration.storage_recording import RecordingRuns
from ro_platform.orchestration.workers import WORKER
from ro_platform.testing import EphemeralPlane
from tests.orchestration.launch_world import (
    ALICE,
    BOSS,
    DAEMON,
    DEFS,
    READER,
    World,
    computed,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(governed: EphemeralPlane) -> World:
    """A deployment in its single-user mode."""
    computed.clear()
    return World(governed)


@pytest.fixture
def submit(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[dg.DagsterRun], list[str]]:
    """Submit a run; answers the runs that reached Dagster's own queue by then."""
    reached: list[str] = []

    def submit_run(_: Any, context: SubmitRunContext) -> dg.DagsterRun:
        reached.append(context.dagster_run.run_id)
        return context.dagster_run

    monkeypatch.setattr(QueuedRunCoordinator, "submit_run", submit_run)
    coordinator = GovernedRunCoordinator()
    coordinator.register_instance(world.instance)
    workspace: Any = SimpleNamespace(asset_graph=DEFS.resolve_asset_graph())

    def submit(run: dg.DagsterRun) -> list[str]:
        coordinator.submit_run(SubmitRunContext(world.reloaded(run), workspace))
        return reached

    return submit


@pytest.fixture
def launch(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[dg.DagsterRun], list[str]]:
    """Launch a run; answers the runs that Dagster's own launcher was told to start by then."""
    started: list[str] = []

    def launch_run(_: Any, context: LaunchRunContext) -> None:
        started.append(context.dagster_run.run_id)

    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", launch_run)
    launcher = GovernedRunLauncher()
    launcher.register_instance(world.instance)

    def launch(run: dg.DagsterRun) -> list[str]:
        launcher.launch_run(LaunchRunContext(world.reloaded(run), workspace=None))
        return started

    return launch


def rewrite(world: World, statement: str, *values: str) -> None:
    """Change Dagster's database past everything."""
    (path,) = world.governed.settings.dagster_state.rglob("runs.db")
    with sqlite3.connect(path) as database:
        changed = database.execute(statement, values).rowcount
    assert changed == 1


def row_of_an_attacker(world: World, run: dg.DagsterRun, *, instead: bool = False) -> dg.DagsterRun:
    """A row written past this deployment's storage, as by whoever holds the database."""
    if instead:
        world.instance.delete_run(run.run_id)
    past_ours: Any = super(RecordingRuns, world.instance.run_storage)
    past_ours.add_run(run)
    return world.reloaded(run)


# --- the tags ------------------------------------------------------------------------------------


def test_the_single_user_launches_as_before(world: World) -> None:
    """With nothing configured: the operating system's user is on every run, and it executes."""
    result = world.execute(world.governed.register())
    assert result.success
    run = world.reloaded(result.dagster_run)
    assert run.tags[ACTOR] == world.plane.access.single_user
    assert run.tags[WORKLOAD] == "test"
    assert Launches.of(world.plane, world.instance).require(run).actor == run.tags[ACTOR]
    assert computed == ["first", "second"]


def test_what_a_client_sends_is_dropped(world: World) -> None:
    """Actor, grant, workload and hold are this deployment's to say."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE):
        sent = {
            "ro__actor": BOSS,
            "ro__grant": "{}",
            "ro__workload": "x",
            "ro__held": "plane",
            "ro__worker": "x",
            "ro__refused": "x",
        }
        run = world.reloaded(world.created(fingerprint, **sent))
    assert run.tags[ACTOR] == ALICE
    assert run.tags[WORKLOAD] == "test"
    assert not {HELD, WORKER, REFUSED} & run.tags.keys()
    Launches.of(world.plane, world.instance).require(run)
    with world.process_of(None):
        bare = world.reloaded(world.created(fingerprint, **sent))
    assert not {ACTOR, GRANT, HELD} & bare.tags.keys()


def test_what_the_daemon_launches_may_wait_longer(world: World) -> None:
    """A pause over a weekend loses nothing of a backfill, sensor or schedule; what a person
    launches is asked for again after a day."""
    fingerprint = world.governed.register()
    grants = [
        SignedGrant.from_json(world.created(fingerprint, **tags).tags[GRANT], where="a test").grant
        for tags in ({}, {"dagster/schedule_name": "hourly"})
    ]
    waits = [moment_of(item.expires_at_utc) - moment_of(item.issued_at_utc) for item in grants]
    assert waits == [timedelta(days=1), timedelta(days=7)]


def test_whose_request_it_is_comes_before_whose_process(world: World) -> None:
    """The gateway serves people: their runs are theirs, not the token's of the gateway."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(DAEMON), acting_as(ALICE):
        assert world.created(fingerprint).tags[ACTOR] == ALICE


FIELDS = st.sampled_from(
    [
        {"run_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12},
        {"job_name": "other"},
        {"asset_selection": frozenset({dg.AssetKey("other")})},
        {"asset_check_selection": frozenset({dg.AssetCheckKey(dg.AssetKey("a"), "b")})},
        {"run_config": {"ops": {"first": {"config": 1}}}},
        {"step_keys_to_execute": ["second"]},
        {"op_selection": ["second"]},
        {"resolved_op_selection": frozenset({"second"})},
        {"parent_run_id": "p", "root_run_id": "p"},
        {"execution_plan_snapshot_id": "s"},
        {"job_snapshot_id": "s"},
    ]
)
TAGS = st.sampled_from(
    [
        "dagster/partition",
        "dagster/partition/dimension",
        "dagster/asset_partition_range_start",
        "dagster/asset_partition_range_end",
        "dagster/backfill",
        "dagster/is_resume_retry",
        "ro/replay",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changed=FIELDS, tag=TAGS, value=st.text(min_size=1, max_size=5))
def test_the_digest_covers_what_is_executed(changed: dict[str, Any], tag: str, value: str) -> None:
    """Law: another job, selection, config, parent or partition, another digest; what Dagster adds
    later, the same one; and a run keeps its digest through Dagster's own serialisation."""
    run = dg.DagsterRun(job_name="test", run_id="1" * 8, run_config={"a": [1, 2.5, None]})
    before = launch_digest(run)
    facts = {name: getattr(run, name) for name in ("run_id", "job_name", "run_config")}
    assert launch_digest(dg.DagsterRun(**{**facts, **changed})) != before
    assert launch_digest(run.with_tags({tag: value})) != before
    assert launch_digest(run.with_tags({".dagster/grpc_info": value, "ro/worker": value})) == before
    stored = dg.deserialize_value(dg.serialize_value(run), dg.DagsterRun)
    assert launch_digest(stored) == before


def test_every_field_of_a_run_is_decided_about() -> None:
    """A field that a new Dagster gives its runs is either signed or named here."""
    signed = launch_facts(dg.DagsterRun(job_name="a", run_id="b")).keys()
    assert len(signed) == 16
    assert set(dg.DagsterRun._fields) == {  # type: ignore[attr-defined]
        *("run_id", "job_name", "remote_job_origin", "job_code_origin", "asset_selection"),
        *("asset_check_selection", "op_selection", "resolved_op_selection"),
        *("step_keys_to_execute", "run_config", "parent_run_id", "root_run_id"),
        *("job_snapshot_id", "execution_plan_snapshot_id", "partitions_subset", "tags"),
        # Where it stands, and what the launcher derives from the plan.
        *("status", "has_repository_load_data", "run_op_concurrency"),
    }


def test_every_field_of_a_backfill_is_decided_about() -> None:
    """A field that a new Dagster gives its backfills is either signed or named here."""
    signed = backfill_facts(backfill_row("a" * 64)).keys()
    assert len(signed) == 9
    assert set(PartitionBackfill._fields) == {
        *("backfill_id", "asset_selection", "run_config", "partition_set_origin"),
        *("partition_names", "reexecution_steps", "from_failure", "asset_backfill_data", "tags"),
        # How far it is, and words: what its runs execute is compared with what is signed.
        *("status", "error", "title", "description", "backfill_timestamp", "failure_count"),
        *("last_submitted_partition_name", "submitting_run_requests", "reserved_run_ids"),
        *("serialized_asset_backfill_data", "backfill_end_timestamp"),
    }


# --- in this process -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "code"), [(None, "RO_NOT_AUTHENTICATED"), (READER, "RO_ACCESS_DENIED")]
)
def test_execution_in_process_authenticates(world: World, holder: str | None, code: str) -> None:
    """Under a policy `dagster asset materialize` without a token, or with a reader's, computes
    nothing: the run fails at its first step, its attempts are REFUSED, and the ledger says so."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(holder):
        result = world.execute(fingerprint)
    assert not result.success
    assert computed == []
    found = world.attempts(fingerprint)
    assert {(item.status, item.error_code) for item in found.values()} == {
        (JobStatus.REFUSED, code)
    }
    (refusal,) = world.refusals()
    assert (refusal.body["code"], refusal.body.get("actor")) == (code, holder)
    with world.process_of(ALICE):
        assert world.execute(fingerprint).success


def test_what_the_plane_does_not_govern_needs_a_grant_too(world: World) -> None:
    """A job of ops alone is launched by somebody, or not at all."""
    world.publish_policy()
    with world.process_of(None):
        assert not world.execute("", job="ungoverned").success
    assert computed == []
    with world.process_of(ALICE):
        assert world.execute("", job="ungoverned").success
    assert computed == ["shout"]


def test_a_role_for_one_workload_is_for_its_own_job(world: World) -> None:
    """Who operates one workload launches its job; not another job, nor assets by hand."""
    scoped = RoleBinding(actor="HUMAN::carol", role=Role.OPERATOR, scope=Scope(workload="test"))
    world.publish_policy(scoped)
    mine, others = world.governed.register(), world.governed.register("another")
    with world.process_of("HUMAN::carol"):
        assert world.execute(mine).success
        assert not world.execute(others).success
        assert not world.execute("", job="ungoverned").success
    assert computed == []


@pytest.mark.parametrize(
    ("holder", "code"), [(None, "RO_NOT_AUTHENTICATED"), (READER, "RO_ACCESS_DENIED")]
)
def test_a_report_outside_of_a_run_is_by_who_may_launch(
    world: World, holder: str | None, code: str
) -> None:
    """What sensors and automation go by is nobody's to invent: nothing is stored; one entry a day
    says that it was tried. An operator, such as the daemon, may."""
    world.publish_policy()
    reports: list[Any] = [
        dg.AssetMaterialization("first"),
        dg.AssetObservation("first"),
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("first"), check_name="a", passed=True, metadata={}
        ),
    ]
    with world.process_of(holder):
        for report in reports:
            with pytest.raises(AccessDeniedError, match=code):
                world.instance.report_runless_asset_event(report)
    assert world.instance.get_latest_materialization_event(dg.AssetKey("first")) is None
    entries = world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    assert [(entry.body["operation"], entry.body.get("actor")) for entry in entries] == [
        ("report", holder)
    ]
    with world.process_of(ALICE):
        world.instance.report_runless_asset_event(reports[0])
    assert world.instance.get_latest_materialization_event(dg.AssetKey("first")) is not None


# --- the coordinator -----------------------------------------------------------------------------


def test_a_bare_webserver_launches_nothing(
    world: World, submit: Callable[[dg.DagsterRun], list[str]]
) -> None:
    """No actor, no launch: CANCELED with the words, attempts REFUSED, on record, not retried."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(None):
        run = world.created(fingerprint, dagster__max_retries="3")
        assert submit(run) == []
    ended = world.reloaded(run)
    assert ended.status is dg.DagsterRunStatus.CANCELED
    assert ended.tags[REFUSED] == "RO_NOT_AUTHENTICATED"
    assert {item.status for item in world.attempts(fingerprint).values()} == {JobStatus.REFUSED}
    assert [entry.body["code"] for entry in world.refusals()] == ["RO_NOT_AUTHENTICATED"]
    assert submit(run) == [run.run_id], "what was decided before is Dagster's to skip"


def test_who_may_launches(world: World, submit: Callable[[dg.DagsterRun], list[str]]) -> None:
    """An operator's run is queued; a reader's is refused in the policy's words."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(DAEMON):
        with acting_as(READER):
            refused = world.created(fingerprint)
            assert submit(refused) == []
        with acting_as(ALICE):
            run = world.created(fingerprint)
            assert submit(run) == [run.run_id]
    assert world.reloaded(refused).tags[REFUSED] == "RO_ACCESS_DENIED"


# --- the launcher, and what is in Dagster's database ----------------------------------------------


def test_a_grant_is_good_for_its_own_run_only(
    world: World, launch: Callable[[dg.DagsterRun], list[str]]
) -> None:
    """A row with a forged grant, one with a copied grant, with the same or another selection, and
    one with none: each is cancelled before anything starts, and recorded."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE):
        genuine = world.reloaded(world.created(fingerprint))
    same = {name: getattr(genuine, name) for name in ("job_name", "run_config", "tags")}
    forged = genuine.tags[GRANT].replace(ALICE, BOSS)
    rows = [
        dg.DagsterRun(**same),
        dg.DagsterRun(**{**same, "asset_selection": frozenset({dg.AssetKey("second")})}),
        dg.DagsterRun(**{**same, "tags": {**genuine.tags, ACTOR: BOSS, GRANT: forged}}),
        dg.DagsterRun(**{**same, "tags": {"dagster/partition": fingerprint}}),
    ]
    with world.process_of(DAEMON):
        for row in rows:
            stored = row_of_an_attacker(world, row)
            assert launch(stored) == []
            assert world.reloaded(stored).status is dg.DagsterRunStatus.CANCELED
        assert launch(genuine) == [genuine.run_id]
    assert [entry.body["code"] for entry in world.refusals()] == ["RO_GRANT_REFUSED"] * 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'"ro/actor": "{ALICE}"', f'"ro/actor": "{BOSS}"'),
        ('"pipeline_name": "test"', '"pipeline_name": "else"'),
        ('"dagster/partition": "', '"dagster/partition": "0'),
    ],
)
def test_a_row_that_was_edited_is_refused(
    world: World, launch: Callable[[dg.DagsterRun], list[str]], old: str, new: str
) -> None:
    """Another actor, job or partition written into a queued run's row by whoever can."""
    world.publish_policy()
    with world.process_of(ALICE):
        run = world.created(world.governed.register())
    rewrite(
        world,
        "UPDATE runs SET run_body = replace(run_body, ?, ?) WHERE run_id = ?",
        *(old, new, run.run_id),
    )
    with world.process_of(DAEMON):
        assert launch(run) == []
    assert world.reloaded(run).tags[REFUSED] == "RO_GRANT_REFUSED"


def test_a_run_is_executed_once_on_its_grant(
    world: World, launch: Callable[[dg.DagsterRun], list[str]]
) -> None:
    """A finished run that is set back to QUEUED is not launched again."""
    result = world.execute(world.governed.register())
    assert launch(result.dagster_run) == []
    assert len(world.refusals()) == 1


def test_a_run_that_was_cancelled_stays_so(
    world: World, launch: Callable[[dg.DagsterRun], list[str]]
) -> None:
    """Its row set back, as by whoever holds the database, starts no worker."""
    run = world.created(world.governed.register())
    world.instance.report_run_canceled(run)
    rewrite(world, "UPDATE runs SET status = ? WHERE run_id = ?", "NOT_STARTED", run.run_id)
    assert launch(run) == []
    assert [entry.body["code"] for entry in world.refusals()] == ["RO_GRANT_REFUSED"]


def test_what_has_succeeded_is_not_executed_again_in_its_run(world: World) -> None:
    """A worker that is started once more for a run that was set back, past the launcher and with no
    token: `dagster api execute_run` and the like. Its steps compute nothing."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE):
        run = world.execute(fingerprint).dagster_run
    before = world.attempts(fingerprint)
    rewrite(
        world,
        "UPDATE runs SET status = ?, run_body = replace(run_body, ?, ?) WHERE run_id = ?",
        *("STARTING", '"SUCCESS"', '"STARTING"', run.run_id),
    )
    computed.clear()
    with world.process_of(None):
        again = world.execute_row(run)
    assert not again.success
    (failed,) = {event.step_key for event in again.all_events if event.is_step_failure}
    assert failed == "first"
    words = [event.event_specific_data for event in again.all_events if event.is_step_failure]
    assert "RO_ATTEMPT_ENDED" in str(words)
    assert computed == []
    assert world.attempts(fingerprint) == before


def test_permission_is_asked_again_when_the_run_leaves_the_queue(
    world: World, launch: Callable[[dg.DagsterRun], list[str]]
) -> None:
    """A role that was withdrawn meanwhile launches nothing."""
    world.publish_policy()
    with world.process_of(ALICE):
        run = world.created(world.governed.register())
    world.perform(AdminActionType.REVOKE_ROLE, {"actor": ALICE, "role": "operator"}, BOSS)
    with world.process_of(DAEMON):
        assert launch(run) == []
    assert world.reloaded(run).tags[REFUSED] == "RO_ACCESS_DENIED"


def test_an_expired_grant_launches_nothing_but_what_runs_goes_on(world: World) -> None:
    """A run that waited a day too long is asked for again; a step of one that has begun starts."""
    run = world.created(world.governed.register())
    expired = world.plane.grants.sign(run.tags[ACTOR], launch_digest(run), timedelta(seconds=-1))
    late = run.with_tags({**run.tags, GRANT: expired})
    launches = Launches.of(world.plane, world.instance)
    with pytest.raises(GrantRefusedError, match="expired"):
        launches.require(late)
    assert launches.require(late, begun=True).actor == run.tags[ACTOR]


# --- backfills and retries -----------------------------------------------------------------------


def backfill_row(*fingerprints: str, backfill_id: str = "b1") -> PartitionBackfill:
    """A backfill of the job, in somebody's name, that is stored nowhere."""
    location = location_of(REPOSITORY / "workspace.yaml", "definitions")
    assert location is not None
    return job_backfill(
        backfill_id,
        job="test",
        partitions=fingerprints,
        tags={ACTOR: BOSS},
        location=location,
        moment=0.0,
        title="again",
    )


def backfill_over(world: World, *fingerprints: str, backfill_id: str = "b1") -> PartitionBackfill:
    """A backfill of the job, as this process asks for it."""
    world.instance.add_backfill(backfill_row(*fingerprints, backfill_id=backfill_id))
    found = world.instance.get_backfill(backfill_id)
    assert isinstance(found, PartitionBackfill)
    return found


def test_the_runs_of_a_backfill_are_launched_for_who_asked(world: World) -> None:
    """The daemon launches them; the actor on each is the person's."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE):
        asked = backfill_over(world, fingerprint)
    assert asked.tags[ACTOR] == ALICE
    with world.process_of(DAEMON):
        run = world.created(fingerprint, dagster__backfill="b1")
        assert run.tags[ACTOR] == ALICE
        progressed = asked._replace(status=BulkActionStatus.CANCELING)
        assert backfill_digest(progressed) == backfill_digest(asked), "progress is not signed"
        Launches.of(world.plane, world.instance).require(world.reloaded(run))


def test_a_backfill_that_nobody_asked_for_launches_nothing(world: World) -> None:
    """Nor one that was changed, nor one for another partition; and nobody but the daemon launches
    in another's name."""
    world.publish_policy()
    mine, others = world.governed.register(), world.governed.register(seed=2)
    past_ours: Any = super(RecordingRuns, world.instance.run_storage)
    past_ours.add_backfill(backfill_row(mine, backfill_id="nobody"))
    with world.process_of(ALICE):
        asked = backfill_over(world, mine)
    with world.process_of(READER):
        assert world.created(mine, dagster__backfill="b1").tags[ACTOR] == READER
    with world.process_of(DAEMON) as plane:
        launches = Launches.of(plane, world.instance)
        for fingerprint, backfill in ((mine, "nobody"), (mine, "deleted"), (others, "b1")):
            run = world.created(fingerprint, dagster__backfill=backfill)
            assert GRANT not in run.tags
            with pytest.raises(GrantRefusedError):
                launches.require(run)
        world.instance.update_backfill(asked._replace(partition_names=[mine, others]))
        with pytest.raises(GrantRefusedError, match="something else"):
            launches.require(world.created(others, dagster__backfill="b1"))


@pytest.mark.parametrize(
    ("holder", "code"), [(None, "RO_NOT_AUTHENTICATED"), (READER, "RO_ACCESS_DENIED")]
)
def test_a_backfill_is_refused_as_it_is_asked_for(
    world: World, holder: str | None, code: str
) -> None:
    """By nobody or a reader: nothing is stored, so the daemon has no run to create; on record."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(holder), pytest.raises(AccessDeniedError) as refused:
        backfill_over(world, fingerprint)
    assert (refused.value.code, refused.value.recorded) == (code, True)
    assert world.instance.get_backfill("b1") is None
    (entry,) = world.refusals()
    assert (entry.body["code"], entry.body.get("actor")) == (code, holder)
    assert entry.body["source"] == "backfill/b1"


def test_a_job_of_that_name_in_another_code_location_is_not_in_the_backfill() -> None:
    """Nobody asked for the code of one location launches that of another."""
    row = backfill_row("a" * 64)
    asked = row.partition_set_origin
    assert asked is not None
    here = asked.repository_origin
    location = here.code_location_origin
    assert isinstance(location, ManagedGrpcPythonEnvCodeLocationOrigin)
    elsewhere = RemoteRepositoryOrigin(
        ManagedGrpcPythonEnvCodeLocationOrigin(location.loadable_target_origin, "elsewhere"),
        here.repository_name,
    )
    for repository, covered in ((here, True), (elsewhere, False)):
        run = dg.DagsterRun(
            job_name="test",
            tags={"dagster/partition": "a" * 64},
            remote_job_origin=RemoteJobOrigin(repository, "test"),
        )
        assert backfill_covers(row, run) is covered


def test_a_retry_by_the_daemon_is_for_who_launched_first(world: World) -> None:
    """What Dagster retries stays the person's; what the daemon starts itself is the daemon's."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE):
        root = world.created(fingerprint)
    with world.process_of(DAEMON):
        retried = world.instance.create_run_for_job(
            DEFS.resolve_job_def("test"),
            tags={"dagster/partition": fingerprint, "dagster/retry_number": "1"},
            parent_run_id=root.run_id,
            root_run_id=root.run_id,
        )
        assert retried.tags[ACTOR] == ALICE
        assert world.created(fingerprint).tags[ACTOR] == DAEMON


def test_a_forged_failure_is_not_retried_in_anybodys_name(world: World) -> None:
    """The daemon retries what rows say has failed: one that was written past the storage, or that
    was launched for something else, gives its retry no grant."""
    world.publish_policy()
    fingerprint, others = world.governed.register(), world.governed.register(seed=2)
    with world.process_of(ALICE):
        genuine = world.reloaded(world.created(fingerprint))
    forged = row_of_an_attacker(
        world,
        dg.DagsterRun(
            job_name="test",
            tags=genuine.tags,
            parent_run_id=genuine.run_id,
            root_run_id=genuine.run_id,
        ),
    )
    with world.process_of(DAEMON) as plane:
        for parent, partition in ((forged, fingerprint), (genuine, others)):
            run = world.instance.create_run_for_job(
                DEFS.resolve_job_def("test"),
                tags={"dagster/partition": partition, "dagster/retry_number": "1"},
                parent_run_id=parent.run_id,
                root_run_id=genuine.run_id,
            )
            assert GRANT not in run.tags
            with pytest.raises(GrantRefusedError):
                Launches.of(plane, world.instance).require(run)


def test_what_was_launched_long_ago_is_not_retried(world: World) -> None:
    """A failure that is written into the database for an old run launches nothing on its grant."""
    world.publish_policy()
    fingerprint = world.governed.register()
    with world.process_of(ALICE) as plane:
        bare = world.created(fingerprint)
        earlier = Grants(
            lambda: plane.grants._signer(),
            lambda: plane.grants._trusted(),
            plane.access.environment,
            lambda: plane.clock() - UNATTENDED_LIFETIME - timedelta(minutes=1),
        )
        old = earlier.sign(ALICE, launch_digest(bare))
    parent = row_of_an_attacker(world, bare.with_tags({**bare.tags, GRANT: old}), instead=True)
    with world.process_of(DAEMON) as plane:
        Launches.of(plane, world.instance).require(parent, begun=True)
        run = world.instance.create_run_for_job(
            DEFS.resolve_job_def("test"),
            tags={"dagster/partition": fingerprint, "dagster/retry_number": "1"},
            parent_run_id=parent.run_id,
            root_run_id=parent.run_id,
        )
        assert GRANT not in run.tags
        with pytest.raises(GrantRefusedError, match="too long ago"):
            Launches.of(plane, world.instance).require(run)


def test_nobody_is_known_without_a_token(world: World) -> None:
    """The words of a missing grant are why there is none."""
    world.publish_policy()
    with world.process_of(None) as plane:
        run = world.created(world.governed.register())
        with pytest.raises(NotAuthenticatedError):
            Launches.of(plane, world.instance).require(run)
