"""The two secrets of the deployment's access: the access key and the launch key.

Both are files of mode 0600, made when they are first needed and never overwritten. Whoever reads
the *access key* cannot use a token, but could, with write access to the ledger, make one. Whoever
reads the *launch key* can launch as anybody: only processes that authenticate actors need it. To
verify, its public half beside it (``launch.key.pub``) is enough.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ro_platform.errors import RunOperateError, SettingsError
from ro_platform.kernel.signing import SigningKey, VerifierKey, create_key_file, read_key_file

_PREFIX = "RO+ACCESS+KEY+"
_KEY_BYTES = 32
_MODE = 0o600


def access_key(path: Path) -> bytes:
    """The key (32 bytes) under which the secrets of tokens are hashed; made on first use.

    Safe against two processes that make it at once: one of them wins, and both get its key. A crash
    leaves the file whole or not at all. Raises :class:`SettingsError` where it cannot be made or
    read, is no key, or can be read by others than its owner.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from None
    try:
        _create(path)
        return _read(path)
    except OSError as error:
        raise _unusable(path, f"cannot be made: {error.strerror or error}") from None


def launch_key(path: Path, name: str) -> SigningKey:
    """The key that signs launch grants; made on first use, under that name.

    Raises :class:`SettingsError` where it cannot be made or read, or is not safe.
    """
    if not path.exists():
        try:
            return create_key_file(path, name)
        except SettingsError:
            if not path.exists():
                raise
    return read_key_file(path)


def launch_verifiers(path: Path) -> Sequence[VerifierKey]:
    """The keys that grants are believed by: the public half of the launch key; none before there
    is one. Raises :class:`SettingsError` for a public file that is none."""
    public = path.with_name(f"{path.name}.pub")
    try:
        return (VerifierKey.parse(public.read_text("utf-8").removesuffix("\n")),)
    except FileNotFoundError:
        return (read_key_file(path).verifier,) if path.exists() else ()
    except (OSError, UnicodeDecodeError, RunOperateError):
        raise _unusable(public, "is not the public half of a launch key") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode, data = os.fstat(file.fileno()).st_mode & 0o077, file.read(1 << 10)
    if mode:
        raise SettingsError(
            f"The access key {path} can be read or written by others than its owner.",
            next_step=f"Take it for stolen if others could read it; otherwise `chmod 600 {path}`.",
            key_file=path,
        )
    try:
        text = data.decode("ascii").removesuffix("\n")
        key = bytes.fromhex(text.removeprefix(_PREFIX))
    except ValueError:
        raise _unusable(path, "holds no access key") from None
    if len(key) != _KEY_BYTES or text != _text(key):
        raise _unusable(path, "holds no access key")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{_text(secrets.token_bytes(_KEY_BYTES))}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # somebody else made it meanwhile, and theirs stands
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(key: bytes) -> str:
    return f"{_PREFIX}{key.hex()}"


def _unusable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"The key file {path} {why}.",
        next_step="Put back the file of this deployment, or name its place in RO_ACCESS_KEY or "
        "RO_LAUNCH_KEY.",
        key_file=path,
    )
