"""Each thing taken from Dagster's insides means what ``ro_platform.dagster_private`` assumes it to
mean, and is taken nowhere else."""

import ast
import importlib
import inspect
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import ro_platform
from ro_platform.dagster_private import definitions, running
from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.testing import EphemeralPlane

ROOT = Path(ro_platform.__file__).parent
REPOSITORY = ROOT.parent
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields"}
PAGES = (
    "CONTRIBUTING.md",
    "docs/explanation/architecture.md",
    "docs/reference/dagster.md",
    "docs/model_spec/meta-layers/run_operate_plane/AGENTS.md",
)
"""Those that say what is taken from Dagster beyond its public interface."""
Materialize = Callable[..., dg.ExecuteInProcessResult]


@dg.asset(partitions_def=MANIFESTS, code_version="5", key_prefix="deep")
def first() -> dict[str, int]:
    return {}


@dg.multi_asset(
    outs={"left": dg.AssetOut(), "right": dg.AssetOut()},
    ins={"first": dg.AssetIn(["deep", "first"])},
    partitions_def=MANIFESTS,
)
def pair(first: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    return first, first


@gate(asset=first, code_version="1")
def is_good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def job() -> dg.JobDefinition:
    everything = dg.define_asset_job("everything", selection="*")
    defs = govern(dg.Definitions(assets=[first, pair], asset_checks=[is_good], jobs=[everything]))
    return defs.resolve_job_def("everything")


FIRST, LEFT, RIGHT = dg.AssetKey(["deep", "first"]), dg.AssetKey("left"), dg.AssetKey("right")
CHECK = dg.AssetCheckKey(FIRST, "is_good")


def events(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.event_type is kind]


def logged(plane: EphemeralPlane, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    """Events of that kind as Dagster stored them, planned ones included."""
    records = plane.instance.all_logs(run_id, of_type=kind)
    return [record.dagster_event for record in records if record.dagster_event]


def test_the_order_of_a_jobs_assets_puts_producers_first() -> None:
    """And holds only what the job materializes."""
    order = definitions.asset_order(job())
    assert set(order) == {FIRST, LEFT, RIGHT}
    assert order[0] == FIRST


def test_a_jobs_gates_are_those_of_the_asset() -> None:
    """The checks of one asset, none for another."""
    assert definitions.job_gates(job(), FIRST) == {CHECK}
    assert definitions.job_gates(job(), LEFT) == frozenset()


def test_the_execution_set_is_what_one_step_makes_together() -> None:
    """A multi-asset's outputs come together; a plain asset comes alone."""
    assert definitions.execution_set(job(), LEFT) == {LEFT, RIGHT}
    assert definitions.execution_set(job(), FIRST) == {FIRST}


def test_a_subset_runs_what_was_asked_for_and_nothing_else(governed: EphemeralPlane) -> None:
    """An asset without its checks; then only the checks, for one partition."""
    fingerprint = governed.register()
    for assets, checks, steps in (
        ([FIRST], [], ["deep__first"]),
        ([], [CHECK], ["deep__first_is_good"]),
    ):
        subset = definitions.subset_of(job(), assets, checks)
        assert subset.name == "everything"
        result = subset.execute_in_process(instance=governed.instance, partition_key=fingerprint)
        done = [event.step_key for event in events(result, dg.DagsterEventType.STEP_SUCCESS)]
        assert done == steps


def test_planned_events_announce_the_partition_and_the_unit(governed: EphemeralPlane) -> None:
    """Materializations and checks, before the first step; nothing for any other event."""
    fingerprint = governed.register()
    result = job().execute_in_process(instance=governed.instance, partition_key=fingerprint)

    units = []
    for kind in (
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    ):
        for event in logged(governed, result.run_id, kind):
            assert event.step_key
            units += list(running.planned_units(event))
    assert sorted(units) == [
        (fingerprint, unit) for unit in ("deep/first", "deep/first#is_good", "left", "right")
    ]
    success = events(result, dg.DagsterEventType.STEP_SUCCESS)[0]
    assert list(running.planned_units(success)) == []


def test_the_code_version_is_the_assets_own_and_never_the_runs_id(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Dagster writes the run's id where an asset declares none; that is told apart."""
    fingerprint = governed.register()
    result = materialize([first, pair], fingerprint)

    versions = {
        event.asset_key: running.code_version_of(event, result.run_id)
        for event in events(result, dg.DagsterEventType.ASSET_MATERIALIZATION)
    }
    assert versions == {FIRST: "5", LEFT: None, RIGHT: None}
    success = events(result, dg.DagsterEventType.STEP_SUCCESS)[0]
    assert running.code_version_of(success, result.run_id) is None


def test_a_job_tells_the_code_version_that_each_of_its_assets_declares() -> None:
    """The digest of its code for one that declares none, and none of what it only reads."""
    versions = definitions.code_versions(job())
    assert versions.keys() == {FIRST, LEFT, RIGHT}
    assert versions[FIRST] == "5"
    assert str(versions[LEFT]).startswith("code1-")


def test_the_errors_of_a_failed_step_come_with_their_causes(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Outermost first; a failed blocking check is named by its class; other events have none."""

    @dg.asset(partitions_def=MANIFESTS)
    def broken() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    @gate(asset=first)
    def refuses() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    fingerprint = governed.register()
    failed = events(materialize([broken], fingerprint), dg.DagsterEventType.STEP_FAILURE)[0]
    assert [error.cls_name for error in running.errors_of(failed)][-2:] == [
        "ValueError",
        "KeyError",
    ]
    result = materialize([first, refuses], fingerprint)
    refused = events(result, dg.DagsterEventType.STEP_FAILURE)[0]
    assert running.errors_of(refused)[-1].cls_name == "DagsterAssetCheckFailedError"
    success = events(result, dg.DagsterEventType.STEP_SUCCESS)[0]
    assert running.errors_of(success) == []


def test_a_reading_step_is_known_by_its_key_its_run_and_its_checks(
    governed: EphemeralPlane,
) -> None:
    """Inside a run: all three, and checks only for a step that does nothing else. Outside: none.

    What a step writes knows the assets that it depends on.
    """
    seen: list[tuple[Any, ...]] = []
    parents: dict[str, frozenset[dg.AssetKey]] = {}

    class Watching(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            parents[context.asset_key.to_user_string()] = running.parents_of(context)

        def load_input(self, context: dg.InputContext) -> Any:
            seen.append(
                (
                    running.step_key_of_input(context),
                    running.dagster_run_of_input(context),
                    running.checks_of_step(context),
                )
            )
            return {}

    @dg.asset
    def produced() -> dict[str, int]:
        return {}

    @dg.asset(check_specs=[dg.AssetCheckSpec("within", asset="consumed")])
    def consumed(produced: dict[str, int]) -> Iterator[Any]:
        yield dg.Output({})
        yield dg.AssetCheckResult(check_name="within", passed=True)

    keys: list[str] = []

    @dg.asset_check(asset=produced)
    def judged(
        context: dg.AssetCheckExecutionContext, produced: dict[str, int]
    ) -> dg.AssetCheckResult:
        keys.append(running.step_key_of(context))
        return dg.AssetCheckResult(passed=True)

    defs = dg.Definitions(
        assets=[produced, consumed],
        asset_checks=[judged],
        resources={"io_manager": Watching()},
        jobs=[dg.define_asset_job("all_of_it", selection="*")],
    )
    result = defs.resolve_job_def("all_of_it").execute_in_process(instance=governed.instance)
    defs.load_asset_value("produced", instance=governed.instance)

    check = dg.AssetCheckKey(dg.AssetKey("produced"), "judged")
    assert keys == ["produced_judged"]
    assert parents == {"produced": frozenset(), "consumed": {dg.AssetKey("produced")}}
    assert set(seen[:2]) == {
        ("produced_judged", result.run_id, frozenset({check})),
        ("consumed", result.run_id, frozenset()),
    }
    assert seen[2:] == [(None, None, frozenset())]


def test_the_recording_storage_is_dagsters_own_with_one_part_exchanged(
    governed: EphemeralPlane,
) -> None:
    """The instance that dagster.yaml describes stores events by the recording event log."""
    log = governed.instance.event_log_storage
    assert isinstance(log, running.SqliteEventLogStorage)
    assert type(log).__name__ == "RecordingSqliteEventLog"
    assert running.instance_of(log) is governed.instance
    assert any(running.events_folder(log).glob("*.db"))


@pytest.mark.parametrize("package", ["ro_platform", "assets", "resources", "sensors"])
def test_nothing_else_imports_what_dagster_keeps_private(package: str) -> None:
    """Only ``ro_platform.dagster_private`` imports ``dagster._...`` or what is behind it."""
    offenders = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if path.parent != ROOT / "dagster_private"
        for name in imports_of(path)
        if is_private(name)
    ]
    assert offenders == []


def test_nothing_else_uses_what_dagsters_classes_keep_private() -> None:
    """A class that extends one of Dagster's reads, sets and overrides no private attribute of it,
    and nobody reads one of another object."""
    found = {str(path.relative_to(ROOT)): attributes_of(path) for path in dagster_modules()}
    outside = {name: used for name, used in found.items() if "dagster_private/" not in name}
    assert {name: used for name, used in outside.items() if used} == {}
    assert len(outside) > 20
    assert "_instance" in found["dagster_private/running.py"]
    assert "_make_request_context" in found["dagster_private/webserver.py"]


def test_the_search_for_private_imports_finds_them() -> None:
    """Each module that is allowed to has some, so the test above could fail."""
    found = {path.stem: private_names(path) for path in private_modules()}
    assert {"definitions", "launches", "running", "webserver"} == found.keys()
    assert all(found.values())
    everything = set().union(*found.values())
    packages = {name.split(".")[0] for name in everything if "." in name}
    assert packages == {"dagster", "dagster_graphql", "dagster_shared", "dagster_webserver"}


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_how_much_is_taken(page: str) -> None:
    """The numbers of modules and of private names that a page gives are those of the code."""
    modules = private_modules()
    names = set().union(*map(private_names, modules))
    text = " ".join((REPOSITORY / page).read_text().split())
    said = re.findall(r"(\d+) private names in (\d+) modules", text)
    assert said == [(str(len(names)), str(len(modules)))]


def private_modules() -> list[Path]:
    """The modules that may import what Dagster keeps private."""
    found = (ROOT / "dagster_private").glob("*.py")
    return sorted(path for path in found if path.name != "__init__.py")


def private_names(path: Path) -> set[str]:
    """The private names that a module imports, in full, and the private attributes it uses."""
    return {name for name in imports_of(path) if is_private(name)} | attributes_of(path)


def dagster_modules() -> list[Path]:
    """The modules of the library that import Dagster, or a class of ours that extends Dagster's."""
    return sorted(path for path in ROOT.rglob("*.py") if "dagster" in path.read_text())


def attributes_of(path: Path) -> set[str]:
    """The private attributes of Dagster's objects that a module reads, sets or overrides."""
    text = path.read_text()
    tree = ast.parse(text)
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) not in ("self", "cls")
        and not re.search(rf"(self\.|def ){node.attr}\b", text)  # a class of this module has it
    }
    if "class " in text:
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        for node in (item for item in tree.body if isinstance(item, ast.ClassDef)):
            found |= names_in(node) & of_dagster(getattr(module, node.name))
    return {name for name in found if re.match(r"_[a-z]", name)} - OF_NAMED_TUPLES


def names_in(definition: ast.ClassDef) -> set[str]:
    """The attributes that a class uses of itself, and the methods that it has."""
    return {
        node.attr if isinstance(node, ast.Attribute) else node.name
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute | ast.FunctionDef | ast.AsyncFunctionDef)
    }


def of_dagster(kind: type) -> set[str]:
    """What the classes of Dagster that a class extends have, set in ``self`` or defined."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("dagster")]
    said = re.compile(r"self\.(\w+)")
    return {
        name for base in bases for name in (*vars(base), *said.findall(inspect.getsource(base)))
    }


def imports_of(path: Path) -> list[str]:
    """The dotted names that a module imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def is_private(name: str) -> bool:
    parts = name.split(".")
    behind = parts[0].startswith("dagster_") and parts[0] not in ("dagster_aws", "dagster_postgres")
    hidden = parts[0].startswith("dagster") and any(part.startswith("_") for part in parts[1:])
    return behind or hidden


def test_a_run_gives_its_slots_back_and_leaves_its_queue(governed: EphemeralPlane) -> None:
    """What a run holds in pools and waits for there is given back at once; another's stays; and
    who is given the slot next counts as its holder."""
    storage = governed.instance.event_log_storage
    for pool in ("db", "net"):
        storage.set_concurrency_slots(pool, 1)
    assert storage.claim_concurrency_slot("db", "dead", "a").is_claimed
    assert storage.claim_concurrency_slot("net", "other", "b").is_claimed
    assert not storage.claim_concurrency_slot("net", "dead", "c").is_claimed
    assert not storage.claim_concurrency_slot("db", "next", "d").is_claimed
    assert running.slot_holders(governed.instance, "db") == [("dead", "a")]

    running.free_slots_of_run(governed.instance, "dead")
    running.free_slots_of_run(governed.instance, "unknown")

    assert running.slot_holders(governed.instance, "net") == [("other", "b")]
    assert running.slot_holders(governed.instance, "db") == [("next", "d")]
    waiting = storage.get_concurrency_info("net").pending_steps
    assert "dead" not in {step.run_id for step in waiting}


def test_a_signal_that_dagster_holds_back_is_told_once() -> None:
    """And raising its interrupt is what ends a run as canceled."""
    from dagster._utils.interrupts import capture_interrupts

    with capture_interrupts():
        assert not running.is_interrupted()
        signal.raise_signal(signal.SIGINT)
        assert running.is_interrupted()
        assert not running.is_interrupted()
    with pytest.raises(BaseException, match="told to end") as raised:
        running.raise_interrupted("told to end")
    assert type(raised.value).__name__ == "DagsterExecutionInterruptedError"


def test_a_definitions_function_is_the_one_that_was_decorated() -> None:
    """Of an asset and of a check; a graph has no single one, nor has what is made outside."""

    @dg.asset
    def made() -> int:
        return 1

    @dg.asset_check(asset=made)
    def judged() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.op
    def part() -> int:
        return 1

    @dg.graph_asset
    def whole() -> int:
        return part()  # type: ignore[no-any-return]

    names = [
        function.__name__ for function in map(definitions.function_of, (made, judged)) if function
    ]
    assert names == ["made", "judged"]
    assert definitions.function_of(whole) is None
    assert definitions.function_of(dg.AssetsDefinition(specs=[dg.AssetSpec("outside")])) is None


class _Setting(dg.ConfigurableResource):  # type: ignore[type-arg]
    size: int = 1


def test_the_metadata_of_inputs_are_what_they_were_declared_with() -> None:
    """Of assets and checks, by the input's name; an input without any is not named."""

    @dg.asset(ins={"a": dg.AssetIn(metadata={"columns": ["x"]}), "b": dg.AssetIn()})
    def made(a: int, b: int) -> int:
        return a + b

    assert definitions.metadata_of_inputs(made) == {"a": {"columns": ["x"]}}


def test_the_resources_of_a_step_are_what_its_function_asks_for() -> None:
    """And the IO managers that its inputs name; the usual one goes without saying."""

    @dg.asset
    def made() -> int:
        return 1

    @dg.asset_check(asset=made)
    def judged(made: int, setting: _Setting) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=made == setting.size)

    assert definitions.resources_of(judged) == {"setting"}

    @dg.asset_check(asset=made, additional_ins={"x": dg.AssetIn("x", input_manager_key="mine")})
    def beside(made: int, x: int) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=made == x)

    assert "mine" in definitions.resources_of(beside)


def test_what_is_bound_to_a_resource_is_told_as_it_is_written() -> None:
    """Each config that ``configured`` binds, the outermost first; a variable by its name."""

    @dg.resource(config_schema={"size": int})
    def old(_: dg.InitResourceContext) -> int:
        return 1

    once = old.configured({"size": {"env": "SIZE"}})
    again = old.configured(lambda _: {"size": 2}, config_schema={}).configured({})
    told = definitions.configured_with
    assert told(old) == []
    assert told(once) == [{"size": {"env": "SIZE"}}]
    assert told(again) == [{}, {"size": 2}]


def test_partitions_and_variables_are_told_by_what_they_are_of() -> None:
    """Dynamic partitions by their name, others by what they hold."""
    told = definitions.partitions_told
    assert told(dg.DynamicPartitionsDefinition(name="some")) == "some"
    assert told(dg.StaticPartitionsDefinition(["a"])) != told(dg.StaticPartitionsDefinition(["b"]))
    named = definitions.environment_of
    assert [named(dg.EnvVar("X")), named(dg.EnvVar.int("X")), named("X")] == ["X", "X", None]


def test_a_job_gives_back_what_the_code_gave_as_a_resource() -> None:
    """The very object, whether configurable, plain, an IO manager or a definition of Dagster's."""

    class Manager(dg.IOManager):
        """An IO manager of no definition."""

        def load_input(self, context: dg.InputContext) -> int:
            return 1

        def handle_output(self, context: dg.OutputContext, obj: object) -> None: ...

    @dg.resource
    def fixed(_: dg.InitResourceContext) -> int:
        return 1

    given = {"a": _Setting(size=2), "b": object(), "c": Manager(), "d": fixed}
    location = dg.Definitions(
        assets=[dg.asset(name="it", required_resource_keys=set(given))(lambda: 1)],
        jobs=[dg.define_asset_job("everything")],
        resources=given,
    )
    job = location.resolve_job_def("everything")
    found = {key: job.resource_defs[key] for key in given}
    for told in (given, found):
        assert all(definitions.given_as(told[key]) is given[key] for key in given), told
    constant = dg.ResourceDefinition.hardcoded_resource(7)
    assert definitions.given_as(constant) == 7


def test_a_resource_says_whether_a_launch_decides_what_it_is() -> None:
    """Configured at launch, wholly or in part, or by a schema of the older kind."""

    class Outer(dg.ConfigurableResource):  # type: ignore[type-arg]
        inner: _Setting

    @dg.resource(config_schema={"size": int})
    def old(_: dg.InitResourceContext) -> int:
        return 1

    @dg.resource
    def fixed(_: dg.InitResourceContext) -> int:
        return 1

    left = (_Setting.configure_at_launch(), Outer(inner=_Setting.configure_at_launch()), old)
    assert all(map(definitions.is_left_to_launch, left))
    settled = (_Setting(size=2), Outer(inner=_Setting()), fixed, object)
    assert not any(map(definitions.is_left_to_launch, settled))
