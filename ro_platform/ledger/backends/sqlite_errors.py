"""SQLite's error codes as this library's errors: what happened, where, and what to do next."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ro_platform import errors

PRIMARY_CODE = 0xFF
"""What of SQLite's error code says the kind; the rest says more of it."""

_UNREACHABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,  # also where a reader would have to make the index of a log
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_ERROR,  # no such table or column: the schema is not what was opened
    sqlite3.SQLITE_SCHEMA,
}


@dataclass(slots=True)
class translated:  # noqa: N801  (it reads as the word it is: ``with translated(path):``)
    """Let only documented errors out of the block."""

    path: Path
    writing: bool = False
    committing: bool = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise _meaning(
                error, self.path, writing=self.writing, committing=self.committing
            ) from None
        if isinstance(error, UnicodeEncodeError):
            raise errors.InvalidInputError(
                "The text asked for holds a lone surrogate, which no entry can contain.",
                next_step="Correct the argument.",
            ) from None


def _meaning(
    error: sqlite3.Error, path: Path, *, writing: bool, committing: bool
) -> errors.RunOperateError:
    # Errors that the driver raises itself, such as a closed connection, carry no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & PRIMARY_CODE
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_ledger(path, "is not an SQLite database (or its header was overwritten)")
    if code in _DAMAGED:
        return errors.LedgerCorruptError(
            f"The ledger {path} is damaged: {error}.",
            next_step="Keep the file as evidence and restore it from a verified copy.",
            ledger=path,
        )
    if code == sqlite3.SQLITE_FULL:
        return errors.StoreNotWritableError(
            f"The ledger {path} cannot grow: the file system is full.",
            next_step="Nothing was recorded. Make room and try again.",
            ledger=path,
        )
    if writing and code in _UNREACHABLE:
        return errors.StoreNotWritableError(
            f"The ledger {path} cannot be written: {error}.",
            next_step="Nothing was recorded. Make the file and its folder writable.",
            ledger=path,
        )
    if committing and code == sqlite3.SQLITE_IOERR:
        return errors.OutcomeUnknownError(
            f"The commit to the ledger {path} failed half-way: {error}.",
            next_step="Check the disk, read back, and repeat the call with the same keys.",
            ledger=path,
        )
    if code in _UNREACHABLE:
        return errors.BackendUnavailableError(
            f"The ledger {path} cannot be opened: {error}.",
            next_step="Check the permissions of the file and of its folder: SQLite shares state "
            "between readers and writers in files beside it.",
            ledger=path,
        )
    return errors.BackendUnavailableError(
        f"The ledger {path} does not answer: {error}.",
        next_step="Nothing was recorded. Try again; see which process holds the file.",
        ledger=path,
    )


def not_a_ledger(path: Path, why: str) -> errors.SettingsError:
    """The place named by the setting holds something else."""
    return errors.SettingsError(
        f"The ledger {path} {why}.",
        next_step="Correct RO_LEDGER_URL; the file was left as it is.",
        ledger=path,
    )


def outdated(path: Path, found: int, wanted: int) -> errors.LedgerOutdatedError:
    """A ledger of an older release."""
    return errors.LedgerOutdatedError(
        f"The ledger {path} has schema version {found}, and this release works with {wanted}.",
        next_step="Run `ro ledger migrate`: it touches no entry, and adds one that says so.",
        ledger=path,
        found=found,
    )


def altered_before(path: Path, faults: list[str]) -> errors.LedgerCorruptError:
    """A ledger that a migration would not bring to what its version says."""
    return errors.LedgerCorruptError(
        f"The ledger {path} is not what its schema version says: {'; '.join(faults)}.",
        next_step="Nothing was changed. Keep the file as evidence; restore it from a verified "
        "copy.",
        ledger=path,
    )
