"""What a launch may say beside its manifest: nothing of the plane, and nothing that decides."""

from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import GateRule
from ro_platform.orchestration import PlaneResource, gate, govern
from ro_platform.orchestration.declarations import Declarations, DeclaredAsset, DeclaredGate
from ro_platform.testing import EphemeralPlane


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
