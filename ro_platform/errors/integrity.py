"""What is stored is not what was recorded (exit 6), or another fact has that identity (exit 7)."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


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


class CheckpointRefusedError(IntegrityError):
    """A checkpoint is malformed, is not signed by a trusted key, or contradicts the ledger."""

    code = "RO_CHECKPOINT_REFUSED"


class DossierRefusedError(IntegrityError):
    """A dossier does not prove what it says: a byte, an entry or a signature is not what it was."""

    code = "RO_DOSSIER_REFUSED"


class LedgerCorruptError(IntegrityError):
    """An entry, a node or an index of the ledger is not what the tree commits to."""

    code = "RO_LEDGER_CORRUPT"


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
