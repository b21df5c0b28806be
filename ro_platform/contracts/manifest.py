"""The run manifest: everything that decides a run's outcome, and nothing that varies by chance."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from ro_platform.contracts.artifact import ArtifactRef
from ro_platform.contracts.base import Contract, Hex64, JsonObject, Name
from ro_platform.contracts.config import PinnedConfigRef

MAX_SAFE_INTEGER = 2**53 - 1
MAX_UINT64 = 2**64 - 1


def _read_uint64(value: Any) -> int:
    if isinstance(value, str):
        if not value.isascii() or not value.isdecimal() or value != str(int(value)):
            raise ValueError("a seed is a whole number, or its decimal digits as a string")
        number = int(value)
        if number <= MAX_SAFE_INTEGER:
            raise ValueError(f"write {number} as a number; strings are for seeds beyond 2^53-1")
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
        if number > MAX_SAFE_INTEGER:
            raise ValueError(f'beyond 2^53-1: write it as a decimal string, "{number}"')
    else:
        raise ValueError("a seed is a whole number, or its decimal digits as a string")
    if not 0 <= number <= MAX_UINT64:
        raise ValueError("a seed is a uint64: 0 to 2^64-1")
    return number


def _write_uint64(value: int) -> int | str:
    return value if value <= MAX_SAFE_INTEGER else str(value)


Uint64 = Annotated[
    int,
    BeforeValidator(_read_uint64),
    PlainSerializer(_write_uint64, return_type=int | str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER},
                {"type": "string", "pattern": "^[1-9][0-9]{15,19}$"},
            ],
            "description": "A uint64; beyond 2^53-1 it travels as a decimal string.",
        }
    ),
]


def _refuse_inexact(value: Any, position: str = "") -> Any:
    """Refuse a float whose canonical form reads back as an integer beyond 2^53-1."""
    if isinstance(value, float) and MAX_SAFE_INTEGER < abs(value) < 1e21:
        raise ValueError(f"{position[1:]} is beyond 2^53-1: write it as a decimal string")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_inexact(item, f"{position}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_inexact(item, f"{position}[{index}]")
    return value


def _has(name: str) -> JsonObject:
    """The JSON Schema of an object in which that field is present and not null."""
    return {"required": [name], "properties": {name: {"type": "string"}}}


class ManifestInput(Contract):
    """A named input. Its digest is part of the run's identity, so it is required."""

    # What the validator below demands, in the schema's words.
    model_config = ConfigDict(
        json_schema_extra={"allOf": [{"properties": {"ref": _has("digest")}}]}
    )

    name: Name
    ref: ArtifactRef

    @model_validator(mode="after")
    def _has_digest(self) -> ManifestInput:
        if self.ref.digest is None:
            raise ValueError(f"input {self.name!r} has a ref without a digest")
        return self


class CodeRef(Contract):
    """Which code the run is about: a released version, a git commit, or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_has("version"), _has("git_commit")]})

    version: Name | None = None
    git_commit: Annotated[str, Field(pattern=r"^[a-f0-9]{40}([a-f0-9]{24})?$")] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> CodeRef:
        if self.version is None and self.git_commit is None:
            raise ValueError("name the code by version, by git_commit, or by both")
        return self


class RunManifest(Contract):
    """``manifest_fingerprint`` is the SHA-256 of this object's RFC 8785 bytes."""

    kind: Literal["ro.run_manifest.v0"]
    workload: Name
    scenario_id: Name | None = None
    seed: Uint64 | None = None
    parameters: Annotated[JsonObject, AfterValidator(_refuse_inexact)] = Field(default_factory=dict)
    inputs: tuple[ManifestInput, ...] = ()
    config_versions: tuple[PinnedConfigRef, ...] = ()
    code: CodeRef

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunManifest:
        for what, names in (
            ("input", [item.name for item in self.inputs]),
            ("config", [pin.config_name for pin in self.config_versions]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is named more than once")
        return self

    def to_json_value(self) -> dict[str, Any]:
        """The document as it was written: what it leaves out is not filled in, so that the
        fingerprint is that of the file's own JSON form."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    def input(self, name: str) -> ManifestInput | None:
        """The input of that name, or None."""
        return next((item for item in self.inputs if item.name == name), None)

    def pin(self, config_name: str) -> PinnedConfigRef | None:
        """The pinned version of that config, or None."""
        return next((pin for pin in self.config_versions if pin.config_name == config_name), None)


class RegisteredManifest(Contract):
    """The ledger's body for a registered run."""

    manifest_fingerprint: Hex64
    parameter_hash: Hex64
    workload: Name
    scenario_id: Name | None = None
    size_bytes: int
