"""The bundle: one folder with all that is needed to use the model and to trace where it is from.

``model.skops``, ``feature_schema.json``, ``evaluation.json`` and ``provenance.json``. The last one
names every artifact that made the model by digest. It says nothing of where a store keeps them:
the same run gives the same bundle in every store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.purchases.features import FEATURES, RECENT_DAYS
from assets.purchases.model_file import load_model
from ro_platform.contracts import ArtifactRef, RunManifest
from ro_platform.errors import EncodingError
from ro_platform.kernel.canonical import canonical_bytes

MODEL = "model.skops"
FEATURE_SCHEMA = "feature_schema.json"
EVALUATION = "evaluation.json"
PROVENANCE = "provenance.json"

_UNITS = {
    "recency_days": "days from the last purchase to as_of",
    "tenure_days": "days from the first purchase to as_of",
    "frequency": "purchases",
    "active_days": "distinct dates with a purchase",
    "purchases_last_90_days": f"purchases in the {RECENT_DAYS} days up to as_of",
    "quantity_total": "compact discs",
    "amount_cents_total": "US cents",
    "amount_cents_max": "US cents, largest purchase",
}


@dataclass(frozen=True)
class Bundle:
    """A bundle as read back: the loaded estimator and the three documents."""

    model: Any
    feature_schema: dict[str, Any]
    evaluation: dict[str, Any]
    provenance: dict[str, Any]


def feature_schema() -> dict[str, Any]:
    """What a caller must hand to the model, column by column, and what it answers."""
    columns = [{"name": name, "type": "int64", "unit": _UNITS[name]} for name in FEATURES]
    return {
        "kind": "purchases.feature_schema.v0",
        "features": columns,
        "answer": "probability that the customer buys again within the horizon",
    }


def provenance(
    manifest: RunManifest, fingerprint: str, artifacts: Mapping[str, ArtifactRef]
) -> dict[str, Any]:
    """The run, its inputs and configs, and the artifacts (by asset name), each by digest."""
    return {
        "kind": "purchases.provenance.v0",
        "manifest_fingerprint": fingerprint,
        "seed": str(manifest.seed),
        "parameters": manifest.parameters,
        "code": manifest.code.to_json_value(),
        "inputs": {item.name: content_of(item.ref) for item in manifest.inputs},
        "config_versions": [pin.to_json_value() for pin in manifest.config_versions],
        "artifacts": {name: content_of(artifacts[name]) for name in sorted(artifacts)},
    }


def content_of(ref: ArtifactRef) -> dict[str, Any]:
    """A reference without its place: digest, size in bytes and media type."""
    fields = {"digest", "digest_alg", "size_bytes", "media_type"}
    return {name: value for name, value in ref.to_json_value().items() if name in fields}


def write_bundle(
    folder: Path, model: bytes, evaluation: Mapping[str, Any], origin: Mapping[str, Any]
) -> Path:
    """Write the four files into an empty folder and return it."""
    (folder / MODEL).write_bytes(model)
    for name, document in (
        (FEATURE_SCHEMA, feature_schema()),
        (EVALUATION, dict(evaluation)),
        (PROVENANCE, dict(origin)),
    ):
        (folder / name).write_bytes(canonical_bytes(document))
    return folder


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle back. Raises :class:`EncodingError` when a file is missing or unreadable."""
    try:
        model = (folder / MODEL).read_bytes()
        documents = [
            json.loads((folder / name).read_bytes())
            for name in (FEATURE_SCHEMA, EVALUATION, PROVENANCE)
        ]
    except (OSError, ValueError) as error:
        raise EncodingError(
            f"the bundle is not complete: {error}.", next_step="Materialize the bundle again."
        ) from None
    return Bundle(load_model(model), *documents)
