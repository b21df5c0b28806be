"""A verdict's rule is all that the verdict depends on, from the decorator to the read guard."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import EntryKind, GateRule, JobAttemptRecord
from ro_platform.errors import CodeNotCanonicalError, SettingsError
from ro_platform.gates.refusals import OLDER_FORM
from ro_platform.kernel.digest import sha256_hex
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.orchestration.gate import rule_of
from ro_platform.orchestration.govern import NO_CODE
from ro_platform.orchestration.listings import known_listing
from ro_platform.orchestration.rules import asset_code
from ro_platform.plane import DAGSTER_ACTOR
from ro_platform.runs.registry import blob_ref
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


@dg.asset(partitions_def=MANIFESTS)
def rows() -> list[int]:
    return [1, 2, 3]


@dg.asset(partitions_def=MANIFESTS)
def reader(rows: list[int]) -> int:
    return sum(rows)


def at_least(number: int) -> dg.AssetChecksDefinition:
    """The usual factory of checks."""

    @gate(asset=rows, name="at_least")
    def check(rows: list[int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(rows) >= number)

    return check


def rule(definition: dg.AssetChecksDefinition, **resources: Any) -> GateRule:
    found = rule_of(definition, resources)
    assert found is not None
    return found


def test_a_tightened_threshold_makes_an_old_pass_stale(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """The threshold is in a closure, the source is the same: a reader in a run of its own is
    refused until the gate has judged again."""
    fingerprint = governed.register()
    assert materialize([rows, at_least(2)], fingerprint).success

    assert not materialize([rows, at_least(5), reader], fingerprint, selection=[reader]).success
    assert attempts(fingerprint)["reader"].error_code == "RO_GATE_STALE"


def test_a_loosened_threshold_is_another_rule(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """FAIL and PASS of one gate on the same bytes never stand under one rule digest."""
    fingerprint = governed.register()
    digests = []
    for number in (5, 2):
        materialize([rows, at_least(number)], fingerprint)
        ref = governed.plane.store.binding("rows", fingerprint)
        assert ref is not None
        recorded = governed.plane.receipts.latest("rows.at_least", fingerprint, ref.digest)
        assert recorded is not None
        digests.append((recorded.status.value, recorded.rule_digest))
    assert [status for status, _ in digests] == ["FAIL", "PASS"]
    assert digests[0][1] != digests[1][1]


@pytest.mark.parametrize(
    "selection",
    [None, dg.AssetSelection.assets("rows").without_checks()],
    ids=["with its gate", "the asset alone"],
)
def test_the_rule_is_the_digest_of_a_listing_that_is_kept(
    governed: EphemeralPlane, materialize: Materialize, selection: dg.AssetSelection | None
) -> None:
    """``rule1-`` and 64 hex: the SHA-256 of a blob that the store has once the rule is on
    record, whatever of the asset and its gate was run."""
    definition = at_least(2)
    code_version = rule(definition).code_version
    listing = known_listing(code_version)
    assert listing is not None
    assert code_version == f"rule1-{sha256_hex(listing)}"

    materialize([rows, definition], governed.register(), selection)
    recorded = governed.plane.gates.gates_of("rows")
    assert recorded is not None
    assert [item.code_version for item in recorded] == [code_version]
    assert governed.plane.store.read(blob_ref(sha256_hex(listing))) == listing


class Least(dg.Config):
    """Run config with a threshold."""

    least: int = 5


def test_a_gate_that_takes_run_config_is_refused_when_it_is_loaded() -> None:
    """By a parameter or by a schema, whether or not it has a code version of its own."""

    def by_parameter(config: Least) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=config.least > 1)

    def plain() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    for code_version in (None, "1"):
        with pytest.raises(SettingsError, match=r"rows\.by_parameter.*run config"):
            gate(asset=rows, code_version=code_version)(by_parameter)
        with pytest.raises(SettingsError, match=r"rows\.plain.*run config"):
            gate(asset=rows, code_version=code_version, config_schema={"least": int})(plain)


def _job(*definitions: Any, resources: dict[str, Any] | None = None) -> dg.JobDefinition:
    checks = [item for item in definitions if isinstance(item, dg.AssetChecksDefinition)]
    assets = [item for item in definitions if not isinstance(item, dg.AssetChecksDefinition)]
    everything = dg.define_asset_job("everything", selection="*")
    bound = govern(
        dg.Definitions(
            assets=assets, asset_checks=checks, jobs=[everything], resources=resources or {}
        )
    )
    return bound.resolve_job_def("everything")


def test_a_launch_gives_a_gate_no_config_of_any_kind(governed: EphemeralPlane) -> None:
    """Dagster would take any config for a step without a schema: a gate's schema is empty."""

    @gate(asset=rows)
    def peeks(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        config = context.op_execution_context.op_config or {}
        return dg.AssetCheckResult(passed=bool(config.get("loose")))

    with pytest.raises(dg.DagsterInvalidConfigError):
        _job(rows, peeks).execute_in_process(
            instance=governed.instance,
            partition_key=governed.register(),
            run_config={"ops": {"rows_peeks": {"config": {"loose": True}}}},
        )


class Limits(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource that a gate judges by."""

    least: int = 2

    def allows(self, found: list[int]) -> bool:
        return len(found) >= self.least


@gate(asset=rows)
def within(rows: list[int], limits: Limits) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=limits.allows(rows))


def test_the_fields_of_a_resource_are_in_the_rule() -> None:
    """The same check with another configured value is another rule."""
    versions = {rule(within, limits=Limits(least=number)).code_version for number in (1, 2, 2)}
    assert len(versions) == 2


def _by_resource(**resources: Any) -> str:
    """The rule of a gate that asks for the resource ``least`` alone."""

    @gate(asset=rows, name="by_resource", required_resource_keys={"least"})
    def check(context: dg.AssetCheckExecutionContext, rows: list[int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(rows) >= context.resources.least)

    return rule(check, **resources).code_version


@dg.resource(config_schema={"least": int})
def configured(context: dg.InitResourceContext) -> int:
    return int(context.resource_config["least"])


@dg.resource(required_resource_keys={"base"})
def over_another(context: dg.InitResourceContext) -> int:
    return int(context.resources.base)


def _constant(number: int) -> dg.ResourceDefinition:
    return dg.ResourceDefinition.hardcoded_resource(number)


@pytest.mark.parametrize(
    "resources",
    [
        lambda number: {"least": configured.configured({"least": number})},
        lambda number: {
            "least": configured.configured(lambda _: {"least": number}, config_schema={})
        },
        lambda number: {"least": over_another, "base": _constant(number)},
    ],
    ids=["a bound config", "a bound function", "a resource of a resource"],
)
def test_what_the_code_binds_to_a_resource_is_in_the_rule(
    resources: Callable[[int], dict[str, Any]],
) -> None:
    """A config that ``configured`` binds, and whatever resources a resource asks for itself."""
    assert len({_by_resource(**resources(number)) for number in (1, 2, 2)}) == 2


def test_a_secret_that_a_resource_is_configured_with_stands_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The listing is kept as a blob: it names the environment variable, and not what it holds."""
    monkeypatch.setenv("LEAST", "7310")
    bound = configured.configured({"least": {"env": "LEAST"}})
    for resource in (bound, Limits(least=dg.EnvVar.int("LEAST"))):
        listing = known_listing(_by_resource(least=resource))
        assert listing is not None
        assert b"LEAST" in listing
        assert b"7310" not in listing


def _reads(what: Callable[[], Any]) -> dg.AssetChecksDefinition:
    @gate(asset=rows, name="reads")
    def check(rows: list[int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(what()))

    return check


def _called_check(number: int) -> Callable[[], Any]:
    @dg.asset_check(asset=rows)
    def plain() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=number > 1)

    return lambda: plain().passed  # type: ignore[attr-defined]


def _called_asset(number: int) -> Callable[[], Any]:
    @dg.asset
    def table() -> int:
        return number

    return lambda: table() == 1


def _metadata_of_spec(number: int) -> Callable[[], Any]:
    spec = dg.AssetSpec("contract", metadata={"least": number})
    return lambda: spec.metadata["least"] == 1


def _metadata_of_asset(number: int) -> Callable[[], Any]:
    @dg.asset(metadata={"least": dg.MetadataValue.int(number)})
    def contract() -> None: ...

    return lambda: contract.metadata_by_key[contract.key]["least"]


def _partitions(number: int) -> Callable[[], Any]:
    regions = dg.StaticPartitionsDefinition([str(each) for each in range(number)])
    return lambda: len(regions.get_partition_keys()) == 1


@pytest.mark.parametrize(
    "made", [_called_check, _called_asset, _metadata_of_spec, _metadata_of_asset, _partitions]
)
def test_what_a_gate_asks_of_dagsters_objects_is_in_the_rule(
    made: Callable[[int], Callable[[], Any]],
) -> None:
    """A check and an asset that it calls, their metadata, the keys of partitions."""
    assert len({rule(_reads(made(number))).code_version for number in (1, 2, 2)}) == 2


def test_a_resource_that_the_launch_configures_is_refused_when_it_is_loaded() -> None:
    """Also one with a part that is left to the launch, an old one with a schema, and none."""

    class Outer(dg.ConfigurableResource):  # type: ignore[type-arg]
        limits: Limits

    @gate(asset=rows)
    def nested(limits: Outer) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=limits.limits.least > 1)

    @dg.resource(config_schema={"least": int})
    def old(_: Any) -> int:
        return 1

    for definition, resource in (
        (within, Limits.configure_at_launch()),
        (within, old),
        (nested, Outer(limits=Limits.configure_at_launch())),
    ):
        with pytest.raises(SettingsError, match="'limits'"):
            rule_of(definition, {"limits": resource})
    with pytest.raises(SettingsError, match="not in these Definitions"):
        rule_of(within, {})


def test_a_launch_that_sets_a_gates_resource_gets_no_verdict(
    governed: EphemeralPlane, attempts: Attempts
) -> None:
    """A resource's fields are defaults to Dagster, which a run config may replace: not for a
    gate."""
    fingerprint = governed.register()
    job = _job(rows, within, resources={"limits": Limits(least=9)})
    result = job.execute_in_process(
        instance=governed.instance,
        partition_key=fingerprint,
        run_config={"resources": {"limits": {"config": {"least": 1}}}},
        raise_on_error=False,
    )
    assert not result.success
    assert attempts(fingerprint)["rows#within"].error_code == "RO_RUN_CONFIG"
    assert governed.plane.store.binding("rows", fingerprint) is None
    assert list(governed.plane.ledger.scan(kind=EntryKind.GATE_RECEIPT)) == []


class Ruler:
    """A resource that is no resource of Dagster's: whatever a step is handed."""

    def __init__(self, least: int) -> None:
        self.least = least


class Opaque(Ruler):
    """One that has no canonical form."""

    def __init__(self, least: int) -> None:
        super().__init__(least)
        self.lock = threading.Lock()


@dg.resource
def two(_: dg.InitResourceContext) -> Ruler:
    return Ruler(2)


@dg.resource
def one(_: dg.InitResourceContext) -> Ruler:
    return Ruler(1)


@pytest.mark.parametrize("how", ["execute_in_process", "materialize"])
@pytest.mark.parametrize(
    ("code_version", "own", "equal", "other"),
    [
        (None, Limits(least=3), Limits(least=3), Limits(least=1)),
        ("1", Limits(least=3), Limits(least=3), Limits(least=1)),
        (None, Ruler(3), Ruler(3), Ruler(1)),
        (None, two, two, one),
        (None, _constant(3), _constant(3), _constant(1)),
        ("1", Opaque(3), None, Opaque(3)),
    ],
    ids=["configurable", "own version", "plain", "function", "constant", "without a form"],
)
def test_a_gate_judges_by_the_resources_of_its_rule_alone(
    governed: EphemeralPlane, how: str, code_version: str | None, own: Any, equal: Any, other: Any
) -> None:
    """A program that hands the step others gets no verdict; with those of the code, the same or
    equal ones, it judges."""

    @gate(asset=rows, code_version=code_version, required_resource_keys={"least"})
    def judge(context: dg.AssetCheckExecutionContext, rows: list[int]) -> dg.AssetCheckResult:
        least = context.resources.least
        return dg.AssetCheckResult(passed=len(rows) >= getattr(least, "least", least))

    location = govern(
        dg.Definitions(
            assets=[rows],
            asset_checks=[judge],
            jobs=[dg.define_asset_job("everything", selection="*")],
            resources={"least": own},
        )
    )

    def verdicts() -> int:
        return len(list(governed.plane.ledger.scan(kind=EntryKind.GATE_RECEIPT)))

    def judged_with(resource: Any) -> bool:
        given = {**(location.resources or {}), "least": resource}
        launched: dict[str, Any] = {
            "partition_key": governed.register(),
            "instance": governed.instance,
            "resources": given,
            "raise_on_error": False,
        }
        before = verdicts()
        if how == "materialize":
            done = dg.materialize([rows, judge], **launched)
        else:
            done = location.resolve_job_def("everything").execute_in_process(**launched)
        assert done.success is (verdicts() > before)
        return done.success

    assert not judged_with(other)
    assert judged_with(own)
    assert equal is None or judged_with(equal)


def test_what_cannot_be_listed_is_refused_when_the_location_is_loaded() -> None:
    """By the gate's name and the value's; a code version of the gate's own lets it load."""
    stream = iter([1])

    def judge() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(next(stream)))

    with pytest.raises(CodeNotCanonicalError, match=r"rows\.judge.*'stream'"):
        govern(dg.Definitions(assets=[rows], asset_checks=[gate(asset=rows)(judge)]))
    assert govern(
        dg.Definitions(assets=[rows], asset_checks=[gate(asset=rows, code_version="1")(judge)])
    )


def test_what_a_gate_is_handed_is_in_its_rule() -> None:
    """Another asset under the same parameter, and another type for it, are other rules."""

    def other(name: str, kind: Any) -> str:
        def judge(rows: Any, beside: Any) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=rows == beside)

        judge.__annotations__["beside"] = kind
        made = gate(asset=rows, additional_ins={"beside": dg.AssetIn(name)})(judge)
        return rule(made).code_version

    assert len({other("a", int), other("b", int), other("a", float), other("a", int)}) == 3


async def _awaited(rows: list[int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=len(rows) > 2)


def _yielded(rows: list[int]) -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(passed=len(rows) > 2)


@pytest.mark.parametrize("check", [_awaited, _yielded])
def test_checks_that_await_or_yield_their_result_are_run(
    governed: EphemeralPlane, materialize: Materialize, check: Any
) -> None:
    """As Dagster runs them: their verdict is on record."""
    fingerprint = governed.register()
    assert materialize([rows, gate(asset=rows, name="judge")(check)], fingerprint).success
    ref = governed.plane.store.binding("rows", fingerprint)
    assert ref is not None
    recorded = governed.plane.receipts.latest("rows.judge", fingerprint, ref.digest)
    assert recorded is not None
    assert recorded.status.value == "PASS"


def test_a_check_that_awaits_is_run_under_a_loop_as_well(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """A notebook has a loop that runs: the check is awaited beside it, and judges as ever."""

    async def notebook() -> dg.ExecuteInProcessResult:
        return materialize([rows, gate(asset=rows, name="judge")(_awaited)], governed.register())

    assert asyncio.run(notebook()).success


def test_how_an_input_is_asked_for_is_part_of_the_rule() -> None:
    """An IO manager reads the metadata of an input, so other metadata are another rule; none at
    all is the rule of before."""

    def judged_beside(**options: Any) -> str:
        def judge(rows: list[int], beside: list[int]) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=rows == beside)

        beside = {"beside": dg.AssetIn("other", **options)}
        return rule(gate(asset=rows, additional_ins=beside)(judge)).code_version

    plain, one, two = (
        judged_beside(**options)
        for options in ({}, {"metadata": {"columns": "a"}}, {"metadata": {"columns": "b"}})
    )
    assert len({plain, one, two}) == 3
    assert plain == judged_beside(metadata={})


class Previous(dg.IdentityPartitionMapping):
    """A mapping of somebody's own."""


def test_which_partitions_an_asset_loads_is_part_of_its_code() -> None:
    """Dagster's own mapping by what it stores of it, another by its class."""

    def code(mapping: dg.PartitionMapping | None) -> str:
        @dg.asset(partitions_def=MANIFESTS, ins={"rows": dg.AssetIn(partition_mapping=mapping)})
        def later(rows: list[int]) -> int:
            return sum(rows)

        version, why = asset_code(later)
        assert version, why
        return version

    mappings = (None, dg.IdentityPartitionMapping(), dg.LastPartitionMapping(), Previous())
    assert len({code(mapping) for mapping in mappings}) == 4
    assert code(Previous()) == code(Previous())


def test_a_check_that_yields_two_results_gives_no_verdict(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """One gate, one verdict."""

    @gate(asset=rows)
    def twice() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(passed=False)
        yield dg.AssetCheckResult(passed=True)

    fingerprint = governed.register()
    assert not materialize([rows, twice], fingerprint).success
    assert attempts(fingerprint)["rows#twice"].error_code == "RO_ENCODING"


def test_a_pass_under_a_rule_of_the_older_form_is_stale_in_those_words(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """A home of before has rules ``src-…``: the refusal says so, and how to judge again."""

    @gate(asset=rows, name="at_least", code_version=f"{OLDER_FORM}0123456789abcdef")
    def before() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register()
    assert materialize([rows, before], fingerprint).success
    plane = governed.plane
    plane.gates.amend("rows", rule(at_least(2)), actor=DAGSTER_ACTOR)

    ref = plane.store.binding("rows", fingerprint)
    assert ref is not None
    (standing,) = plane.guard.standings("rows", plane.runs.manifest(fingerprint), fingerprint, ref)
    assert standing.word == "STALE"
    assert standing.refusal is not None
    assert "a rule of the older form" in standing.refusal.message
    assert "ro gate run" in str(standing.refusal.next_step)


def _code_of(definition: Any) -> dg.AssetSpec:
    (asset,) = govern(dg.Definitions(assets=[definition])).assets or ()
    assert isinstance(asset, dg.AssetsDefinition)
    (spec,) = asset.specs
    return spec


def made(number: int) -> Any:
    @dg.asset(name="made")
    def inner() -> int:
        return number

    return inner


def test_an_asset_has_the_digest_of_its_code_unless_it_gives_a_version() -> None:
    """``code1-`` and 64 hex, of what it reads as well."""
    one, same, other = (_code_of(made(number)).code_version for number in (1, 1, 2))
    assert one == same != other
    assert one is not None
    assert one.startswith("code1-")
    assert len(one) == len("code1-") + 64

    @dg.asset(code_version="7")
    def own() -> int:
        return 1

    assert _code_of(own).code_version == "7"


def test_an_asset_without_a_canonical_form_is_loaded_and_says_why() -> None:
    """It has no code digest; its metadata name what stood in the way."""
    stream = iter([1])

    @dg.asset
    def counted() -> int:
        return next(stream)

    spec = _code_of(counted)
    assert spec.code_version is None
    assert "'stream'" in spec.metadata[NO_CODE]


def test_an_attempt_records_the_digest_of_its_assets_code(
    governed: EphemeralPlane, attempts: Attempts
) -> None:
    """So that a person can ask whether what is there was made by the code of now."""
    fingerprint = governed.register()
    job = _job(rows)
    job.execute_in_process(instance=governed.instance, partition_key=fingerprint)
    assert str(attempts(fingerprint)["rows"].code_version).startswith("code1-")


def test_the_planes_own_resource_is_no_part_of_the_rule() -> None:
    """Its code is named with its version, like that of any other distribution."""

    @gate(asset=rows)
    def with_plane(plane: PlaneResource) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(plane))

    assert rule(with_plane) == rule(with_plane, plane=PlaneResource())
