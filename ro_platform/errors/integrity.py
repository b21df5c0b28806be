"""What is stored is not what was recorded (exit 6), or another fact has that identity (exit 7)."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class IntegrityError(RunOperateError):
    """Stored facts contradict each other. The evidence is left where it is."""

    code = "RO_INTEGRITY"
    exit_code = 6
    advice = (
        "Keep the files as evidence, and see what else differs: `ro artifact verify`, "
        "`ro ledger verify`."
    )


class DigestMismatchError(IntegrityError):
    """Stored bytes do not have the size or digest they are named by."""

    code = "RO_DIGEST_MISMATCH"
    advice = "Keep the bytes as evidence, and restore the object from a copy of the store."


class BindingCorruptError(IntegrityError):
    """A stored binding is unreadable, not canonical, or not the one its address names."""

    code = "RO_BINDING_CORRUPT"
    advice = "Keep the binding as evidence, and restore it from a copy of the store."


class CheckpointRefusedError(IntegrityError):
    """A checkpoint is malformed, is not signed by a trusted key, or contradicts the ledger."""

    code = "RO_CHECKPOINT_REFUSED"
    advice = "Keep it as evidence, and verify with a key that you trust: `ro ledger verify --key`."


class DossierRefusedError(IntegrityError):
    """A dossier does not prove what it says: a byte, an entry or a signature is not what it was."""

    code = "RO_DOSSIER_REFUSED"
    advice = "Do not rely on it: have the run exported again with `ro dossier export`."


class LedgerCorruptError(IntegrityError):
    """An entry, a node or an index of the ledger is not what the tree commits to."""

    code = "RO_LEDGER_CORRUPT"
    advice = "Keep the ledger's files as evidence, and restore them from a verified copy."


class ConflictError(RunOperateError):
    """Something else is already recorded under that identity, and records do not change."""

    code = "RO_CONFLICT"
    exit_code = 7
    advice = "Read what is recorded with `ro ledger log`: it does not change."


class AddressConflictError(ConflictError):
    """Other bytes are bound at that address: the asset is not deterministic."""

    code = "RO_ADDRESS_CONFLICT"
    advice = "Find what the asset depends on beside its manifest, or declare it non-deterministic."


class EntryConflictError(ConflictError):
    """The ledger holds another entry under that idempotency key."""

    code = "RO_ENTRY_CONFLICT"
    advice = "Read the entry that is there with `ro ledger log`; use another key for another fact."


class ReplayDivergedError(ConflictError):
    """A replay produced other bytes than the recorded run."""

    code = "RO_REPLAY_DIVERGED"
    advice = "Correct the asset and replay again: what is recorded stands as it was."


class InvalidTransitionError(ConflictError):
    """An attempt cannot move between those two states."""

    code = "RO_INVALID_TRANSITION"
    advice = "Start another attempt: what ended stays ended."


class AttemptEndedError(ConflictError):
    """An execution wants to publish, and its attempt has ended on record."""

    code = "RO_ATTEMPT_ENDED"
    advice = "Launch or execute the run again: that is another attempt."


class RunSealedError(ConflictError):
    """A finished run is sealed: nothing is added to its record any more."""

    code = "RO_RUN_SEALED"
    advice = "Begin a new attempt of the run: it opens a further record."
