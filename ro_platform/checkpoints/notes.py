"""Checkpoints after C2SP ``tlog-checkpoint`` (https://c2sp.org/tlog-checkpoint), as signed notes.

The text that a log signs about itself is its origin, its size, and the base64 of its Merkle root, a
line each. One extension line is ours, ``time <UTC>``: when it was signed, by the log's clock.

A note's name is ``<origin>/<size, twenty digits>.note``, so names sort by size, and a place that
creates only can hold one checkpoint of each size.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter, ValidationError

from ro_platform import errors
from ro_platform.contracts.base import UtcTimestamp
from ro_platform.kernel.signing import SigningKey, VerifierKey, open_note, sign_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MAX_SIZE = 2**63 - 1
_TIME = "time "
_UTC: TypeAdapter[str] = TypeAdapter(UtcTimestamp)
_ORIGIN = re.compile(r"(?!\.)[A-Za-z0-9_.\-]{1,128}(?:/(?!\.)[A-Za-z0-9_.\-]{1,128})*")
_NAME = re.compile(rf"(?P<origin>{_ORIGIN.pattern})/(?P<size>\d{{20}})\.note", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of a log: how many entries it has and the root over them (32 bytes).

    Raises :class:`InvalidInputError` for values that have no checkpoint text.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if any(not line or any(char < " " for char in line) for line in lines):
            raise errors.InvalidInputError(
                "A checkpoint's lines are not empty and have no control codes."
            )
        if not 0 <= self.size <= _MAX_SIZE or len(self.root) != 32:
            raise errors.InvalidInputError(
                "A checkpoint has a size of at least 0 and a root of 32 bytes."
            )

    @classmethod
    def at(cls, origin: str, size: int, root: bytes, moment: str) -> Self:
        """The checkpoint with its time (``YYYY-MM-DDTHH:MM:SS.ffffffZ``)."""
        return cls(origin, size, root, (f"{_TIME}{moment}",))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checkpoint's text. Raises :class:`CheckpointRefusedError` if it is not one."""
        if not text.endswith("\n"):
            raise _malformed("its last line does not end")
        origin, *rest = text[:-1].split("\n")
        if len(rest) < 2:
            raise _malformed("it has fewer than three lines")
        size, root, *extensions = rest
        if not _SIZE.fullmatch(size) or int(size) > _MAX_SIZE:
            raise _malformed(f"{size[:40]!r} is not a size")
        if not origin or not all(extensions):
            raise _malformed("it has an empty line")
        try:
            return cls(origin, int(size), _root(root), tuple(extensions))
        except errors.InvalidInputError as error:
            raise _malformed(error.message) from None

    def text(self) -> str:
        """The text that is signed, to its last line feed."""
        root = base64.b64encode(self.root).decode("ascii")
        return "\n".join([self.origin, str(self.size), root, *self.extensions, ""])

    @property
    def moment(self) -> str | None:
        """When it says that it was signed, or None if it does not say so in our one form."""
        times = [line.removeprefix(_TIME) for line in self.extensions if line.startswith(_TIME)]
        try:
            return _UTC.validate_python(times[0]) if len(times) == 1 else None
        except ValidationError:
            return None


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
            raise errors.CheckpointRefusedError(
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
        raise errors.SettingsError(
            f"RO_LEDGER_ORIGIN is {origin!r}, which cannot name a log.",
            next_step="Use words of letters, digits and _ . - joined by slashes, such as "
            "ro-platform/production.",
            setting="RO_LEDGER_ORIGIN",
        )
    return origin


def _root(text: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != 32 or base64.b64encode(root).decode("ascii") != text:
        raise _malformed("its third line is not the base64 of a SHA-256")
    return root


def _malformed(why: str) -> errors.CheckpointRefusedError:
    return errors.CheckpointRefusedError(
        f"This is not a checkpoint: {why}.",
        next_step="Give a file that `ro ledger checkpoint` or a witness kept.",
    )
