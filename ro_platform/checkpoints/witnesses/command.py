"""A command as a witness: it gets the note on standard input and exits with 0 once it is kept.

What it has is known from acknowledgements, one object in the artifact store for each note that it
took. If it answers signature lines on standard output (a cosigning witness does), they are the
acknowledgement's content.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from hashlib import sha256

from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.checkpoints.witnesses.base import Witness
from ro_platform.errors import BackendUnavailableError, CheckpointRefusedError
from ro_platform.kernel.signing import MAX_NOTE_BYTES, parse_note

ACKNOWLEDGEMENTS = "checkpoints/acknowledged/"


class CommandWitness(Witness):
    """A program of the deployment's own. It is run without a shell."""

    readable = False

    def __init__(
        self, argv: Sequence[str], objects: BlobBackend, *, timeout_seconds: float = 60.0
    ) -> None:
        super().__init__(f"command:{argv[0]}")
        self._argv = list(argv)
        self._objects = objects
        self._timeout = timeout_seconds
        named = sha256("\0".join(argv).encode()).hexdigest()[:16]
        self._prefix = f"{ACKNOWLEDGEMENTS}{named}/"

    def keep(self, name: str, note: bytes) -> None:
        """See :class:`Witness`. A crash after the command leaves it to be run again."""
        answer = self._run(note)
        try:
            parse_note(note + answer)
        except CheckpointRefusedError:
            answer = b""  # it printed something else, which is its own business
        self._objects.create(self._prefix + name, answer)

    def names(self, origin: str) -> list[str]:
        """See :class:`Witness`."""
        prefix = f"{self._prefix}{origin}/"
        return [name.removeprefix(self._prefix) for name in self._objects.names(prefix)]

    def cosignatures(self, name: str) -> bytes:
        """The signature lines that it answered to that note, or nothing."""
        found = name in self.names(name.rpartition("/")[0])
        return self._objects.read(self._prefix + name, MAX_NOTE_BYTES) if found else b""

    def _run(self, note: bytes) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603  (the deployment's own setting, and no shell)
                self._argv, input=note, capture_output=True, timeout=self._timeout, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise self._failed(f"it exited with {done.returncode}: {said or 'no message'}")
        return done.stdout[:MAX_NOTE_BYTES]

    def _failed(self, why: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"The witness {self.label} did not take the checkpoint: {why}.",
            next_step="It is handed over again with the next checkpoint. Run the command by hand.",
            witness=self.label,
        )
