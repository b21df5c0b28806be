"""Every kind of edge is guarded: unloaded ones, multi-assets, graphs, ranges, guests."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import JobAttemptRecord, JobStatus
from ro_platform.errors import SettingsError
from ro_platform.ledger.names import used_mention
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

RAN: list[str] = []
"""What the consumers' code did: nothing, whenever the guard refuses."""


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    RAN.clear()
    yield
    RAN.clear()


@dg.asset(partitions_def=MANIFESTS)
def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return dict(plane.run(context).parameters)


@gate(asset=made)
def is_good(made: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=made["good"])


@dg.asset(partitions_def=MANIFESTS, deps=[made], retry_policy=dg.RetryPolicy(max_retries=2))
def follows() -> dict[str, Any]:
    RAN.append("follows")
    return {"followed": True}


@dg.op(out=dg.Out(io_manager_key="scratch"))
def inner(made: dict[str, Any]) -> dict[str, Any]:
    RAN.append("inner")
    return made


@dg.op
def outer(value: dict[str, Any]) -> dict[str, Any]:
    return value


@dg.graph_asset(partitions_def=MANIFESTS)
def graphed(made: Any) -> Any:
    return outer(inner(made))


@dg.op(out=dg.Out(io_manager_key="scratch"), ins={"after": dg.In(dg.Nothing)})
def begin() -> dict[str, Any]:
    RAN.append("begin")
    return {}


@dg.graph_asset(partitions_def=MANIFESTS, ins={"made": dg.AssetIn(dagster_type=dg.Nothing)})
def graph_follows(made: Any) -> Any:
    return outer(begin(after=made))


@dg.multi_asset(
    outs={"left": dg.AssetOut(), "right": dg.AssetOut()}, deps=[made], partitions_def=MANIFESTS
)
def both() -> Iterator[dg.Output[Any]]:
    RAN.append("both")
    yield dg.Output({"side": "left"}, "left")
    yield dg.Output({"side": "right"}, "right")


EACH_SHAPE = pytest.mark.parametrize(
    ("consumer", "units"),
    [
        (follows, ["follows"]),
        (graphed, ["graphed"]),
        (graph_follows, ["graph_follows"]),
        (both, ["left", "right"]),
    ],
    ids=["unloaded", "graph", "unloaded-graph", "multi"],
)


def inputs_of(governed: EphemeralPlane, asset: str, fingerprint: str) -> list[str]:
    """The assets whose artifacts are on record as having gone into one."""
    ref = governed.plane.store.binding("made", fingerprint)
    assert ref is not None
    mention = used_mention(ref.ref)
    makings = governed.plane.ledger.scan(mention=mention)
    return ["made" for entry in makings if entry.body["asset"] == asset]


@EACH_SHAPE
def test_what_did_not_pass_is_refused_before_the_code_runs(
    consumer: dg.AssetsDefinition,
    units: list[str],
    governed: EphemeralPlane,
    materialize: Materialize,
    attempts: Attempts,
) -> None:
    """The step fails with the gate's code, once, and none of the consumer's code has run."""
    fingerprint = governed.register(parameters={"good": False})
    materialize([made, is_good], fingerprint)
    everything = [made, is_good, consumer]
    assert not materialize(everything, fingerprint, selection=[consumer]).success
    for unit in units:
        attempt = attempts(fingerprint)[unit]
        assert governed.plane.store.binding(unit, fingerprint) is None
        assert attempt.number == 1
        assert (attempt.status, attempt.error_code) == (JobStatus.FAILED, "RO_GATE_FAILED")
    assert RAN == []


@EACH_SHAPE
def test_what_went_in_is_on_record(
    consumer: dg.AssetsDefinition,
    units: list[str],
    governed: EphemeralPlane,
    materialize: Materialize,
) -> None:
    """Each output's making names the artifact that its asset was made from, loaded or not."""
    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, is_good], fingerprint).success
    assert materialize([made, is_good, consumer], fingerprint, selection=[consumer]).success
    for unit in units:
        assert inputs_of(governed, unit, fingerprint) == ["made"]


def test_in_one_run_an_unloaded_edge_waits_for_the_verdict(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Producer, gate and consumer in one run: the consumer's step starts after the PASS."""
    assert materialize([made, is_good, follows], governed.register(parameters={"good": True}))
    assert RAN == ["follows"]


# --- ranges --------------------------------------------------------------------------------------


@dg.asset(partitions_def=MANIFESTS, backfill_policy=dg.BackfillPolicy.single_run())
def made_many(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    return {key: dict(run.parameters) for key, run in plane.runs(context).items()}


@gate(asset=made_many)
def each_is_good(
    context: dg.AssetCheckExecutionContext, plane: PlaneResource, made_many: dict[str, Any]
) -> dg.AssetCheckResult:
    assert made_many == dict(plane.run(context).parameters)  # one manifest's value at a time
    return dg.AssetCheckResult(passed=made_many["good"])


@dg.asset(partitions_def=MANIFESTS, backfill_policy=dg.BackfillPolicy.single_run())
def used_many(made_many: dict[str, Any]) -> dict[str, Any]:
    RAN.append("used_many")
    return {key: {"n": value["n"]} for key, value in made_many.items()}


def over(governed: EphemeralPlane, keys: list[str], selection: list[Any]) -> bool:
    """One run over a range of partitions, as a backfill with a single run does it."""
    job = dg.define_asset_job("range", selection="*")
    defs = govern(
        dg.Definitions(assets=[made_many, used_many], asset_checks=[each_is_good], jobs=[job])
    )
    tags = {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
    definition = defs.resolve_implicit_global_asset_job_def()
    return definition.execute_in_process(
        instance=governed.instance,
        asset_selection=selection,
        tags=tags,
        raise_on_error=False,
        run_config=QUIET,
    ).success


def test_a_range_is_bound_and_judged_manifest_by_manifest(governed: EphemeralPlane) -> None:
    """One run over three manifests: three artifacts, three receipts, three consumers."""
    keys = [governed.register(parameters={"good": True, "n": n}) for n in range(3)]
    assert over(governed, keys, [dg.AssetKey("made_many"), dg.AssetKey("used_many")])
    plane = governed.plane
    for n, key in enumerate(keys):
        ref = plane.guard.require("made_many", plane.runs.manifest(key), key)
        assert plane.receipts.latest("made_many.each_is_good", key, ref.digest) is not None
        used = plane.store.binding("used_many", key)
        assert used is not None
        assert plane.store.read(used) == b'{"n":%d}' % n


def test_a_range_with_one_bad_manifest_delivers_nothing(governed: EphemeralPlane) -> None:
    """In a separate run over the range, the consumer is refused for the one that failed; the good
    ones alone are delivered."""
    keys = [governed.register(parameters={"good": n != 1, "n": n}) for n in range(4)]
    over(governed, keys, [dg.AssetKey("made_many")])
    assert not over(governed, keys, [dg.AssetKey("used_many")])
    assert RAN == []
    assert over(governed, keys[2:], [dg.AssetKey("used_many")])
    plane = governed.plane
    verdicts = []
    for key in keys:
        ref = plane.store.binding("made_many", key)
        assert ref is not None
        recorded = plane.receipts.latest("made_many.each_is_good", key, ref.digest)
        verdicts.append(recorded.status.value if recorded else None)
    assert verdicts == ["PASS", "FAIL", "PASS", "PASS"]
    assert plane.store.binding("used_many", keys[0]) is None


# --- evidence ------------------------------------------------------------------------------------


def test_evidence_is_an_artifact_that_the_receipt_names(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """What a gate found is stored, content-addressed, and found from its receipt."""

    @gate(asset=made)
    def explains(plane: PlaneResource) -> dg.AssetCheckResult:
        plane.evidence({"rows": [1, 2]})
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register(parameters={"good": True})
    assert materialize([made, explains], fingerprint).success
    plane = governed.plane
    ref = plane.guard.require("made", plane.runs.manifest(fingerprint), fingerprint)
    recorded = plane.receipts.latest("made.explains", fingerprint, ref.digest)
    assert recorded is not None
    evidence = plane.receipts.read(recorded).evidence
    assert evidence is not None
    assert plane.store.read(evidence) == b'{"rows":[1,2]}'


def test_evidence_is_kept_once_and_only_in_a_gate(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A second piece of evidence, and one outside a gate, is the step's failure."""

    @gate(asset=made)
    def twice(plane: PlaneResource) -> dg.AssetCheckResult:
        plane.evidence({"a": 1})
        plane.evidence({"b": 2})
        return dg.AssetCheckResult(passed=True)

    @dg.asset(partitions_def=MANIFESTS)
    def outside(plane: PlaneResource) -> dict[str, Any]:
        plane.evidence({"a": 1})
        return {}

    fingerprint = governed.register(parameters={"good": True})
    assert not materialize([made, twice, outside], fingerprint).success
    assert attempts(fingerprint)["made#twice"].error_code == "RO_INVALID_INPUT"
    assert attempts(fingerprint)["outside"].error_code == "RO_INVALID_INPUT"


# --- gates from another code location ------------------------------------------------------------


@gate(asset="made", code_version="1")
def small_enough(made: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=made["n"] < 10)


@dg.asset(partitions_def=MANIFESTS)
def reader(made: dict[str, Any]) -> dict[str, Any]:
    RAN.append("reader")
    return made


ELSEWHERE = [dg.AssetSpec("made", partitions_def=MANIFESTS), small_enough, reader]


def test_a_guest_gate_binds_beside_the_owners(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize, attempts: Attempts
) -> None:
    """A code location that does not make an asset may give it a gate: it binds from then on, the
    owner's code goes on to load, and only a recorded decision takes it away."""
    fingerprint = governed.register(parameters={"good": True, "n": 99})
    assert materialize([made, is_good], fingerprint).success
    assert not materialize(ELSEWHERE, fingerprint, selection=[reader]).success
    assert attempts(fingerprint)["reader"].error_code == "RO_GATE_ABSENT"
    judge(ELSEWHERE, fingerprint)
    assert not materialize(ELSEWHERE, fingerprint, selection=[reader]).success
    assert attempts(fingerprint)["reader"].error_code == "RO_GATE_FAILED"
    assert RAN == []

    assert materialize([made, is_good], fingerprint).success  # the owner does not know of it
    rules = governed.plane.gates.gates_of("made")
    assert rules is not None
    assert [(rule.gate_id, rule.guest) for rule in rules] == [
        ("made.is_good", None),
        ("made.small_enough", True),
    ]


def test_a_guest_gate_cannot_stand_in_for_the_owners(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize, attempts: Attempts
) -> None:
    """A check of the same name in another code location judges nothing: the owner's rule stays on
    record, and what it failed stays refused, there as here."""

    @gate(asset="made", name="is_good")
    def anything_goes(made: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    elsewhere = [dg.AssetSpec("made", partitions_def=MANIFESTS), anything_goes, reader]
    fingerprint = governed.register(parameters={"good": False, "n": 1})
    materialize([made, is_good], fingerprint)
    before = governed.plane.gates.gates_of("made")
    judge(elsewhere, fingerprint)
    assert attempts(fingerprint)["made#is_good"].error_code == "RO_GATE_TAKEN"
    assert not materialize(elsewhere, fingerprint, selection=[reader]).success
    assert attempts(fingerprint)["reader"].error_code == "RO_GATE_TAKEN"
    assert governed.plane.gates.gates_of("made") == before
    assert RAN == []


# --- what cannot be guarded does not load ---------------------------------------------------------


def test_an_edge_inside_one_step_onto_a_gated_asset_is_refused() -> None:
    """Nothing could judge the one asset before the other is made from it."""

    @dg.multi_asset(
        outs={"first": dg.AssetOut(), "second": dg.AssetOut()},
        internal_asset_deps={"first": set(), "second": {dg.AssetKey("first")}},
        partitions_def=MANIFESTS,
    )
    def chain() -> tuple[int, int]:
        return 1, 2

    @gate(asset="first")
    def judged() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match="made in one step with 'first'"):
        govern(dg.Definitions(assets=[chain], asset_checks=[judged]))


def test_an_unloaded_edge_by_a_partition_mapping_is_refused() -> None:
    """It could not be said which manifests' artifacts must have passed."""

    @dg.asset(
        partitions_def=MANIFESTS,
        deps=[dg.AssetDep("made", partition_mapping=dg.AllPartitionMapping())],
    )
    def summary() -> dict[str, Any]:
        return {}

    with pytest.raises(SettingsError, match="by a partition mapping without loading it"):
        govern(dg.Definitions(assets=[made, summary], asset_checks=[is_good]))


def test_assets_without_partitions_get_the_manifests() -> None:
    """A plain asset needs no change of its own to be governed."""

    @dg.asset
    def plain() -> dict[str, Any]:
        return {}

    @dg.asset(io_manager_key="elsewhere")
    def foreign() -> None: ...

    defs = govern(
        dg.Definitions(assets=[plain, foreign], resources={"elsewhere": dg.FilesystemIOManager()})
    )
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey("plain")).partitions_def == MANIFESTS
    assert graph.get(dg.AssetKey("foreign")).partitions_def is None
