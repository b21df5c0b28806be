"""A scikit-learn model as bytes: safe to load, and the same bytes for the same model.

Tried in two processes with different hash seeds: ONNX by skl2onnx 1.20 differs,
and so does skops 0.16 as it comes (it names nodes and members by memory address, and a zip holds
the time of day). A skops file, though, is only JSON and arrays, so :func:`dump_model` puts it in
one canonical form: members numbered in the schema's order, no addresses, a fixed date, stored
uncompressed. ``skops.io.load`` reads that as any other file. What is given up is object identity:
an object that two attributes share is loaded as two equal ones. skops was chosen because that form
is byte-identical, keeps the model in float64 and needs no second runtime to score with.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from ro_platform.errors import EncodingError

_SCHEMA = "schema.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def dump_model(model: Any) -> bytes:
    """The canonical skops file of a scikit-learn estimator."""
    # skops and scikit-learn take three seconds to import, and listing the assets needs neither.
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as raw:
        members: dict[str, str] = {}
        schema = _canonical(json.loads(raw.read(_SCHEMA)), members)
        text = json.dumps(schema, separators=(",", ":")).encode()
        parts = [(_SCHEMA, text)] + [(new, raw.read(old)) for old, new in members.items()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts:
            archive.writestr(_member(name), data)
    return buffer.getvalue()


def load_model(data: bytes) -> Any:
    """The estimator in a skops file. Code is never run from it: only types that skops trusts load.

    Raises :class:`EncodingError` when it is not a skops file, or holds any other type.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(data, trusted=[])
    except UntrustedTypesFoundException as error:
        problem = f"holds types that are not trusted: {error}"
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        problem = f"is not a skops file: {error}"
    raise EncodingError(f"the model {problem}.", next_step="Train it again with dump_model.")


def _canonical(node: Any, members: dict[str, str]) -> Any:
    """The schema without memory addresses; notes each member's new name in order of appearance."""
    match node:
        case dict():
            kept = {key: _canonical(item, members) for key, item in node.items() if key != "__id__"}
            if isinstance(kept.get("file"), str):
                old = kept["file"]
                suffix = old.rpartition(".")[2]
                kept["file"] = members.setdefault(old, f"{len(members):04d}.{suffix}")
            return kept
        case list():
            return [_canonical(item, members) for item in node]
        case _:
            return node


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info
