"""The engine's two lineage hashes, exactly.

- UER(s): the length of s in UTF-8 as a little-endian uint32, then those bytes.
- T(file): SHA-256 of UER(basename), then the 32 bytes of the file's SHA-256.
- parameter_hash: SHA-256 of the concatenated T of the parameter files.
- manifest_fingerprint: SHA-256 of the concatenated T of the artefacts, then git32 (12 zero bytes
  and the 20 bytes of the git SHA-1), then the 32 bytes of the parameter_hash.

Basenames are ASCII and unique within each list; T are concatenated in their ASCII order, whatever
the order in which the files are named.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from ro_platform import errors
from ro_platform.contracts.base import Contract, Hex64
from ro_platform.kernel.files import chunks_of

_GIT_SHA1 = re.compile(r"[a-f0-9]{40}")


class LineageFile(Contract):
    """One file that goes into a hash, by its basename."""

    basename: str
    sha256: Hex64
    t: Hex64


class Lineage(Contract):
    """The recomputed hashes, and what they were made from; without artefacts there is only one."""

    parameter_hash: Hex64
    parameters: tuple[LineageFile, ...]
    manifest_fingerprint: Hex64 | None = None
    artefacts: tuple[LineageFile, ...] = ()
    git_commit: str | None = None


def uer(text: str) -> bytes:
    """The UER form of a text."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def t_of(basename: str, file_sha256: bytes) -> bytes:
    """T of a file (32 bytes), from its basename and its SHA-256 (32 bytes)."""
    return hashlib.sha256(uer(basename) + file_sha256).digest()


def git32(commit: str) -> bytes:
    """A git SHA-1 (40 lowercase hex) as 32 bytes. Raises :class:`InvalidInputError`."""
    if not _GIT_SHA1.fullmatch(commit):
        raise errors.InvalidInputError(
            f"{commit!r} is no git commit.", next_step="Give its full SHA-1: 40 lowercase hex."
        )
    return bytes(12) + bytes.fromhex(commit)


def recompute(
    parameters: Sequence[Path], artefacts: Sequence[Path] = (), git_commit: str | None = None
) -> Lineage:
    """Hash the files, and answer the parameter_hash and, with artefacts, the fingerprint.

    Raises :class:`InvalidInputError` for no parameters, artefacts without a commit (or the other
    way round), a basename that is not ASCII or stands twice, and a file that cannot be read.
    """
    if not parameters or bool(artefacts) != (git_commit is not None):
        raise errors.InvalidInputError(
            "The hashes need at least one parameter file, and artefacts together with a commit.",
            next_step="Name parameter files; for the manifest_fingerprint, artefacts and a commit.",
        )
    of_parameters = _hashed(parameters, "parameter")
    parameter_hash = hashlib.sha256(_concatenated(of_parameters)).digest()
    if git_commit is None:
        return Lineage(parameter_hash=parameter_hash.hex(), parameters=of_parameters)
    of_artefacts = _hashed(artefacts, "artefact")
    preimage = _concatenated(of_artefacts) + git32(git_commit) + parameter_hash
    return Lineage(
        parameter_hash=parameter_hash.hex(),
        parameters=of_parameters,
        manifest_fingerprint=hashlib.sha256(preimage).hexdigest(),
        artefacts=of_artefacts,
        git_commit=git_commit,
    )


def _hashed(paths: Iterable[Path], kind: str) -> tuple[LineageFile, ...]:
    """The files by basename, in ASCII order."""
    found: dict[str, Path] = {}
    for path in paths:
        name = path.name
        if not name or not name.isascii():
            raise _refused(kind, path, "has a basename that is not ASCII")
        if name in found:
            raise _refused(kind, path, f"has the basename of {found[name]}")
        found[name] = path
    return tuple(_file(name, found[name], kind) for name in sorted(found))


def _file(name: str, path: Path, kind: str) -> LineageFile:
    try:
        hashed = hashlib.sha256()
        for chunk in chunks_of(path):
            hashed.update(chunk)
        digest = hashed.digest()
    except OSError as error:
        raise _refused(kind, path, f"cannot be read: {error.strerror}") from None
    return LineageFile(basename=name, sha256=digest.hex(), t=t_of(name, digest).hex())


def _concatenated(files: Iterable[LineageFile]) -> bytes:
    return b"".join(bytes.fromhex(file.t) for file in files)


def _refused(kind: str, path: Path, problem: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"The {kind} file {path} {problem}.",
        next_step="Name files whose basenames are ASCII and unique.",
        path=path,
    )
