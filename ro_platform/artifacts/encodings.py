"""Values as bytes and back, by media type. Equal values give equal bytes, so replays compare.

=====================================  ======================================================
``application/vnd.apache.parquet``     pandas.DataFrame, pyarrow.Table or RecordBatchReader
``application/json``                   dict, list, str, int, float, bool, None; a Contract:
                                       RFC 8785 bytes. Numbers are numbers: ``1.0`` comes back as
                                       ``1``, ``-0.0`` as ``0``; keys come back sorted; an instance
                                       of a subclass comes back as the plain value that it equals
``application/octet-stream``           bytes, bytearray, memoryview (as bytes); a Path to a file
``application/vnd.ro.tree+json``       a Path to a folder
``application/vnd.python.pickle``      anything, only if asked for by ``encoding="pickle"``:
                                       its bytes may differ each time and reading them runs code,
                                       so callers record the artifact as non-deterministic
=====================================  ======================================================

What a person is shown of a table: first rows and columns as JSON values, within a bound.

Showing never fails: a value that Python or JSON does not have is given as text, one that cannot
even be written as its type's name in brackets.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - reached only by its name, on both ways
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

import pandas as pd
import pyarrow as pa

from ro_platform import errors
from ro_platform.artifacts import tables
from ro_platform.artifacts.store import OCTETS, ArtifactStore
from ro_platform.artifacts.table_errors import ARROW_ERRORS, short
from ro_platform.artifacts.tables import PARQUET
from ro_platform.artifacts.trees import tree_of
from ro_platform.contracts.artifact import ArtifactRef, BoundRef
from ro_platform.contracts.base import Contract
from ro_platform.kernel.canonical import canonical_bytes, is_plain, parse_canonical

COLUMNS = 100
"""Columns that are shown of a wide table."""
CELL_CHARS = 1000
"""Characters that are shown of a long text."""


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as JSON values, of the first columns only."""
    names = _distinct(table.column_names[:COLUMNS])
    columns = [[_cell(cell) for cell in column] for column in table.columns[:COLUMNS]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def as_json(value: Any) -> Any:
    """The value if JSON has it, else text."""
    match value:
        case None | bool():
            return value
        case str():
            return _cut(value)
        case int() if abs(value) < 2**53:
            return value
        case float() if value == value and abs(value) != float("inf"):
            return value
        case dict():
            return {_cut(str(key)): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case bytes():
            return _cut(value[:CELL_CHARS].hex())
    return _cut(value.isoformat() if hasattr(value, "isoformat") else str(value))


def _cell(cell: pa.Scalar[Any]) -> Any:
    try:
        return as_json(cell.as_py())
    except Exception:  # noqa: BLE001 - what is only shown never decides
        return _as_text(cell)


def _as_text(cell: pa.Scalar[Any]) -> str:
    try:
        return _cut(str(cell.cast(pa.string()).as_py()))
    except Exception:  # noqa: BLE001 - see above
        return f"<{short(str(cell.type))}>"


def _cut(text: str) -> str:
    text = text[:CELL_CHARS] + ("…" if len(text) > CELL_CHARS else "")
    return text.encode("utf-8", "backslashreplace").decode()


def _distinct(names: list[str]) -> list[str]:
    """The names, of which a table of an earlier release may have several that are one."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct


JSON = "application/json"
PICKLE = "application/vnd.python.pickle"
PREVIEW_JSON = 1 << 20
"""Bytes up to which a JSON artifact is previewed."""

_TABLES = (pd.DataFrame, pa.Table, pa.RecordBatchReader)
_ACCEPTED = (
    "a pandas.DataFrame, pyarrow.Table or pyarrow.RecordBatchReader; a JSON value or a contract; "
    "bytes; or a pathlib.Path to a file or folder"
)


def encode(
    store: ArtifactStore,
    value: Any,
    *,
    encoding: str | None = None,
    schema_version: str | None = None,
) -> BoundRef:
    """Store a value in the encoding that fits its type; ``encoding`` may only be "pickle".

    :class:`EncodingError` for a value that none fits (pickle is never chosen for it), and for one
    that would come back as another: it names the column and row, or the position in a document.
    A crash leaves the whole artifact or none.
    """
    match value:
        case _ if encoding == "pickle":
            data = pickle.dumps(value, protocol=5)
            return store.put_bytes(data, media_type=PICKLE, schema_version=schema_version)
        case _ if encoding is not None:
            raise _refused(f"There is no encoding {encoding!r}; only 'pickle' is chosen by name.")
        case pd.DataFrame() | pa.Table() | pa.RecordBatchReader():
            return tables.put_table(store, value, schema_version=schema_version)
        case bytes() | bytearray() | memoryview():
            plain = _plain_bytes(value)
            return store.put_bytes(plain, media_type=OCTETS, schema_version=schema_version)
        case Path():
            return _put_path(store, value, schema_version)
        case Contract() | dict() | list() | str() | int() | float() | None:
            return _put_json(store, value, schema_version)
    raise _refused(f"A {type(value).__qualname__} has no deterministic encoding.")


def decode(
    store: ArtifactStore,
    ref: ArtifactRef,
    expected: Any = None,
    *,
    folder: Path | None = None,
    allow_pickle: bool = False,
) -> Any:
    """The verified value, as the type ``expected`` (an annotation; none: as it was stored).

    Files and folders are private copies in ``folder``, which belongs to the caller: remove it when
    the step ends (``tempfile.TemporaryDirectory``). A RecordBatchReader streams from a nameless
    file that goes with it. Raises as :meth:`ArtifactStore.read`, and :class:`EncodingError` if the
    artifact is not such a value, or is a pickle without ``allow_pickle``. ``bytes`` and ``Path``
    may be asked of any artifact: its encoded bytes, not decoded.
    """
    wanted, optional = _plain_type(expected)
    if optional and ref.media_type == JSON and ref.size_bytes == 4 and store.read(ref) == b"null":
        return None
    if wanted is Path:
        return _copy(store, ref, folder)
    if wanted is bytes:
        return store.read(ref)
    match ref.media_type:
        case tables.PARQUET:
            return _decode_table(store, ref, wanted, folder)
        case "application/json":
            return _decode_json(store.read(ref), wanted, ref)
        case "application/vnd.ro.tree+json" if wanted is None:
            return _copy(store, ref, folder)
        case "application/octet-stream" if wanted is None:
            return store.read(ref)
        case "application/vnd.python.pickle" if allow_pickle:
            return pickle.loads(store.read(ref))  # noqa: S301 - allowed by name, verified
        case "application/vnd.python.pickle":
            raise _refused(f"{ref.ref} is a pickle: reading it runs code, and was not allowed.")
    raise _mismatch(ref, wanted)


def preview(store: ArtifactStore, ref: ArtifactRef, rows: int = 10) -> Any:
    """For a person to look at: a table's first rows, a small JSON value, a folder's first files.

    JSON values only; None for what has no preview, text for a value that JSON does not have.
    Verified like any other read.
    """
    match ref.media_type:
        case tables.PARQUET:
            with store.open_verified(ref) as file:
                return rows_of(tables.head_of(file, rows))
        case "application/json" if (ref.size_bytes or 0) <= PREVIEW_JSON:
            return _decode_json(store.read(ref), None, ref)
        case "application/vnd.ro.tree+json":
            members = tree_of(store.blobs, ref).members[:rows]
            return [{"path": member.path, "size_bytes": member.size_bytes} for member in members]
    return None


def table_schema(store: ArtifactStore, ref: ArtifactRef) -> list[tuple[str, str]] | None:
    """The (name, Arrow type) of a table's columns; None for what is no table. Verified first."""
    if ref.media_type != PARQUET:
        return None
    with store.open_verified(ref) as file:
        return tables.columns_of(file)


def _put_path(store: ArtifactStore, path: Path, schema_version: str | None) -> BoundRef:
    try:
        is_link, is_folder = path.is_symlink(), path.is_dir()
    except OSError:  # a name that no file can have: opening it says why
        is_link = is_folder = False
    if is_link:
        raise _refused(f"{path} is a link; give the path that it points to.")
    if is_folder:
        return store.put_tree(path, schema_version=schema_version)
    return store.put_file(path, schema_version=schema_version)


def _plain_bytes(value: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """The bytes that a view shows, in their order; a view of anything else is refused."""
    if not isinstance(value, memoryview):
        return value
    if value.format not in ("B", "b", "c") or value.ndim != 1:
        raise _refused(
            f"A view of items {value.format!r} in {value.ndim} dimensions would come back as bytes."
        )
    return value if value.c_contiguous and value.format == "B" else bytes(value)


def _put_json(store: ArtifactStore, value: Any, schema_version: str | None) -> BoundRef:
    try:
        data = canonical_bytes(value)
    except (errors.NotCanonicalError, *ARROW_ERRORS) as error:
        reason = error.message if isinstance(error, errors.NotCanonicalError) else short(str(error))
        raise _refused(f"The value is not JSON: {reason}") from error
    if not isinstance(value, Contract) and not _is_exact(value):
        _check_document(value, data)
    return store.put_bytes(data, media_type=JSON, schema_version=schema_version)


def _is_exact(value: Any) -> bool:
    """Whether a document is made of JSON's own types alone, whose canonical form says it all."""
    return type(value) in (str, bool, int, NoneType) or (
        type(value) in (dict, list) and is_plain(value)
    )


def _check_document(value: Any, data: bytes) -> None:
    """Refuse a document that is read back as one that does not equal it."""
    try:
        back = parse_canonical(data)
        if back == value:
            return
        position = _first_change(value, back, "$")
    except (errors.NotCanonicalError, *ARROW_ERRORS) as error:
        raise _refused(
            f"The value is not JSON: it cannot be read back ({short(str(error))})."
        ) from (error)
    raise _refused(f"The value is not JSON: {position}.")


def _first_change(value: Any, back: Any, position: str) -> str:
    """Where, and how, a document changes that does not equal what was read back."""
    inner: Iterable[tuple[Any, str]] = ()
    if isinstance(value, dict) and isinstance(back, dict):
        inner = ((key, f"{position}.{key}") for key in value)
    elif isinstance(value, list) and isinstance(back, list) and len(value) == len(back):
        inner = ((index, f"{position}[{index}]") for index in range(len(value)))
    for key, where in inner:
        if value[key] != back[key]:
            return _first_change(value[key], back[key], where)
    return (
        f"{position} is {short(value)} ({type(value).__name__}), which would come back as "
        f"{short(back)} ({type(back).__name__})"
    )


def _copy(store: ArtifactStore, ref: ArtifactRef, folder: Path | None) -> Path:
    if folder is None:
        raise _refused("A Path needs a folder for its private copy: pass `folder`.")
    copy = Path(tempfile.mkdtemp(prefix="artifact-", dir=folder)) / (ref.digest or "")[:16]
    store.copy_to(ref, copy)
    return copy


def _decode_table(
    store: ArtifactStore, ref: ArtifactRef, wanted: Any, folder: Path | None
) -> pd.DataFrame | pa.Table | pa.RecordBatchReader:
    if wanted not in (None, *_TABLES):
        raise _mismatch(ref, wanted)
    if wanted is pa.RecordBatchReader:
        return tables.batches_of(store.open_verified(ref, folder=folder))
    with store.open_verified(ref, folder=folder) as file:
        table = tables.table_of(file)
    if wanted is pa.Table or (wanted is None and not tables.is_frame(table)):
        return table
    return tables.frame_of(table)


def _decode_json(data: bytes, wanted: Any, ref: ArtifactRef) -> Any:
    if isinstance(wanted, type) and issubclass(wanted, Contract):
        return wanted.from_json(data, where=ref.ref)
    try:
        value = parse_canonical(data)
    except errors.NotCanonicalError as error:
        raise _refused(f"{ref.ref} is named JSON, but {error.message}") from error
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is None or _is_wanted(value, wanted):
        return value
    raise _mismatch(ref, wanted)


def _is_wanted(value: Any, wanted: Any) -> bool:
    try:
        return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
    except TypeError:  # a protocol, say, that no value can be asked for
        return False


def _plain_type(expected: Any) -> tuple[type | None, bool]:
    """The class behind an annotation (None where it leaves the choice open); whether ``| None``."""
    origin = get_origin(expected)
    if origin in (Union, UnionType):
        members = [member for member in get_args(expected) if member is not NoneType]
        optional = len(members) < len(get_args(expected))
        return (_plain_type(members[0])[0] if len(members) == 1 else None), optional
    plain = dict if is_typeddict(expected) else origin or expected
    if not isinstance(plain, type) or plain in (object, Any):
        return None, False
    return (Path if issubclass(plain, PurePath) else plain), False


def _mismatch(ref: ArtifactRef, wanted: Any) -> errors.EncodingError:
    name = getattr(wanted, "__name__", wanted)
    return errors.EncodingError(
        f"{ref.ref} is {ref.media_type}, which is not read as {name}.",
        next_step="Ask for the type that the producer returned, or change what it returns.",
        media_type=ref.media_type,
    )


def _refused(problem: str) -> errors.EncodingError:
    return errors.EncodingError(
        problem, next_step=f'Give {_ACCEPTED}; or ask for encoding="pickle" by name.'
    )
