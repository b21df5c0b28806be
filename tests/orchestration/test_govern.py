"""``govern``: what loads is bound to the plane, and what would only look governed does not load."""

import dagster as dg
import pytest

from ro_platform.contracts import GateRule
from ro_platform.errors import SettingsError
from ro_platform.orchestration import MANIFESTS, ArtifactIOManager, PlaneResource, gate, govern


@dg.asset(partitions_def=MANIFESTS)
def made() -> dict[str, int]:
    return {}


@gate(asset=made, configs=("b", "a"), code_version="3")
def is_good(made: dict[str, int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def test_governed_definitions_load_with_the_plane_inside() -> None:
    """Dagster validates them; ``plane`` knows the gates; the IO manager is the plane's."""
    definitions = govern(
        dg.Definitions(
            assets=[made], asset_checks=[is_good], jobs=[dg.define_asset_job("j", selection="*")]
        )
    )

    dg.Definitions.validate_loadable(definitions)
    resources = definitions.resources or {}
    plane = resources["plane"]
    assert isinstance(plane, PlaneResource)
    assert plane.gates_of("made") == (
        GateRule(gate_id="made.is_good", code_version="3", configs=("a", "b")),
    )
    assert plane.gates_of("unknown") == ()
    assert isinstance(resources["io_manager"], ArtifactIOManager)
    assert definitions.resolve_job_def("j").partitions_def == MANIFESTS


def test_a_blocking_check_that_is_no_gate_is_refused() -> None:
    """It would stop its own run and nobody else's, and leave no receipt."""

    @dg.asset_check(asset=made, blocking=True)
    def plain() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match=r"'plain'.*blocking.*@gate"):
        govern(dg.Definitions(assets=[made], asset_checks=[plain]))


def test_a_blocking_check_inside_an_asset_is_refused() -> None:
    """The same, declared by the asset's own check_specs."""
    spec = dg.AssetCheckSpec("inner", asset="own", blocking=True)

    @dg.asset(partitions_def=MANIFESTS, check_specs=[spec])
    def own() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult()

    with pytest.raises(SettingsError, match="'inner'"):
        govern(dg.Definitions(assets=[own]))


def test_a_check_that_does_not_block_stays_an_ordinary_check() -> None:
    """It is welcome, and is no gate."""

    @dg.asset_check(asset=made)
    def plain() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    resources = govern(dg.Definitions(assets=[made], asset_checks=[plain])).resources or {}
    assert resources["plane"].gates_of("made") == ()


def test_two_gates_of_one_name_are_refused() -> None:
    """Their receipts could be taken for each other's."""

    @gate(asset=made, name="is_good")
    def another() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match=r"two gates have the id 'made\.is_good'"):
        govern(dg.Definitions(assets=[made], asset_checks=[is_good, another]))


def test_a_gate_on_an_asset_with_other_partitions_is_refused() -> None:
    """A verdict is about bytes under a manifest."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["monday"]))
    def loose() -> dict[str, int]:
        return {}

    @gate(asset=loose)
    def judge() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match="partitions_def=MANIFESTS"):
        govern(dg.Definitions(assets=[loose], asset_checks=[judge]))


def test_a_gate_on_an_asset_that_another_io_manager_keeps_is_refused() -> None:
    """The plane would have nothing to judge and nothing to guard."""

    @dg.asset(partitions_def=MANIFESTS, io_manager_key="elsewhere")
    def kept() -> dict[str, int]:
        return {}

    @gate(asset=kept)
    def judge() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with pytest.raises(SettingsError, match="another IO manager"):
        govern(
            dg.Definitions(
                assets=[kept],
                asset_checks=[judge],
                resources={"elsewhere": dg.mem_io_manager},
            )
        )


@pytest.mark.parametrize("name", ["plane", "io_manager"])
def test_definitions_may_not_bring_the_planes_resources_themselves(name: str) -> None:
    """One of the two would silently win."""
    with pytest.raises(SettingsError, match=f"'{name}'"):
        govern(dg.Definitions(assets=[made], resources={name: dg.mem_io_manager}))
