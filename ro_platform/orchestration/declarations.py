"""What a code location declares about assets, as the plane's resource carries it into each process.

``govern`` fills it in from the definitions. The IO manager, the gates and the recorder ask it
which gates an asset has and which edges of it carry no value. It is plain data of the code, which
no run config reaches: what a launch could say of it would be a rule of the launch's own.

Assets that hand over no value, by their annotation: nothing of them can be bound.

They load and run, and leave attempts. What cannot be is an edge onto one from something governed,
or a gate of one: it would wait for ever for an artifact, so it is refused when it is loaded.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import dagster as dg

from ro_platform import errors
from ro_platform.contracts import BoundRef, GateRule
from ro_platform.dagster_private.definitions import (
    assets_without_value,
    inputs_without_value,
)
from ro_platform.orchestration.listings import keep_listings
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.plane import DAGSTER_ACTOR, Plane

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
            raise errors.SettingsError(
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
                raise errors.SettingsError(
                    f"asset {unit_of(key)!r} depends on {unit_of(parent)!r}, which hands over no "
                    "value: nothing of it could be bound, pass or be read.",
                    next_step=f"Of {unit_of(parent)!r}: {_WHAT_TO_DO[0].lower()}{_WHAT_TO_DO[1:]}",
                )


@dataclass(frozen=True)
class DeclaredGate:
    """A gate as the code location declares it."""

    gate_id: str
    code_version: str
    configs: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeclaredAsset:
    """One asset: whether it is made here, its gates, and what it depends on without loading it.

    ``is_empty``: it hands over no value, so nothing of it can be bound, judged or read.
    ``is_needed``: something governed depends on it or judges it, so it has to.
    ``is_ranged``: one step makes it for several manifests at once (its backfill policy), and
    returns a dict by fingerprint, also where it happens to be for one.
    """

    asset: str
    made_here: bool = True
    gates: tuple[DeclaredGate, ...] = ()
    unloaded: tuple[str, ...] = ()
    is_empty: bool = False
    is_needed: bool = False
    is_ranged: bool = False

    def rules(self) -> tuple[GateRule, ...]:
        """Its gates as the catalogue keeps them."""
        return tuple(
            GateRule(
                gate_id=item.gate_id,
                code_version=item.code_version,
                configs=item.configs,
                guest=None if self.made_here else True,
            )
            for item in self.gates
        )


class Declarations:
    """All assets of a code location, by name, and its jobs.

    ``job_of`` answers a job by its name, as the code location gives it; None where it has none.
    """

    def __init__(
        self,
        assets: Iterable[DeclaredAsset] = (),
        job_of: Callable[[str], dg.JobDefinition | None] = lambda _: None,
    ) -> None:
        self._assets = {item.asset: item for item in assets}
        self.job_of = job_of

    @property
    def made_here(self) -> frozenset[str]:
        """The assets that this code location makes, and of which there is something to bind."""
        return frozenset(
            item.asset for item in self._assets.values() if item.made_here and not item.is_empty
        )

    def is_empty(self, asset: str) -> bool:
        """Whether this code location makes an asset and hands over nothing of it."""
        return self._of(asset).is_empty

    def is_needed(self, asset: str) -> bool:
        """Whether something governed here depends on an asset or judges it."""
        return self._of(asset).is_needed

    def is_ranged(self, asset: str) -> bool:
        """Whether a step of this code location makes an asset for several manifests at once."""
        return self._of(asset).is_ranged

    def gates_of(self, asset: str) -> tuple[GateRule, ...]:
        """The gates that this code location gives an asset."""
        return self._of(asset).rules()

    def unloaded_by(self, asset: str) -> tuple[str, ...]:
        """What an asset depends on without loading it."""
        return self._of(asset).unloaded

    def _of(self, asset: str) -> DeclaredAsset:
        """What is declared of an asset: nothing of one that is not known here."""
        return self._assets.get(asset) or DeclaredAsset(asset, made_here=False)

    def rule(self, asset: str, gate_id: str) -> GateRule | None:
        """One gate of an asset."""
        return next((rule for rule in self.gates_of(asset) if rule.gate_id == gate_id), None)

    def bind(self, plane: Plane, asset: str) -> None:
        """Put an asset's gates on record: what is new in the code binds from here on.

        Raises :class:`GateSetShrankError` where this code location took one away.
        """
        declared = self._assets.get(asset)
        if declared is None or declared.is_empty:
            return
        keep_listings(plane, declared.rules())
        if declared.made_here:
            plane.gates.declare(asset, declared.rules(), actor=DAGSTER_ACTOR)
        else:
            for rule in declared.rules():
                plane.gates.amend(asset, rule, actor=DAGSTER_ACTOR)

    def is_governed(self, plane: Plane, asset: str) -> bool:
        """Whether reading an asset is the guard's matter."""
        if self.is_empty(asset):
            return False
        return asset in self._assets or plane.gates.gates_of(asset) is not None

    def require(self, plane: Plane, asset: str, fingerprint: str) -> BoundRef:
        """The artifact of an asset under a manifest, if every gate of it stands.

        Raises :class:`ArtifactNotFoundError`, a :class:`GateRefusedError`, or
        :class:`ManifestNotRegisteredError`.
        """
        self.bind(plane, asset)
        return plane.guard.require(asset, plane.runs.manifest(fingerprint), fingerprint)
