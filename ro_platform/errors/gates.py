"""No PASS, no read: exit 5."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class GateRefusedError(RunOperateError):
    """Bytes were not delivered because a gate does not stand as PASS for exactly that digest."""

    code = "RO_GATE_REFUSED"
    exit_code = 5


class GateAbsentError(GateRefusedError):
    """A gate that the producer declares has never judged this digest."""

    code = "RO_GATE_ABSENT"


class GateFailedError(GateRefusedError):
    """A gate judged this digest and said FAIL."""

    code = "RO_GATE_FAILED"


class GateOlderBytesError(GateRefusedError):
    """A gate judged an earlier revision of the artifact, and never these bytes."""

    code = "RO_GATE_OLDER_BYTES"


class GateStaleError(GateRefusedError):
    """A gate passed this digest, but under an older rule or config."""

    code = "RO_GATE_STALE"


class GateRevokedError(GateRefusedError):
    """A gate passed this digest, and its PASS was withdrawn since."""

    code = "RO_GATE_REVOKED"


class ArtifactBlockedError(GateRefusedError):
    """An artifact was made, directly or through others, from bytes whose PASS was revoked."""

    code = "RO_ARTIFACT_BLOCKED"


class ArtifactErasedError(GateRefusedError):
    """The artifact's bytes were erased by a recorded decision, and only its tombstone is left."""

    code = "RO_ARTIFACT_ERASED"


class ArtifactUnrecordedError(GateRefusedError):
    """The store binds an artifact that no entry of the ledger says anybody made."""

    code = "RO_ARTIFACT_UNRECORDED"


class GateUndeclaredError(GateRefusedError):
    """The producer has no recorded gate set, so nothing can vouch for its bytes."""

    code = "RO_GATE_UNDECLARED"


class ReceiptUnverifiableError(GateRefusedError):
    """A receipt is missing from the store, unreadable, or differs from what the ledger recorded."""

    code = "RO_RECEIPT_UNVERIFIABLE"


class GateSetShrankError(GateRefusedError):
    """A code location no longer declares a gate that is on record for its asset."""

    code = "RO_GATE_SET_SHRANK"


class GateTakenError(GateRefusedError):
    """A code location gives an asset that it does not make a gate under the name of another one."""

    code = "RO_GATE_TAKEN"


class EngineGateFailedError(GateRefusedError):
    """An engine's sealed bundle does not verify under its gate law."""

    code = "RO_ENGINE_GATE_FAILED"
