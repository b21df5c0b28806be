"""Digests of bytes: SHA-256 is the identity, BLAKE3 of the same bytes makes every read checkable.

Both are computed in one pass. A :class:`Hasher` works ahead on a thread of its own while the
caller reads or writes the next chunk, since both hashes release the interpreter lock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from blake3 import blake3


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
    return blake3(data).hexdigest()


def digests_of(data: bytes | bytearray | memoryview) -> Digests:
    """Both digests of bytes in memory."""
    return Digests(sha256_hex(data), blake3_hex(data), len(data))
