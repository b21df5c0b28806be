"""Admission: what would be refused at a read is refused before a worker is paid for, in its words.

It is a courtesy. The read guard is the law, because a run can start in ways that no admission sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ro_platform.contracts import AttemptTransition, JobStatus
from ro_platform.errors import RunOperateError
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import Guard
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.registry import RunRegistry


class Edge(NamedTuple):
    """That an asset under a manifest would read another one."""

    fingerprint: str
    consumer: str
    producer: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An edge that the guard would refuse, and why."""

    edge: Edge
    error: RunOperateError

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

    def refusals(self, edges: Collection[Edge]) -> Iterator[Refusal]:
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
            except RunOperateError as error:
                if error.retryable:
                    raise
                yield Refusal(edge, error)

    def record(self, dagster_run_id: str, refusals: Collection[Refusal]) -> list[AttemptTransition]:
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
