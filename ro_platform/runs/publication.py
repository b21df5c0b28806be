"""Publication: an artifact becomes an asset's, under a manifest, and on record as made from these.

First the bytes are in the store, then the binding, then the ledger's entry, in which the attempt
must still run and everything the artifact was made from must still stand: nothing can be revoked
or ended between that question and the entry. What is published is compared with what the ledger
recorded; the store's binding only keeps two writers from one revision. A crash, or a refusal,
after the binding leaves a binding that no entry names, which nobody can read; publishing again
completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.bindings import conflict, missing_blob
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    ArtifactBound,
    AttemptTransition,
    BoundRef,
    CorrelationIds,
    EntryKind,
    JobStatus,
    NamedArtifact,
    UsedArtifact,
)
from ro_platform.gates.guard import Guard
from ro_platform.gates.made import artifact_at, artifact_of
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import mentions_of
from ro_platform.runs.history import newest_of
from ro_platform.runs.registry import RunRegistry


@dataclass(frozen=True, slots=True)
class Provenance:
    """By whom something is published, and from what: the attempt and the artifacts it was given."""

    attempt: AttemptTransition
    inputs: Sequence[NamedArtifact] = ()
    dagster_run_id: str | None = None


class Publication:
    """The one way by which an artifact comes to be an asset's."""

    def __init__(
        self, store: ArtifactStore, ledger: Ledger, guard: Guard, runs: RunRegistry
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._guard = guard
        self._runs = runs

    def publish(
        self,
        asset: str,
        ref: BoundRef,
        work: Provenance,
        *,
        actor: str,
        deterministic: bool = True,
        bundle: bool = False,
        train_run: bool = False,
    ) -> BoundRef:
        """Bind a stored artifact to an asset under the attempt's manifest, and record it.

        Answers the reference with its binding's locator. A ``bundle`` is known by its digest as
        ``bundle_id``, a ``train_run`` by its attempt as ``train_run_id``. Raises
        :class:`AddressConflictError` for other bytes than those bound already,
        :class:`AttemptEndedError` if the attempt does not run any more, a
        :class:`GateRefusedError` if an input does not stand (any more) or the bytes were erased,
        and :class:`ArtifactNotFoundError` if the store does not hold all of them.
        """
        fingerprint = work.attempt.manifest_fingerprint
        self._require(self._guard, self._ledger, work)
        self._guard.require_unerased(ref.digest)
        bound = self._store.bind(
            asset,
            fingerprint,
            ref,
            deterministic=deterministic,
            recorded=artifact_of(self._ledger, asset, fingerprint),
        )
        draft = _draft(asset, bound, work, actor=actor, bundle=bundle, train_run=train_run)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            guard = self._guard.within(log)
            self._require(guard, log, work)
            guard.require_unerased(ref.digest)
            # Two take one revision only if its binding was removed from the store in between.
            recorded = artifact_at(log, bound.ref)
            if recorded not in (None, bound):
                raise conflict(asset, recorded, ref)
            # Asked here because an erasure removes files of trees between two appends.
            if not self._store.has(bound):
                raise missing_blob(asset, ref)
            return [draft]

        self._ledger.append_with(build)
        return bound

    def _require(self, guard: Guard, log: LedgerReader, work: Provenance) -> None:
        recorded = newest_of(log, work.attempt)
        if recorded is None or recorded.status is not JobStatus.RUNNING:
            raise errors.AttemptEndedError(
                f"attempt {work.attempt.attempt_id} of {work.attempt.unit!r} is "
                f"{recorded.status if recorded else 'not on record'}, and publishes nothing.",
                next_step="What it would have made belongs to a newer attempt: start one.",
                attempt_id=work.attempt.attempt_id,
                unit=work.attempt.unit,
            )
        for item in work.inputs:
            address = parse_binding(item.artifact.ref)
            if address is not None:
                manifest = self._runs.manifest(address.fingerprint)
                guard.check(address.asset, manifest, address.fingerprint, item.artifact)


def _draft(
    asset: str, ref: BoundRef, work: Provenance, *, actor: str, bundle: bool, train_run: bool
) -> EntryDraft:
    fingerprint = work.attempt.manifest_fingerprint
    used = {item.artifact.ref: item.artifact.digest for item in work.inputs}
    body = ArtifactBound(
        asset=asset,
        manifest_fingerprint=fingerprint,
        attempt_id=work.attempt.attempt_id,
        artifact=ref,
        inputs=tuple(UsedArtifact(ref=name, digest=used[name]) for name in sorted(used)) or None,
    )
    ids = CorrelationIds(
        run_id=run_id(fingerprint),
        train_run_id=work.attempt.attempt_id if train_run else None,
        bundle_id=ref.digest if bundle else None,
        dagster_run_id=work.dagster_run_id,
    )
    return EntryDraft(
        kind=EntryKind.ARTIFACT_BOUND,
        subject=names.artifact_subject(ref.ref),
        key=names.bound_key(work.attempt.attempt_id, ref.ref),
        actor=actor,
        correlation_ids=ids,
        mentions=(names.digest_name(ref.digest), *map(names.used_mention, used), *mentions_of(ids)),
        body=body,
    )
