"""Artifacts of many files: a manifest blob lists the members, so one digest covers them all.

A member is its relative POSIX path and its bytes. Times, owners and permission bits are not part of
an artifact. What a manifest cannot say (links, devices, empty folders, names that are not UTF-8)
is refused when it is stored, never dropped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.base import WriteGroup
from ro_platform.artifacts.blobs import CHUNK, SMALL, BlobSpace, open_input
from ro_platform.artifacts.tombstones import has_tombstones
from ro_platform.contracts.artifact import ArtifactRef, ArtifactTree, BoundRef, TreeMember
from ro_platform.errors import EncodingError, IntegrityError, RunOperateError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import StreamingHasher, digests_of

TREE = "application/vnd.ro.tree+json"
TREE_SCHEMA = "ro.artifact_tree.v0"
_MEMBER = "application/octet-stream"


def put_tree(blobs: BlobSpace, folder: Path, *, schema_version: str | None = None) -> BoundRef:
    """Store a folder. Small members become durable together; the manifest comes last.

    Raises :class:`ArtifactErasedError`, before anything is written, if the tree or a file of it
    was erased.
    """
    if has_tombstones(blobs.backend):
        _require_not_erased(blobs, folder)
    members = []
    with blobs.backend.group() as group:
        for path, name in sorted(_files(folder, ""), key=lambda found: found[1]):
            members.append(_put_member(blobs, group, path, name))
    existing = set(group.existing)
    for member in members:
        if blob_name(member.digest) in existing:
            blobs.verify(member_ref(member))
    return blobs.put_bytes(
        _manifest(members),
        media_type=TREE,
        schema_version=schema_version or TREE_SCHEMA,
    )


def tree_of(blobs: BlobSpace, ref: ArtifactRef) -> ArtifactTree:
    """The members of a stored tree, verified. Raises :class:`IntegrityError` for unsafe paths."""
    tree = ArtifactTree.from_json(blobs.read(ref), where=ref.ref)
    files: set[str] = set()
    folders: set[str] = set()
    for member in tree.members:
        path = PurePosixPath(member.path)
        if path.as_posix() != member.path or member.path in files or ".." in path.parts:
            raise _unsafe(ref, member.path)
        files.add(member.path)
        folders.update(parent.as_posix() for parent in path.parents)
    if files & folders:
        raise _unsafe(ref, min(files & folders))
    return tree


def copy_tree(blobs: BlobSpace, ref: ArtifactRef, destination: Path) -> None:
    """Fill a new folder, each member verified. Raises OSError for the destination's faults."""
    destination.mkdir()
    made = {""}
    for member in tree_of(blobs, ref).members:
        folder, _, _ = member.path.rpartition("/")
        if folder not in made:
            (destination / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        path = destination / member.path
        if member.size_bytes > SMALL:
            blobs.copy_to_file(member_ref(member), path)
        else:
            path.write_bytes(blobs.read(member_ref(member)))


def member_ref(member: TreeMember) -> BoundRef:
    """A reference to one member's blob."""
    return BoundRef(
        ref=blob_name(member.digest),
        digest=member.digest,
        size_bytes=member.size_bytes,
        media_type=_MEMBER,
        blake3=member.blake3,
    )


def _manifest(members: list[TreeMember]) -> bytes:
    return canonical_bytes(ArtifactTree(members=tuple(members)))


def _require_not_erased(blobs: BlobSpace, folder: Path) -> None:
    """Hash it all first: what was erased must not come back in the files of a refused folder."""
    members = []
    for path, name in sorted(_files(folder, ""), key=lambda found: found[1]):
        with open_input(path) as source, StreamingHasher() as hasher:
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
            digests = hasher.digests()
        blobs.require_unerased(digests.sha256)
        members.append(_member(name, digests.sha256, digests.size_bytes, digests.blake3))
    blobs.require_unerased(digests_of(_manifest(members)).sha256)


def _put_member(blobs: BlobSpace, group: WriteGroup, path: Path, name: str) -> TreeMember:
    with open_input(path) as source:
        data = source.read(SMALL)
        if len(data) < SMALL and not source.read(1):
            digests = digests_of(data)
            group.create(blob_name(digests.sha256), data)
            return _member(name, digests.sha256, digests.size_bytes, digests.blake3)
    ref = blobs.put_file(path, media_type=_MEMBER)
    return _member(name, ref.digest, ref.size_bytes, ref.blake3)


def _member(name: str, digest: str, size: int, blake3: str) -> TreeMember:
    try:
        return TreeMember(path=name, digest=digest, size_bytes=size, blake3=blake3)
    except ValueError:
        raise _refused(name, "has a name that a tree's manifest does not allow") from None


def _files(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    """Every regular file below the folder, with its relative path; refuses anything else."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise _refused(str(folder), f"cannot be listed: {error.strerror}") from None
    if not entries and prefix:
        raise _refused(prefix.rstrip("/"), "is an empty folder and would be lost")
    for entry in entries:
        name = f"{prefix}{entry.name}"
        mode = entry.stat(follow_symlinks=False).st_mode
        if not _is_utf8(name):
            raise _refused(repr(name), "has a name that is not UTF-8")
        if stat.S_ISDIR(mode):
            yield from _files(Path(entry.path), f"{name}/")
        elif stat.S_ISREG(mode):
            yield Path(entry.path), name
        else:
            kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise _refused(name, f"is {kind} and cannot be part of an artifact")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(name: str, problem: str) -> RunOperateError:
    return EncodingError(
        f"The folder cannot be stored: {name} {problem}.",
        next_step="Put only ordinary files into the folder, copying what links point to.",
        path=name,
    )


def _unsafe(ref: ArtifactRef, path: str) -> IntegrityError:
    return IntegrityError(
        f"The tree {ref.ref} lists {path!r}, which is no place inside a folder or is listed twice.",
        next_step="Do not use this artifact; find out who wrote it.",
        ref=ref.ref,
    )
