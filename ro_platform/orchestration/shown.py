"""What the Dagster UI shows of an artifact: digests, size, locator, schema and a preview.

Dagster keeps it for every run, so all of it is bounded; and what is only shown never decides about
a step: what cannot be shown is left out, and its place says so.
"""

import json
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from ro_platform.artifacts import frames
from ro_platform.artifacts.encodings import JSON, preview, rows_of
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.settings import Settings
from ro_platform.contracts import BoundRef
from ro_platform.runs.plan import RefusedEdge

PREVIEW_ROWS = 10
_MAX_CELL_CHARS = 60
PREVIEW_BYTES = 4 << 10
"""What a preview may take of an event."""
SCHEMA_COLUMNS = 100
"""Columns of a schema that are shown."""
_MAX_MANIFESTS = 100


def shown_artifact(
    store: ArtifactStore, ref: BoundRef, value: Any, *, attempt_id: str
) -> dict[str, Any]:
    """Metadata for a materialization event. ``value`` spares reading a table back."""
    shown: dict[str, Any] = {
        "ro/sha256": ref.digest,
        "ro/blake3": ref.blake3,
        "ro/locator": dg.MetadataValue.path(ref.ref),
        "ro/media_type": ref.media_type,
        "ro/attempt_id": attempt_id,
        "size_bytes": dg.MetadataValue.int(ref.size_bytes),
    }
    try:
        return {**shown, **_content(store, ref, value)}
    except Exception as error:  # noqa: BLE001 - the artifact is bound, whatever can be shown of it
        reason = f"not shown: {type(error).__name__}"
        return {**shown, "preview": dg.MetadataValue.text(reason)}


def _content(store: ArtifactStore, ref: BoundRef, value: Any) -> dict[str, Any]:
    head = _head(value)
    if head is not None:
        return {
            "dagster/row_count": dg.MetadataValue.int(len(value)),
            "dagster/column_schema": _schema(head.schema),
            "preview": dg.MetadataValue.md(_markdown(rows_of(head))),
        }
    if _is_shown(ref) and (first := preview(store, ref, PREVIEW_ROWS)) is not None:
        return {"preview": _preview(first)}
    return {}


def _schema(schema: pa.Schema) -> dg.TableSchema:
    """The first columns, and how many more there are."""
    first = [schema.field(position) for position in range(min(len(schema), SCHEMA_COLUMNS))]
    columns = [dg.TableColumn(_short(field.name), _short(str(field.type))) for field in first]
    more = len(schema) - len(first)
    constraints = dg.TableConstraints(other=[f"and {more} more columns"]) if more else None
    return dg.TableSchema(columns=columns, constraints=constraints)


def _preview(value: Any) -> dg.MetadataValue[Any]:
    match value:
        case [{}, *_] if all(isinstance(row, dict) for row in value):
            return dg.MetadataValue.md(_markdown(value))
        case list() | dict():
            return dg.MetadataValue.json(value)
    return dg.MetadataValue.text(_plain(value)[: PREVIEW_BYTES // 4])


def shown_artifacts(made: Sequence[tuple[str, BoundRef]]) -> dict[str, Any]:
    """Metadata for a step over several partitions: one line for each of the first manifests."""
    rows = [
        dg.TableRecord({"manifest": fingerprint, "sha256": ref.digest, "bytes": ref.size_bytes})
        for fingerprint, ref in made[:_MAX_MANIFESTS]
    ]
    more = len(made) - len(rows)
    return {
        "ro/artifacts": dg.MetadataValue.table(rows),
        **({"ro/more_artifacts": dg.MetadataValue.int(more)} if more else {}),
    }


def shown_refusal(refusal: RefusedEdge) -> dict[str, Any]:
    """Metadata for the log of a refused run: what refused it, and where its evidence is."""
    facts = refusal.error.diagnostics()
    producer = dg.AssetKey(refusal.edge.producer.split("/"))
    gate, receipt = facts.get("gate"), facts.get("receipt")
    check: dict[str, Any] = {}
    if gate:
        address = Settings.load().check_address(producer.path, gate)
        check = {"gate": gate, "its verdicts": dg.MetadataValue.url(address)}
    return {
        **check,
        "receipt": dg.MetadataValue.path(receipt) if receipt else "none is on record",
        "producer": dg.MetadataValue.asset(producer),
        "consumer": dg.MetadataValue.asset(dg.AssetKey(refusal.edge.consumer.split("/"))),
        "manifest": refusal.edge.fingerprint,
        **({"digest": facts["digest"]} if "digest" in facts else {}),
        "code": refusal.error.code,
    }


def _is_shown(ref: BoundRef) -> bool:
    """Dagster keeps what is shown for every run, so a large document is only referred to."""
    return ref.media_type != JSON or ref.size_bytes <= PREVIEW_BYTES


def _head(value: Any) -> pa.Table | None:
    match value:
        case pa.Table():
            return value.slice(0, PREVIEW_ROWS)
        case pd.DataFrame():
            return frames.table_of_frame(value.head(PREVIEW_ROWS))
    return None


def _markdown(rows: list[dict[str, Any]]) -> str:
    """A Markdown table, one row a dict: as many columns, then rows, as fit into PREVIEW_BYTES."""
    if not rows:
        return "_no rows_"
    names, width = list(rows[0]), len(rows[0])
    while True:
        shown = names[:width]
        lines: list[list[Any]] = [shown, ["---"] * len(shown)]
        lines += [[row.get(name) for name in shown] for row in rows]
        text = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        if width < len(names):
            text += f"\n\n_and {len(names) - width} more columns_"
        if len(text.encode()) <= PREVIEW_BYTES or width == 0:
            return text
        width = width * 3 // 4


def _cell(value: Any) -> str:
    text = json.dumps(value, default=str) if isinstance(value, dict | list) else _plain(value)
    return _short(text.replace("|", "\\|").replace("\n", " "))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CELL_CHARS else text[: _MAX_CELL_CHARS - 1] + "…"


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
