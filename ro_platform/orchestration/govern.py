"""``govern``: put a code location's Definitions under the plane's law.

It adds the resources ``plane`` and ``io_manager``, hands them the gates that the checks declare,
and refuses to load what would only look governed: a blocking check that leaves no receipt, two
gates of one name, a gate on an asset without manifests as partitions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from ro_platform.contracts import GateRule
from ro_platform.errors import SettingsError
from ro_platform.orchestration.gate import rule_of
from ro_platform.orchestration.io_manager import ArtifactIOManager
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.resource import DeclaredGate, DeclaredGates, PlaneResource


def govern(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, with every asset and gate of theirs bound to the plane.

    Raises :class:`SettingsError` for a blocking check that is not a gate, for two gates of one
    name, and for a gated asset that is not partitioned by manifests or not kept by the plane.
    """
    assets, checks = list(definitions.assets or ()), list(definitions.asset_checks or ())
    resources = plane_resources(assets, checks)
    if taken := sorted(resources.keys() & (definitions.resources or {}).keys()):
        raise SettingsError(
            f"these Definitions bring a resource {taken[0]!r} of their own.",
            next_step="Leave it out: `govern` provides it.",
        )
    return dg.Definitions.merge(definitions, dg.Definitions(resources=resources))


def plane_resources(assets: Iterable[Any], checks: Iterable[Any]) -> dict[str, Any]:
    """The resources ``plane`` and ``io_manager`` for these assets and checks."""
    assets, gates = list(assets), dict[str, list[GateRule]]()
    for spec in _check_specs(assets, checks):
        rule = rule_of(spec)
        if rule is not None:
            gates.setdefault(unit_of(spec.asset_key), []).append(rule)
        elif spec.blocking:
            raise SettingsError(
                f"check {spec.name!r} of asset {unit_of(spec.asset_key)!r} is blocking, but leaves "
                "no receipt, so it would bind nobody outside its own run.",
                next_step="Write @gate(asset=...) in the place of "
                "@asset_check(asset=..., blocking=True).",
            )
    _refuse_twins(gates)
    for definition in assets:
        if isinstance(definition, dg.AssetsDefinition):
            _refuse_unbound(definition, gates)
    plane = PlaneResource(declared=[_declared(asset, gates[asset]) for asset in sorted(gates)])
    return {"plane": plane, "io_manager": ArtifactIOManager(plane=plane)}


def _check_specs(assets: Iterable[Any], checks: Iterable[Any]) -> Iterable[dg.AssetCheckSpec]:
    for definition in (*assets, *checks):
        if isinstance(definition, dg.AssetsDefinition):
            yield from definition.check_specs


def _refuse_unbound(definition: dg.AssetsDefinition, gates: Mapping[str, object]) -> None:
    """A gate judges bytes that the plane holds for a manifest; of others it can say nothing."""
    for key, spec in definition.specs_by_key.items():
        if unit_of(key) not in gates or not definition.is_executable:
            continue
        if spec.partitions_def != MANIFESTS:
            raise SettingsError(
                f"asset {unit_of(key)!r} has a gate, but its partitions are not manifests.",
                next_step="Give it partitions_def=MANIFESTS.",
            )
        if definition.get_io_manager_key_for_asset_key(key) != "io_manager":
            raise SettingsError(
                f"asset {unit_of(key)!r} has a gate, but another IO manager keeps its bytes.",
                next_step="Leave out its io_manager_key, or its gate.",
            )


def _refuse_twins(gates: dict[str, list[GateRule]]) -> None:
    seen: set[str] = set()
    for rule in (rule for rules in gates.values() for rule in rules):
        if rule.gate_id in seen:
            raise SettingsError(
                f"two gates have the id {rule.gate_id!r}.",
                next_step="Rename one of the checks, so that their receipts cannot be confused.",
            )
        seen.add(rule.gate_id)


def _declared(asset: str, rules: list[GateRule]) -> DeclaredGates:
    return DeclaredGates(
        asset=asset,
        gates=[
            DeclaredGate(
                gate_id=rule.gate_id, code_version=rule.code_version, configs=list(rule.configs)
            )
            for rule in rules
        ],
    )
