"""The file: an uncompressed POSIX tar (ustar, IEEE 1003.1) that has exactly one form.

Each header follows from a member's name and size, names are sorted, padding is zero, and the end is
two zero blocks. Any `tar` reads it; this reader takes nothing that this writer would not write, so
there is no path to trick, no second member of a name, and no byte that means nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ro_platform.dossier.refusal import refused, require
from ro_platform.errors import InvalidInputError

BLOCK = 512
MAX_MEMBER_BYTES = 8**11 - 1
MAX_DOCUMENT_BYTES = 1 << 28
"""How large a member may be that is read whole: all but the artifacts' bytes."""

CHECKPOINT, ENTRIES, MANIFEST = "checkpoint", "entries.jsonl", "manifest.json"
PROOFS, REFS, STATEMENT = "proofs.json", "refs.json", "statement.json"
DOCUMENTS = (CHECKPOINT, ENTRIES, MANIFEST, PROOFS, REFS, STATEMENT)

_NAME = re.compile(
    r"checkpoint|entries\.jsonl|(?:manifest|proofs|refs|statement)\.json"
    r"|(?:configs|receipts)/[0-9a-f]{64}\.json|artifacts/[0-9a-f]{64}",
    re.ASCII,
)
_SIZE = re.compile(rb"[0-7]{11}\0")
_CHUNK = 1 << 20
_END = bytes(2 * BLOCK)


def config_name(digest: str) -> str:
    """Where the content of a config with that SHA-256 is."""
    return f"configs/{digest}.json"


def receipt_name(digest: str) -> str:
    """Where the gate receipt with that SHA-256 is."""
    return f"receipts/{digest}.json"


def artifact_name(digest: str) -> str:
    """Where the bytes of an artifact with that SHA-256 are."""
    return f"artifacts/{digest}"


Content = bytes | Callable[[], Iterable[bytes]]
"""A member's bytes, or what gives them in chunks."""


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member's own. Raises :class:`InvalidInputError` beyond 8 GiB."""
    if size > MAX_MEMBER_BYTES:
        raise InvalidInputError(
            f"{name} has {size} bytes; a member of a dossier has at most {MAX_MEMBER_BYTES}.",
            next_step="Export without --with-artifacts: the digests stand for the bytes.",
        )
    owner = b"0000644\0" + b"0000000\0" * 2
    before = name.encode().ljust(100, b"\0") + owner + b"%011o\0%011o\0" % (size, 0)
    after = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return before + b"%06o\0 " % (sum(before) + 8 * 32 + sum(after)) + after


def write(target: BinaryIO, members: Iterable[tuple[str, int, Content]]) -> None:
    """Write members (name, size in bytes, content) in the order of their names."""
    for name, size, content in sorted(members, key=lambda member: member[0]):
        target.write(header(name, size))
        written = 0
        for chunk in (content,) if isinstance(content, bytes) else content():
            written += target.write(chunk)
        if written != size:
            raise InvalidInputError(f"{name} gave {written} bytes, announced were {size}.")
        target.write(bytes(-size % BLOCK))
    target.write(_END)


@dataclass(frozen=True, slots=True)
class Members:
    """What is in a file: the documents' bytes, and of every member the size and the SHA-256."""

    documents: dict[str, bytes]
    sizes: dict[str, int]
    digests: dict[str, str]
    places: dict[str, int]

    def document(self, name: str) -> bytes:
        """A document's bytes. Raises :class:`DossierRefusedError` if it is missing."""
        require(name in self.documents, f"it has no {name}")
        return self.documents[name]

    def again(self, source: BinaryIO, name: str) -> bytes:
        """The bytes of an artifact that has to be read whole after all, checked once more."""
        require(self.sizes[name] <= MAX_DOCUMENT_BYTES, f"{name} is too large")
        source.seek(self.places[name])
        data = source.read(self.sizes[name])
        require(hashlib.sha256(data).hexdigest() == self.digests[name], f"{name} changed meanwhile")
        return data

    def below(self, folder: str) -> set[str]:
        """The names of the members in a folder."""
        return {name for name in self.sizes if name.startswith(folder + "/")}


def read(source: BinaryIO) -> Members:
    """Read a whole file, artifacts streaming. Raises :class:`DossierRefusedError`."""
    members, last, place = Members({}, {}, {}, {}), "", 0
    for name, size in _headers(source):
        require(name > last, f"{name} is not in the order of names, or there twice")
        last = name
        streamed = name.startswith("artifacts/")
        require(streamed or size <= MAX_DOCUMENT_BYTES, f"{name} is too large")
        members.places[name] = place + BLOCK
        place += BLOCK + size + -size % BLOCK
        hasher, kept = hashlib.sha256(), []
        for chunk in _chunks(source, name, size):
            hasher.update(chunk)
            if not streamed:
                kept.append(chunk)
        require(not source.read(-size % BLOCK).strip(b"\0"), f"there are bytes behind {name}")
        members.sizes[name], members.digests[name] = size, hasher.hexdigest()
        if not streamed:
            members.documents[name] = b"".join(kept)
    for name in DOCUMENTS:
        members.document(name)
    return members


def _headers(source: BinaryIO) -> Iterator[tuple[str, int]]:
    while (block := source.read(BLOCK)) != _END[:BLOCK]:
        require(len(block) == BLOCK, "it is cut off, or no tar file")
        try:
            name = block[:100].rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            raise refused("a member has a name that none has") from None
        require(bool(_NAME.fullmatch(name)), f"{name!r} is not a member's name")
        require(bool(_SIZE.fullmatch(block[124:136])), f"{name} has no size")
        size = int(block[124:135], 8)
        require(block == header(name, size), f"the header of {name} is not in its one form")
        yield name, size
    require(source.read(BLOCK + 1) == _END[:BLOCK], "it does not end with two zero blocks")


def _chunks(source: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = source.read(min(left, _CHUNK))
        require(bool(chunk), f"it is cut off in {name}")
        left -= len(chunk)
        yield chunk
