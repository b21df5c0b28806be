"""Artifacts of many files: a manifest blob lists the members, so one digest covers them all.

A member is its relative POSIX path, its bytes and whether it is executable. Times, owners and other
permissions are not part of an artifact. What a manifest cannot say (links, devices, empty folders,
set-user-id bits, names that are not UTF-8) is refused when it is stored, never dropped.

The folder is listed once, with the identity and times of all that is in it. Each file has to be as
it was listed when it has been read, and each folder in the end, so that what is stored is the
folder as it was at one moment.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.base import WriteGroup
from ro_platform.artifacts.backends.posix import write_all
from ro_platform.artifacts.blobs import BlobSpace, new_file
from ro_platform.artifacts.sources import (
    SMALL,
    changed,
    open_listed,
    require_keepable,
    require_same_folder,
    settle,
)
from ro_platform.artifacts.tombstones import has_tombstones
from ro_platform.contracts.artifact import ArtifactRef, ArtifactTree, BoundRef, TreeMember
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import StreamingHasher, digests_of

TREE = "application/vnd.ro.tree+json"
TREE_SCHEMA = "ro.artifact_tree.v0"
_MEMBER = "application/octet-stream"


def put_tree(blobs: BlobSpace, folder: Path, *, schema_version: str | None = None) -> BoundRef:
    """Store a folder. Small members become durable together; the manifest comes last.

    Raises :class:`ArtifactErasedError`, before anything is written, if the tree or a file of it
    was erased, and :class:`SourceChangedError` if something in the folder changes meanwhile. Of a
    refused folder, members of more than 1 MiB may stay in the store, where nothing names them.
    """
    listing = _listed(folder)
    if has_tombstones(blobs.backend):
        _require_not_erased(blobs, listing)
    with blobs.backend.group() as group:
        members = [_put_member(blobs, group, file) for file in listing.files]
        listing.require_same()
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
        with new_file(path, executable=bool(member.executable)) as out:
            if member.size_bytes > SMALL:
                blobs.copy_into(member_ref(member), partial(write_all, out.fileno()))
            else:
                write_all(out.fileno(), memoryview(blobs.read(member_ref(member))))


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


@dataclass(frozen=True, slots=True)
class _File:
    """A regular file of a folder, as it was listed."""

    name: str
    path: str
    found: os.stat_result

    @property
    def executable(self) -> Literal[True] | None:
        return True if self.found.st_mode & stat.S_IXUSR else None


@dataclass(slots=True)
class _Listing:
    """What is below a folder at one moment: its files by name, and its folders."""

    files: list[_File] = field(default_factory=list)
    folders: list[tuple[Path, os.stat_result]] = field(default_factory=list)

    def require_same(self) -> None:
        """Raise :class:`SourceChangedError` if a name came or went since."""
        for path, found in self.folders:
            require_same_folder(path, found)


def _listed(folder: Path) -> _Listing:
    listing = _Listing()
    try:
        _list_into(listing, folder, "")
    except RecursionError:
        raise _refused(str(folder), "holds folders within folders too deep to be kept") from None
    listing.files.sort(key=lambda file: file.name)
    found = [item.found for item in listing.files] + [item[1] for item in listing.folders]
    settle(max(item.st_ctime_ns for item in found))
    return listing


def _list_into(listing: _Listing, folder: Path, prefix: str) -> None:
    """Every regular file below the folder, with its relative path; refuses anything else."""
    try:
        listing.folders.append((folder, folder.stat()))
        entries = list(os.scandir(folder))
    except OSError as error:
        raise _refused(str(folder), f"cannot be listed: {error.strerror}") from None
    if not entries and prefix:
        raise _refused(prefix.rstrip("/"), "is an empty folder and would be lost")
    for entry in entries:
        name = f"{prefix}{entry.name}"
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:  # it was there when the folder was listed
            raise changed(entry.path) from None
        if not _is_utf8(name):
            raise _refused(repr(name), "has a name that is not UTF-8")
        if stat.S_ISDIR(found.st_mode):
            _list_into(listing, Path(entry.path), f"{name}/")
        elif stat.S_ISREG(found.st_mode):
            require_keepable(entry.path, found.st_mode)
            listing.files.append(_File(name, entry.path, found))
        else:
            kind = "a link" if stat.S_ISLNK(found.st_mode) else "neither a file nor a folder"
            raise _refused(name, f"is {kind} and cannot be part of an artifact")


def _require_not_erased(blobs: BlobSpace, listing: _Listing) -> None:
    """Hash it all first: what was erased must not come back in the files of a refused folder."""
    members = []
    for file in listing.files:
        with open_listed(file.path, file.found) as source, StreamingHasher() as hasher:
            for chunk in source.chunks():
                hasher.update(chunk)
            digests = hasher.digests()
        blobs.require_unerased(digests.sha256)
        members.append(_member(file, digests.sha256, digests.size_bytes, digests.blake3))
    blobs.require_unerased(digests_of(_manifest(members)).sha256)


def _put_member(blobs: BlobSpace, group: WriteGroup, file: _File) -> TreeMember:
    with open_listed(file.path, file.found) as source:
        if source.size_bytes > SMALL:
            ref = blobs.put_source(source, media_type=_MEMBER)
            return _member(file, ref.digest, ref.size_bytes, ref.blake3)
        data = b"".join(source.chunks())
        digests = digests_of(data)
        source.require_whole(lambda: digests.blake3)
    group.create(blob_name(digests.sha256), data)
    return _member(file, digests.sha256, digests.size_bytes, digests.blake3)


def _member(file: _File, digest: str, size: int, blake3: str) -> TreeMember:
    try:
        return TreeMember(
            path=file.name,
            digest=digest,
            size_bytes=size,
            blake3=blake3,
            executable=file.executable,
        )
    except ValueError:
        raise _refused(file.name, "has a name that a tree's manifest does not allow") from None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(name: str, problem: str) -> errors.RunOperateError:
    return errors.EncodingError(
        f"The folder cannot be stored: {name} {problem}.",
        next_step="Put only ordinary files into the folder, copying what links point to.",
        path=name,
    )


def _unsafe(ref: ArtifactRef, path: str) -> errors.IntegrityError:
    return errors.IntegrityError(
        f"The tree {ref.ref} lists {path!r}, which is no place inside a folder or is listed twice.",
        next_step="Do not use this artifact; find out who wrote it.",
        ref=ref.ref,
    )
