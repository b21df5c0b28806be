"""``govern``: put a code location's Definitions under the plane's law.

It adds the resources ``plane`` and ``io_manager``, hands them what the definitions declare, gives
assets without partitions the manifests as theirs, and refuses to load what would only look
governed: a blocking check that leaves no receipt, two gates of one name, an edge that nothing
could guard.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.contracts import GateRule
from ro_platform.dagster_private.definitions import (
    assets_without_value,
    inputs_without_value,
)
from ro_platform.orchestration.declarations import (
    Declarations,
    DeclaredAsset,
    DeclaredGate,
    kept_by,
    require_values,
)
from ro_platform.orchestration.gate import rule_of
from ro_platform.orchestration.io_manager import ArtifactIOManager
from ro_platform.orchestration.names import (
    require_asset_name,
    require_own_names,
    require_workload_names,
)
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.orchestration.rules import asset_code

_OURS = "io_manager"
NO_CODE = "ro/no_code_digest"
"""Metadata of an asset whose code has no digest: why."""
Gates = Mapping[str, list[GateRule]]


def govern(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, with every asset and gate of theirs bound to the plane.

    >>> import dagster as dg
    >>> from ro_platform import govern
    >>> @dg.asset
    ... def orders() -> dict[str, int]:
    ...     return {"count": 3}
    >>> defs = govern(dg.Definitions(assets=[orders]))
    >>> defs.resolve_asset_graph().get(orders.key).partitions_def.name
    'manifests'

    An asset that has no partitions and leaves its bytes to ``io_manager`` is partitioned by
    manifests. Raises :class:`SettingsError` for what would only look governed.
    """
    checks = list(definitions.asset_checks or ())
    assets = [_with_code(_by_manifest(asset)) for asset in definitions.assets or ()]
    resources = plane_resources(assets, checks, definitions.resources, within=lambda: governed)
    if taken := sorted(resources.keys() & (definitions.resources or {}).keys()):
        raise errors.SettingsError(
            f"these Definitions bring a resource {taken[0]!r} of their own.",
            next_step="Leave it out: `govern` provides it.",
        )
    everything = {
        name: getattr(definitions, name)
        for name in ("schedules", "sensors", "jobs", "executor", "loggers", "metadata")
    }
    governed = dg.Definitions(
        assets=assets,
        asset_checks=checks,
        resources={**(definitions.resources or {}), **resources},
        component_tree=definitions.component_tree,
        **everything,
    )
    require_workload_names(governed)
    return governed


def plane_resources(
    assets: Iterable[Any],
    checks: Iterable[Any],
    resources: Mapping[str, Any] | None = None,
    *,
    within: Callable[[], dg.Definitions] | None = None,
) -> dict[str, Any]:
    """The resources ``plane`` and ``io_manager`` for these assets and checks, for Definitions that
    are put together by hand; :func:`govern` does it for all of them.

    >>> import dagster as dg
    >>> from ro_platform import MANIFESTS, plane_resources
    >>> @dg.asset(partitions_def=MANIFESTS)
    ... def orders() -> dict[str, int]:
    ...     return {"count": 3}
    >>> sorted(plane_resources([orders], []))
    ['io_manager', 'plane']

    ``resources`` are the others that gates among them use. ``within`` answers, once they are made,
    the Definitions that they are put into: a job may have the config that those give it. Without
    them no job has any.

    Raises :class:`SettingsError` and :class:`CodeNotCanonicalError` for what would only look
    governed.
    """
    assets, gates = list(assets), dict[str, list[GateRule]]()
    for definition, spec in _check_specs(assets, checks):
        rule = rule_of(definition, resources)
        if rule is not None:
            require_asset_name(spec.asset_key)
            gates.setdefault(unit_of(spec.asset_key), []).append(rule)
        elif spec.blocking:
            raise errors.SettingsError(
                f"check {spec.name!r} of asset {unit_of(spec.asset_key)!r} is blocking, but leaves "
                "no receipt, so it would bind nobody outside its own run.",
                next_step="Write @gate(asset=...) in the place of "
                "@asset_check(asset=..., blocking=True).",
            )
    _refuse_twins(gates)
    definitions = [item for item in assets if isinstance(item, dg.AssetsDefinition)]
    require_own_names(assets, _OURS)
    made = {unit_of(key) for item in definitions if item.is_materializable for key in item.keys}
    empty = require_values(definitions, gates, _OURS)
    needed = _needed(definitions) | gates.keys()
    declared = [item for each in definitions for item in _declared(each, gates, empty, needed)]
    declared += [
        DeclaredAsset(asset=asset, made_here=False, gates=_gates(gates[asset]))
        for asset in sorted(gates.keys() - made)
    ]
    plane = PlaneResource.declaring(Declarations(declared, _jobs_of(within)))
    return {"plane": plane, _OURS: ArtifactIOManager(plane=plane)}


def _jobs_of(
    within: Callable[[], dg.Definitions] | None,
) -> Callable[[str], dg.JobDefinition | None]:
    """A job of these definitions by its name; None for one that is made where it is executed."""

    def job_of(name: str) -> dg.JobDefinition | None:
        try:
            return within().resolve_job_def(name) if within else None
        except dg.DagsterError:
            return None

    return job_of


def _by_manifest(asset: Any) -> Any:
    """The asset, partitioned by manifests if it is kept by the plane and has no partitions."""
    if not isinstance(asset, dg.AssetsDefinition) or not asset.is_materializable:
        return asset

    def partitioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        ours = asset.get_io_manager_key_for_asset_key(spec.key) == _OURS
        if spec.partitions_def is not None or not ours:
            return spec
        return spec.replace_attributes(partitions_def=MANIFESTS)

    return asset.map_asset_specs(partitioned)


def _with_code(asset: Any) -> Any:
    """The asset with the digest of its code as its code version, where it gives none.

    Where its code has no canonical form, it has none, and its metadata say why.
    """
    if not isinstance(asset, dg.AssetsDefinition) or not asset.is_materializable:
        return asset
    if all(spec.code_version for spec in asset.specs):
        return asset
    version, why = asset_code(asset)

    def versioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        ours = asset.get_io_manager_key_for_asset_key(spec.key) == _OURS
        if spec.code_version or not ours or spec.partitions_def != MANIFESTS:
            return spec
        if version is None:
            return spec.merge_attributes(metadata={NO_CODE: str(why)})
        return spec.replace_attributes(code_version=version)

    return asset.map_asset_specs(versioned)


def _check_specs(
    assets: Iterable[Any], checks: Iterable[Any]
) -> Iterable[tuple[dg.AssetsDefinition, dg.AssetCheckSpec]]:
    for definition in (*assets, *checks):
        if isinstance(definition, dg.AssetsDefinition):
            yield from ((definition, spec) for spec in definition.check_specs)


def _needed(definitions: Iterable[dg.AssetsDefinition]) -> set[str]:
    """What the assets that the plane keeps depend on, by name."""
    return {
        unit_of(dep.asset_key)
        for definition in definitions
        for key in kept_by(definition, _OURS) - assets_without_value(definition)
        for dep in definition.specs_by_key[key].deps
    }


def _declared(
    definition: dg.AssetsDefinition,
    gates: Gates,
    empty: Collection[dg.AssetKey],
    needed: Collection[str],
) -> Iterator[DeclaredAsset]:
    """What the plane has to know of the assets that a definition makes."""
    if not definition.is_materializable:
        return
    unloaded = inputs_without_value(definition)
    for key, spec in definition.specs_by_key.items():
        asset = unit_of(key)
        kept_here = definition.get_io_manager_key_for_asset_key(key) == _OURS
        if asset in gates:
            _refuse_unbound(asset, spec, kept_here=kept_here)
        parents = {dep.asset_key: dep for dep in spec.deps if dep.asset_key != key}
        for parent in parents.keys() & definition.keys:
            if unit_of(parent) in gates:
                _refuse_inner_edge(asset, unit_of(parent))
        if kept_here and spec.partitions_def == MANIFESTS:
            mapped = [item for item in parents.values() if item.partition_mapping is not None]
            for dep in mapped:
                if dep.asset_key in unloaded:
                    _refuse_mapped_edge(asset, unit_of(dep.asset_key))
            yield DeclaredAsset(
                asset=asset,
                gates=_gates(gates.get(asset, [])),
                unloaded=tuple(
                    sorted(unit_of(parent) for parent in parents.keys() & unloaded - {*empty})
                ),
                is_empty=key in empty,
                is_needed=asset in needed,
                is_ranged=_is_ranged(definition),
            )


def _is_ranged(definition: dg.AssetsDefinition) -> bool:
    policy = definition.backfill_policy
    return policy is not None and policy.max_partitions_per_run != 1


def _refuse_unbound(asset: str, spec: dg.AssetSpec, *, kept_here: bool) -> None:
    """A gate judges bytes that the plane holds for a manifest; of others it can say nothing."""
    if spec.partitions_def != MANIFESTS:
        raise errors.SettingsError(
            f"asset {asset!r} has a gate, but its partitions are not manifests.",
            next_step="Give it partitions_def=MANIFESTS.",
        )
    if not kept_here:
        raise errors.SettingsError(
            f"asset {asset!r} has a gate, but another IO manager keeps its bytes.",
            next_step="Leave out its io_manager_key, or its gate.",
        )


def _refuse_inner_edge(asset: str, parent: str) -> None:
    raise errors.SettingsError(
        f"asset {asset!r} is made in one step with {parent!r}, which it depends on and which has a "
        "gate: nothing could judge the one before the other is made.",
        next_step=f"Make {parent!r} in a step of its own, or move its gate behind {asset!r}.",
    )


def _refuse_mapped_edge(asset: str, parent: str) -> None:
    raise errors.SettingsError(
        f"asset {asset!r} depends on {parent!r} by a partition mapping without loading it, so it "
        "cannot be said which manifests' artifacts must have passed.",
        next_step="Load it as an input, or leave out the partition mapping.",
    )


def _refuse_twins(gates: Gates) -> None:
    seen: set[str] = set()
    for rule in (rule for rules in gates.values() for rule in rules):
        if rule.gate_id in seen:
            raise errors.SettingsError(
                f"two gates have the id {rule.gate_id!r}.",
                next_step="Rename one of the checks, so that their receipts cannot be confused.",
            )
        seen.add(rule.gate_id)


def _gates(rules: Iterable[GateRule]) -> tuple[DeclaredGate, ...]:
    return tuple(
        DeclaredGate(gate_id=rule.gate_id, code_version=rule.code_version, configs=rule.configs)
        for rule in rules
    )
