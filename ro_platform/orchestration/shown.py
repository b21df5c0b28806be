"""What the Dagster UI shows of an artifact: digests, size, locator, schema and a preview."""

import json
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from ro_platform.artifacts.encodings import JSON, preview
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.settings import Settings
from ro_platform.contracts import BoundRef
from ro_platform.runs.admission import Refusal

PREVIEW_ROWS = 10
_MAX_CELL_CHARS = 60
_MAX_JSON_BYTES = 16 << 10


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
    head = _head(value)
    if head is not None:
        shown["dagster/row_count"] = dg.MetadataValue.int(len(value))
        shown["dagster/column_schema"] = dg.TableSchema(
            columns=[dg.TableColumn(field.name, str(field.type)) for field in head.schema]
        )
        shown["preview"] = dg.MetadataValue.md(_markdown(head.to_pylist()))
    elif _is_shown(ref) and (first := preview(store, ref, PREVIEW_ROWS)) is not None:
        shown["preview"] = _preview(first)
    return shown


def _preview(value: Any) -> dg.MetadataValue[Any]:
    match value:
        case [{}, *_]:
            return dg.MetadataValue.md(_markdown(value))
        case list() | dict():
            return dg.MetadataValue.json(value)
    return dg.MetadataValue.text(_plain(value))


def shown_artifacts(made: Sequence[tuple[str, BoundRef]]) -> dict[str, Any]:
    """Metadata for a step over several partitions: one line for each manifest."""
    rows = [
        dg.TableRecord({"manifest": fingerprint, "sha256": ref.digest, "bytes": ref.size_bytes})
        for fingerprint, ref in made
    ]
    return {"ro/artifacts": dg.MetadataValue.table(rows)}


def shown_refusal(refusal: Refusal) -> dict[str, Any]:
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
    return ref.media_type != JSON or ref.size_bytes <= _MAX_JSON_BYTES


def _head(value: Any) -> pa.Table | None:
    match value:
        case pa.Table():
            return value.slice(0, PREVIEW_ROWS)
        case pd.DataFrame():
            return pa.Table.from_pandas(value.head(PREVIEW_ROWS), preserve_index=False)
    return None


def _markdown(rows: list[dict[str, Any]]) -> str:
    """A Markdown table; one row a dict."""
    if not rows:
        return "_no rows_"
    names = list(rows[0])
    lines: list[list[Any]] = [names, ["---"] * len(names)]
    lines += [[row.get(name) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = json.dumps(value, default=str) if isinstance(value, dict | list) else _plain(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= _MAX_CELL_CHARS else text[: _MAX_CELL_CHARS - 1] + "…"


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
