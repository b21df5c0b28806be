"""Replay requests: which runs are executed again, why, and on what basis, planned before launch.

A replay changes nothing that was written: each of its attempts proves its bytes identical to those
on record, or fails with the divergence named. The basis says beforehand what is expected of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from ro_platform import errors
from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent, canonical_digest
from ro_platform.admin.orchestrator import Orchestrator, ReplayLaunch
from ro_platform.contracts import (
    AdminActionType,
    AdminRequest,
    ArtifactBound,
    Contract,
    EntryKind,
    JsonObject,
)
from ro_platform.contracts.base import Hex64, Name, Reason
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.registry import RunRegistry

MAX_RUNS = 1000
"""Runs of one request; more are several requests."""
MAX_LISTED = 100
"""Manifests that one request lists; more are a query, or several requests."""
_NAMED = 20
"""Manifests that a plan names; the rest it counts, under the digest of them all."""


class ReplayBasis(StrEnum):
    """What a replay is executed on: everything as recorded, or with code or runtime changed since,
    so that a divergence is what one wants to see."""

    RECORDED = "recorded"
    CHANGED = "changed"


class ReplayParameters(Contract):
    """Manifests by fingerprint, or a query (every registered manifest of a workload, and of a
    scenario where one is named); why, and on what basis."""

    manifests: tuple[Hex64, ...] = Field(default=(), max_length=MAX_LISTED)
    workload: Name | None = None
    scenario_id: Name | None = None
    purpose: Reason
    basis: ReplayBasis

    @model_validator(mode="after")
    def _one_way(self) -> ReplayParameters:
        if bool(self.manifests) == (self.workload is not None):
            raise ValueError("give manifests, or a workload")
        if self.scenario_id is not None and self.workload is None:
            raise ValueError("a scenario is one of a workload")
        return self


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A manifest to execute again: how many artifacts it made, and their size in bytes."""

    fingerprint: str
    artifacts: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a request comes to now: its workload, and its runs, oldest registration first."""

    workload: str
    runs: tuple[PlannedRun, ...]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The manifests of its runs."""
        return tuple(run.fingerprint for run in self.runs)

    def facts(self) -> JsonObject:
        """What and how much, as JSON of bounded size: the first manifests by name, all of them by
        the SHA-256 of their canonical list."""
        return {
            "workload": self.workload,
            "runs": len(self.runs),
            "manifests": [*self.fingerprints[:_NAMED]],
            "manifests_digest": canonical_digest([*self.fingerprints]),
            "artifacts": sum(run.artifacts for run in self.runs),
            "size_bytes": sum(run.size_bytes for run in self.runs),
        }


class ReplayAction(AdminAction[ReplayParameters]):
    """Runs are executed again, as one backfill, each to be proved identical."""

    action_type = AdminActionType.REPLAY_REQUEST
    parameters = ReplayParameters

    def __init__(
        self, ledger: Ledger, runs: RunRegistry, orchestrator: Orchestrator | None
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self.orchestrator = orchestrator

    def plan(self, request: AdminRequest, log: LedgerReader | None = None) -> ReplayPlan:
        """What would be executed again, and how much that is. Changes nothing.

        Raises :class:`NotFoundError` where nothing was ever made, or a manifest is not registered,
        and :class:`InvalidInputError` for several workloads at once, or too many runs.
        """
        return self._planned(self.asked(request), log or self._ledger)

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The workload: what a query finds may be more by the time that it is repeated."""
        return (names.workload_target(self.plan(request).workload),)

    def named(self, request: AdminRequest) -> str:
        """The workload or the manifests, as they were asked for."""
        asked = self.asked(request)
        if asked.workload:
            return names.workload_target(asked.workload)
        return ", ".join(f"manifest {fingerprint}" for fingerprint in asked.manifests)

    def workload(self, request: AdminRequest) -> str | None:
        """The one workload."""
        return self.plan(request).workload

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The plan: a query means what it found when it was intended, or approved."""
        return self.plan(request, log).facts()

    def preview(self, request: AdminRequest, log: LedgerReader) -> tuple[Any, Any]:
        """Nothing that was written changes; the plan is what is executed."""
        return None, {**self.plan(request, log).facts(), **_declared(self.asked(request))}

    def ready(self) -> None:
        """Only where the orchestrator is reached can something be launched."""
        if self.orchestrator is None:
            raise errors.InvalidInputError(
                "Nothing executes runs here.",
                next_step="Do it with `ro admin`, which reaches the orchestrator.",
            )

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Launch what was planned at the intent, and nothing else; then record the backfill."""
        assert self.orchestrator is not None, "ready() was asked"
        if intent.is_closed(self._ledger):
            return
        backfill = self.orchestrator.launched(intent.event_id)
        if backfill is None:
            if not intent.may_begin(self._ledger):
                return
            backfill = self.orchestrator.launch_replay(self._launch(intent, request))
        after: JsonObject = {**(intent.event.before or {}), "backfill_id": backfill}

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            return [] if intent.is_closed(log) else [intent.outcome(after)]

        self._ledger.append_with(build)

    def _launch(self, intent: Intent, request: AdminRequest) -> ReplayLaunch:
        plan, asked = self.plan(request), self.asked(request)
        return ReplayLaunch(
            replay_id=intent.event_id,
            workload=plan.workload,
            fingerprints=plan.fingerprints,
            actor=intent.event.actor,
            tags=(
                ("ro/replay_request", intent.event_id),
                ("ro/purpose", asked.purpose),
                ("ro/basis", asked.basis.value),
            ),
        )

    def _planned(self, asked: ReplayParameters, log: LedgerReader) -> ReplayPlan:
        registered = {item.manifest_fingerprint: item for item in self._runs.registered()}
        if asked.manifests:
            for fingerprint in asked.manifests:
                self._runs.require_registered(fingerprint)
            chosen = [item for item in registered if item in set(asked.manifests)]
        else:
            chosen = [
                name
                for name, item in registered.items()
                if item.workload == asked.workload and asked.scenario_id in (None, item.scenario_id)
            ]
        runs = [run for name in chosen if (run := _made(name, log)).artifacts]
        workloads = sorted({registered[run.fingerprint].workload for run in runs})
        _require_sensible(asked, runs, workloads)
        return ReplayPlan(workloads[0], tuple(runs))


def _made(fingerprint: str, log: LedgerReader) -> PlannedRun:
    newest: dict[str, int] = {}
    for entry in log.scan(kind=EntryKind.ARTIFACT_BOUND, run_id=run_id(fingerprint)):
        body = body_of(entry, ArtifactBound)
        newest[body.asset] = body.artifact.size_bytes
    return PlannedRun(fingerprint, len(newest), sum(newest.values()))


def _require_sensible(
    asked: ReplayParameters, runs: Sequence[PlannedRun], workloads: Sequence[str]
) -> None:
    if not runs:
        raise errors.NotFoundError(
            "nothing was made under any of these manifests, so there is nothing to replay.",
            next_step="See `ro manifest list`; `ro run FILE` makes it for the first time.",
        )
    if len(workloads) > 1:
        raise errors.InvalidInputError(
            f"a replay is of one workload, and these are {', '.join(workloads)}.",
            next_step="Ask for each workload by itself.",
        )
    if len(runs) > MAX_RUNS:
        raise errors.InvalidInputError(
            f"{len(runs)} runs are more than the {MAX_RUNS} of one request.",
            next_step=f"Name a scenario, or list up to {MAX_LISTED} manifests.",
            purpose=asked.purpose,
        )


def _declared(asked: ReplayParameters) -> JsonObject:
    return {"purpose": asked.purpose, "basis": asked.basis.value}
