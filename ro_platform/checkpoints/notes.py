"""A signed checkpoint: the note, what it says, and where it goes by name.

A name is ``<origin>/<size, twenty digits>.note``, so names sort by size, and a place that creates
only can hold one checkpoint of each size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ro_platform.errors import CheckpointRefusedError, SettingsError
from ro_platform.kernel.signing import SigningKey, VerifierKey, open_note, sign_note
from ro_platform.ledger.checkpoints import Checkpoint

_ORIGIN = re.compile(r"(?!\.)[A-Za-z0-9_.\-]{1,128}(?:/(?!\.)[A-Za-z0-9_.\-]{1,128})*")
_NAME = re.compile(rf"(?P<origin>{_ORIGIN.pattern})/(?P<size>\d{{20}})\.note", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the note that a trusted key signed over it."""

    checkpoint: Checkpoint
    note: bytes

    @classmethod
    def sign(cls, checkpoint: Checkpoint, key: SigningKey) -> Self:
        """Sign a checkpoint."""
        return cls(checkpoint, sign_note(checkpoint.text(), key))

    @classmethod
    def open(cls, note: bytes, trusted: Sequence[VerifierKey], origin: str) -> Self:
        """Believe a note. Raises :class:`CheckpointRefusedError` if it is malformed, not signed by
        a trusted key, not a checkpoint, or of another log."""
        checkpoint = Checkpoint.parse(open_note(note, trusted))
        if checkpoint.origin != origin:
            raise CheckpointRefusedError(
                f"The checkpoint is of the log {checkpoint.origin!r}, and this is {origin!r}.",
                next_step="Give a checkpoint of this log, or set RO_LEDGER_ORIGIN to its name.",
                origin=checkpoint.origin,
            )
        return cls(checkpoint, note)

    @property
    def name(self) -> str:
        """The name it is kept under."""
        return name_of(self.checkpoint.origin, self.checkpoint.size)

    def words(self) -> str:
        """What it is, in words: its size and time."""
        moment = self.checkpoint.moment
        return f"checkpoint {self.checkpoint.size}" + (f" of {moment[:19]}Z" if moment else "")


def name_of(origin: str, size: int) -> str:
    """The name of the checkpoint of that size."""
    return f"{origin}/{size:020d}.note"


def size_in(name: str, origin: str) -> int | None:
    """The size in the name of a checkpoint of that log; None if it names something else."""
    found = _NAME.fullmatch(name)
    return int(found["size"]) if found and found["origin"] == origin else None


def checked_origin(origin: str) -> str:
    """The origin itself. Raises :class:`SettingsError` if it cannot be part of a name."""
    if not _ORIGIN.fullmatch(origin) or len(origin) > 256:
        raise SettingsError(
            f"RO_LEDGER_ORIGIN is {origin!r}, which cannot name a log.",
            next_step="Use words of letters, digits and _ . - joined by slashes, such as "
            "ro-platform/production.",
            setting="RO_LEDGER_ORIGIN",
        )
    return origin
