"""Every error of the library: a stable code, a family with one exit code, and what to do next.

Nothing else may be raised across a public boundary: a backend turns its vendor's exceptions into
one of these. A caller can rely on ``code``, ``retryable`` and ``exit_code``; wording may improve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RunOperateError(Exception):
    """Root of all errors. ``next_step`` tells a person what to do about it."""

    code: ClassVar[str] = "RO_INTERNAL"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "",
        correlation_ids: Mapping[str, str] | None = None,
        **diagnostics: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.correlation_ids = dict(correlation_ids or {})
        self._diagnostics = diagnostics

    def diagnostics(self) -> dict[str, str]:
        """Facts for an operator, as text: what was found, where, and what was expected."""
        facts = {name: str(value) for name, value in self._diagnostics.items() if value is not None}
        return facts | ({"next_step": self.next_step} if self.next_step else {})

    def __str__(self) -> str:
        hint = f" {self.next_step}" if self.next_step else ""
        return f"{self.code}: {self.message}{hint}"


# --- what was handed in is wrong: exit 3 ---------------------------------------------------------


class InvalidInputError(RunOperateError):
    """The caller's document, reference or argument is not acceptable as it stands."""

    code = "RO_INVALID_INPUT"
    exit_code = 3


class DocumentSyntaxError(InvalidInputError):
    """A file is not the YAML or JSON it should be (or uses what JSON cannot express)."""

    code = "RO_DOCUMENT_SYNTAX"


class NotCanonicalError(InvalidInputError):
    """A value has no RFC 8785 form: NaN, an infinity, an unsafe integer, a lone surrogate."""

    code = "RO_NOT_CANONICAL"


class ContractError(InvalidInputError):
    """A document does not follow its contract: an unknown, missing or ill-typed field."""

    code = "RO_CONTRACT"


class VolatileFieldError(InvalidInputError):
    """A clock, host, user or environment value stands where it would enter an identity."""

    code = "RO_VOLATILE_FIELD"


class InputMismatchError(InvalidInputError):
    """An input file's bytes are not those that the manifest names by digest."""

    code = "RO_INPUT_MISMATCH"


class InputMissingError(InvalidInputError):
    """An input that the manifest names cannot be found by its ref nor in the store."""

    code = "RO_INPUT_MISSING"


class UnknownWorkloadError(InvalidInputError):
    """The manifest names a workload that this deployment does not have."""

    code = "RO_UNKNOWN_WORKLOAD"


class VersionNotPinnedError(InvalidInputError):
    """A run asked for a config that its manifest does not pin (or pins under other content)."""

    code = "RO_VERSION_NOT_PINNED"


class EncodingError(InvalidInputError):
    """A value cannot be encoded (or decoded) by any deterministic encoding."""

    code = "RO_ENCODING"


class SettingsError(InvalidInputError):
    """A setting of the deployment is missing, malformed or contradicts another."""

    code = "RO_SETTINGS"


class LedgerOutdatedError(SettingsError):
    """The ledger is one of an older release, and has to be migrated before it is used."""

    code = "RO_LEDGER_OUTDATED"


class BundleRefusedError(InvalidInputError):
    """An engine's bundle cannot be judged: malformed, empty, unsafe, unsealed, or no such law."""

    code = "RO_BUNDLE_REFUSED"


# --- what was asked for does not exist: exit 4 ---------------------------------------------------


class NotFoundError(RunOperateError):
    """Nothing by that name, digest or number is recorded here."""

    code = "RO_NOT_FOUND"
    exit_code = 4


class ArtifactNotFoundError(NotFoundError):
    """No artifact is bound (or no blob stored) at that address."""

    code = "RO_ARTIFACT_NOT_FOUND"


class ManifestNotRegisteredError(NotFoundError):
    """No manifest with that fingerprint has been registered."""

    code = "RO_MANIFEST_NOT_REGISTERED"


class ConfigNotFoundError(NotFoundError):
    """No such config, or not in that version."""

    code = "RO_CONFIG_NOT_FOUND"


# --- no PASS, no read: exit 5 --------------------------------------------------------------------


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


# --- nobody, or not allowed to: exit 11 ----------------------------------------------------------


class AccessDeniedError(RunOperateError):
    """The policy does not let this actor do that."""

    code = "RO_ACCESS_DENIED"
    exit_code = 11


class NotAuthenticatedError(AccessDeniedError):
    """Nobody is known to act: no token, or one that is expired, revoked or not genuine."""

    code = "RO_NOT_AUTHENTICATED"


class RequestRefusedError(AccessDeniedError):
    """A request to the UI's face is malformed, ambiguous, too large, or not from its own pages."""

    code = "RO_REQUEST_REFUSED"


class PausedError(AccessDeniedError):
    """Somebody paused the plane, a workload or an asset, so nothing starts there."""

    code = "RO_PAUSED"


class GrantRefusedError(AccessDeniedError):
    """A launch has no grant, or one that is expired, forged or for something else."""

    code = "RO_GRANT_REFUSED"


class SecondPersonRequiredError(AccessDeniedError):
    """The action needs the approval of a second person: propose it as a directive."""

    code = "RO_SECOND_PERSON_REQUIRED"


class DirectiveRefusedError(AccessDeniedError):
    """A directive is not in a state for that, its approval is stale, or it would be one's own."""

    code = "RO_DIRECTIVE_REFUSED"


class RetentionError(AccessDeniedError):
    """The bytes have to be kept still: their retention period is not over."""

    code = "RO_RETENTION"


# --- what is stored is not what was recorded: exit 6 ---------------------------------------------


class IntegrityError(RunOperateError):
    """Stored facts contradict each other. The evidence is left where it is."""

    code = "RO_INTEGRITY"
    exit_code = 6


class DigestMismatchError(IntegrityError):
    """Stored bytes do not have the size or digest they are named by."""

    code = "RO_DIGEST_MISMATCH"


class BindingCorruptError(IntegrityError):
    """A stored binding is unreadable, not canonical, or not the one its address names."""

    code = "RO_BINDING_CORRUPT"


class ArtifactErasedError(GateRefusedError):
    """The artifact's bytes were erased by a recorded decision, and only its tombstone is left."""

    code = "RO_ARTIFACT_ERASED"


class CheckpointRefusedError(IntegrityError):
    """A checkpoint is malformed, is not signed by a trusted key, or contradicts the ledger."""

    code = "RO_CHECKPOINT_REFUSED"


class DossierRefusedError(IntegrityError):
    """A dossier does not prove what it says: a byte, an entry or a signature is not what it was."""

    code = "RO_DOSSIER_REFUSED"


class LedgerCorruptError(IntegrityError):
    """An entry, a node or an index of the ledger is not what the tree commits to."""

    code = "RO_LEDGER_CORRUPT"


# --- a second, different fact for one identity: exit 7 -------------------------------------------


class ConflictError(RunOperateError):
    """Something else is already recorded under that identity, and records do not change."""

    code = "RO_CONFLICT"
    exit_code = 7


class AddressConflictError(ConflictError):
    """Other bytes are bound at that address: the asset is not deterministic."""

    code = "RO_ADDRESS_CONFLICT"


class EntryConflictError(ConflictError):
    """The ledger holds another entry under that idempotency key."""

    code = "RO_ENTRY_CONFLICT"


class ReplayDivergedError(ConflictError):
    """A replay produced other bytes than the recorded run."""

    code = "RO_REPLAY_DIVERGED"


class InvalidTransitionError(ConflictError):
    """An attempt cannot move between those two states."""

    code = "RO_INVALID_TRANSITION"


class AttemptEndedError(ConflictError):
    """An execution wants to publish, and its attempt has ended on record."""

    code = "RO_ATTEMPT_ENDED"


class RunSealedError(ConflictError):
    """A finished run is sealed: nothing is added to its record any more."""

    code = "RO_RUN_SEALED"


# --- a store, database or server does not serve: exit 8 ------------------------------------------


class BackendUnavailableError(RunOperateError):
    """Nothing was done; the same call may succeed later."""

    code = "RO_BACKEND_UNAVAILABLE"
    exit_code = 8
    retryable = True


class StoreNotWritableError(BackendUnavailableError):
    """The store refuses writes: permissions, a read-only or a full file system."""

    code = "RO_STORE_NOT_WRITABLE"


class OutcomeUnknownError(RunOperateError):
    """The reply was lost: the write may or may not have happened. Read back before a retry."""

    code = "RO_OUTCOME_UNKNOWN"
    exit_code = 10


# --- the work itself failed: exit 9 --------------------------------------------------------------


class RunFailedError(RunOperateError):
    """An asset's own code failed, or the run ended before it."""

    code = "RO_RUN_FAILED"
    exit_code = 9


class AttemptNotRecordedError(RunOperateError):
    """A step runs on a Dagster instance that does not record attempts."""

    code = "RO_ATTEMPT_NOT_RECORDED"
    exit_code = 9


def error_for(code: str) -> type[RunOperateError] | None:
    """The error class with that code, for those who have only a record of it."""
    kinds = [RunOperateError]
    for kind in kinds:
        if kind.code == code:
            return kind
        kinds.extend(kind.__subclasses__())
    return None
