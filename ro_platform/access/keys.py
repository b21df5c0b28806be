"""The two secrets of the deployment's access: the access key and the launch key.

Both are files of mode 0600, made when they are first needed and never overwritten. Whoever reads
the *access key* cannot use a token, but could, with write access to the ledger, make one. Whoever
reads the *launch key* can launch as anybody: only processes that authenticate actors need it. To
verify, its public half beside it (``launch.key.pub``) is enough.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from ro_platform import errors
from ro_platform.kernel.files import create_secret_file, read_secret_file, read_text
from ro_platform.kernel.signing import SigningKey, VerifierKey, create_key_file

_PREFIX = "RO+ACCESS+KEY+"
_KEY_BYTES = 32
_MAX_FILE_BYTES = 1 << 16


def access_key(path: Path) -> bytes:
    """The key (32 bytes) under which the secrets of tokens are hashed; made on first use.

    Safe against two processes that make it at once: one of them wins, and both get its key. A crash
    leaves the file whole or not at all. Raises :class:`SettingsError` where it cannot be made or
    read, is no key, or can be read by others than its owner.
    """
    if not _is_there(path):
        _make(path)
    text = _read(path, "access key")
    try:
        key = bytes.fromhex(text.removeprefix(_PREFIX))
    except ValueError:
        raise _unusable(path, "holds no access key") from None
    if len(key) != _KEY_BYTES or text != _text(key):
        raise _unusable(path, "holds no access key")
    return key


def launch_key(path: Path, name: str) -> SigningKey:
    """The key that signs launch grants; made on first use, under that name.

    Raises :class:`SettingsError` where it cannot be made or read, or is not safe.
    """
    if not _is_there(path):
        try:
            return create_key_file(path, name)
        except errors.SettingsError:
            if not _is_there(path):
                raise  # and otherwise somebody else made it meanwhile, and theirs stands
    return _launch_key(path)


def launch_verifiers(path: Path) -> Sequence[VerifierKey]:
    """The keys that grants are believed by: the public half of the launch key; none before there
    is one. Raises :class:`SettingsError` for a public file that is none."""
    public = path.with_name(f"{path.name}.pub")
    try:
        return (VerifierKey.parse(read_text(public, _MAX_FILE_BYTES).removesuffix("\n")),)
    except FileNotFoundError:
        return (_launch_key(path).verifier,) if _is_there(path) else ()
    except (OSError, UnicodeDecodeError, errors.RunOperateError):
        raise _unusable(public, "is not the public half of a launch key") from None


def _launch_key(path: Path) -> SigningKey:
    text = _read(path, "launch key")
    try:
        return SigningKey.parse(text)
    except errors.InvalidInputError:
        raise _unusable(path, "holds no launch key") from None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from None


def _make(path: Path) -> None:
    try:
        create_secret_file(path, _text(secrets.token_bytes(_KEY_BYTES)))
    except FileExistsError:
        return  # somebody else made it meanwhile, and theirs stands
    except OSError as error:
        raise _unusable(path, f"cannot be made: {error.strerror or error}") from None


def _read(path: Path, what: str) -> str:
    try:
        return read_secret_file(path, what)
    except UnicodeDecodeError:
        raise _unusable(path, f"holds no {what}") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from None


def _text(key: bytes) -> str:
    return f"{_PREFIX}{key.hex()}"


def _unusable(path: Path, why: str) -> errors.SettingsError:
    return errors.SettingsError(
        f"The key file {path} {why}.",
        next_step="Put back the file of this deployment, or name its place in RO_ACCESS_KEY or "
        "RO_LAUNCH_KEY.",
        key_file=path,
    )
