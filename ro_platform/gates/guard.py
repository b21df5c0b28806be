"""The read guard: no PASS, no read. Bytes reach a consumer only through here.

An artifact may be read if the ledger says who made it, nothing it was made from was revoked since,
its bytes were not erased, and every gate on record for its asset has, as its newest verdict on
exactly that digest, an unrevoked PASS under the rule and the configs in force. Anything else
refuses, each with its own error, which names the gate, the digest and what to do next.

Which bytes an artifact is, how many, and of what type, is what the ledger's entry says, whole; what
the store says of it decides nothing, and its bytes are read by that reference.

A read costs two rounds to the ledger, whatever the number of gates, revisions, manifests and
entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.tombstones import erased_error
from ro_platform.contracts import (
    ArtifactBlocked,
    ArtifactErased,
    BoundRef,
    EntryKind,
    GateReceipt,
    GateRule,
    GateStatus,
    LedgerEntry,
    PassRevoked,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.made import (
    artifact_in,
    artifact_of,
    earlier_revisions,
    erasure_of,
    revisions_between,
)
from ro_platform.gates.receipts import recorded_in, rule_digest
from ro_platform.gates.refusals import (
    OLDER,
    is_older_form,
    missing,
    reached,
    undeclared,
    unrecorded,
)
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader

_WORDS: dict[type[errors.GateRefusedError], str] = {
    errors.GateFailedError: "FAIL",
    errors.GateAbsentError: "ABSENT",
    errors.GateOlderBytesError: "OLDER BYTES",
    errors.GateStaleError: "STALE",
    errors.GateRevokedError: "REVOKED",
    errors.ArtifactBlockedError: "BLOCKED",
    errors.ArtifactUnrecordedError: "UNRECORDED",
    errors.ArtifactErasedError: "ERASED",
}


@dataclass(frozen=True, slots=True)
class GateState:
    """How one gate stands towards one artifact: PASS, or the refusal and its reason.

    What is no gate's matter (who made the artifact, and from what) stands under a name in brackets,
    and only if it refuses.
    """

    gate_id: str
    refusal: errors.GateRefusedError | None = None
    receipt: str | None = None
    warned: bool = False

    @property
    def word(self) -> str:
        """``PASS``, ``WARN`` (a PASS too), or what stands in the way."""
        if self.refusal is None:
            return "WARN" if self.warned else "PASS"
        return _WORDS.get(type(self.refusal), "UNVERIFIABLE")

    @property
    def needs_verdict(self) -> bool:
        """Whether there is no verdict that counts: none on these bytes, under this rule, or none
        that can be believed."""
        kinds = (
            errors.GateAbsentError,
            errors.GateOlderBytesError,
            errors.GateStaleError,
            errors.ReceiptUnverifiableError,
        )
        return isinstance(self.refusal, kinds)


@dataclass(frozen=True, slots=True)
class _Question:
    """May this artifact be read, as far as this gate is concerned?"""

    rule: GateRule
    rule_digest: str | errors.VersionNotPinnedError
    asset: str
    manifest: RunManifest
    fingerprint: str
    ref: BoundRef

    @property
    def evaluate(self) -> str:
        """What to do where a verdict is missing."""
        return f"Run the check for partition {self.fingerprint}, then start the consumer again."

    def asks_for(self) -> list[tuple[EntryKind, str]]:
        """The ledger's entries that answer it: the newest verdict, and its revocation."""
        about = (self.rule.gate_id, self.fingerprint, self.ref.digest)
        rule = self.rule_digest if isinstance(self.rule_digest, str) else "unpinned"
        return [
            (EntryKind.GATE_RECEIPT, names.verdict_subject(*about)),
            (EntryKind.PASS_REVOKED, names.revocation_subject(*about, rule)),
        ]

    def refuse(
        self,
        kind: type[errors.GateRefusedError],
        why: str,
        next_step: str,
        receipt: str | None = None,
    ) -> NoReturn:
        """Refuse with an error that names the gate, the digest, the asset and the manifest."""
        raise kind(
            f"gate {self.rule.gate_id!r} {why} sha256:{self.ref.digest} of asset {self.asset!r}.",
            next_step=next_step,
            gate=self.rule.gate_id,
            asset=self.asset,
            digest=self.ref.digest,
            manifest_fingerprint=self.fingerprint,
            receipt=receipt,
        )


class _Artifact(NamedTuple):
    """What is asked about: those bytes, as the artifact of an asset under a manifest."""

    asset: str
    manifest: RunManifest
    fingerprint: str
    ref: BoundRef


class Guard:
    """Answers which artifact a consumer may read, or why none."""

    def __init__(self, store: ArtifactStore, log: LedgerReader) -> None:
        self._store = store
        self._log = log

    def within(self, log: LedgerReader) -> Guard:
        """The same law over what a transaction sees, so that nothing can change before it ends."""
        return Guard(self._store, log)

    def require(self, asset: str, manifest: RunManifest, fingerprint: str) -> BoundRef:
        """The artifact of an asset under a manifest, as the ledger has it, if all its gates stand.

        Nothing of the store is asked but receipts, each by the ledger's digests. Raises
        :class:`ArtifactNotFoundError` or a :class:`GateRefusedError`.
        """
        declared, made = self._log.latest_of(
            [
                (EntryKind.GATE_SET_DECLARED, names.asset_name(asset)),
                (EntryKind.ARTIFACT_BOUND, revisions_between(asset, fingerprint)),
            ]
        )
        ref = artifact_in(made) if made else self._planted(asset, fingerprint)
        about = _Artifact(asset, manifest, fingerprint, ref)
        for standing in self._standings(about, declared, made):
            if standing.refusal:
                raise standing.refusal
        return ref

    def find(self, asset: str, fingerprint: str) -> BoundRef | None:
        """The artifact of an asset under a manifest, as the ledger has it; else what the store
        alone says is bound, for which :meth:`standings` refuses; else None."""
        made = artifact_of(self._log, asset, fingerprint)
        return made or self._store.binding(asset, fingerprint)

    def check(self, asset: str, manifest: RunManifest, fingerprint: str, ref: BoundRef) -> None:
        """Raise the first :class:`GateRefusedError` unless all gates stand for that artifact."""
        for standing in self.standings(asset, manifest, fingerprint, ref):
            if standing.refusal:
                raise standing.refusal

    def require_unerased(self, digest: str) -> None:
        """Raise :class:`ArtifactErasedError` for bytes that have a tombstone on record."""
        if erased := erasure_of(self._log, digest):
            raise erased_error(erased)

    def standings(
        self, asset: str, manifest: RunManifest, fingerprint: str, ref: BoundRef
    ) -> Iterator[GateState]:
        """How each gate on record stands towards that artifact, this revision or an earlier one.

        One that the ledger has otherwise, in whatever field, or not at all, is refused.
        """
        declared, made = self._log.latest_of(
            [
                (EntryKind.GATE_SET_DECLARED, names.asset_name(asset)),
                (EntryKind.ARTIFACT_BOUND, names.artifact_subject(ref.ref)),
            ]
        )
        yield from self._standings(_Artifact(asset, manifest, fingerprint, ref), declared, made)

    def _planted(self, asset: str, fingerprint: str) -> BoundRef:
        """What the store binds and no entry made, to be refused. Raises
        :class:`ArtifactNotFoundError`, the usual case: nothing is there."""
        ref = self._store.binding(asset, fingerprint)
        if ref is None:
            raise missing(asset, fingerprint)
        return ref

    def _standings(
        self, about: _Artifact, declared: LedgerEntry | None, made: LedgerEntry | None
    ) -> Iterator[GateState]:
        asset, manifest, fingerprint, ref = about
        asked = [
            _Question(rule, _digest_of(rule, manifest), asset, manifest, fingerprint, ref)
            for rule in (declared_in(declared).gates if declared else ())
        ]
        blocked, erased, *answers = self._log.latest_of(
            [
                (EntryKind.ARTIFACT_BLOCKED, names.artifact_subject(ref.ref)),
                (EntryKind.ARTIFACT_ERASED, names.digest_name(ref.digest)),
                *(entry for item in asked for entry in item.asks_for()),
            ]
        )
        if erased is not None:
            yield GateState("(bytes)", erased_error(body_of(erased, ArtifactErased)))
        if declared is None:
            yield GateState("(gate set)", undeclared(asset, ref))
            return
        if refusal := _unmade(about, made, blocked):
            yield GateState("(artifact)", refusal)
        for item, verdict, revoked in zip(asked, answers[::2], answers[1::2], strict=True):
            yield self._standing(item, verdict, revoked)

    def _standing(
        self, asked: _Question, verdict: LedgerEntry | None, revoked: LedgerEntry | None
    ) -> GateState:
        recorded = recorded_in(verdict) if verdict else None
        locator = recorded.receipt.ref if recorded else None
        try:
            receipt = self._receipt(asked, recorded)
            self._refuse_older_form(asked, receipt, locator)
            _require_pass(asked, receipt, locator, revoked)
        except errors.GateRefusedError as refusal:
            return GateState(asked.rule.gate_id, refusal, locator)
        return GateState(asked.rule.gate_id, None, locator, bool(receipt.warned))

    def _refuse_older_form(
        self, asked: _Question, receipt: GateReceipt, locator: str | None
    ) -> None:
        if receipt.rule_digest != asked.rule_digest and is_older_form(
            self._log, receipt, asked.manifest
        ):
            asked.refuse(
                errors.GateStaleError, OLDER, "Judge what exists again: `ro gate run`.", locator
            )

    def _receipt(self, asked: _Question, recorded: ReceiptRecorded | None) -> GateReceipt:
        """The newest receipt of the gate on those bytes, if it is there and believable."""
        if recorded is None:
            self._refuse_unjudged(asked)
        locator = recorded.receipt.ref
        try:
            receipt = self._store.read_receipt(recorded.receipt)
        except errors.ReceiptUnverifiableError as error:
            why = f"cannot vouch ({error.message}) for"
            asked.refuse(errors.ReceiptUnverifiableError, why, error.next_step, locator)
        if (
            receipt.gate_id != asked.rule.gate_id
            or receipt.scope.asset != asked.asset
            or receipt.subject.digest != asked.ref.digest
            or receipt.scope.manifest_fingerprint != asked.fingerprint
            or receipt.status != recorded.status
            or receipt.rule_digest != recorded.rule_digest
        ):
            asked.refuse(
                errors.ReceiptUnverifiableError,
                "has a receipt that says something else than the ledger about",
                "Keep both as evidence and run `ro ledger verify`; then evaluate the gate again.",
                locator,
            )
        return receipt

    def _refuse_unjudged(self, asked: _Question) -> NoReturn:
        """No verdict on these bytes: was there one on the revisions before?"""
        newest = _revision(asked.ref)
        for earlier in earlier_revisions(self._log, asked.asset, asked.fingerprint, newest):
            revision = _revision(earlier)
            about = names.verdict_subject(asked.rule.gate_id, asked.fingerprint, earlier.digest)
            entry = self._log.latest(EntryKind.GATE_RECEIPT, about)
            if entry is not None:
                asked.refuse(
                    errors.GateOlderBytesError,
                    f"judged revision {revision} ({recorded_in(entry).status} for "
                    f"sha256:{earlier.digest}) and never revision {newest},",
                    asked.evaluate,
                )
        asked.refuse(errors.GateAbsentError, "has never judged", asked.evaluate)


def _require_pass(
    asked: _Question, receipt: GateReceipt, locator: str | None, revoked: LedgerEntry | None
) -> None:
    if receipt.status is not GateStatus.PASS:
        asked.refuse(
            errors.GateFailedError,
            "FAILED for",
            "Correct the cause: other data or another rule is another manifest.",
            locator,
        )
    older = "passed only under an older rule or config the bytes"
    if isinstance(asked.rule_digest, errors.VersionNotPinnedError):
        error = asked.rule_digest
        asked.refuse(errors.GateStaleError, older, f"{error.message} {error.next_step}", locator)
    if receipt.rule_digest != asked.rule_digest:
        asked.refuse(errors.GateStaleError, older, asked.evaluate, locator)
    if revoked is not None:
        body = body_of(revoked, PassRevoked)
        asked.refuse(
            errors.GateRevokedError,
            f"had its PASS revoked by {revoked.actor} ({body.reason!r}) for",
            "A PASS under the same rule does not bring it back: make other bytes, or another rule.",
            locator,
        )


def _revision(ref: BoundRef) -> int:
    address = parse_binding(ref.ref)
    return address.revision if address else 1


def _digest_of(rule: GateRule, manifest: RunManifest) -> str | errors.VersionNotPinnedError:
    try:
        return rule_digest(rule, manifest)
    except errors.VersionNotPinnedError as error:
        return error


def _unmade(
    about: _Artifact, made: LedgerEntry | None, blocked: LedgerEntry | None
) -> errors.GateRefusedError | None:
    """Why an artifact may not be read for how it came to be, if there is a reason."""
    asset, _, fingerprint, ref = about
    recorded = artifact_in(made) if made else None
    if made is None or recorded is None or recorded != ref:
        return unrecorded(asset, fingerprint, ref, recorded)
    if blocked is not None and blocked.seq > made.seq:
        return reached(asset, fingerprint, ref, body_of(blocked, ArtifactBlocked))
    return None
