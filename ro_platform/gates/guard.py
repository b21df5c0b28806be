"""The read guard: no PASS, no read. Bytes reach a consumer only through here.

An artifact may be read if every gate on record for its asset has, as its newest verdict on exactly
that digest, a PASS under the rule and the configs in force. Absent, failed, stale and unverifiable
all refuse, each with its own error, which names the gate, the digest and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import BoundRef, GateReceipt, GateRule, GateStatus, RunManifest
from ro_platform.errors import (
    ArtifactNotFoundError,
    GateAbsentError,
    GateFailedError,
    GateRefusedError,
    GateStaleError,
    GateUndeclaredError,
    ReceiptUnverifiableError,
    VersionNotPinnedError,
)
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.receipts import Receipts, rule_digest


@dataclass(frozen=True, slots=True)
class Standing:
    """How one gate stands towards one artifact: PASS, or the refusal and its reason."""

    gate_id: str
    refusal: GateRefusedError | None = None

    @property
    def word(self) -> str:
        """``PASS``, ``FAIL``, ``ABSENT``, ``STALE`` or ``UNVERIFIABLE``."""
        match self.refusal:
            case None:
                return "PASS"
            case GateFailedError():
                return "FAIL"
            case GateAbsentError():
                return "ABSENT"
            case GateStaleError():
                return "STALE"
            case _:
                return "UNVERIFIABLE"


@dataclass(frozen=True, slots=True)
class _Question:
    """May this artifact be read, as far as this gate is concerned?"""

    rule: GateRule
    asset: str
    manifest: RunManifest
    fingerprint: str
    ref: BoundRef

    @property
    def evaluate(self) -> str:
        """What to do where a verdict is missing."""
        return f"Run the check for partition {self.fingerprint}, then start the consumer again."

    def refuse(self, kind: type[GateRefusedError], why: str, next_step: str) -> NoReturn:
        """Refuse with an error that names the gate, the digest, the asset and the manifest."""
        raise kind(
            f"gate {self.rule.gate_id!r} {why} sha256:{self.ref.digest} of asset {self.asset!r}.",
            next_step=next_step,
            gate=self.rule.gate_id,
            asset=self.asset,
            digest=self.ref.digest,
            manifest_fingerprint=self.fingerprint,
        )


class Guard:
    """Answers which artifact a consumer may read, or why none."""

    def __init__(self, store: ArtifactStore, catalogue: GateCatalogue, receipts: Receipts) -> None:
        self._store = store
        self._catalogue = catalogue
        self._receipts = receipts

    def require(self, asset: str, manifest: RunManifest, fingerprint: str) -> BoundRef:
        """The artifact bound to an asset under a manifest, if all its gates stand.

        Raises :class:`ArtifactNotFoundError` or a :class:`GateRefusedError`.
        """
        ref = self._store.binding(asset, fingerprint)
        if ref is None:
            raise ArtifactNotFoundError(
                f"asset {asset!r} has no artifact under manifest {fingerprint}.",
                next_step="Materialize it for this manifest first.",
                asset=asset,
                manifest_fingerprint=fingerprint,
            )
        self.check(asset, manifest, fingerprint, ref)
        return ref

    def check(self, asset: str, manifest: RunManifest, fingerprint: str, ref: BoundRef) -> None:
        """Raise the first :class:`GateRefusedError` unless all gates stand for that artifact."""
        for standing in self.standings(asset, manifest, fingerprint, ref):
            if standing.refusal:
                raise standing.refusal

    def standings(
        self, asset: str, manifest: RunManifest, fingerprint: str, ref: BoundRef
    ) -> Iterator[Standing]:
        """How each gate on record stands towards that artifact."""
        rules = self._catalogue.gates_of(asset)
        if rules is None:
            yield Standing("(gate set)", _undeclared(asset, ref))
            return
        for rule in rules:
            try:
                self._stand(_Question(rule, asset, manifest, fingerprint, ref))
            except GateRefusedError as refusal:
                yield Standing(rule.gate_id, refusal)
            else:
                yield Standing(rule.gate_id)

    def _stand(self, asked: _Question) -> None:
        """Raise a :class:`GateRefusedError` unless this gate lets this artifact be read."""
        receipt = self._receipt(asked)
        if receipt.status is not GateStatus.PASS:
            asked.refuse(
                GateFailedError,
                "said FAIL to",
                "Correct the cause: other data or another rule is another manifest.",
            )
        older = "passed only under an older rule or config the bytes"
        try:
            current = rule_digest(asked.rule, asked.manifest)
        except VersionNotPinnedError as error:
            asked.refuse(GateStaleError, older, f"{error.message} {error.next_step}")
        if receipt.rule_digest != current:
            asked.refuse(GateStaleError, older, asked.evaluate)

    def _receipt(self, asked: _Question) -> GateReceipt:
        """The newest receipt of the gate on those bytes, if it is there and believable."""
        gate_id = asked.rule.gate_id
        recorded = self._receipts.latest(gate_id, asked.fingerprint, asked.ref.digest)
        if recorded is None:
            asked.refuse(GateAbsentError, "has never judged", asked.evaluate)
        try:
            receipt = self._receipts.read(recorded)
        except ReceiptUnverifiableError as error:
            why = f"cannot vouch ({error.message}) for"
            asked.refuse(ReceiptUnverifiableError, why, error.next_step)
        if (
            receipt.gate_id != gate_id
            or receipt.scope.asset != asked.asset
            or receipt.subject.digest != asked.ref.digest
            or receipt.scope.manifest_fingerprint != asked.fingerprint
            or receipt.status != recorded.status
            or receipt.rule_digest != recorded.rule_digest
        ):
            asked.refuse(
                ReceiptUnverifiableError,
                "has a receipt that says something else than the ledger about",
                "Keep both as evidence and run `ro ledger verify`; then evaluate the gate again.",
            )
        return receipt


def _undeclared(asset: str, ref: BoundRef) -> GateUndeclaredError:
    return GateUndeclaredError(
        f"asset {asset!r} has no gate set on record, so nothing vouches for sha256:{ref.digest}.",
        next_step="Materialize it through a code location that `govern` has bound.",
        asset=asset,
        digest=ref.digest,
    )
