"""Assets that hand over no value: what runs, what is refused when it is loaded, what fails."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import JobAttemptRecord, JobStatus
from ro_platform.errors import SettingsError
from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.runs.attempt import is_skipped, shown_status
from ro_platform.testing import EphemeralPlane

Run = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


@dg.asset(partitions_def=MANIFESTS)
def nothing() -> None:
    return None


@dg.asset(partitions_def=MANIFESTS)
def output_of_none() -> dg.Output[None]:
    return dg.Output(None)


@dg.asset(partitions_def=MANIFESTS)
def result_of_none() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult()


@dg.multi_asset(specs=[dg.AssetSpec("specified", partitions_def=MANIFESTS)])
def by_specs() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.op(out=dg.Out(dg.Nothing))
def ends_in_nothing() -> None:
    return None


@dg.graph_asset(partitions_def=MANIFESTS)
def backed_by_a_graph() -> Any:
    return ends_in_nothing()


EMPTY = {
    "nothing": nothing,
    "output_of_none": output_of_none,
    "result_of_none": result_of_none,
    "specified": by_specs,
    "backed_by_a_graph": backed_by_a_graph,
}
every_empty = pytest.mark.parametrize("name", EMPTY)


@every_empty
def test_what_hands_over_nothing_loads_and_runs(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts, name: str
) -> None:
    """On which nothing governed depends: it succeeds, as an attempt without an artifact; also
    below another one that hands over nothing."""

    @dg.asset(partitions_def=MANIFESTS, deps=[name])
    def follows() -> None:
        return None

    fingerprint = governed.register()

    assert materialize([EMPTY[name], follows], fingerprint).success
    done = attempts(fingerprint)
    assert {item.status for item in done.values()} == {JobStatus.SUCCEEDED}
    assert done[name].outputs == done["follows"].outputs == ()
    assert governed.plane.store.binding(name, fingerprint) is None


@every_empty
def test_a_governed_asset_that_depends_on_nothing_handed_over_does_not_load(name: str) -> None:
    """RO_SETTINGS names both and says what to return."""

    @dg.asset(deps=[name])
    def report() -> int:
        return 1

    with pytest.raises(SettingsError, match=rf"'report'.*'{name}'.*no value") as refused:
        govern(dg.Definitions(assets=[EMPTY[name], report]))
    assert "MaterializeResult(value=...)" in refused.value.next_step
    assert "io_manager_key" in refused.value.next_step


@every_empty
def test_a_gate_of_nothing_handed_over_does_not_load(name: str) -> None:
    """RO_SETTINGS names the asset: there are no bytes to judge."""

    @gate(asset=name, code_version="1")
    def fresh() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match=rf"'{name}'.*gate.*no value"):
        govern(dg.Definitions(assets=[EMPTY[name]], asset_checks=[fresh]))


def test_whoever_loads_what_is_not_handed_over_does_not_load() -> None:
    """Also an asset that another IO manager keeps."""

    @dg.asset(io_manager_key="elsewhere")
    def reader(nothing: Any) -> int:
        return 1

    with pytest.raises(SettingsError, match=r"'reader'.*'nothing'"):
        govern(dg.Definitions(assets=[nothing, reader], resources={"elsewhere": dg.mem_io_manager}))


def test_what_another_io_manager_keeps_may_follow_what_hands_over_nothing() -> None:
    """Neither is governed, and a check that is no gate may look at either."""

    @dg.asset(io_manager_key="elsewhere", deps=[nothing])
    def after() -> int:
        return 1

    @dg.asset_check(asset=nothing)
    def look() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    bound = govern(
        dg.Definitions(
            assets=[nothing, after], asset_checks=[look], resources={"elsewhere": dg.mem_io_manager}
        )
    )
    dg.Definitions.validate_loadable(bound)


@dg.asset(partitions_def=MANIFESTS)
def unannotated():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset(partitions_def=MANIFESTS)
def result() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"rows": 3})


@pytest.mark.parametrize("made", [unannotated, result], ids=["unannotated", "result"])
def test_a_step_that_hands_over_nothing_of_what_is_needed_fails(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts, made: dg.AssetsDefinition
) -> None:
    """Where the annotation does not say it: RO_NO_VALUE says what to return, Dagster has no
    materialization of it, and what depends on it does not start."""

    @dg.asset(partitions_def=MANIFESTS, deps=[made])
    def report() -> int:
        return 1

    fingerprint = governed.register()
    ran = materialize([made, report], fingerprint)

    assert not ran.success
    done = attempts(fingerprint)
    failed = done[made.key.to_user_string()]
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "RO_NO_VALUE")
    assert "MaterializeResult(value=...)" in str(failed.error)
    assert done["report"].status is JobStatus.CANCELED
    assert not [event for event in ran.all_events if event.is_step_materialization]


def test_a_step_that_hands_over_nothing_of_what_nobody_needs_succeeds(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts
) -> None:
    """As before: an attempt without an artifact."""
    fingerprint = governed.register()
    assert materialize([result], fingerprint).success
    assert attempts(fingerprint)["result"].status is JobStatus.SUCCEEDED


def test_none_is_a_value_where_the_annotation_says_so(
    governed: EphemeralPlane, materialize: Run
) -> None:
    """JSON's null, bound and read."""

    @dg.asset(partitions_def=MANIFESTS)
    def perhaps() -> dict[str, int] | None:
        return None

    @dg.asset(partitions_def=MANIFESTS)
    def reader(perhaps: dict[str, int] | None) -> bool:
        return perhaps is None

    fingerprint = governed.register()
    assert materialize([perhaps, reader], fingerprint).success
    assert governed.plane.store.binding("perhaps", fingerprint) is not None


def test_a_materialization_that_the_code_reports_itself_is_not_taken_for_the_output(
    governed: EphemeralPlane, materialize: Run
) -> None:
    """A step may report its own asset before it hands it over."""

    @dg.asset(partitions_def=MANIFESTS)
    def made(context: dg.AssetExecutionContext) -> int:
        context.log_event(dg.AssetMaterialization("made", partition=context.partition_key))
        return 1

    @dg.asset(partitions_def=MANIFESTS)
    def reader(made: int) -> int:
        return made

    assert materialize([made, reader], governed.register()).success


RUNS: list[str] = []
GIVE: set[str] = set()


@dg.multi_asset(
    outs={
        name: dg.AssetOut(dagster_type=int, is_required=False, key=dg.AssetKey([name]))
        for name in ("a", "b")
    },
    partitions_def=MANIFESTS,
    can_subset=True,
)
def both(context: dg.AssetExecutionContext) -> Iterator[dg.Output[int]]:
    RUNS.append("both")
    for name in sorted(GIVE & set(context.op_execution_context.selected_output_names)):
        yield dg.Output(1, output_name=name)


@gate(asset="b", code_version="1")
def b_ok(b: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(partitions_def=MANIFESTS, deps=["b"])
def c() -> int:
    RUNS.append("c")
    return 3


def test_an_output_that_is_not_handed_over_is_skipped_and_so_is_what_depends_on_it(
    governed: EphemeralPlane, materialize: Run, attempts: Attempts
) -> None:
    """Skipped, not canceled and not failed: the run is a success, and each attempt says so."""
    RUNS.clear()
    GIVE.clear()
    GIVE.add("a")
    fingerprint = governed.register()

    assert materialize([both, c, b_ok], fingerprint).success

    done = attempts(fingerprint)
    assert {unit: shown_status(item) for unit, item in done.items()} == {
        "a": "SUCCEEDED",
        "b": "SKIPPED",
        "b#b_ok": "SKIPPED",
        "c": "SKIPPED",
    }
    assert all(is_skipped(done[unit]) for unit in ("b", "b#b_ok", "c"))
    assert RUNS == ["both"]
