"""Counts the bytes that leave the store, in every process that runs this deployment's code.

Each delivery is a line ``<sha256> <bytes> <pid>``, written after the bytes were verified. All reads
end in one of two functions of the blob space: one returns the bytes, one passes them on.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ro_platform.artifacts.blobs import BlobSpace
from ro_platform.contracts import ArtifactRef

VARIABLE = "MANY_WAYS_COUNT"


def count_deliveries() -> None:
    """Wrap the store of this process; without the variable, nothing is counted."""
    if VARIABLE not in os.environ or hasattr(BlobSpace.read, "counted"):
        return
    file = Path(os.environ[VARIABLE])
    read, copy_into = BlobSpace.read, BlobSpace.copy_into

    def counted_read(self: BlobSpace, ref: ArtifactRef) -> bytes:
        data = read(self, ref)
        _count(file, ref, len(data))
        return data

    def counted_copy(
        self: BlobSpace, ref: ArtifactRef, sink: Callable[[memoryview], object], **options: Any
    ) -> None:
        copy_into(self, ref, sink, **options)
        if sink is not len:  # a verification hands nothing to anybody
            _count(file, ref, ref.size_bytes or 0)

    counted_read.counted = True  # type: ignore[attr-defined]
    BlobSpace.read = counted_read  # type: ignore[method-assign]
    BlobSpace.copy_into = counted_copy  # type: ignore[method-assign]


def delivered(file: Path, *, after: int) -> dict[str, int]:
    """The bytes delivered since the file had that size, by digest."""
    found: dict[str, int] = {}
    with file.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            digest, size, _ = line.decode().split()
            found[digest] = found.get(digest, 0) + int(size)
    return found


def _count(file: Path, ref: ArtifactRef, size: int) -> None:
    line = f"{ref.digest} {size} {os.getpid()}\n".encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
