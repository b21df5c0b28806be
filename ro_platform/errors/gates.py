"""No PASS, no read: exit 5."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class GateRefusedError(RunOperateError):
    """Bytes were not delivered because a gate does not stand as PASS for exactly that digest."""

    code = "RO_GATE_REFUSED"
    exit_code = 5
    advice = (
        "See which gate refuses with `ro artifact show`, and mend that; no setting lets "
        "the bytes through."
    )


class GateAbsentError(GateRefusedError):
    """A gate that the producer declares has never judged this digest."""

    code = "RO_GATE_ABSENT"
    advice = "Run the check for that partition, then start the consumer again."


class GateFailedError(GateRefusedError):
    """A gate judged this digest and said FAIL."""

    code = "RO_GATE_FAILED"
    advice = "Correct the cause: other data or another rule is another manifest."


class GateOlderBytesError(GateRefusedError):
    """A gate judged an earlier revision of the artifact, and never these bytes."""

    code = "RO_GATE_OLDER_BYTES"
    advice = (
        "Run the check for that partition on the newest revision, then start the consumer again."
    )


class GateStaleError(GateRefusedError):
    """A gate passed this digest, but under an older rule or config."""

    code = "RO_GATE_STALE"
    advice = "Judge what exists again under the rule of now, with `ro gate run`."


class GateRevokedError(GateRefusedError):
    """A gate passed this digest, and its PASS was withdrawn since."""

    code = "RO_GATE_REVOKED"
    advice = "Make other bytes, or another rule: a PASS under the same rule does not bring it back."


class ArtifactBlockedError(GateRefusedError):
    """An artifact was made, directly or through others, from bytes whose PASS was revoked."""

    code = "RO_ARTIFACT_BLOCKED"
    advice = (
        "Make it again from inputs that stand; `ro gate impact` shows what a revocation blocks."
    )


class ArtifactErasedError(GateRefusedError):
    """The artifact's bytes were erased by a recorded decision, and only its tombstone is left."""

    code = "RO_ARTIFACT_ERASED"
    advice = (
        "Make it under another manifest, or do without: the tombstone says who erased it and why."
    )


class ArtifactUnrecordedError(GateRefusedError):
    """The store binds an artifact that no entry of the ledger says anybody made."""

    code = "RO_ARTIFACT_UNRECORDED"
    advice = "Keep it as evidence and run `ro ledger verify`; then make the artifact by a run."


class GateUndeclaredError(GateRefusedError):
    """The producer has no recorded gate set, so nothing can vouch for its bytes."""

    code = "RO_GATE_UNDECLARED"
    advice = "Load the code location that declares the asset's gates, or materialize the asset."


class ReceiptUnverifiableError(GateRefusedError):
    """A receipt is missing from the store, unreadable, or differs from what the ledger recorded."""

    code = "RO_RECEIPT_UNVERIFIABLE"
    advice = "Restore the receipt from a copy of the store, or evaluate the gate again."


class GateSetShrankError(GateRefusedError):
    """A code location no longer declares a gate that is on record for its asset."""

    code = "RO_GATE_SET_SHRANK"
    advice = "Declare the gate again, or record that it is dropped with `ro gate drop`."


class GateTakenError(GateRefusedError):
    """A code location gives an asset that it does not make a gate under the name of another one."""

    code = "RO_GATE_TAKEN"
    advice = "Rename the check in the code location that does not make the asset."


class EngineGateFailedError(GateRefusedError):
    """An engine's sealed bundle does not verify under its gate law."""

    code = "RO_ENGINE_GATE_FAILED"
    advice = "Do not read the bundle: ask its producer to seal it anew."
