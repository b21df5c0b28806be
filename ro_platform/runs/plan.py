"""What of a run already stands, and what is left to do. Reads only; the guard's law decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ro_platform.artifacts.addressing import is_asset
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import BoundRef, RunManifest
from ro_platform.errors import (
    ArtifactBlockedError,
    ArtifactUnrecordedError,
    GateAbsentError,
    GateFailedError,
    GateOlderBytesError,
    GateRefusedError,
    GateStaleError,
    GateUndeclaredError,
    ReceiptUnverifiableError,
)
from ro_platform.gates.guard import Guard, Standing

_JUDGING_HELPS = (
    GateAbsentError,
    GateOlderBytesError,
    GateStaleError,
    GateFailedError,
    ReceiptUnverifiableError,
)
_MAKING_HELPS = (ArtifactBlockedError, ArtifactUnrecordedError, GateUndeclaredError)


@dataclass(frozen=True, slots=True)
class AssetStanding:
    """One asset under one manifest: its artifact, if bound, and how each of its gates stands."""

    asset: str
    ref: BoundRef | None
    gates: tuple[Standing, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether a consumer may read it, so that nothing needs to be computed."""
        return self.ref is not None and all(gate.refusal is None for gate in self.gates)

    @property
    def needs_making(self) -> bool:
        """Whether only making it (again) helps: it is not there, nobody is on record as having
        made it, or something it was made from was revoked."""
        return self.ref is None or self._refused_by(_MAKING_HELPS)

    @property
    def needs_judgement_only(self) -> bool:
        """Whether the artifact may stay, and a new verdict can help. None helps a revoked PASS."""
        return not self.needs_making and self._refused_by(_JUDGING_HELPS)

    @property
    def refusal(self) -> GateRefusedError | None:
        """Why a consumer may not read it: the first reason, if it is there at all."""
        return next((gate.refusal for gate in self.gates if gate.refusal), None)

    def _refused_by(self, kinds: tuple[type[GateRefusedError], ...]) -> bool:
        return any(isinstance(gate.refusal, kinds) for gate in self.gates)


class RunPlanner:
    """Looks up how far a run has come."""

    def __init__(self, store: ArtifactStore, guard: Guard) -> None:
        self._store = store
        self._guard = guard

    def standings(
        self, fingerprint: str, manifest: RunManifest, assets: Sequence[str]
    ) -> tuple[AssetStanding, ...]:
        """How each of these assets stands under a manifest, without reading its bytes."""
        return tuple(self._standing(fingerprint, manifest, asset) for asset in assets)

    def verified(
        self, standings: Sequence[AssetStanding], progress: Callable[[str], None] = lambda _: None
    ) -> Iterator[BoundRef]:
        """Read every bound artifact against its digest. Raises :class:`DigestMismatchError`."""
        for standing in standings:
            if standing.ref is not None:
                progress(standing.asset)
                self._store.verify(standing.ref)
                yield standing.ref

    def _standing(self, fingerprint: str, manifest: RunManifest, asset: str) -> AssetStanding:
        # What another IO manager keeps may have a name to which nothing can be bound here.
        ref = self._guard.find(asset, fingerprint) if is_asset(asset) else None
        if ref is None:
            return AssetStanding(asset, None)
        gates = tuple(self._guard.standings(asset, manifest, fingerprint, ref))
        return AssetStanding(asset, ref, gates)
