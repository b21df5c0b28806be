"""What a boundary is on, in words: which file of the plane, which statement of the ledger."""

from __future__ import annotations

from pathlib import Path

from ro_platform.artifacts.addressing import digest_of_blob, parse_binding, parse_receipt

_STATEMENTS = {
    "BEGIN": "BEGIN",
    "CREATE": "CREATE",
    "INSERT INTO entry": "INSERT entry",
    "INSERT INTO node": "INSERT nodes",
    "INSERT INTO mention": "INSERT mentions",
    "COMMIT": "COMMIT",
}
_KINDS = {
    "tmp": "temporary file",
    "blobs": "blob",
    "refs": "binding",
    "receipts": "receipt",
    "erased": "tombstone",
}


def file_name(home: Path, path: str) -> str:
    """A file or folder below the plane's folder by what it is."""
    place = Path(path)
    if not place.is_absolute():  # named from within its folder, by what removes a whole folder
        return "unfinished ledger"
    if not place.is_relative_to(home):
        return "folder above the plane"
    parts = place.relative_to(home).parts
    if not parts:
        return "folder of the plane"
    if parts[0].startswith(".ledger-"):
        return "unfinished ledger"
    if parts[0] != "store":
        return "ledger"
    if len(parts) == 1:
        return "folder of the store"
    kind, name = _KINDS[parts[1]], "/".join(parts[1:])
    is_object = digest_of_blob(name) or parse_binding(name) or parse_receipt(name)
    if is_object or (parts[1] == "tmp" and len(parts) > 2):
        return kind
    return f"folder of a {kind}"


def statement_name(sql: str | bytes) -> str | None:
    """A statement that writes, or begins or ends what writes; None for any other."""
    text = (sql.decode("utf-8", "replace") if isinstance(sql, bytes) else sql).strip()
    text = text.replace("INTO ro_ledger.", "INTO ")
    return next((name for start, name in _STATEMENTS.items() if text.startswith(start)), None)
