"""Ed25519 keys and signed notes after C2SP ``signed-note`` (https://c2sp.org/signed-note).

A note is a text that ends in a line feed, a blank line, and one signature line for each key:
``— <key name> base64(key id || signature)``. The key id is the first four bytes of SHA-256(name,
line feed, 0x01, public key). A public key is handed around as the verifier key
``name+hex(key id)+base64(0x01 || public key)``; a private one is kept as the Go tools keep theirs,
``PRIVATE+KEY+name+hex(key id)+base64(0x01 || seed)``, so both sides carry their name.

Stricter than the specification, on purpose: base64 has one form only, and a note that one trusted
key signed twice is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ro_platform import errors
from ro_platform.kernel.files import create_secret_file, read_secret_file, sync_folder

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name it signs under. ``public`` is 32 bytes after RFC 8032."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a verifier key. Raises :class:`InvalidInputError` for anything but its one form."""
        name, key_id, public = _key_parts(text, "verifier key")
        key = cls(name, public)
        if key_id != key.key_id.hex():
            raise _bad_key("verifier key", f"its key id is {key.key_id.hex()}, not {key_id}")
        return key

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether that is this key's signature (64 bytes) over the data."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.public)}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key under its name. It does not print its secret."""

    name: str
    _seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key from the operating system's random numbers."""
        _require_name(name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the private form. Raises :class:`InvalidInputError`, which quotes none of it."""
        if not text.startswith(_PRIVATE):
            raise _bad_key("signing key", f"it does not begin with {_PRIVATE}")
        name, key_id, seed = _key_parts(text.removeprefix(_PRIVATE), "signing key")
        key = cls(name, seed)
        if key_id != key.verifier.key_id.hex():
            raise _bad_key("signing key", "its key id does not belong to it")
        return key

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self._private().public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """The signature (64 bytes); the same for the same data, after RFC 8032."""
        return self._private().sign(data)

    def secret_text(self) -> str:
        """The private form, for a key file."""
        return (
            f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{_base64(_ED25519 + self._seed)}"
        )

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._seed)


def create_key_file(path: Path, name: str) -> SigningKey:
    """Make a key, once: in ``path`` (mode 0600), and its verifier key in ``<path>.pub``.

    Raises :class:`SettingsError` where a file is already (no key is ever overwritten) or the place
    cannot be written. Durable when it returns; a crash leaves the key file whole or not at all, and
    perhaps without its ``.pub``, which :attr:`SigningKey.verifier` says again.
    """
    key = SigningKey.generate(name)
    try:
        create_secret_file(path, key.secret_text())
        path.with_name(f"{path.name}.pub").write_text(f"{key.verifier}\n", "utf-8")
        sync_folder(path.parent)
    except FileExistsError:
        raise errors.SettingsError(
            f"There is a key at {path} already.",
            next_step="A key is never overwritten. Move it away first if it has to be replaced.",
            key_file=path,
        ) from None
    except OSError as error:
        raise _unusable(path, f"cannot be written: {error.strerror or error}") from None
    return key


def read_key_file(path: Path) -> SigningKey:
    """The key in that file. Raises :class:`SettingsError` if it is missing, readable by others than
    its owner, or not a key."""
    try:
        text = read_secret_file(path, "signing key")
    except FileNotFoundError:
        raise errors.SettingsError(
            f"There is no signing key at {path}.",
            next_step="Make one with `ro ledger key --create`, or set RO_SIGNING_KEY.",
            key_file=path,
        ) from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise _unusable(path, "holds no signing key") from None
    try:
        return SigningKey.parse(text)
    except errors.InvalidInputError:
        raise _unusable(path, "holds no signing key") from None


class NoteSignature(NamedTuple):
    """One signature line: whose it claims to be, and the signature."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A note taken apart. Nothing of it is verified yet: see :func:`open_note`."""

    text: str
    signatures: tuple[NoteSignature, ...]


def sign_note(text: str, key: SigningKey) -> bytes:
    """The note with this key's signature. The text must end in a line feed and hold no other
    control character, or it is an :class:`InvalidInputError`."""
    if not text.endswith("\n") or not _is_printable(text):
        raise errors.InvalidInputError(
            "A note's text ends in a line feed and has no other control characters.",
            next_step="Add the line feed, and leave out tabs and carriage returns.",
        )
    return (text + "\n" + _line(text, key)).encode()


def cosign(note: bytes, key: SigningKey) -> bytes:
    """The note with one more signature, over the same text."""
    return note + _line(parse_note(note).text, key).encode()


def parse_note(note: bytes) -> Note:
    """Take a note apart, unverified. Raises :class:`CheckpointRefusedError` if it is malformed."""
    if len(note) > MAX_NOTE_BYTES:
        raise _refused(f"is larger than {MAX_NOTE_BYTES} bytes")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("is not UTF-8") from None
    if not _is_printable(whole):
        raise _refused("holds control characters")
    before, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise _refused("is not a text, a blank line and signature lines, each ended by a line feed")
    signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise _refused(f"has more than {MAX_SIGNATURES} signatures")
    return Note(before + "\n", signatures)


def open_note(note: bytes, trusted: Sequence[VerifierKey]) -> str:
    """The note's text, if a trusted key signed it.

    Raises :class:`CheckpointRefusedError` if the note is malformed, no trusted key signed it, or
    a line names a trusted key and is not its signature. Lines of other keys are ignored.
    """
    return open_signed(note, trusted)[0]


def open_signed(note: bytes, trusted: Sequence[VerifierKey]) -> tuple[str, list[VerifierKey]]:
    """As :func:`open_note`, and also which of the trusted keys signed it, in the note's order."""
    text, signatures = parse_note(note)
    known = {(key.name, key.key_id): key for key in trusted}
    signers: list[VerifierKey] = []
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        if key in signers:
            raise _refused(f"has two signatures of {name}+{key_id.hex()}")
        if not key.verifies(text.encode(), signature):
            raise _refused(f"has a signature of {name}+{key_id.hex()} that is not genuine")
        signers.append(key)
    if not signers:
        names = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in signatures)
        raise _refused(f"is signed by none of the trusted keys, but by {names}")
    return text, signers


def _line(text: str, key: SigningKey) -> str:
    signed = key.verifier.key_id + key.sign(text.encode())
    return f"{_DASH}{key.name} {_base64(signed)}\n"


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = _from_base64(encoded)
    if not line.startswith(_DASH) or not _is_name(name) or data is None or len(data) < 5:
        raise _refused(f"has a line among its signatures that is none: {line[:80]!r}")
    return NoteSignature(name, data[:4], data[4:])


def _key_parts(text: str, kind: str) -> tuple[str, str, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    _require_name(name)
    data = _from_base64(encoded)
    if data is None or data[:1] != _ED25519 or len(data) != 33:
        raise _bad_key(kind, "it is not name+key id+base64 of an Ed25519 key")
    return name, key_id, data[1:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _require_name(name: str) -> None:
    if not _is_name(name) or not _is_printable(name) or "\n" in name:
        raise errors.InvalidInputError(
            f"{name[:80]!r} cannot name a key: a name is not empty and has no spaces and no plus.",
            next_step="Use the log's origin, such as ro-platform/production.",
        )


def _is_printable(text: str) -> bool:
    return not any(char < " " and char != "\n" for char in text)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str) -> bytes | None:
    """The bytes, if the text is their one standard base64 form (RFC 4648, section 4)."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None


def _bad_key(kind: str, why: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"This is no {kind}: {why}.",
        next_step="`ro ledger key` prints the verifier key of this deployment.",
    )


def _unusable(path: Path, why: str) -> errors.SettingsError:
    return errors.SettingsError(
        f"The signing key {path} {why}.",
        next_step="Name a key file made by `ro ledger key --create` in RO_SIGNING_KEY.",
        key_file=path,
    )


def _refused(why: str) -> errors.CheckpointRefusedError:
    return errors.CheckpointRefusedError(
        f"The signed note {why}.",
        next_step="Keep it as evidence, and get the note again from where it was first kept.",
    )
