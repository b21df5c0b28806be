"""What of a run stands and what is left to do, and what is refused before a worker is paid for.

Admission: what would be refused at a read is refused before a worker is paid for, in its words.

It is a courtesy. The read guard is the law, because a run can start in ways that no admission sees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ro_platform import errors
from ro_platform.artifacts.addressing import is_asset
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import AttemptTransition, BoundRef, JobStatus, RunManifest
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import GateState, Guard
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.registry import RunRegistry

_JUDGING_HELPS = (
    errors.GateAbsentError,
    errors.GateOlderBytesError,
    errors.GateStaleError,
    errors.GateFailedError,
    errors.ReceiptUnverifiableError,
)
_MAKING_HELPS = (
    errors.ArtifactBlockedError,
    errors.ArtifactUnrecordedError,
    errors.GateUndeclaredError,
)


@dataclass(frozen=True, slots=True)
class AssetState:
    """One asset under one manifest: its artifact, if bound, and how each of its gates stands."""

    asset: str
    ref: BoundRef | None
    gates: tuple[GateState, ...] = ()

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
    def refusal(self) -> errors.GateRefusedError | None:
        """Why a consumer may not read it: the first reason, if it is there at all."""
        return next((gate.refusal for gate in self.gates if gate.refusal), None)

    def _refused_by(self, kinds: tuple[type[errors.GateRefusedError], ...]) -> bool:
        return any(isinstance(gate.refusal, kinds) for gate in self.gates)


class RunPlanner:
    """Looks up how far a run has come."""

    def __init__(self, store: ArtifactStore, guard: Guard) -> None:
        self._store = store
        self._guard = guard

    def standings(
        self, fingerprint: str, manifest: RunManifest, assets: Sequence[str]
    ) -> tuple[AssetState, ...]:
        """How each of these assets stands under a manifest, without reading its bytes."""
        return tuple(self._standing(fingerprint, manifest, asset) for asset in assets)

    def verified(
        self, standings: Sequence[AssetState], progress: Callable[[str], None] = lambda _: None
    ) -> Iterator[BoundRef]:
        """Read every bound artifact against its digest. Raises :class:`DigestMismatchError`."""
        for standing in standings:
            if standing.ref is not None:
                progress(standing.asset)
                self._store.verify(standing.ref)
                yield standing.ref

    def _standing(self, fingerprint: str, manifest: RunManifest, asset: str) -> AssetState:
        # What another IO manager keeps may have a name to which nothing can be bound here.
        ref = self._guard.find(asset, fingerprint) if is_asset(asset) else None
        if ref is None:
            return AssetState(asset, None)
        gates = tuple(self._guard.standings(asset, manifest, fingerprint, ref))
        return AssetState(asset, ref, gates)


class Edge(NamedTuple):
    """That an asset under a manifest would read another one."""

    fingerprint: str
    consumer: str
    producer: str


@dataclass(frozen=True, slots=True)
class RefusedEdge:
    """An edge that the guard would refuse, and why."""

    edge: Edge
    error: errors.RunOperateError

    def __str__(self) -> str:
        return f"{self.edge.consumer} under {self.edge.fingerprint}: {self.error}"


class Admission:
    """Judges the edges by which a run reads what other runs made."""

    def __init__(
        self, guard: Guard, gates: GateCatalogue, runs: RunRegistry, attempts: AttemptHistory
    ) -> None:
        self._guard = guard
        self._gates = gates
        self._runs = runs
        self._attempts = attempts

    def refusals(self, edges: Collection[Edge]) -> Iterator[RefusedEdge]:
        """The edges that would be refused. A handful of indexed reads for each, whatever the
        number of manifests; the artifacts' bytes are not read.

        Raises what may pass (:class:`BackendUnavailableError`): nothing was decided then.
        """
        producers = {edge.producer for edge in edges}
        governed = {name for name in producers if self._gates.gates_of(name) is not None}
        for edge in edges:
            if edge.producer not in governed:
                continue  # not governed, or never made: the read itself will say
            try:
                manifest = self._runs.manifest(edge.fingerprint)
                self._guard.require(edge.producer, manifest, edge.fingerprint)
            except errors.RunOperateError as error:
                if error.retryable:
                    raise
                yield RefusedEdge(edge, error)

    def record(
        self, dagster_run_id: str, refusals: Collection[RefusedEdge]
    ) -> list[AttemptTransition]:
        """End every waiting attempt of a Dagster run as REFUSED, each with the words that concern
        it, or with those of the first refusal. Recording it again changes nothing."""
        first = next(iter(refusals))
        own = {(item.edge.fingerprint, item.edge.consumer): item for item in reversed([*refusals])}
        refused = []
        for attempts in self._attempts.of_dagster_run(dagster_run_id).values():
            for attempt in attempts:
                if attempt.status is not JobStatus.QUEUED:
                    continue
                why = own.get((attempt.manifest_fingerprint, attempt.unit), first)
                refused.append(
                    self._attempts.move(
                        attempt,
                        JobStatus.REFUSED,
                        dagster_run_id=dagster_run_id,
                        error_code=why.error.code,
                        error=str(why),
                        retryable=False,
                    )
                )
        return refused
