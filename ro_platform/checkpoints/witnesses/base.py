"""The port of a witness: it keeps notes by name, creates only, and says which it has.

This class is the specification; every witness passes ``tests/contract/test_witnesses.py``.

* ``keep`` returns when the note is there for good. The same note again changes nothing; another
  one under that name is a ``CheckpointRefusedError`` and leaves the first.
* Only documented errors: ``BackendUnavailableError`` (try again), ``OutcomeUnknownError``,
  ``StoreNotWritableError``, ``CheckpointRefusedError``, ``NotFoundError``; and ``SettingsError``
  for a place that could replace notes and so cannot be a witness.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ro_platform import errors


class Witness(ABC):
    """Somewhere outside that keeps signed checkpoints."""

    readable = True
    """Whether notes can be read back from it, and the ledger be verified against it."""

    def __init__(self, label: str) -> None:
        self.label = label
        """Its address as a person may see it, without secrets."""

    @abstractmethod
    def keep(self, name: str, note: bytes) -> None:
        """Keep a note under a name, durably."""

    @abstractmethod
    def names(self, origin: str) -> list[str]:
        """The names of the notes of that log that it has, sorted."""

    def read(self, name: str) -> bytes:
        """The note of that name. Raises :class:`InvalidInputError` unless :attr:`readable`."""
        raise errors.InvalidInputError(
            f"The witness {self.label} cannot be read back from here ({name}).",
            next_step="Ask whoever runs it for the file, and give it with --against.",
            witness=self.label,
        )


def require_same(label: str, name: str, held: bytes, note: bytes) -> None:
    """Raises :class:`CheckpointRefusedError` if a witness holds another note under that name."""
    if held != note:
        raise errors.CheckpointRefusedError(
            f"The witness {label} holds another checkpoint as {name}: the log was forked, or the "
            "witness altered.",
            next_step="Nothing was replaced. Run `ro ledger verify` and keep both as evidence.",
            witness=label,
        )
