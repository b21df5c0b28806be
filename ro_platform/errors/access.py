"""Refused by the plane's law: who may not, and what has not passed its gates."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class AccessDeniedError(RunOperateError):
    """The policy does not let this actor do that."""

    code = "RO_ACCESS_DENIED"
    exit_code = 11
    advice = "See what would allow it with `ro access explain`; an admin grants roles."

    recorded = False
    """Whether whoever refused has put that on record, so that nobody does it a second time."""


class NotAuthenticatedError(AccessDeniedError):
    """Nobody is known to act: no token, or one that is expired, revoked or not genuine."""

    code = "RO_NOT_AUTHENTICATED"
    advice = (
        "Sign in, or set RO_TOKEN to a token of yours; an admin issues one with `ro token issue`."
    )


class RequestRefusedError(AccessDeniedError):
    """A request to the UI's gateway is malformed, ambiguous, too large, or not from its own
    pages."""

    code = "RO_REQUEST_REFUSED"
    advice = "Send the request again from the page itself; a program sends a bearer token."


class PausedError(AccessDeniedError):
    """Somebody paused the plane, a workload or an asset, so nothing starts there."""

    code = "RO_PAUSED"
    advice = (
        "Wait, or resume it with `ro admin resume`; `ro admin status` says who paused it and why."
    )


class GrantRefusedError(AccessDeniedError):
    """A launch has no grant, or one that is expired, forged or for something else."""

    code = "RO_GRANT_REFUSED"
    advice = "Launch the work again, by a way that signs in: the UI, `ro run` or a sensor."


class SecondPersonRequiredError(AccessDeniedError):
    """The action needs the approval of a second person: propose it as a directive."""

    code = "RO_SECOND_PERSON_REQUIRED"
    advice = "Propose it with `ro directive propose`, and have somebody else approve it."


class DirectiveRefusedError(AccessDeniedError):
    """A directive is not in a state for that, its approval is stale, or it would be one's own."""

    code = "RO_DIRECTIVE_REFUSED"
    advice = "See its state with `ro directive show`; propose it anew if it is still wanted."


class RetentionError(AccessDeniedError):
    """The bytes have to be kept still: their retention period is not over."""

    code = "RO_RETENTION"
    advice = (
        "Wait until the period is over, or propose another: `ro directive propose "
        "change-retention`."
    )


class DraftForbiddenError(AccessDeniedError):
    """The environment allows no drafts; production never does."""

    code = "RO_DRAFT_FORBIDDEN"
    advice = "Draft in another environment, where RO_DRAFTS allows it."


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
