"""The JSON Schema (draft 2020-12) of the public contracts, generated from their models.

One document; each object stands under ``$defs`` by its name. What a schema cannot say stays with
the models: that names within a manifest are unique, the exact range of a seed written as a string,
that no number of the parameters is beyond 2^53-1 in disguise (``1e16``), and that an integer is
not written ``1.0``.

``python -m ro_platform.contracts.schema`` prints it; ``--write PATH`` writes it there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from ro_platform import contracts
from ro_platform.contracts.base import Contract

SCHEMA_ID = "urn:ro-platform:contracts:v0"
DIALECT = GenerateJsonSchema.schema_dialect

PUBLIC: tuple[type[Contract], ...] = tuple(
    model
    for name in contracts.__all__
    if isinstance(model := getattr(contracts, name), type)
    and issubclass(model, Contract)
    and model is not Contract
)
"""Every object that the schema describes; enumerations come along where they are used."""


class _Plain(GenerateJsonSchema):
    """Without what tells a reader nothing: titles made from names, and null as a default."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        result = super().default_schema(schema)
        if result.get("default", ...) is None:
            del result["default"]
        return result


def contracts_schema() -> dict[str, Any]:
    """The schema document as a JSON object."""
    _, generated = models_json_schema(
        [(model, "validation") for model in PUBLIC], schema_generator=_Plain
    )
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        "title": "Run/Operate public contracts, v0",
        "description": "Generated from ro_platform.contracts. Absent and null mean the same; "
        "a field that is not named here is refused.",
        "$defs": dict(sorted(generated["$defs"].items())),
    }


def schema_text() -> str:
    """The document as it is committed: two spaces of indent, UTF-8, one line feed at the end."""
    return json.dumps(contracts_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the schema, or write it to a file (in place; run it again after an interruption)."""
    parser = argparse.ArgumentParser(prog="python -m ro_platform.contracts.schema")
    parser.add_argument("--write", metavar="PATH", type=Path, help="write it to this file")
    target: Path | None = parser.parse_args(arguments).write
    if target is None:
        sys.stdout.write(schema_text())
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
