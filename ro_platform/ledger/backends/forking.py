"""Connections and forks: all are closed before a fork and opened again after it, on both sides.

A child that inherited one would share it with its parent: SQLite's file locks would corrupt or
deadlock, and two processes would talk at once on one socket to a server. And as long as the child
lived, a server would not see that the parent had died in the middle of a transaction.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class ForkSensitive(Protocol):
    """A connection that is guarded by its lock."""

    lock: threading.RLock
    writable: bool

    def close(self) -> None:
        """Close it. Called with the lock held."""


_OPEN_HERE: weakref.WeakSet[ForkSensitive] = weakref.WeakSet()
_HELD_FOR_FORK: list[ForkSensitive] = []


def close_before_forks(connection: ForkSensitive) -> None:
    """From now on, close that connection before this process forks."""
    _OPEN_HERE.add(connection)


def _before_fork() -> None:
    # Waits for transactions of other threads, which may read while they write: so writers' locks
    # come first here too.
    for connection in sorted(_OPEN_HERE, key=lambda one: not one.writable):
        connection.lock.acquire()
        _HELD_FOR_FORK.append(connection)
        connection.close()


def _after_fork() -> None:
    while _HELD_FOR_FORK:
        _HELD_FOR_FORK.pop().lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
