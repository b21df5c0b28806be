"""Pause and drain: a fact of the ledger that every way to start work finds."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._utils.tags import TagConcurrencyLimitsCounter

from ro_platform.access.identity import acting_as
from ro_platform.contracts import AdminActionType, JobStatus
from ro_platform.dagster_private.launches import LaunchRunContext, location_of
from ro_platform.dagster_private.running import SubmitRunContext
from ro_platform.errors import BackendUnavailableError, PausedError
from ro_platform.orchestration import govern, when_passed
from ro_platform.orchestration.admin_job import admin_job
from ro_platform.orchestration.coordinator import REFUSED, REFUSED_BY, GovernedRunCoordinator
from ro_platform.orchestration.inbox import manifest_inbox
from ro_platform.orchestration.launcher import GovernedRunLauncher
from ro_platform.orchestration.launches import ADMIN_JOB, HELD, pause_words
from ro_platform.plane import Plane
from ro_platform.testing import EphemeralPlane
from tests.acceptance.product import ROOT
from tests.orchestration.launch_world import DEFS, World, computed

PAUSE, RESUME, DRAIN = AdminActionType.PAUSE, AdminActionType.RESUME, AdminActionType.DRAIN
_Status = dg.DagsterRunStatus


class Queue:
    """Dagster's queue with our coordinator and launcher, and the daemon's decision which runs
    leave it; a worker is not started but noted."""

    def __init__(self, world: World, started: list[str]) -> None:
        self._world = world
        self._coordinator = GovernedRunCoordinator(max_concurrent_runs=10)
        self._coordinator.register_instance(world.instance)
        self._launcher = GovernedRunLauncher()
        self._launcher.register_instance(world.instance)
        self.started = started

    def submit(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """As the UI and the daemon do."""
        workspace: Any = SimpleNamespace(asset_graph=DEFS.resolve_asset_graph())
        self._coordinator.submit_run(SubmitRunContext(self._world.reloaded(run), workspace))
        return self._world.reloaded(run)

    def look(self) -> list[str]:
        """One look of the daemon at the queue: what it takes out is launched. Answers it."""
        config = self._coordinator.get_run_queue_config()
        if config.max_concurrent_runs == 0:
            return []
        limits = TagConcurrencyLimitsCounter(config.tag_concurrency_limits, [])
        waiting = self._world.instance.get_runs(dg.RunsFilter(statuses=[_Status.QUEUED]))
        taken = [run for run in waiting if not limits.is_blocked(run)]
        for run in taken:
            self._launcher.launch_run(LaunchRunContext(run, workspace=None))
        return [run.run_id for run in taken]


@pytest.fixture
def world(governed: EphemeralPlane) -> World:
    """A deployment in its single-user mode."""
    computed.clear()
    return World(governed)


@pytest.fixture
def queue(world: World, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Its queue."""
    started: list[str] = []

    def launch_run(_: Any, context: LaunchRunContext) -> None:
        started.append(context.dagster_run.run_id)

    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", launch_run)
    return Queue(world, started)


@pytest.fixture
def created(world: World) -> Callable[..., dg.DagsterRun]:
    """A run as the UI creates it: with the origin of its job, which the queue wants."""

    def create(fingerprint: str, **tags: str) -> dg.DagsterRun:
        location = location_of(ROOT / "workspace.yaml", "definitions")
        assert location is not None
        repository = RemoteRepositoryOrigin(location, "__repository__")
        keyed = {"dagster/partition": fingerprint}
        return world.instance.create_run_for_job(
            DEFS.resolve_job_def("test"),
            tags={**keyed, **{key.replace("__", "/"): value for key, value in tags.items()}},
            remote_job_origin=RemoteJobOrigin(repository, "test"),
        )

    return create


TARGETS = pytest.mark.parametrize("target", ["plane", "workload/test", "asset/second"])


@TARGETS
def test_a_person_is_refused_with_who_why_and_since(
    world: World, queue: Queue, created: Callable[..., dg.DagsterRun], target: str
) -> None:
    """The run is CANCELED with the words, its attempts REFUSED, and that is on record."""
    world.act(PAUSE, target)
    fingerprint = world.governed.register()
    run = queue.submit(created(fingerprint))
    assert (run.status, run.tags[REFUSED], run.tags[REFUSED_BY]) == (
        _Status.CANCELED,
        "RO_PAUSED",
        target,
    )
    (pause,) = world.plane.pauses.standing()
    (refusal,) = world.refusals()
    for words in (pause.actor, pause.reason, pause.since):
        assert words in str(refusal.body["reason"])
    assert {item.error_code for item in world.attempts(fingerprint).values()} == {"RO_PAUSED"}
    assert queue.look() == []
    world.act(RESUME, target)
    again = queue.submit(created(fingerprint))
    assert queue.look() == [again.run_id]


@TARGETS
def test_what_was_queued_waits_and_goes_on(
    world: World, queue: Queue, created: Callable[..., dg.DagsterRun], target: str
) -> None:
    """Nothing starts while the pause stands, however often the daemon looks, and another process
    reads the same; afterwards it starts."""
    run = queue.submit(created(world.governed.register()))
    assert run.status is _Status.QUEUED
    world.act(PAUSE, target)
    looks = [queue.look() for _ in range(3)]
    assert looks[1:] == [[], []], "at most once it is taken, and put back"
    assert queue.started == []
    assert world.reloaded(run).status is _Status.QUEUED
    restarted = Plane.open(world.governed.settings)
    assert [pause.target for pause in restarted.pauses.standing()] == [target]
    world.act(RESUME, target)
    assert queue.look() == [run.run_id]
    assert queue.started == [run.run_id]


def test_two_pauses_hold_one_after_the_other(
    world: World, queue: Queue, created: Callable[..., dg.DagsterRun]
) -> None:
    """Ending one does not end the other."""
    run = queue.submit(created(world.governed.register()))
    for target in ("asset/first", "asset/second"):
        world.act(PAUSE, target)
    queue.look()
    held = world.reloaded(run).tags[HELD]
    world.act(RESUME, held)
    queue.look()
    assert world.reloaded(run).tags[HELD] != held
    assert queue.started == []
    world.act(RESUME, world.reloaded(run).tags[HELD])
    queue.look()
    assert queue.started == [run.run_id]


def test_others_go_on(world: World, queue: Queue, created: Callable[..., dg.DagsterRun]) -> None:
    """A pause of one workload or asset stops no other."""
    for target in ("workload/another", "asset/third"):
        world.act(PAUSE, target)
    run = queue.submit(created(world.governed.register()))
    assert queue.look() == [run.run_id]
    assert queue.started == [run.run_id]


BY_THE_DAEMON = {
    "sensor": {"dagster__sensor_name": "a"},
    "schedule": {"dagster__schedule_name": "a"},
    "backfill": {"dagster__backfill": "a"},
    "retry": {"dagster__retry_number": "1"},
    "automation condition": {"dagster__from_automation_condition": "true"},
    "auto-materialize": {"dagster__auto_materialize": "true"},
}
STOPS = pytest.mark.parametrize(
    ("stop", "target"),
    [(PAUSE, "plane"), (PAUSE, "workload/test"), (PAUSE, "asset/second"), (DRAIN, "plane")],
)


@STOPS
@pytest.mark.parametrize("way", BY_THE_DAEMON)
def test_what_the_daemon_launches_waits_and_is_not_lost(
    world: World,
    queue: Queue,
    created: Callable[..., dg.DagsterRun],
    way: str,
    stop: AdminActionType,
    target: str,
) -> None:
    """Nobody is there to be told: it is queued, stays so however often the daemon looks, and starts
    after the pause."""
    world.act(stop, target)
    fingerprint = world.governed.register()
    run = queue.submit(created(fingerprint, **BY_THE_DAEMON[way]))
    for _ in range(3):
        queue.look()
        assert world.reloaded(run).status is _Status.QUEUED
    assert queue.started == []
    assert {item.status for item in world.attempts(fingerprint).values()} == {JobStatus.QUEUED}
    world.act(RESUME, target)
    queue.look()
    assert queue.started == [run.run_id]


def test_a_person_who_writes_a_tag_of_the_daemon_is_refused(
    world: World, queue: Queue, created: Callable[..., dg.DagsterRun]
) -> None:
    """Whose request it is says who launches, not a tag that a client sends."""
    world.act(PAUSE, "workload/test")
    with acting_as(world.plane.access.single_user):
        for tags in BY_THE_DAEMON.values():
            run = queue.submit(created(world.governed.register(), **tags))
            assert run.tags[REFUSED] == "RO_PAUSED"


def _by_job(world: World, _run: dg.DagsterRun, fingerprint: str) -> bool:
    return world.execute(fingerprint).success


def _by_assets(world: World, _run: dg.DagsterRun, fingerprint: str) -> bool:
    assets: Any = DEFS.assets
    result = dg.materialize(
        list(assets),
        instance=world.instance,
        partition_key=fingerprint,
        resources=DEFS.resources,
        raise_on_error=False,
    )
    return result.success


def _by_worker(world: World, run: dg.DagsterRun, _fingerprint: str) -> bool:
    return world.execute_row(run).success


@STOPS
@pytest.mark.parametrize("way", [_by_job, _by_assets, _by_worker])
def test_execution_in_this_process_is_refused(
    world: World,
    way: Callable[[World, dg.DagsterRun, str], bool],
    stop: AdminActionType,
    target: str,
) -> None:
    """`dagster job execute`, `dagster asset materialize`, and a worker that is started past the
    launcher: the run fails before anything computes, and its attempts are REFUSED. After the pause
    the same way works."""
    fingerprint = world.governed.register()
    run = world.created(fingerprint)
    world.act(stop, target)
    assert not way(world, run, fingerprint)
    assert computed == []
    newest = {item.unit: item for item in world.plane.attempts.of_run(fingerprint)}.values()
    assert {(item.status, item.error_code) for item in newest} == {(JobStatus.REFUSED, "RO_PAUSED")}
    world.act(RESUME, target)
    assert way(world, world.created(fingerprint), fingerprint)
    assert computed == ["first", "second"]


def test_a_run_that_has_begun_goes_on(world: World) -> None:
    """A pause starts nothing, and stops nothing: the second step follows the first."""

    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="manifests"))
    def pausing() -> int:
        world.act(PAUSE, "plane")
        return 1

    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="manifests"))
    def after(pausing: int) -> int:
        return pausing

    bound = govern(dg.Definitions(assets=[pausing, after]))
    result = dg.materialize(
        [pausing, after],
        instance=world.instance,
        partition_key=world.governed.register(),
        resources=bound.resources,
    )
    assert result.success
    assert [pause.target for pause in world.plane.pauses.standing()] == ["plane"]


def test_administration_goes_on_while_everything_is_paused(world: World, queue: Queue) -> None:
    """Or nobody could resume from the launchpad."""
    world.act(PAUSE, "plane")
    limits = TagConcurrencyLimitsCounter(
        queue._coordinator.get_run_queue_config().tag_concurrency_limits, []
    )
    asked = {"ops": {"administer": {"config": {"action_type": "resume", "reason": "a test"}}}}
    run = world.instance.create_run_for_job(admin_job, run_config=asked)
    assert run.job_name == ADMIN_JOB
    assert not limits.is_blocked(run)
    assert limits.is_blocked(world.created(world.governed.register()))
    assert limits.is_blocked(world.created("", job="ungoverned"))


def test_a_drain_starts_nothing_either(
    world: World, queue: Queue, created: Callable[..., dg.DagsterRun]
) -> None:
    """It is a pause that also waits; its words say that it drains."""
    world.act(DRAIN, "plane")
    run = queue.submit(created(world.governed.register()))
    assert run.status is _Status.CANCELED
    assert "is being drained" in str(world.refusals()[0].body["reason"])


def test_a_ledger_that_does_not_answer_lets_nothing_out(
    world: World,
    queue: Queue,
    created: Callable[..., dg.DagsterRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue is not read, and what was taken already goes back: nothing is decided, or lost."""
    run = queue.submit(created(world.governed.register()))

    def away(*_: Any, **__: Any) -> Any:
        raise BackendUnavailableError("the ledger is away.")

    with monkeypatch.context() as gone:
        gone.setattr(type(world.plane.pauses), "require_running", away)
        assert queue.look() == [run.run_id]
        assert world.reloaded(run).status is _Status.QUEUED
        gone.setattr(type(world.plane.pauses), "standing", away)
        with pytest.raises(BackendUnavailableError):
            queue.look()
    queue.look()
    assert queue.started == [run.run_id]


def test_sensors_skip_and_say_why(world: World) -> None:
    """Neither the inbox nor a passing sensor launches while the plane is paused; their cursors
    stay where they are."""
    world.act(PAUSE, "plane")
    words = pause_words(world.plane)
    assert words is not None
    job = dg.define_asset_job("adding", selection=["second"])
    repository = dg.Definitions(
        assets=DEFS.assets, jobs=[job], resources=DEFS.resources
    ).get_repository_def()
    for sensor in (manifest_inbox([job]), when_passed(job)):
        context = dg.build_sensor_context(
            instance=world.instance,
            repository_def=repository,
            resources={"plane": (DEFS.resources or {})["plane"]},
            cursor="{}",
        )
        told = sensor.evaluate_tick(context)
        assert told.skip_message == words
        assert not told.run_requests
        assert told.cursor == "{}"


def test_pauses_are_named_by_target_alone(world: World) -> None:
    """What is not paused is not spoken of; the error says who, why and since when."""
    world.act(PAUSE, "workload/adding")
    assert pause_words(world.plane) is None
    with pytest.raises(PausedError) as refused:
        world.plane.pauses.require_running(workload="adding", assets=[])
    facts = refused.value.diagnostics()
    assert {"actor", "since", "reason", "target"} <= facts.keys()
