"""Artifacts made outside: brought in under an asset and a manifest, with the verdicts on them.

Whoever judged did so elsewhere; here it is put on record who brought it in, and the guard treats
the receipts like any other. The order is: an attempt begins, the gates are declared, the artifact
is published, the receipts are recorded, the attempt ends. So nothing can be read before the last
of its receipts, whatever else stands. Unless more goes on under the manifest, its run is sealed
then. After a crash at any instruction, registering again ends the attempt that was left open as
LOST (or as SUCCEEDED, if only that was missing) and completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    AttemptTransition,
    BoundRef,
    CorrelationIds,
    GateRule,
    JobStatus,
    NamedArtifact,
    ReceiptRecorded,
)
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import Guard
from ro_platform.gates.receipts import Receipts
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.log import Ledger
from ro_platform.runs.changes import runtime_fingerprint
from ro_platform.runs.external_checks import (
    ExternalChecks,
    ExternalRegistration,
    ExternalVerdict,
)
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.publication import Provenance, Publication
from ro_platform.runs.registry import RunRegistry
from ro_platform.runs.seals import RunSeals

STEP_KEY = "external"
"""The step key of an attempt that no orchestrator executes."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An artifact of an asset from outside, as it now stands.

    ``new`` is False if all of it was on record already. ``refusal`` is what keeps consumers from
    reading it (a FAIL, or a gate of theirs that has not judged it yet); None if nothing does.
    """

    asset: str
    fingerprint: str
    artifact: BoundRef
    receipts: tuple[ReceiptRecorded, ...]
    new: bool
    refusal: errors.GateRefusedError | None


class ExternalArtifacts:
    """The one way by which an artifact from outside comes to be an asset's."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        gates: GateCatalogue,
        receipts: Receipts,
        guard: Guard,
        runs: RunRegistry,
        publication: Publication,
        clock: Clock,
    ) -> None:
        self._checks = ExternalChecks(store, ledger, gates, receipts, guard, runs)
        self._ledger = ledger
        self._gates = gates
        self._receipts = receipts
        self._guard = guard
        self._publication = publication
        self._clock = clock

    def register(
        self,
        asset: str,
        fingerprint: str,
        ref: BoundRef,
        verdicts: Sequence[ExternalVerdict],
        *,
        actor: str,
        reason: str | None = None,
        deterministic: bool = True,
        bundle: bool = False,
    ) -> Registered:
        """Make stored bytes the asset's artifact under a manifest, with these verdicts on it.

        A FAIL is recorded, too: the artifact is bound, and nobody reads it. What is on record
        already changes nothing. ``reason`` goes into the receipts' notes. A ``bundle`` is known by
        its digest as ``bundle_id``.

        Raises, before anything is written, what :meth:`check` does; :class:`ArtifactNotFoundError`
        if the store lacks the bytes or an evidence; :class:`GateRevokedError` for a PASS that was
        revoked; and :class:`AddressConflictError` for other bytes than those that are bound,
        unless the asset is not ``deterministic``: then they become the next revision.
        """
        rules = [verdict.rule for verdict in verdicts]
        manifest = self._checks.require_rules(asset, fingerprint, rules)
        case = ExternalRegistration(
            asset, fingerprint, manifest, ref, tuple(verdicts), actor, reason, bundle
        )
        held = self._checks.require(case, deterministic=deterministic)
        attempts = AttemptHistory(self._ledger, actor=actor)
        receipts = self._checks.on_record(case, held) if held else None
        self._end_abandoned(attempts, case, held, receipts)
        seals = RunSeals(self._ledger, actor=actor)
        if new := held is None or receipts is None:
            try:
                held, receipts = self._record(attempts, case, deterministic=deterministic)
            except errors.RunOperateError:
                with suppress(errors.RunOperateError):  # the first error is the one to hear of
                    seals.seal(fingerprint)
                raise
        seals.seal(fingerprint)
        return self._as_it_stands(case, held, receipts, new=new)

    def check(self, asset: str, fingerprint: str, rules: Sequence[GateRule]) -> None:
        """Whether verdicts under these rules could be registered there, before anything is stored.

        Raises what :meth:`ExternalChecks.require_rules` does.
        """
        self._checks.require_rules(asset, fingerprint, rules)

    def _record(
        self, attempts: AttemptHistory, case: ExternalRegistration, *, deterministic: bool
    ) -> tuple[BoundRef, tuple[ReceiptRecorded, ...]]:
        attempt = attempts.begin(
            case.fingerprint,
            case.asset,
            step_key=STEP_KEY,
            dagster_run_id=None,
            status=JobStatus.RUNNING,
            runtime=runtime_fingerprint(),
            config_versions=case.manifest.config_versions,
        )
        try:
            bound = self._publish(case, attempt, deterministic=deterministic)
            receipts = tuple(
                self._judged(case, verdict, bound, attempt) for verdict in case.verdicts
            )
        except errors.RunOperateError as error:
            with suppress(errors.RunOperateError):  # the first error is the one to hear of
                attempts.move(
                    attempt,
                    JobStatus.FAILED,
                    dagster_run_id=None,
                    error_code=error.code,
                    error=error.message,
                    retryable=error.retryable,
                )
            raise
        _succeed(attempts, attempt, bound)
        return bound, receipts

    def _publish(
        self, case: ExternalRegistration, attempt: AttemptTransition, *, deterministic: bool
    ) -> BoundRef:
        """Publish behind its gates: before they are declared, older ones alone would let it out."""
        for verdict in case.verdicts:
            self._gates.amend(case.asset, verdict.rule, actor=case.actor)
        return self._publication.publish(
            case.asset,
            case.ref,
            Provenance(attempt),
            actor=case.actor,
            deterministic=deterministic,
            bundle=case.bundle,
        )

    def _judged(
        self,
        case: ExternalRegistration,
        verdict: ExternalVerdict,
        bound: BoundRef,
        attempt: AttemptTransition,
    ) -> ReceiptRecorded:
        return self._receipts.record(
            case.receipt(verdict, bound, attempt, utc_text(self._clock())),
            actor=case.actor,
            correlation_ids=CorrelationIds(run_id=run_id(case.fingerprint)),
        )

    def _end_abandoned(
        self,
        attempts: AttemptHistory,
        case: ExternalRegistration,
        held: BoundRef | None,
        receipts: tuple[ReceiptRecorded, ...] | None,
    ) -> None:
        """End what a crash left open: nobody else would."""
        last = attempts.newest(case.fingerprint, case.asset)
        if last is None or last.step_key != STEP_KEY or last.status is not JobStatus.RUNNING:
            return
        wrote = {self._receipts.read(item).attempt_id for item in receipts or ()}
        if held is not None and last.attempt_id in wrote:
            _succeed(attempts, last, held)
        else:
            attempts.move(last, JobStatus.LOST, dagster_run_id=None)

    def _as_it_stands(
        self,
        case: ExternalRegistration,
        held: BoundRef,
        receipts: tuple[ReceiptRecorded, ...],
        *,
        new: bool,
    ) -> Registered:
        found = self._guard.standings(case.asset, case.manifest, case.fingerprint, held)
        refusal = next((standing.refusal for standing in found if standing.refusal), None)
        return Registered(case.asset, case.fingerprint, held, receipts, new, refusal)


def _succeed(attempts: AttemptHistory, attempt: AttemptTransition, bound: BoundRef) -> None:
    outputs = (NamedArtifact(name=attempt.unit, artifact=bound),)
    attempts.move(attempt, JobStatus.SUCCEEDED, dagster_run_id=None, outputs=outputs)
