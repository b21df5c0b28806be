"""The file of a dossier: a tar that has exactly one form, with signed envelopes in it.

Each header follows from a member's name and size, names are sorted, padding is zero, and the end is
two zero blocks. Any `tar` reads it; this reader takes nothing that this writer would not write, so
there is no path to trick, no second member of a name, and no byte that means nothing.

DSSE envelopes, protocol 1.0 (https://github.com/secure-systems-lab/dsse), signed with Ed25519.

The signature is over the pre-authentication encoding of the payload type and the payload, so
nothing has to be parsed before it is verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from ro_platform import errors
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.signing import SigningKey, VerifierKey


def dossier_refused(reason: str) -> errors.DossierRefusedError:
    """The refusal, for that reason."""
    return errors.DossierRefusedError(
        f"The dossier is refused: {reason}.",
        next_step="Keep it as evidence, and ask whoever exported it for the dossier again.",
    )


def require(holds: bool, reason: str) -> None:
    """Raise the refusal unless that holds."""
    if not holds:
        raise dossier_refused(reason)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn the library's other errors about a part of a dossier into its refusal."""
    try:
        yield
    except errors.DossierRefusedError:
        raise
    except errors.RunOperateError as error:
        raise dossier_refused(f"{what}: {error.message.removesuffix('.')}") from error


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
        raise errors.InvalidInputError(
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
            raise errors.InvalidInputError(f"{name} gave {written} bytes, announced were {size}.")
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
            raise dossier_refused("a member has a name that none has") from None
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


IN_TOTO = "application/vnd.in-toto+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE of the protocol: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: VerifierKey) -> str:
    """The hint in an envelope by which a verifier finds the key: its name and note key id."""
    return f"{key.name}+{key.key_id.hex()}"


def sealed_envelope(payload: bytes, key: SigningKey, *, payload_type: str = IN_TOTO) -> bytes:
    """The envelope with one signature, in canonical JSON."""
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    return canonical_bytes(
        {
            "payload": _base64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id(key.verifier), "sig": _base64(signature)}],
        }
    )


def open_envelope(data: bytes, key: VerifierKey, *, payload_type: str = IN_TOTO) -> bytes:
    """The payload, if that key is the one that signed it. Raises :class:`DossierRefusedError`.

    Stricter than the protocol: one signature, canonical JSON, base64 in its one standard form.
    """
    with refusing("statement.json"):
        envelope = parse_canonical(data)
    match envelope:
        case {
            "payload": str(payload),
            "payloadType": str(kind),
            "signatures": [{"keyid": str(signer), "sig": str(signature), **more}],
            **rest,
        } if not rest and not more:
            content, signed = _bytes_of(payload), _bytes_of(signature)
        case _:
            raise dossier_refused("statement.json is not a DSSE envelope with one signature")
    require(kind == payload_type, f"statement.json has the payload type {kind!r}")
    require(signer == key_id(key), f"statement.json is signed by {signer!r}, not {key_id(key)!r}")
    genuine = key.verifies(pre_authentication_encoding(kind, content), signed)
    require(genuine, "the signature of statement.json is not genuine")
    return content


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes_of(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise dossier_refused("statement.json holds what is no base64") from None
    require(_base64(data) == text, "statement.json holds base64 that is not in its one form")
    return data
