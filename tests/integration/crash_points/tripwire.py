"""A tripwire at every write boundary: it counts them, and at one of them the process dies or fails.

A boundary is a call by which something durable changes: of the operating system below the store and
the ledger's folder, and of the database. The hooks replace the calls of the whole process, so this
belongs in a forked child only.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from ro_platform.artifacts.backends import posix
from ro_platform.ledger.backends.postgres_connection import PostgresSession
from tests.integration.crash_points.faults import TEARING, Fault
from tests.integration.crash_points.names import file_name
from tests.integration.crash_points.statements import watched_connection, watched_run


@dataclass(frozen=True)
class Boundary:
    """One crossing: in which step of the publication, which call, on what."""

    step: str
    call: str
    what: str
    torn: frozenset[Fault] = frozenset()
    """How it can be half done: a write of bytes can, and a question to a server."""

    @property
    def words(self) -> str:
        """The call and what it is on."""
        return f"{self.call} {self.what}"

    @property
    def faults(self) -> list[Fault]:
        """What can happen there."""
        return [fault for fault in Fault if fault not in TEARING or fault in self.torn]


@dataclass
class Tripwire:
    """Passes every call on, except that crossing number ``at`` meets the fault.

    ``crossed`` is told of each boundary before it is crossed.
    """

    home: Path
    at: int = -1
    fault: Fault | None = None
    crossed: list[Boundary] = field(default_factory=list)
    step: str = ""
    _paths: dict[int, str] = field(default_factory=dict)
    _entries: set[str] = field(default_factory=set)
    _bytes: set[str] = field(default_factory=set)

    @property
    def kills(self) -> bool:
        """See :class:`Trap`."""
        return self.fault is not None and self.fault.kills

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Within the block, every write boundary is watched."""
        with ExitStack() as hooks:
            for name in ("open", "close", "write", "fsync", "link", "unlink", "rmdir", "mkdir"):
                real = getattr(os, name)
                hook = partial(getattr(self, f"_{name}"), real)
                hooks.enter_context(mock.patch.object(os, name, hook))
            sync = partial(self._syncfs, posix.syncfs)
            hooks.enter_context(mock.patch.object(posix, "syncfs", sync))
            connect = partial(sqlite3.connect, factory=watched_connection(self.cross))
            hooks.enter_context(mock.patch.object(sqlite3, "connect", connect))
            run = watched_run(self.cross)
            hooks.enter_context(mock.patch.object(PostgresSession, "run", run))
            yield

    def begin(self, step: str) -> None:
        """What is crossed from now on belongs to that step."""
        self.step = step

    def cross(
        self,
        call: str,
        what: str,
        act: Callable[[], Any],
        *,
        fails: Callable[[bool], NoReturn],
        halves: Mapping[Fault, Callable[[], object]] = {},
    ) -> Any:
        """Do ``act``, or what is to happen at this boundary in its place.

        ``fails`` raises what the caller would meet: True for an answer that is lost, False for a
        full disk. ``halves`` are the ways to do it by half.
        """
        self.crossed.append(Boundary(self.step, call, what, frozenset(halves)))
        if len(self.crossed) - 1 != self.at or self.fault is None:
            return act()
        if self.fault in TEARING:
            halves[self.fault]()
        elif self.fault is Fault.ANSWER_LOST:
            act()
        elif self.fault is not Fault.KILLED_BEFORE and self.fault is not Fault.FULL:
            with suppress(OSError):  # a call that fails, such as a link into a missing folder
                act()
        if self.fault is Fault.POWER_LOST:
            self._lose_power()
        if self.fault.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        return fails(self.fault is Fault.ANSWER_LOST)

    def _file(self, call: str, path: str, act: Callable[[], Any], **more: Any) -> Any:
        return self.cross(call, file_name(self.home, path), act, fails=_system_fails, **more)

    def _open(self, real: Any, path: Any, flags: int, *args: Any, **options: Any) -> Any:
        text, new = os.fspath(path), bool(flags & os.O_CREAT)

        def act() -> int:
            opened: int = real(path, flags, *args, **options)
            self._paths[opened] = text
            if new:
                self._entries.add(text)
            return opened

        return self._file("open", text, act) if new else act()

    def _close(self, real: Any, descriptor: int) -> None:
        self._paths.pop(descriptor, None)
        real(descriptor)

    def _write(self, real: Any, descriptor: int, data: Any) -> Any:
        path = self._paths.get(descriptor)
        if path is None:
            return real(descriptor, data)  # a pipe
        self._bytes.add(path)
        part = bytes(data)[: len(data) // 2]
        act = partial(real, descriptor, data)
        half = partial(real, descriptor, part)
        return self._file("write", path, act, halves=dict.fromkeys(TEARING, half))

    def _fsync(self, real: Any, descriptor: int) -> None:
        path = self._paths[descriptor]

        def act() -> None:
            real(descriptor)
            self._bytes.discard(path)
            self._entries -= {one for one in self._entries if Path(one).parent == Path(path)}

        self._file("fsync", path, act)

    def _syncfs(self, real: Any, descriptor: int) -> Any:
        def act() -> Any:
            done = real(descriptor)
            self._bytes.clear()
            self._entries.clear()
            return done

        return self._file("syncfs", self._paths[descriptor], act)

    def _link(self, real: Any, source: Any, target: Any, **options: Any) -> None:
        path = os.fspath(target)
        if not os.path.lexists(path):
            self._entries.add(path)
        if os.fspath(source) in self._bytes:
            self._bytes.add(path)
        self._file("link", path, partial(real, source, target, **options))

    def _mkdir(self, real: Any, path: Any, *args: Any, **options: Any) -> None:
        if not os.path.lexists(path):
            self._entries.add(os.fspath(path))
        self._file("mkdir", os.fspath(path), partial(real, path, *args, **options))

    def _unlink(self, real: Any, path: Any, **options: Any) -> None:
        self._file("unlink", os.fspath(path), partial(real, path, **options))

    def _rmdir(self, real: Any, path: Any, **options: Any) -> None:
        self._file("rmdir", os.fspath(path), partial(real, path, **options))

    def _lose_power(self) -> None:
        """Take away every name, and half of all bytes, that nobody made durable."""
        for path in map(Path, self._bytes):
            if path.is_file():
                path.chmod(0o644)
                os.truncate(path, path.stat().st_size // 2)
        for path in map(Path, self._entries):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _system_fails(done: bool) -> NoReturn:
    code = errno.EIO if done else errno.ENOSPC
    raise OSError(code, os.strerror(code))
