"""PostgreSQL's error codes (SQLSTATE) as this library's errors: what happened, where, what next."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from ro_platform import errors
from ro_platform.ledger.backends.postgres_address import PostgresAddress

# Class 08 is the connection; 57P01 to 57P05 are a server that ends it.
_LOST = ("08", "57P")
_DISK_FULL = "53100"
_READ_ONLY = "25006"
_NOT_ALLOWED = "42501"
# Integrity constraints, our own triggers' refusals among them; objects that are missing or of
# another make; damaged pages and indexes.
_DAMAGED = ("23", "3F", "42", "XX001", "XX002")


class SilentServerError(Exception):
    """No word from the server within the time it has for an answer. It never leaves a backend."""

    pgcode: None = None


def connection_lost(error: BaseException) -> bool:
    """Whether the error is other than the answer of a server that goes on listening."""
    code = getattr(error, "pgcode", None)
    return not code or str(code).startswith(_LOST)


@dataclass(slots=True)
class translated:  # noqa: N801  (it reads as the word it is: ``with translated(address):``)
    """Let only documented errors out of the block."""

    address: PostgresAddress
    writing: bool = False
    committing: bool = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, psycopg2.Error | SilentServerError):
            raise _meaning(
                error, self.address, writing=self.writing, committing=self.committing
            ) from None
        if isinstance(error, ValueError):
            # How the driver refuses what the protocol cannot carry, before anything is sent.
            raise errors.InvalidInputError(
                "The text asked for holds NUL or a lone surrogate, which no entry is found by.",
                next_step="Correct the argument.",
            ) from None


def _meaning(
    error: psycopg2.Error | SilentServerError,
    address: PostgresAddress,
    *,
    writing: bool,
    committing: bool,
) -> errors.RunOperateError:
    code = error.pgcode or ""
    where = address.shown
    said = address.without_secrets(" ".join(str(error).split()).rstrip(".")) or type(error).__name__
    if committing and connection_lost(error):
        return errors.OutcomeUnknownError(
            f"The connection to the ledger {where} was lost while it committed: {said}.",
            next_step="Read back, or repeat the call with the same keys.",
            ledger=where,
        )
    if code == _NOT_ALLOWED and not writing:
        return errors.BackendUnavailableError(
            f"The ledger {where} cannot be read: {said}.",
            next_step="Grant the role SELECT on the tables of the schema ro_ledger.",
            ledger=where,
        )
    if code in (_NOT_ALLOWED, _READ_ONLY, _DISK_FULL):
        return errors.StoreNotWritableError(
            f"The ledger {where} cannot be written: {said}.",
            next_step="Nothing was recorded. See the role's rights, the server's disk, and whether "
            "it is a standby.",
            ledger=where,
        )
    if code.startswith(_DAMAGED):
        return errors.LedgerCorruptError(
            f"The ledger {where} is damaged: {said}.",
            next_step="Keep the database as evidence and restore it from a verified copy.",
            ledger=where,
        )
    return errors.BackendUnavailableError(
        f"The ledger {where} does not answer: {said}.",
        next_step="Nothing was recorded. Try again; see that the server runs, that RO_LEDGER_URL "
        "and its credentials are right, and who holds a lock.",
        ledger=where,
    )


def not_a_ledger(address: PostgresAddress, why: str) -> errors.SettingsError:
    """The place named by the setting holds something else."""
    return errors.SettingsError(
        f"The database {address.shown} {why}.",
        next_step="Correct RO_LEDGER_URL; the database was left as it is.",
        ledger=address.shown,
    )


def outdated(address: PostgresAddress, found: int, wanted: int) -> errors.LedgerOutdatedError:
    """A ledger of an older release."""
    return errors.LedgerOutdatedError(
        f"The ledger {address.shown} has schema version {found}, and this release works with "
        f"{wanted}.",
        next_step="Run `ro ledger migrate` as the role that owns the schema: it touches no entry, "
        "and adds one that says so.",
        ledger=address.shown,
        found=found,
    )


def altered_before(address: PostgresAddress, faults: list[str]) -> errors.LedgerCorruptError:
    """A ledger that a migration would not bring to what its version says."""
    return errors.LedgerCorruptError(
        f"The ledger {address.shown} is not what its schema version says: {'; '.join(faults)}.",
        next_step="Nothing was changed. Keep the database as evidence; restore it from a verified "
        "copy.",
        ledger=address.shown,
    )
