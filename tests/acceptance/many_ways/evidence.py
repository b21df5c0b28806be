"""What a cell left behind: in the ledger, in the store, in Dagster, and in the count of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from tests.acceptance.many_ways.cells import Cell, content
from tests.acceptance.product import Deployment, plain_canonical

ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "LOST", "REFUSED"}
STARTED = {"RUN_STARTING", "RUN_START", "STEP_START", "STEP_WORKER_STARTING"}
RUNS = """
query($limit: Int!) { runsOrError(limit: $limit) { __typename ... on Runs { results {
  runId status tags { key value } stats { ... on RunStatsSnapshot { startTime } }
  eventConnection { events { __typename
    ... on MessageEvent { message eventType }
    ... on ExecutionStepFailureEvent { error { message causes { message } } }
    ... on MaterializationEvent { assetKey { path } partition }
  } } } } } }"""


@dataclass(frozen=True)
class Attempts:
    """The attempts that the ledger has from a place on, by unit of work and manifest."""

    moves: list[dict[str, Any]]

    @classmethod
    def of(cls, entries: list[dict[str, Any]], *, after: int) -> Attempts:
        """Those that began after so many entries."""
        return cls([e for e in entries[after:] if e["kind"] == "attempt_transition"])

    @cached_property
    def by_cell(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """All moves of a unit under a manifest's fingerprint."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for move in self.moves:
            body = move["body"]
            found.setdefault((body["unit"], body["manifest_fingerprint"]), []).append(move)
        return found

    def of_unit(
        self, unit: str, fingerprint: str, run: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """The moves of each attempt of a unit under a manifest, in one run or in any."""
        attempts: dict[str, list[dict[str, Any]]] = {}
        for move in self.by_cell.get((unit, fingerprint), ()):
            if run in (None, run_of(move)):
                attempts.setdefault(move["body"]["attempt_id"], []).append(move)
        return attempts


@dataclass(frozen=True)
class Evidence:
    """All that the table's run left behind."""

    attempts: Attempts
    runs: dict[str, dict[str, Any]]
    bound: set[tuple[str, str]]
    delivered: dict[str, int]
    fingerprints: dict[str, str]
    run_of_cell: dict[Cell, str]
    drafts: dict[str, Deployment]
    said: dict[str, str]

    def attempts_of(self, cell: Cell, unit: str | None = None) -> list[list[dict[str, Any]]]:
        """The moves of each attempt of the cell's consumer (or of its twin)."""
        attempts = self.attempts
        if cell.is_draft:
            attempts = Attempts.of(self.drafts[cell.manifest].entries(), after=0)
        found = attempts.of_unit(
            unit or cell.consumer, self.fingerprints[cell.manifest], self.run_of_cell.get(cell)
        )
        return list(found.values())

    def end_of(self, cell: Cell) -> dict[str, Any]:
        """How the consumer's first attempt ended: the body of its last move."""
        [first, *_] = self.attempts_of(cell)
        body: dict[str, Any] = first[-1]["body"]
        return body

    def run(self, cell: Cell) -> dict[str, Any]:
        """The Dagster run of the cell."""
        return self.runs[run_of(self.attempts_of(cell)[0][0])]

    def bytes_of(self, cell: Cell) -> int:
        """The bytes of the producer that were delivered, in any edition of it."""
        fingerprint = self.fingerprints[cell.manifest]
        digests = [digest_of(content(cell.producer, fingerprint, n)) for n in (1, 2)]
        return sum(self.delivered.get(digest, 0) for digest in digests)

    def is_bound(self, cell: Cell) -> bool:
        """Whether any of the consumers has an artifact under the manifest."""
        fingerprint = self.fingerprints[cell.manifest]
        bound = bound_in(self.drafts[cell.manifest]) if cell.is_draft else self.bound
        return any((unit, fingerprint) in bound for unit in cell.consumers)


def bound_in(deployment: Deployment) -> set[tuple[str, str]]:
    """(asset, fingerprint) of every binding in a store, read past the product."""
    return {
        (str(path.parents[1].relative_to(deployment.store / "refs")), path.parent.name[12:])
        for path in deployment.store.glob("refs/**/rev=*.json")
    }


def run_of(move: dict[str, Any]) -> str:
    """The Dagster run in which an attempt moved."""
    return str(move["correlation_ids"].get("dagster_run_id"))


def digest_of(value: Any) -> str:
    """The SHA-256 of a JSON value as the store keeps it."""
    return sha256(plain_canonical(value)).hexdigest()


def words_of(run: dict[str, Any]) -> str:
    """Everything that a run's log says."""
    said = []
    for event in run["eventConnection"]["events"]:
        said.append(event.get("message") or "")
        if error := event.get("error"):
            said += [error["message"], *(cause["message"] for cause in error["causes"])]
    return "\n".join(said)


def kinds_of(run: dict[str, Any]) -> set[str]:
    """The kinds of event in a run's log."""
    return {str(event.get("eventType")) for event in run["eventConnection"]["events"]}


def tags_of(run: dict[str, Any]) -> dict[str, str]:
    """A run's tags."""
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def materialized_by(run: dict[str, Any]) -> set[str]:
    """The assets for which a run's log has a materialization."""
    return {
        "/".join(event["assetKey"]["path"])
        for event in run["eventConnection"]["events"]
        if event["__typename"] == "MaterializationEvent"
    }
