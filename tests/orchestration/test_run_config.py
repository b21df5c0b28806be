"""What a launch may say beside its manifest: nothing of the plane, and nothing that decides."""

import functools
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.contracts import EntryKind, GateRule, JobStatus
from ro_platform.dagster_private.definitions import subset_of
from ro_platform.errors import RunConfigError
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.orchestration.declarations import Declarations, DeclaredAsset, DeclaredGate
from ro_platform.orchestration.run_config import (
    config_digest,
    config_of_part,
    own_config,
    require_complete,
    require_own_config,
)
from ro_platform.testing import EphemeralPlane, ephemeral_plane
from tests.effort import times
from tests.orchestration.config_world import (
    FORMS,
    QUIET,
    WAYS,
    by_worker,
    counting,
    defs,
    given_to,
    limited,
    orders,
)


@dg.asset
def made() -> dict[str, int]:
    """An asset with a gate."""
    return {}


@gate(asset=made, code_version="in-force")
def is_good(made: dict[str, int]) -> dg.AssetCheckResult:
    """Its gate."""
    return dg.AssetCheckResult(passed=True)


@dg.asset(deps=[made])
def consumer(plane: PlaneResource) -> dict[str, int]:
    """What asks the plane for more than an IO manager gives."""
    assert plane.gates_of("made")
    return {}


DEFS = govern(
    dg.Definitions(
        assets=[made, consumer],
        asset_checks=[is_good],
        jobs=[dg.define_asset_job("test", selection="*")],
    )
)
DECLARED = [{"asset": "made", "gates": [{"gate_id": "made.is_good", "code_version": "later"}]}]


@pytest.mark.parametrize("resource", ["plane", "io_manager"])
@pytest.mark.parametrize(
    "config",
    [
        {"declared": DECLARED},
        {"declared": []},
        {"declarations": DECLARED},
        {"declarations": []},
        {"declarations": None},
        {"plane": {"declarations": []}},
        {"plane": {}},
        {"anything": 1},
        {"env": "HOME"},
        [],
        "x",
    ],
)
def test_nothing_of_the_plane_is_configurable_at_launch(
    governed: EphemeralPlane, resource: str, config: Any
) -> None:
    """Dagster itself refuses every entry, before a step starts."""
    with pytest.raises(dg.DagsterInvalidConfigError):
        DEFS.resolve_job_def("test").execute_in_process(
            instance=governed.instance,
            partition_key=governed.register(),
            run_config={"resources": {resource: {"config": config}}},
        )
    assert governed.plane.gates.gates_of("made") is None


def test_what_the_code_declares_reaches_every_step(governed: EphemeralPlane) -> None:
    """The gate on record is the code's own, and a consumer that loads nothing is guarded."""
    done = DEFS.resolve_job_def("test").execute_in_process(
        instance=governed.instance, partition_key=governed.register()
    )
    assert done.success
    assert governed.plane.gates.gates_of("made") == (
        GateRule(gate_id="made.is_good", code_version="in-force"),
    )


def test_a_declaration_is_not_changed_once_it_is_made() -> None:
    """It is handed from the definitions to each process as one value."""
    declared = DeclaredAsset("made", gates=(DeclaredGate("made.is_good", "1", ("a",)),))
    assert hash(declared) == hash(DeclaredAsset("made", gates=declared.gates))
    with pytest.raises(AttributeError):
        declared.gates[0].code_version = "2"  # type: ignore[misc]
    assert Declarations([declared]).made_here == {"made"}


# --- every way gives the same ---------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_way_computes_the_same_with_the_jobs_own_config(tmp_path: Path, form: str) -> None:
    """`ro run`, in process and launched: one digest for each asset, and one config on record."""
    made: dict[str, tuple[Any, ...]] = {}
    ways = ["in_process", "by_worker", "by_ro_run"]
    if form == "automatic":
        ways.remove("in_process")  # where Dagster 1.13 itself fails
    for way in ways:
        with ephemeral_plane(tmp_path / way) as governed:
            fingerprint = governed.register(form)
            WAYS[way](governed, form, fingerprint, None)
            found = governed.plane.attempts.of_run(fingerprint)
            assert {item.status for item in found} == {JobStatus.SUCCEEDED}, (way, found)
            units = ((item.unit, item.job_config_digest, item.outputs) for item in found)
            made[way] = tuple(
                (unit, config, [output.artifact.digest for output in outputs])
                for unit, config, outputs in sorted(units, key=lambda unit: unit[0])
            )
    assert [*made.values()] == [made["by_ro_run"]] * len(ways)
    decides = form in ("mapping", "run_config", "partitioned", "resource", "nested")
    assert all((config is not None) is decides for _, config, _ in made["by_ro_run"])


def test_what_is_left_of_a_job_takes_its_own_config_as_well(governed: EphemeralPlane) -> None:
    """A part of it is made in a worker, `ro run` does the rest, and both are of one config."""
    fingerprint = governed.register("mapping")
    part = subset_of(defs.resolve_job_def("mapping"), [orders.key], [])
    assert config_of_part(part, {"ops": {"taken": {}, "orders": {}}}) == {"ops": {"orders": {}}}
    part.execute_in_process(
        instance=governed.instance, partition_key=fingerprint, run_config=limited(3)
    )
    WAYS["by_ro_run"](governed, "mapping", fingerprint, None)
    found = governed.plane.attempts.of_run(fingerprint)
    assert {item.unit for item in found} == {"orders", "orders#any_order", "taken"}
    assert {item.status for item in found} == {JobStatus.SUCCEEDED}
    assert {item.job_config_digest for item in found} == {config_digest(limited(3))}


def test_a_job_gives_each_manifest_its_own_config(governed: EphemeralPlane) -> None:
    """What the partitioned config says for one manifest is not taken for another."""
    one, other = (governed.register("partitioned", parameters={"n": n}) for n in (1, 2))
    assert given_to("partitioned", one) != given_to("partitioned", other)
    by_worker(governed, "partitioned", one, given_to("partitioned", other))
    assert {item.error_code for item in governed.plane.attempts.of_run(one)} == {"RO_RUN_CONFIG"}
    by_worker(governed, "partitioned", other, None)
    assert {item.status for item in governed.plane.attempts.of_run(other)} == {JobStatus.SUCCEEDED}


# --- what a launch may not say -------------------------------------------------------------------

FOREIGN = [
    ("plain", limited(9), "ops.orders.config.limit"),
    ("plain", {"ops": {"orders": {"config": {"labels": {}}}}}, "ops.orders.config.labels.a"),
    ("plain", {"resources": {"source": {"config": {"start": 1}}}}, "resources.source.config.start"),
    (
        "plain",
        {"ops": {"taken": {"ops": {"take": {"config": {"limit": 1}}}}}},
        "ops.taken.take.config.limit",
    ),
    ("mapping", limited(4), "ops.orders.config.limit"),
    ("mapping", QUIET, "ops.orders.config.limit"),
    ("resource", QUIET, "resources.source.config.start"),
    ("nested", QUIET, "ops.taken.take.config.limit"),
    ("partitioned", QUIET, "ops.orders.config.limit"),
]


@pytest.mark.parametrize("way", ["in_process", "by_worker", "materialized"])
@pytest.mark.parametrize(("form", "config", "path"), FOREIGN)
def test_what_a_launch_decides_beside_its_manifest_is_refused(
    governed: EphemeralPlane, way: str, form: str, config: dict[str, Any], path: str
) -> None:
    """By its path, before anything computes; on record; and nothing is bound or judged.

    Past every job there is no own config that could be left out.
    """
    if way == "materialized" and config == QUIET:
        pytest.skip("a script that gives no config gives nothing that decides")
    fingerprint = governed.register(form)
    with counting() as computed:
        WAYS[way](governed, form, fingerprint, config)
        assert computed == []
    found = governed.plane.attempts.of_run(fingerprint)
    assert {item.error_code for item in found} == {"RO_RUN_CONFIG"}
    assert {item.status for item in found} == {JobStatus.REFUSED}
    named = path.replace("taken.take", "taken.ops.take") if way == "materialized" else path
    assert f"`{named.removesuffix('.a') if way == 'materialized' else named}`" in (
        found[0].error or ""
    )
    assert governed.plane.store.binding("orders", fingerprint) is None
    refused = [
        entry.body
        for entry in governed.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
        if entry.body["code"] == "RO_RUN_CONFIG"
    ]
    assert [body["actor"] for body in refused] == [governed.plane.access.single_user]
    WAYS["by_worker"](governed, form, fingerprint, None)
    assert governed.plane.store.binding("orders", fingerprint) is not None


@pytest.mark.parametrize("way", ["in_process", "by_worker"])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ops": {}, "resources": {}},
        {"ops": {"orders": {"config": {}}}},
        limited(10),
        {"ops": {"orders": {"config": {"limit": 10, "labels": {"a": "b"}}}}},
        {"resources": {"source": {"config": {"start": 0}}, "plane": {"config": {}}}},
        {"loggers": {"json": {"config": {"log_level": "CRITICAL"}}}},
        {"execution": {"config": {"retries": {"enabled": {}}}}},
    ],
)
def test_what_comes_to_the_same_is_taken(
    governed: EphemeralPlane, way: str, config: dict[str, Any]
) -> None:
    """Nothing, scaffolded defaults, loggers, and whether steps are retried."""
    fingerprint = governed.register("plain")
    WAYS[way](
        governed, "plain", fingerprint, {**QUIET, **config} if way == "in_process" else config
    )
    found = governed.plane.attempts.of_run(fingerprint)
    assert {item.status for item in found} == {JobStatus.SUCCEEDED}
    assert {item.job_config_digest for item in found} == {None}


@pytest.mark.parametrize(
    ("execution", "path"),
    [
        (
            {
                "config": {
                    "multiprocess": {"start_method": {"forkserver": {"preload_modules": ["x"]}}}
                }
            },
            "execution.config.multiprocess.start_method.forkserver.preload_modules",
        ),
        ({"config": {"env_vars": ["FLOOR=-100"]}}, "execution.config.env_vars"),
        ({"config": {"image": "another"}}, "execution.config.image"),
        ({"config": {"step_k8s_config": {"a": 1}}}, "execution.config.step_k8s_config.a"),
        (
            {"config": {"container_kwargs": {"environment": {"retries": "x"}}}},
            "execution.config.container_kwargs.environment.retries",
        ),
    ],
)
def test_of_an_executor_a_launch_says_only_how_much_runs_at_once(
    execution: dict[str, Any], path: str
) -> None:
    """What says what runs, such as an image, an environment or modules, is the code's."""
    run = dg.DagsterRun("plain", run_config={"execution": execution})
    with pytest.raises(RunConfigError, match=f"`{path}`"):
        require_own_config(defs.resolve_job_def("plain"), run, ["0" * 64])
    own = job_with({"execution": {"config": {"retries": {"disabled": {}}}}})
    again = dg.DagsterRun("own", run_config={"execution": {"config": {"retries": {"enabled": {}}}}})
    assert require_own_config(own, again, ["0" * 64]) is None


@dg.op(config_schema=dict)
def takes_anything(context: dg.OpExecutionContext) -> None:
    """An op to whose config no schema gives a type."""
    context.log.info(str(context.op_config))


@pytest.mark.parametrize(
    ("gives", "launched"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [0, {"b": 0}]}, {"a": [0, {"b": False}]}),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": 1, "b": None}, {"a": 1}),
    ],
)
def test_values_that_only_python_takes_for_equal_are_told_apart(
    gives: dict[str, Any], launched: dict[str, Any]
) -> None:
    """Where no schema gives a type, true is not 1, 1.0 neither, and nothing is not an absence."""

    def of(config: dict[str, Any]) -> dict[str, Any]:
        return {"ops": {"takes_anything": {"config": config}}}

    @dg.job(config=of(gives))
    def loose() -> None:
        takes_anything()

    same = dg.DagsterRun("loose", run_config=of(gives))
    assert require_own_config(loose, same, ["0" * 64]) is not None
    other = dg.DagsterRun("loose", run_config=of(launched))
    with pytest.raises(RunConfigError, match=r"`ops\.takes_anything\.config"):
        require_own_config(loose, other, ["0" * 64])


def job_with(config: Any) -> dg.JobDefinition:
    """A job named `own` with this config."""
    job = dg.define_asset_job("own", selection="*", config=config)
    location = dg.Definitions(assets=[orders], resources=defs.resources, jobs=[job])
    return govern(replace_resources(location)).resolve_job_def("own")


def replace_resources(location: dg.Definitions) -> dg.Definitions:
    """Without what `govern` brings."""
    theirs = {"source": (location.resources or {})["source"]}
    return dg.Definitions(assets=location.assets, resources=theirs, jobs=location.jobs)


def test_the_environment_decides_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of `ops` by a variable is refused, also where the job itself says so. One of a
    resource is taken, and a mapping that only looks like one is a value."""
    monkeypatch.setenv("LIMIT", "3")
    for config in (limited({"env": "LIMIT"}), dg.RunConfig(ops={"orders": limited_by_variable()})):
        job = job_with(config)
        run = dg.DagsterRun("own", run_config=dict(own_config(job, "0" * 64)))
        with pytest.raises(RunConfigError, match="variable LIMIT"):
            require_own_config(job, run, ["0" * 64])
    taken: list[dict[str, Any]] = [
        {"resources": {"source": {"config": {"start": {"env": "LIMIT"}}}}},
        {"ops": {"orders": {"config": {"labels": {"env": "LIMIT"}}}}},
    ]
    for config in taken:
        job = job_with(config)
        digest = require_own_config(job, dg.DagsterRun("own", run_config=config), ["0" * 64])
        monkeypatch.setenv("LIMIT", "4")
        assert digest == config_digest(config) == config_digest(own_config(job, "1" * 64))


def limited_by_variable() -> dg.Config:
    """A config whose limit is a variable's."""

    class ByVariable(dg.Config):
        limit: int = dg.EnvVar.int("LIMIT")

    return ByVariable(limit=dg.EnvVar.int("LIMIT"))


def test_manifests_with_different_configs_do_not_share_a_run() -> None:
    """A run has one config, so it could be right for one of them only."""
    job = defs.resolve_job_def("partitioned")
    run = dg.DagsterRun("partitioned", run_config=given_to("partitioned", "0" * 64))
    with pytest.raises(RunConfigError, match="2 manifests"):
        require_own_config(job, run, ["0" * 64, "1" + "0" * 63])
    assert require_own_config(job, run, ["0" * 64])


def test_a_value_that_is_required_and_given_nowhere_is_named() -> None:
    """A config class without a default, and a job without a config: no fault of the program."""

    class Needed(dg.Config):
        floor: int

    @dg.op
    def work(config: Needed) -> None: ...

    @dg.job
    def bare() -> None:
        work()

    with pytest.raises(RunConfigError, match="floor"):
        require_complete(bare, {})
    require_complete(bare, {"ops": {"work": {"config": {"floor": 1}}}})


def test_a_partitioned_config_that_fails_says_so() -> None:
    """The user's own function is at fault, and is named."""

    def failing(key: str) -> dict[str, Any]:
        raise KeyError(key)

    job = job_with(dg.PartitionedConfig(MANIFESTS, run_config_for_partition_key_fn=failing))
    with pytest.raises(RunConfigError, match="job 'own' cannot be made for manifest 0000"):
        own_config(job, "0" * 64)


LIMITS = st.one_of(st.none(), st.integers(0, 12))


@settings(max_examples=times(60), deadline=None)
@given(own=LIMITS, given_limit=LIMITS, start=LIMITS, given_start=LIMITS)
def test_a_launch_is_taken_exactly_if_it_comes_to_what_the_code_gives(
    own: int | None, given_limit: int | None, start: int | None, given_start: int | None
) -> None:
    """Over values that are written, left out, and equal to a default."""

    def config(limit: int | None, start: int | None) -> dict[str, Any]:
        first = {} if limit is None else limited(limit)
        second = {"resources": {"source": {"config": {"start": start}}}}
        return first | ({} if start is None else second)

    job = job_of(own, start)
    run = dg.DagsterRun("own", run_config=config(given_limit, given_start))
    same = (10 if own is None else own) == (10 if given_limit is None else given_limit)
    same &= (start or 0) == (given_start or 0)
    if same:
        assert require_own_config(job, run, ["0" * 64]) == config_digest(config(own, start))
    else:
        with pytest.raises(RunConfigError):
            require_own_config(job, run, ["0" * 64])


@functools.cache
def job_of(limit: int | None, start: int | None) -> dg.JobDefinition:
    """A job that gives these."""
    second = {"resources": {"source": {"config": {"start": start}}}}
    config = ({} if limit is None else limited(limit)) | ({} if start is None else second)
    return job_with(config)
