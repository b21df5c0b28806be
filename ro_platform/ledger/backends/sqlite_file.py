"""The ledger's SQLite file: how it comes into being, is recognised, and is connected to.

A new file is built complete beside its place and linked into it, so that no process ever sees half
a ledger and two creators cannot collide: the second one finds the first one's. A crash while
creating leaves at most a folder ``.ledger-…`` beside it, which may be deleted.

Readers and writers of a write-ahead log share an index in a file beside it, which a reader has to
make where it is not there. A copy in a folder that may not be written has none, so it is read as a
file that nobody changes; that nobody did is looked at before and after each question, and where a
log lies beside it, it is not read so: what is in the log would be missing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ro_platform import errors
from ro_platform.kernel.files import sync_folder
from ro_platform.ledger.backends.base import close_before_forks
from ro_platform.ledger.backends.sqlite_errors import (
    PRIMARY_CODE,
    not_a_ledger,
    outdated,
    translated,
)

APPLICATION_ID = 0x524F4C47
"""``ROLG``, in the file's header (SQLite's ``application_id``)."""

VERSION = 2
"""Of the schema; :mod:`ro_platform.ledger.migrations` holds the way from each to the next."""

_NOTHING_BESIDE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
"""How SQLite says that it cannot make the index of a write-ahead log."""
_SCHEMA_SQL = Path(__file__).with_name("sqlite_schema.sql")
_OBJECTS = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
_SETTINGS = "PRAGMA synchronous = FULL; PRAGMA cache_size = -32768; PRAGMA trusted_schema = OFF;"


class StillCopy(sqlite3.Connection):
    """A connection to a file that nobody changes, where nothing can be put beside it.

    SQLite takes no locks there and sees no change, so whoever asks compares ``seen`` with the file.
    """

    seen: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class undisturbed:  # noqa: N801  (as ``translated``)
    """Let only documented errors out of the block, and none of what was read while the file was
    changed: what then looks like damage is none."""

    path: Path
    seen: tuple[int, ...] | None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        interrupted = error is not None and not isinstance(error, Exception)
        if not interrupted and _unchanging(self.path) != self.seen:
            raise errors.BackendUnavailableError(
                f"The ledger {self.path} was changed while it was read as a copy.",
                next_step="Try again; or read it where SQLite may keep files beside it.",
                ledger=self.path,
            ) from None
        translated(self.path).__exit__(kind, error, trace)


class Connection:
    """One connection of one process, opened when needed, guarded by its lock.

    SQLite connections must not cross a fork: see :func:`.base.close_before_forks`.
    """

    def __init__(self, path: Path, *, writable: bool, busy_timeout_seconds: float) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.writable = writable
        self._timeout = busy_timeout_seconds
        self._open: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        close_before_forks(self)

    def get(self) -> sqlite3.Connection | None:
        """The connection, or None if there is no such file. Call it with the lock held."""
        found = _identity(self.path)
        if found != self._file or self._has_changed():
            # The file was created, removed or replaced: what is open is not what the path names.
            self.close()
        if found is not None and self._open is None:
            self._open, self._file = self._connect(), found
        return self._open

    def asking(self) -> translated | undisturbed:
        """What a question to the open connection stands in."""
        if isinstance(self._open, StillCopy):
            return undisturbed(self.path, self._open.seen)
        return translated(self.path)

    def _has_changed(self) -> bool:
        """Whether a copy that nobody changes was changed, or is written to now."""
        return isinstance(self._open, StillCopy) and self._open.seen != _unchanging(self.path)

    def close(self) -> None:
        """Close it. Call it with the lock held."""
        if self._open is not None:
            self._open.close()
        self._open = self._file = None

    def _connect(self) -> sqlite3.Connection:
        connection = open_file(
            self.path, writable=self.writable, busy_timeout_seconds=self._timeout
        )
        try:
            require_version(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def open_file(path: Path, *, writable: bool, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Connect to the ledger at that path, of whichever version, with every setting it relies on.

    To read, also where SQLite can make nothing beside it: then as a :class:`StillCopy`. Raises
    :class:`SettingsError` for what is not a ledger.
    """
    if not path.is_file():
        raise not_a_ledger(path, "is not a file")
    with translated(path, writing=writable):
        if writable:
            return _connected(path, "mode=rw", busy_timeout_seconds)
        seen = _unchanging(path)
        try:
            return _connected(path, "mode=ro", busy_timeout_seconds)
        except sqlite3.OperationalError as error:
            if seen is None or error.sqlite_errorcode & PRIMARY_CODE not in _NOTHING_BESIDE:
                raise
    with undisturbed(path, seen):
        copy = _connected(path, "mode=ro&immutable=1", busy_timeout_seconds, factory=StillCopy)
        assert isinstance(copy, StillCopy)
        copy.seen = seen
        return copy


def _connected(
    path: Path, how: str, busy_timeout_seconds: float, **more: Any
) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=busy_timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
        **more,
    )
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise not_a_ledger(path, "is a file that is not a ledger")
        connection.executescript(_SETTINGS)
    except BaseException:
        connection.close()
        raise
    return connection


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The newest version that the ledger was made or migrated to.

    Raises :class:`SettingsError` for none, and for one that this release does not know.
    """
    with translated(path):
        (found,) = connection.execute("SELECT max(version) FROM ledger_schema").fetchone()
    if not isinstance(found, int) or not 1 <= found <= VERSION:
        raise not_a_ledger(
            path, f"has schema version {found}, and this release knows 1 to {VERSION}"
        )
    return found


def require_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises :class:`LedgerOutdatedError` for the ledger of an older release."""
    if (found := schema_version(connection, path)) != VERSION:
        raise outdated(path, found, VERSION)


def create(path: Path) -> None:
    """Make an empty ledger at that path unless a file is there. Durable when it returns."""
    try:
        _make_folder(path.parent)
        with tempfile.TemporaryDirectory(prefix=".ledger-", dir=path.parent) as folder:
            fresh = Path(folder) / "ledger.sqlite"
            with translated(path, writing=True):
                _build(fresh)
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
        sync_folder(path.parent)
    except OSError as error:
        raise errors.StoreNotWritableError(
            f"The ledger {path} cannot be created: {error.strerror or error}.",
            next_step="Nothing was recorded. Make its folder writable, or choose another place.",
            ledger=path,
        ) from None


def schema_faults(connection: sqlite3.Connection) -> list[str]:
    """How the tables, indexes and triggers differ from the schema, and what SQLite finds itself."""
    found = {(kind, name): sql for kind, name, sql in connection.execute(_OBJECTS)}
    expected = _expected_objects()
    faults = [f"{kind} {name} is missing" for kind, name in expected.keys() - found.keys()]
    faults += [f"{kind} {name} was added" for kind, name in found.keys() - expected.keys()]
    faults += [
        f"{kind} {name} was changed"
        for (kind, name), sql in expected.items()
        if found.get((kind, name), sql) != sql
    ]
    if not faults:
        checks = connection.execute("PRAGMA integrity_check(3)").fetchall()
        faults = [text for (text,) in checks if text != "ok"]
    return sorted(faults)


def _build(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        connection.executescript(f"BEGIN; {_SCHEMA_SQL.read_text('utf-8')} COMMIT;")
    finally:
        connection.close()


@cache
def _expected_objects() -> dict[tuple[str, str], str]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(_SCHEMA_SQL.read_text("utf-8"))
        return {(kind, name): sql for kind, name, sql in connection.execute(_OBJECTS)}
    finally:
        connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  (asked before every call: Path.stat costs twice)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise errors.BackendUnavailableError(
            f"The ledger {path} cannot be reached: {error.strerror or error}.",
            next_step="Nothing was done. Make its folder accessible and try again.",
            ledger=path,
        ) from None
    return status.st_dev, status.st_ino


def _unchanging(path: Path) -> tuple[int, ...] | None:
    """What tells whether the file was changed; None where a log or a journal lies beside it, so
    that it may be written to now, or is not whole without that."""
    for name in (f"{path}-wal", f"{path}-journal"):
        with contextlib.suppress(OSError):
            if os.stat(name).st_size:  # noqa: PTH116  (as above)
                return None
    try:
        status = os.stat(path)  # noqa: PTH116  (as above)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _make_folder(folder: Path) -> None:
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)
