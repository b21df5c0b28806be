"""What a code location declares about assets, as the plane's resource carries it into each process.

``govern`` fills it in from the definitions. The IO manager, the gates and the recorder ask it
which gates an asset has and which edges of it carry no value.
"""

import dagster as dg
from pydantic import Field

from ro_platform.contracts import BoundRef, GateRule
from ro_platform.plane import DAGSTER_ACTOR, Plane


class DeclaredGate(dg.Config):
    """A gate as the code location declares it."""

    gate_id: str
    code_version: str
    configs: list[str] = Field(default_factory=list)


class DeclaredAsset(dg.Config):
    """One asset: whether it is made here, its gates, and what it depends on without loading it."""

    asset: str
    made_here: bool = True
    gates: list[DeclaredGate] = Field(default_factory=list)
    unloaded: list[str] = Field(default_factory=list)

    def rules(self) -> tuple[GateRule, ...]:
        """Its gates as the catalogue keeps them."""
        return tuple(
            GateRule(
                gate_id=item.gate_id,
                code_version=item.code_version,
                configs=tuple(item.configs),
                guest=None if self.made_here else True,
            )
            for item in self.gates
        )


class Declarations:
    """All assets of a code location, by name."""

    def __init__(self, assets: list[DeclaredAsset]) -> None:
        self._assets = {item.asset: item for item in assets}

    def gates_of(self, asset: str) -> tuple[GateRule, ...]:
        """The gates that this code location gives an asset."""
        declared = self._assets.get(asset)
        return declared.rules() if declared else ()

    def unloaded_by(self, asset: str) -> list[str]:
        """What an asset depends on without loading it."""
        declared = self._assets.get(asset)
        return declared.unloaded if declared else []

    def rule(self, asset: str, gate_id: str) -> GateRule | None:
        """One gate of an asset."""
        return next((rule for rule in self.gates_of(asset) if rule.gate_id == gate_id), None)

    def bind(self, plane: Plane, asset: str) -> None:
        """Put an asset's gates on record: what is new in the code binds from here on.

        Raises :class:`GateSetShrankError` where this code location took one away.
        """
        declared = self._assets.get(asset)
        if declared is None:
            return
        if declared.made_here:
            plane.gates.declare(asset, declared.rules(), actor=DAGSTER_ACTOR)
        else:
            for rule in declared.rules():
                plane.gates.amend(asset, rule, actor=DAGSTER_ACTOR)

    def is_governed(self, plane: Plane, asset: str) -> bool:
        """Whether reading an asset is the guard's matter."""
        return asset in self._assets or plane.gates.gates_of(asset) is not None

    def require(self, plane: Plane, asset: str, fingerprint: str) -> BoundRef:
        """The artifact of an asset under a manifest, if every gate of it stands.

        Raises :class:`ArtifactNotFoundError`, a :class:`GateRefusedError`, or
        :class:`ManifestNotRegisteredError`.
        """
        self.bind(plane, asset)
        return plane.guard.require(asset, plane.runs.manifest(fingerprint), fingerprint)
