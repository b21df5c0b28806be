"""Assets that hand over no value, by their annotation: nothing of them can be bound.

They load and run, and leave attempts. What cannot be is an edge onto one from something governed,
or a gate of one: it would wait for ever for an artifact, so it is refused when it is loaded.
"""

from collections.abc import Collection, Iterable

import dagster as dg

from ro_platform.errors import SettingsError
from ro_platform.orchestration.dagster_definitions_private import (
    assets_without_value,
    inputs_without_value,
)
from ro_platform.orchestration.partitions import MANIFESTS, unit_of

_WHAT_TO_DO = (
    "Return what it made (a table, JSON, bytes, a path, or MaterializeResult(value=...)) and "
    "annotate it so; or give it an io_manager_key of its own, and it is none of the plane's."
)


def kept_by(definition: dg.AssetsDefinition, io_manager: str) -> frozenset[dg.AssetKey]:
    """The assets that a definition makes by manifest and leaves to an IO manager."""
    if not definition.is_materializable:
        return frozenset()
    return frozenset(
        key
        for key, spec in definition.specs_by_key.items()
        if spec.partitions_def == MANIFESTS
        and definition.get_io_manager_key_for_asset_key(key) == io_manager
    )


def require_values(
    definitions: Iterable[dg.AssetsDefinition], gated: Collection[str], io_manager: str
) -> frozenset[dg.AssetKey]:
    """The assets that hand over nothing.

    Raises :class:`SettingsError`, by name, for a gate of one, for an edge onto one from an asset
    that hands over something to the same IO manager, and for any asset that loads one.
    """
    definitions = list(definitions)
    empty = frozenset(
        key
        for definition in definitions
        for key in kept_by(definition, io_manager) & assets_without_value(definition)
    )
    for key in sorted(empty):
        if unit_of(key) in gated:
            raise SettingsError(
                f"asset {unit_of(key)!r} has a gate, but hands over no value: there are no bytes "
                "to judge.",
                next_step=_WHAT_TO_DO,
            )
    for definition in definitions:
        if definition.is_materializable:
            _require_edges(definition, empty, io_manager)
    return empty


def _require_edges(
    definition: dg.AssetsDefinition, empty: frozenset[dg.AssetKey], io_manager: str
) -> None:
    governed = kept_by(definition, io_manager) - assets_without_value(definition)
    unloaded = inputs_without_value(definition)
    loaded = frozenset(definition.keys_by_input_name.values()) - unloaded
    for key, spec in definition.specs_by_key.items():
        for parent in (dep.asset_key for dep in spec.deps if dep.asset_key in empty):
            if key in governed or parent in loaded:
                raise SettingsError(
                    f"asset {unit_of(key)!r} depends on {unit_of(parent)!r}, which hands over no "
                    "value: nothing of it could be bound, pass or be read.",
                    next_step=f"Of {unit_of(parent)!r}: {_WHAT_TO_DO[0].lower()}{_WHAT_TO_DO[1:]}",
                )
