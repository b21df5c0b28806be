"""Digests of bytes: SHA-256 is the identity, BLAKE3 of the same bytes makes every read checkable.

Both are computed in one pass. A :class:`StreamingHasher` works on threads of its own, one for each
hash, while the caller reads or writes the next chunk: both hashes release the interpreter lock.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from blake3 import blake3 as _blake3


@dataclass(frozen=True, slots=True)
class Digests:
    """Both digests (lowercase hex) and the size (bytes) of the same bytes."""

    sha256: str
    blake3: str
    size_bytes: int


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """Lowercase hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def blake3_hex(data: bytes | bytearray | memoryview) -> str:
    """Lowercase hex BLAKE3."""
    return _blake3(data).hexdigest()


def digests_of(data: bytes | bytearray | memoryview) -> Digests:
    """Both digests of bytes in memory."""
    return Digests(sha256_hex(data), blake3_hex(data), len(data))


class StreamingHasher:
    """Hashes chunks behind the caller's back. Use it as a context, so that its threads end.

    ``sha256`` and ``blake3`` say which digests are wanted. Up to ``PIPELINE_FROM`` bytes are hashed
    on the caller's thread, since starting others would take longer.
    """

    PIPELINE_FROM = 1 << 20
    BEHIND = 9
    """Chunks that may not be hashed yet when :meth:`update` returns: eight waiting, one at work."""

    def __init__(self, *, sha256: bool = True, blake3: bool = True) -> None:
        self.size_bytes = 0
        self._sha256 = hashlib.sha256() if sha256 else None
        self._blake3 = _blake3() if blake3 else None
        self._lanes: list[_Lane] = []

    def update(self, chunk: bytes | memoryview) -> None:
        """Hash the next bytes, some time. They must stay as they are until ``BEHIND`` more chunks
        have been taken, or :meth:`finish` has returned."""
        self.size_bytes += len(chunk)
        if not self._lanes:
            if self.size_bytes <= self.PIPELINE_FROM:
                for state in self._states():
                    state.update(chunk)
                return
            self._lanes = [_Lane(state) for state in self._states()]
        for lane in self._lanes:
            lane.put(chunk)

    def finish(self) -> None:
        """Wait until all is hashed; then :attr:`sha256` and :attr:`blake3` can be read."""
        for lane in self._lanes:
            lane.join()

    @property
    def sha256(self) -> str:
        """Lowercase hex SHA-256, or "" if it was not wanted."""
        return self._sha256.hexdigest() if self._sha256 else ""

    @property
    def blake3(self) -> str:
        """Lowercase hex BLAKE3, or "" if it was not wanted."""
        return self._blake3.hexdigest() if self._blake3 else ""

    def digests(self) -> Digests:
        """Finish, and answer both digests and the size."""
        self.finish()
        return Digests(self.sha256, self.blake3, self.size_bytes)

    def _states(self) -> list[_HashState]:
        return [state for state in (self._sha256, self._blake3) if state is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()


class _HashState(Protocol):
    def update(self, data: bytes | memoryview, /) -> object: ...


class _Lane:
    """One hash on one thread, at most eight chunks behind."""

    def __init__(self, state: _HashState) -> None:
        self._state = state
        self._chunks: queue.Queue[bytes | memoryview | None] = queue.Queue(
            maxsize=StreamingHasher.BEHIND - 1
        )
        self._thread = threading.Thread(target=self._run, name="ro-hash", daemon=True)
        self._thread.start()

    def put(self, chunk: bytes | memoryview) -> None:
        self._chunks.put(chunk)

    def join(self) -> None:
        if self._thread.is_alive():
            self._chunks.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._state.update(chunk)
