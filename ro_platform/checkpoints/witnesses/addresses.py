"""Witnesses by address, as ``RO_WITNESSES`` lists them.

======================================  ====================================================
``file:///folder``                      a folder
``s3://bucket/prefix``                  an S3 bucket; ``?endpoint_url=https://…&region=…``
``git+file:///clone``                   a git clone on this machine, pushed to its upstream
``command:/program%20argument``         a program; words are parted by spaces, written as ``%20``
======================================  ====================================================
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ro_platform import errors
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.checkpoints.witnesses.base import Witness
from ro_platform.checkpoints.witnesses.local import CommandWitness, GitWitness, folder_witness

_S3_OPTIONS = {"endpoint_url", "region"}


def witness_at(address: str, objects: BlobBackend) -> Witness:
    """The witness at that address; ``objects`` is where a command's acknowledgements are kept.

    Contacts nobody. Raises :class:`SettingsError` for an address that cannot be meant.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        _refuse(address, "it is not a URL")
    match parts.scheme:
        case "file":
            found: Witness = folder_witness(_path(address, parts))
        case "git+file":
            found = GitWitness(_path(address, parts))
        case "s3":
            found = _bucket(address, parts)
        case "command":
            found = CommandWitness(_words(address), objects)
        case _:
            _refuse(address, "its scheme is not known")
    return found


def _path(address: str, parts: SplitResult) -> Path:
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not path.is_absolute():
        _refuse(address, "it names no absolute path")
    return path


def _bucket(address: str, parts: SplitResult) -> Witness:
    options = dict(parse_qsl(parts.query))
    if not parts.hostname or parts.username or parts.fragment or options.keys() - _S3_OPTIONS:
        _refuse(address, "it is not s3://bucket/prefix?endpoint_url=…&region=…")
    if "endpoint_url" in options and not _is_endpoint(options["endpoint_url"]):
        _refuse(address, "its endpoint_url is not http://host:port or https://host:port")
    # Imported where it is used: boto3 would slow down every command.
    from ro_platform.checkpoints.witnesses.s3 import S3Witness

    return S3Witness(
        parts.netloc,
        unquote(parts.path).strip("/"),
        endpoint_url=options.get("endpoint_url"),
        region=options.get("region"),
    )


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in {"http", "https"} and named and plain


def _words(address: str) -> list[str]:
    try:
        words = shlex.split(unquote(address.removeprefix("command:")))
    except ValueError:
        words = []
    if not words or not Path(words[0]).is_absolute():
        _refuse(address, "it names no program by an absolute path")
    return words


def _refuse(address: str, why: str) -> NoReturn:
    scheme = address.partition(":")[0][:20]
    raise errors.SettingsError(
        f"RO_WITNESSES has an address ({scheme}:…) that cannot be used: {why}.",
        next_step="Use file:///folder, s3://bucket/prefix, git+file:///clone or "
        "command:/program, parted by spaces.",
        setting="RO_WITNESSES",
    )
