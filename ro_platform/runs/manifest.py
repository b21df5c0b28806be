"""Reading a manifest file, and refusing what would let chance into a run's identity.

A clock, host, user or environment value is refused by name and by position: a field called
``created_at``, a value ``now`` or ``${USER}``. A date that the data is *about* is welcome under a
name that says so (``as_of``, ``start``, ``end``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.contracts import RunManifest
from ro_platform.contracts.base import contract_error
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.documents import Document, document_bytes, parse_document
from ro_platform.kernel.identity import manifest_fingerprint

_VOLATILE_NAME = re.compile(
    r"""(?x)^(
      now | today | timestamp | datetime | clock | wall_?clock | time_?stamp
    | (created|updated|modified|started|finished|generated|submitted|launched|observed|recorded
       |executed|produced|run|current|wall)_?(at|on|time|date|timestamp)(_?utc)?
    | host | host_?name | machine | node_?name | ip_?address | pid | process_?id
    | user | user_?name | login | operator | actor | owner | launched_?by | created_?by
    | env | environ | environment | env_?vars? | cwd | working_?dir(ectory)? | home_?dir(ectory)?
    | uuid | guid | nonce
    )$""",
    re.IGNORECASE,
)
_VOLATILE_VALUE = re.compile(
    r"""(?xi)^\s*( now(\(\))? | today(\(\))? | yesterday | tomorrow | current_(date|time|timestamp)
    | utcnow(\(\))? | latest )\s*$
    | \$\{[^}]*\} | \$\([^)]*\) | \{\{.*\}\} | ^\$[A-Z_][A-Z0-9_]*$"""
)


@dataclass(frozen=True)
class ManifestFile:
    """A manifest as read from a file; its relative input refs are found beside the file."""

    manifest: RunManifest
    fingerprint: str
    folder: Path | None

    def locate(self, ref: str) -> Path:
        """The file that a relative input ref names. Raises :class:`InputMissingError`."""
        if self.folder is None or re.match(r"[a-z][a-z0-9+.\-]*:", ref) or not _is_relative(ref):
            raise errors.InputMissingError(
                f"input ref {ref!r} is not a path below the manifest's folder.",
                next_step="Put the file beside the manifest and name it by a relative path; "
                "an absolute path would tie the run's identity to one machine.",
                ref=ref,
            )
        return self.folder / ref


def read_manifest_file(path: Path) -> ManifestFile:
    """Read a manifest from a YAML or JSON file.

    Raises :class:`DocumentSyntaxError`, :class:`ContractError`, :class:`VolatileFieldError` or
    :class:`NotCanonicalError`, each with the file, line and field; records nothing.
    """
    manifest = parse_manifest(document_bytes(path), str(path))
    return ManifestFile(manifest, manifest_fingerprint(manifest), path.parent)


def parse_manifest(data: bytes, source: str) -> RunManifest:
    """The manifest in those bytes. Raises as :func:`read_manifest_file` does."""
    document = parse_document(data, source)
    if not isinstance(document.value, dict):
        raise errors.ContractError(
            f"{source} is not a mapping of fields.", next_step="See RunManifest in the reference."
        )
    for path, why in _volatile(document.value, ""):
        raise errors.VolatileFieldError(
            f"{document.where(path)} {why}.",
            next_step="Remove it, or pin the value under a name that says what it is about "
            "(for example as_of). Times and people are recorded in the ledger.",
            field=path,
        )
    for path in _nulls(document.value):
        raise errors.ContractError(
            f"{document.where(path)} is null.",
            next_step="Leave out what the manifest does not say.",
            field=path,
        )
    return _validated(document)


def _validated(document: Document) -> RunManifest:
    for path, number in _inexact(document.value, ""):
        raise errors.ContractError(
            f"{document.where(path)} is {number!r}, beyond 2^53-1: write it as a decimal string.",
            next_step="JSON numbers lose digits beyond 2^53-1.",
            field=path,
        )
    try:
        data = canonical_bytes(_with_safe_seed(document))
    except errors.NotCanonicalError as error:
        field = str(error.diagnostics().get("position", "$")).removeprefix("$").removeprefix(".")
        raise errors.NotCanonicalError(
            f"{document.where(field)}{error.message.removeprefix('$.' + field)}",
            next_step=error.next_step,
            field=field,
        ) from None
    try:
        return RunManifest.model_validate_json(data)
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise contract_error(
            error, kind="RunManifest", where=document.where("") + _line(document, first)
        ) from None


def _line(document: Document, field: str) -> str:
    path = re.sub(r"\.(\d+)", r"[\1]", field)
    while path:
        if place := document.lines.get(path):
            return f", line {place[0]}, column {place[1]}"
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return ""


def _with_safe_seed(document: Document) -> dict[str, Any]:
    """The document's fields; a too large seed is told how to be written, not only refused."""
    value: dict[str, Any] = document.value
    seed = value.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) > 2**53 - 1:
        raise errors.ContractError(
            f"{document.where('seed')} is {seed}, beyond 2^53-1: write it as a decimal string, "
            f'"{seed}".',
            next_step="JSON numbers lose digits beyond 2^53-1.",
            field="seed",
        )
    return value


def _volatile(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where a value that varies by chance stands, and what is wrong with it."""
    match value:
        case dict():
            for key, item in value.items():
                below = f"{path}.{key}" if path else str(key)
                if _VOLATILE_NAME.match(str(key)):
                    yield below, "names a clock, host, user or environment value"
                yield from _volatile(item, below)
        case list():
            for index, item in enumerate(value):
                yield from _volatile(item, f"{path}[{index}]")
        case str() if _VOLATILE_VALUE.search(value):
            yield path, f"is {value!r}, which means something else each time it is read"


def _nulls(value: Any, path: str = "") -> Iterator[str]:
    """Where a field of the contract is null; a parameter may be."""
    match value:
        case dict():
            for key, item in value.items():
                if path or key != "parameters":
                    yield from _nulls(item, f"{path}.{key}" if path else key)
        case list():
            for index, item in enumerate(value):
                yield from _nulls(item, f"{path}[{index}]")
        case None:
            yield path


def _inexact(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Floats that RFC 8785 writes as an integer beyond 2^53-1, which readers then differ on."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _inexact(item, f"{path}.{key}" if path else key)
        case list():
            for index, item in enumerate(value):
                yield from _inexact(item, f"{path}[{index}]")
        case float() if 2**53 - 1 < abs(value) < 1e21:
            yield path, value


def _is_relative(ref: str) -> bool:
    parts = Path(ref).parts
    return not ref.startswith("/") and "\\" not in ref and ".." not in parts and bool(parts)
