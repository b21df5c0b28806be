"""A sealed bundle as it is on disk: its files, what its index lists, and what its flag says.

Opening one checks everything that needs no law. A malformed index or flag, a link, a path that
leaves its folder, a missing flag and an empty bundle are refusals (:class:`BundleRefusedError`).
Index and flag are read once: the bytes that are parsed are the bytes that are hashed.

A folder that somebody else wrote, read without ever leaving it.

The folder is held open by its descriptor, and whatever is read below it is opened part by part
relative to that descriptor with ``O_NOFOLLOW`` (openat(2)). So a link is never followed, at
whatever instant it is put there, and renaming the folder or one above it does not lead elsewhere.
The last part of the folder's own path may be no link either; the parts above it are the caller's.

A file is read once, in pieces, and refused if it changed meanwhile. What that cannot see: a file
that is added after the listing, and hard links, which are files like any other.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ro_platform import errors
from ro_platform.contracts.base import Hex64
from ro_platform.engine_formats.objects import EngineObject, is_member_path, read_json
from ro_platform.kernel.documents import MAX_DOCUMENT_BYTES

CHUNK = 1 << 20
MAX_DEPTH = 64
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Folder:
    """The regular files below one folder. Use :func:`open_folder`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def files(self) -> tuple[str, ...]:
        """Every file's relative POSIX path, in the order of its UTF-8 bytes (ASCII order, then).

        Raises :class:`BundleRefusedError` for anything that is neither file nor folder, and for a
        name that no index could list.
        """
        try:
            return tuple(sorted(self._walk(self._descriptor, "", 0), key=str.encode))
        except OSError as error:
            raise bundle_refused(f"{self.path} cannot be listed: {error.strerror}") from None

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes in pieces of at most 1 MiB.

        Raises :class:`NotFoundError` if there is none, :class:`BundleRefusedError` if it is a
        link, no regular file, behind a link, unreadable, or changes while it is read.
        """
        with self._opened(name) as descriptor:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise bundle_refused(f"{name!r} is no regular file")
            try:
                while chunk := os.read(descriptor, CHUNK):
                    yield chunk
            except OSError as error:
                raise bundle_refused(f"{name!r} cannot be read: {error.strerror}") from None
            after = os.fstat(descriptor)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise bundle_refused(f"{name!r} changed while it was read")

    def read(self, name: str, limit: int) -> bytes:
        """A small file's bytes. Raises as :meth:`chunks` does, and beyond ``limit`` bytes."""
        data = bytearray()
        for chunk in self.chunks(name):
            data += chunk
            if len(data) > limit:
                raise bundle_refused(f"{name!r} is larger than {limit} bytes")
        return bytes(data)

    def holds_folder(self, name: str) -> bool:
        """Whether that path is a folder below this one. Raises as :meth:`chunks` does."""
        with self._opened(name) as descriptor:
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)

    def _walk(self, descriptor: int, prefix: str, depth: int) -> Iterator[str]:
        if depth > MAX_DEPTH:
            raise bundle_refused(f"{prefix!r} is more than {MAX_DEPTH} folders deep")
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                mode = entry.stat(follow_symlinks=False).st_mode
                if not is_member_path(name):
                    raise bundle_refused(f"{name!r} is a name that no index may list")
                if stat.S_ISREG(mode):
                    yield name
                elif stat.S_ISDIR(mode):
                    with _descriptor(entry.name, descriptor, name, os.O_DIRECTORY) as below:
                        yield from self._walk(below, f"{name}/", depth + 1)
                else:
                    kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                    raise bundle_refused(f"{name!r} is {kind}")

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """A descriptor of what has that relative path, no part of it being a link."""
        if not is_member_path(name):
            raise bundle_refused(f"{name!r} is no path inside the folder")
        *folders, last = name.split("/")
        with ExitStack() as stack:
            at = self._descriptor
            for part in folders:
                at = stack.enter_context(_descriptor(part, at, name, os.O_DIRECTORY))
            yield stack.enter_context(_descriptor(last, at, name))


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """Hold a folder open while it is read.

    Raises :class:`BundleRefusedError` if there is none or it is a link.
    """
    with ExitStack() as stack:
        try:
            held = _descriptor(os.fspath(path), None, str(path), os.O_DIRECTORY)
            descriptor = stack.enter_context(held)
        except errors.NotFoundError:
            raise bundle_refused(f"{path} does not exist") from None
        yield Folder(path, descriptor)


@contextmanager
def _descriptor(part: str, at: int | None, name: str, flags: int = 0) -> Iterator[int]:
    try:
        descriptor = os.open(part, _READ | flags, dir_fd=at)
    except FileNotFoundError:
        raise errors.NotFoundError(f"{name!r} does not exist.") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise bundle_refused(f"{name!r} is a link, or lies behind what is no folder") from None
        raise bundle_refused(f"{name!r} cannot be opened: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def bundle_refused(problem: str) -> errors.BundleRefusedError:
    """The error for what cannot be judged."""
    return errors.BundleRefusedError(
        f"There is no verdict: {problem}.",
        next_step="Do not read this output: get it as its producer sealed it.",
    )


INDEX = "index.json"
FLAG = "_passed.flag"
LIST_NAMES = ("items", "members", "entries", "files", "artifacts")
_TEXT_FLAG = re.compile(rb"sha256_hex = ([a-f0-9]{64})\n")
_LOOSE_FLAG = re.compile(rb"\s*sha256_hex\s*=\s*[A-Fa-f0-9]{64}\s*")
_HEX64 = re.compile(r"[a-f0-9]{64}")


class FilePlace(NamedTuple):
    """A file: in the bundle, or (``in_bundle`` False) elsewhere below the run's root."""

    path: str
    in_bundle: bool = True


class Member(NamedTuple):
    """One entry of the index: the path as it is written there, and the member's own digest."""

    path: str
    sha256_hex: str | None


class Flag(NamedTuple):
    """What the flag says: the sealed digest, and (JSON only) the world that it is about."""

    digest: str
    kind: Literal["text", "json"]
    manifest_fingerprint: str | None = None


class _JsonFlag(EngineObject):
    manifest_fingerprint: Hex64
    bundle_digest_sha256: Hex64


@dataclass(frozen=True)
class Bundle:
    """A bundle held open.

    ``base`` is the folder that the index's paths start from, and ``prefix`` what those of the
    bundle's own files start with; None if the bundle does not lie below ``base``.
    """

    folder: Folder
    base: Folder
    prefix: str | None
    files: tuple[str, ...]
    index: bytes | None
    members: tuple[Member, ...]
    flag: Flag

    def place(self, path: str) -> FilePlace:
        """The file that a path of the index means."""
        if self.prefix is not None and path.startswith(self.prefix):
            return FilePlace(path.removeprefix(self.prefix))
        return FilePlace(path, in_bundle=False)

    def chunks(self, place: FilePlace) -> Iterator[bytes]:
        """A file's bytes in pieces. Raises as :meth:`Folder.chunks` does."""
        if place == FilePlace(INDEX) and self.index is not None:
            yield self.index
        else:
            yield from (self.folder if place.in_bundle else self.base).chunks(place.path)

    @property
    def unlisted(self) -> tuple[str, ...]:
        """The files of the bundle that the index does not list, index and flag apart."""
        known = {INDEX, FLAG}
        known.update(place.path for place in map(self.place, self.paths) if place.in_bundle)
        return tuple(name for name in self.files if name not in known)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the index, in its order."""
        return tuple(member.path for member in self.members)


@contextmanager
def open_bundle(
    path: Path, *, run_root: Path | None = None, flag: Path | None = None
) -> Iterator[Bundle]:
    """Hold a bundle open; its index's paths start from the bundle, or from ``run_root``.

    ``flag`` names the flag where it is not the bundle's own ``_passed.flag``.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(path))
        base = stack.enter_context(open_folder(run_root)) if run_root else folder
        files = folder.files()
        index = folder.read(INDEX, MAX_DOCUMENT_BYTES) if INDEX in files else None
        prefix = _prefix(path, run_root) if run_root else ""
        bundle = Bundle(
            folder,
            base,
            prefix,
            files,
            index,
            members=_members(index, f"{path}/{INDEX}") if index is not None else (),
            flag=_flag(folder, flag),
        )
        _check(bundle)
        yield bundle


def _check(bundle: Bundle) -> None:
    """What holds for every law: something is sealed, and each file is listed once."""
    if not set(bundle.files) - {FLAG} or (bundle.index is not None and not bundle.members):
        raise bundle_refused(f"{bundle.folder.path} is an empty bundle")
    places = [bundle.place(path) for path in bundle.paths]
    seen: set[FilePlace] = set()
    for place in places:
        if place in seen:
            raise bundle_refused(f"{INDEX} lists {place.path!r} twice")
        seen.add(place)
    if FilePlace(FLAG) in seen:
        raise bundle_refused(f"{INDEX} lists {FLAG}, which cannot hold a digest of itself")


def _prefix(path: Path, run_root: Path) -> str | None:
    """The bundle's path below the run's root, with a slash; None if it lies elsewhere."""
    below = os.path.relpath(path.resolve(), run_root.resolve())
    return None if below == ".." or below.startswith("../") else f"{below}/".removeprefix("./")


def _members(data: bytes, where: str) -> tuple[Member, ...]:
    """The entries of an index: a bare array, or the one array under a known name."""
    try:
        value = read_json(data, where)
    except errors.InvalidInputError as error:
        raise bundle_refused(f"the index cannot be read: {error.message}") from None
    if isinstance(value, dict):
        lists = [name for name in LIST_NAMES if name in value]
        if len(lists) != 1:
            raise bundle_refused(
                f"{where} has {len(lists)} of {', '.join(LIST_NAMES)}: one is needed"
            )
        value = value[lists[0]]
    if not isinstance(value, list):
        raise bundle_refused(f"{where} holds no list of members")
    return tuple(_member(item, f"{where}, entry {at}") for at, item in enumerate(value, start=1))


def _member(item: Any, where: str) -> Member:
    path = item.get("path") if isinstance(item, dict) else None
    if not isinstance(path, str) or not is_member_path(path):
        raise bundle_refused(f"{where} has no path inside the bundle: {path!r}")
    own = item.get("sha256_hex")
    if "sha256_hex" in item and not (isinstance(own, str) and _HEX64.fullmatch(own)):
        raise bundle_refused(
            f"{where} ({path!r}) has a sha256_hex that is not 64 lowercase hex digits"
        )
    return Member(path, own)


def _flag(folder: Folder, other: Path | None) -> Flag:
    where = str(other or folder.path / FLAG)
    try:
        if other is None:
            data = folder.read(FLAG, MAX_DOCUMENT_BYTES)
        else:
            with open_folder(other.parent) as beside:
                data = beside.read(other.name, MAX_DOCUMENT_BYTES)
    except errors.NotFoundError:
        raise bundle_refused(f"there is no flag {where}") from None
    return read_flag(data, where)


def read_flag(data: bytes, where: str) -> Flag:
    """What a flag says, text or JSON. Raises :class:`BundleRefusedError`."""
    if found := _TEXT_FLAG.fullmatch(data):
        return Flag(found[1].decode(), "text")
    if data.lstrip()[:1] == b"{":
        try:
            flag = _JsonFlag.from_json(data, where=where)
        except errors.InvalidInputError as error:
            raise bundle_refused(
                f"the flag is not as the engine writes it: {error.message}"
            ) from None
        return Flag(flag.bundle_digest_sha256, "json", flag.manifest_fingerprint)
    near = "its white space, line end or letter case" if _LOOSE_FLAG.fullmatch(data) else "its form"
    raise bundle_refused(
        f"{where} is no flag: {near} is not that of `sha256_hex = <64 lowercase hex>` and one LF"
    )
