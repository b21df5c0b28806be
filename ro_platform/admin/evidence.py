"""Withdrawing a PASS and erasing bytes, as actions: what they do is done in rooms below."""

from __future__ import annotations

from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent
from ro_platform.admin.located import Artifacts
from ro_platform.admin.retention import Retentions
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import AdminActionType, AdminRequest, Contract, JsonObject
from ro_platform.contracts.artifact import Locator
from ro_platform.contracts.base import Hex64, Name
from ro_platform.gates.revocation import Revocations
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.erasure import Erasures


class RevokeParameters(Contract):
    """Which gate's PASS, on the artifact that is bound there."""

    gate_id: Name
    ref: Locator


class RevokePassAction(AdminAction[RevokeParameters]):
    """A PASS is withdrawn, and everything made from the bytes is blocked, in one commit."""

    action_type = AdminActionType.REVOKE_PASS
    parameters = RevokeParameters

    def __init__(self, revocations: Revocations, artifacts: Artifacts) -> None:
        self._revocations = revocations
        self._artifacts = artifacts

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The gate and the artifact."""
        asked = self.asked(request)
        return (asked.gate_id, asked.ref)

    def workload(self, request: AdminRequest) -> str | None:
        """That of the artifact's manifest."""
        return self._artifacts.named(self.asked(request).ref).manifest.workload

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The PASS that stands, or stood. Raises :class:`NotFoundError` where there is none."""
        recorded, revoked = self._find(request, log)
        verdict = "REVOKED" if revoked else "PASS"
        return {"verdict": verdict, "receipt": recorded}

    def would(self, request: AdminRequest) -> JsonObject:
        """Revoked."""
        ref = self._artifacts.named(self.asked(request).ref).ref
        blocked = len(self._revocations.impact(ref).artifacts)
        return {"verdict": "REVOKED", "blocked": blocked}

    def settled(self, request: AdminRequest) -> JsonObject | None:
        """That it was revoked already."""
        asked = self.asked(request)
        ref = self._artifacts.named(asked.ref).ref
        _, revoked = self._revocations.found(asked.gate_id, ref)
        return {"verdict": "REVOKED", "blocked": revoked.blocked} if revoked else None

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Withdraw it."""
        asked = self.asked(request)
        ref = self._artifacts.named(asked.ref).ref
        self._revocations.revoke(asked.gate_id, ref, intent)

    def _find(self, request: AdminRequest, log: LedgerReader) -> tuple[str, bool]:
        asked = self.asked(request)
        ref = self._artifacts.named(asked.ref).ref
        recorded, revoked = self._revocations.found(asked.gate_id, ref, log)
        return recorded.receipt.ref, revoked is not None


class EraseParameters(Contract):
    """Which bytes, and whether all places that hold them are meant."""

    digest: Hex64
    all_bindings: bool = False


class EraseArtifactAction(AdminAction[EraseParameters]):
    """Bytes go for good, and a tombstone stays. It takes several steps, each of them on record."""

    action_type = AdminActionType.ERASE_ARTIFACT
    parameters = EraseParameters

    def __init__(self, erasures: Erasures, artifacts: Artifacts, retentions: Retentions) -> None:
        self._erasures = erasures
        self._artifacts = artifacts
        self._retentions = retentions

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The bytes."""
        return (f"sha256:{self.asked(request).digest}",)

    def workload(self, request: AdminRequest) -> str | None:
        """That of every manifest that is concerned, if it is one."""
        digest = self.asked(request).digest
        addresses = filter(None, map(parse_binding, self._erasures.bindings(digest)))
        fingerprints = {address.fingerprint for address in addresses}
        return self._artifacts.workload_of(fingerprints | set(self._erasures.inputs(digest)))

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """Where the bytes are held. Raises where that is nowhere, or more than was meant, and
        :class:`RetentionError` for bytes that have to be kept still."""
        asked = self.asked(request)
        bound, inputs = self._erasures.meant(asked.digest, log, all_bindings=asked.all_bindings)
        if self._erasures.find(asked.digest) is None:
            self._retentions.require_over(asked.digest, log)
        return {"bindings": list(bound), "inputs": list(inputs)}

    def would(self, request: AdminRequest) -> JsonObject:
        """Erased."""
        return {"erased": self.asked(request).digest}

    def settled(self, request: AdminRequest) -> JsonObject | None:
        """The tombstone, if the bytes are gone and that is on record."""
        done = self._erasures.completed(self.asked(request).digest)
        return {"erased": done.digest, "admin_event_id": done.admin_event_id} if done else None

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Erase, or complete what a crash left."""
        asked = self.asked(request)
        self._erasures.erase(asked.digest, intent, all_bindings=asked.all_bindings)
