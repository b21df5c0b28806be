"""Witnesses on this machine: a folder, a command that takes the note, a git repository.

A command as a witness: it gets the note on standard input and exits with 0 once it is kept.

What it has is known from acknowledgements, one object in the artifact store for each note that it
took. If it answers signature lines on standard output (a cosigning witness does), they are the
acknowledgement's content.

A git repository as a witness: a commit for each note, pushed if the branch has an upstream.

The address names a clone on this machine. What counts as kept is what the upstream has, or the
branch itself where there is none. History that others have fetched cannot be rewritten unseen.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.checkpoints.witnesses.base import Witness, require_same
from ro_platform.kernel.signing import MAX_NOTE_BYTES, parse_note


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
        except errors.CheckpointRefusedError:
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

    def _failed(self, why: str) -> errors.BackendUnavailableError:
        return errors.BackendUnavailableError(
            f"The witness {self.label} did not take the checkpoint: {why}.",
            next_step="It is handed over again with the next checkpoint. Run the command by hand.",
            witness=self.label,
        )


_AUTHOR = ("-c", "user.name=ro-platform", "-c", "user.email=ro-platform@invalid")
_QUIET = ("-c", "core.askPass=", "-c", "core.quotePath=false", "-c", "commit.gpgSign=false")


class GitWitness(Witness):
    """Notes as committed files. One process writes at a time: git's own lock refuses another."""

    def __init__(self, clone: Path, *, timeout_seconds: float = 120.0) -> None:
        super().__init__(f"git+{clone.as_uri()}")
        self._clone = clone
        self._timeout = timeout_seconds

    def keep(self, name: str, note: bytes) -> None:
        """See :class:`Witness`. After a crash the same call finishes what was begun."""
        held = self._committed("HEAD", name)
        if held is None:
            self._commit(name, note)
        else:
            require_same(self.label, name, held, note)
        if self._upstream():
            self._git("push", "--quiet")

    def names(self, origin: str) -> list[str]:
        """See :class:`Witness`."""
        place = self._kept_at()
        if place is None:
            return []
        listed = self._git("ls-tree", "-r", "-z", "--name-only", place, "--", f"{origin}/")
        return sorted(name for name in listed.decode().split("\0") if name)

    def read(self, name: str) -> bytes:
        """See :class:`Witness`."""
        place = self._kept_at()
        held = self._committed(place, name) if place else None
        if held is None:
            raise errors.NotFoundError(
                f"The witness {self.label} has no {name}.", witness=self.label
            )
        return held

    def _commit(self, name: str, note: bytes) -> None:
        path = self._clone / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(note)  # not committed yet, so what is there is a crash's
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from None
        self._git("add", "--", name)
        self._git(*_AUTHOR, "commit", "--quiet", "-m", f"Checkpoint {name}", "--", name)

    def _kept_at(self) -> str | None:
        """The revision that counts, as fetched just now; None before the first commit."""
        if self._upstream():
            self._git("fetch", "--quiet")
            return "@{upstream}"
        return "HEAD" if self._answers("rev-parse", "--verify", "--quiet", "HEAD") else None

    def _upstream(self) -> bool:
        return self._answers("rev-parse", "--verify", "--quiet", "@{upstream}")

    def _committed(self, revision: str, name: str) -> bytes | None:
        place = f"{revision}:{name}"
        return (
            self._git("cat-file", "blob", place) if self._answers("cat-file", "-e", place) else None
        )

    def _answers(self, *words: str) -> bool:
        return self._run(*words).returncode == 0

    def _git(self, *words: str) -> bytes:
        done = self._run(*words)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise self._failed(f"git {words[-1] if words[0] == '-c' else words[0]}: {said}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        program = shutil.which("git")
        if program is None:
            raise self._failed("there is no git command")
        if not (self._clone / ".git").exists():
            raise self._failed("it is not a git clone; make it with `git init` or `git clone`")
        try:
            return subprocess.run(  # noqa: S603  (no shell, and names have a closed form)
                [program, *_QUIET, "-C", str(self._clone), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from None

    def _failed(self, why: str) -> errors.BackendUnavailableError:
        return errors.BackendUnavailableError(
            f"The witness {self.label} does not serve: {why}.",
            next_step="What it lacks is handed over with the next checkpoint.",
            witness=self.label,
        )
