"""A folder as a witness: on a mount that the ledger's administrator can only add to."""

from __future__ import annotations

from pathlib import Path

from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.checkpoints.witnesses.base import Witness, require_same
from ro_platform.kernel.signing import MAX_NOTE_BYTES


class StoreWitness(Witness):
    """Notes as objects of a create-only store, below a prefix."""

    def __init__(self, label: str, objects: BlobBackend, prefix: str = "") -> None:
        super().__init__(label)
        self._objects = objects
        self._prefix = prefix

    def keep(self, name: str, note: bytes) -> None:
        """See :class:`Witness`. A crash leaves the whole note or nothing."""
        if not self._objects.create(self._prefix + name, note):
            require_same(self.label, name, self.read(name), note)

    def names(self, origin: str) -> list[str]:
        """See :class:`Witness`."""
        prefix = f"{self._prefix}{origin}/"
        return [name.removeprefix(self._prefix) for name in self._objects.names(prefix)]

    def read(self, name: str) -> bytes:
        """See :class:`Witness`."""
        return self._objects.read(self._prefix + name, MAX_NOTE_BYTES + 1)


def folder_witness(folder: Path) -> Witness:
    """A folder, which the first note creates."""
    return StoreWitness(folder.as_uri(), FilesystemBackend(folder))
