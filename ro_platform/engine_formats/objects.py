"""The engine's objects as closed, strict models. ``Model.from_json`` reads one, or says why not.

Only :class:`RunReceipt` may hold fields that are not named here. A scope or a locator that names a
seed, a scenario, a parameter hash or a run speaks of one instance: it needs an instance proof.

The forms that the engine's objects are made of, and how its JSON is read.

Times, digests and names are this plane's own forms (:mod:`ro_platform.contracts.base`); here is
what differs: a seed is a plain JSON integer up to 2^64-1, an absent field is left out and never
``null``, and a document that has a key twice is refused.

This plane's verdicts in the engine's form of a ``gate_receipt``.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from ro_platform.contracts import GateReceipt
from ro_platform.contracts.base import Contract, Hex32, Hex64, Name, UtcTimestamp
from ro_platform.contracts.gate import GateStatus
from ro_platform.kernel.documents import parse_document

MAX_UINT64 = 2**64 - 1

Uint64 = Annotated[int, Field(ge=0, le=MAX_UINT64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
ScenarioId = (
    Annotated[str, StringConstraints(min_length=1, max_length=256)] | Annotated[int, Field(ge=0)]
)

_MEMBER_PATH = re.compile(r"(?!/)(?!.*\\)(?!.*\.\.).+", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class EngineObject(Contract):
    """An object of the engine: strict, closed and frozen; a field is present or left out."""

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, data: Any) -> Any:
        for name in cls.model_fields if isinstance(data, dict) else ():
            if data.get(name, ...) is None:
                raise ValueError(f"{name} is null: leave out what is absent")
        return data

    @classmethod
    def from_json(cls, data: bytes | str, *, where: str = "document") -> Self:
        """Read one. Raises :class:`DocumentSyntaxError` (a key that stands twice among others) and
        :class:`ContractError`, which names the first bad field."""
        value = read_json(data.encode() if isinstance(data, str) else data, where)
        return super().from_json(json.dumps(value), where=where)

    def to_json_value(self) -> dict[str, Any]:
        """The JSON form: the fields that are present, whatever they hold, and no other."""
        return self.model_dump(mode="json", exclude_unset=True)


class Digest(EngineObject):
    """A digest with the name of its algorithm; there is one."""

    algo: Literal["sha256"]
    hex: Hex64


def read_json(data: bytes, where: str) -> Any:
    """The JSON value of a document of any name. Raises :class:`DocumentSyntaxError`."""
    return parse_document(
        data, where if where.endswith(".json") else f"{where}, read as .json"
    ).value


def is_member_path(path: str) -> bool:
    r"""Whether a bundle may list that path: ``^(?!/)(?!.*\\)(?!.*\.\.).+``, the whole of it.

    Stricter where the pattern says nothing: no control character (its ``.`` ends at a line feed),
    no empty or ``.`` part (each file has one spelling), and nothing that UTF-8 cannot write.
    """
    return (
        _MEMBER_PATH.fullmatch(path) is not None
        and _CONTROL.search(path) is None
        and PurePosixPath(path).as_posix() == path != "."
        and not any("\ud800" <= letter <= "\udfff" for letter in path)
    )


INSTANCE_FIELDS = ("parameter_hash", "seed", "scenario_id", "run_id")
EventId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ReceiptKind(StrEnum):
    """What kind of evidence a gate receipt was made from."""

    PASSED_FLAG = "passed_flag"
    JSON_RECEIPT = "json_receipt"
    BUNDLE_FLAG = "bundle_flag"


class Scope(EngineObject):
    """What a verdict is about: a whole world, or one instance in it."""

    manifest_fingerprint: Hex64
    parameter_hash: Hex64 | None = None
    seed: Uint64 | None = None
    scenario_id: ScenarioId | None = None
    run_id: Hex32 | None = None

    @property
    def needs_instance_proof(self) -> bool:
        """Whether it names a seed, scenario, parameter hash or run."""
        return any(getattr(self, name) is not None for name in INSTANCE_FIELDS)


class GateArtifacts(EngineObject):
    """Where the evidence of a gate lies."""

    validation_bundle_root: Text | None = None
    index_path: Text | None = None
    passed_flag_path: Text | None = None


class EngineGateReceipt(EngineObject):
    """``gate_receipt``: the outcome of one of the engine's gates."""

    gate_id: Name
    status: GateStatus
    scope: Scope
    produced_at_utc: UtcTimestamp | None = None
    receipt_kind: ReceiptKind | None = None
    digest: Digest | None = None
    artifacts: GateArtifacts | None = None
    notes: Text | None = None


class EngineOutputLocator(EngineObject):
    """``engine_output_locator``: one output of the engine, and where it lies."""

    output_id: Name
    path: Text
    manifest_fingerprint: Hex64 | None = None
    parameter_hash: Hex64 | None = None
    run_id: Hex32 | None = None
    scenario_id: ScenarioId | None = None
    seed: Uint64 | None = None
    schema_ref: Text | None = None
    dictionary_ref: Text | None = None
    produced_at_utc: UtcTimestamp | None = None
    content_digest: Digest | None = None
    notes: Text | None = None

    @model_validator(mode="after")
    def _has_an_identity(self) -> Self:
        names = ("manifest_fingerprint", "parameter_hash", "run_id", "scenario_id")
        if all(getattr(self, name) is None for name in names):
            raise ValueError(f"at least one of {', '.join(names)} is required")
        return self


class InstanceProofReceipt(EngineObject):
    """``instance_proof_receipt``: that one instance of an output has exactly those bytes."""

    output_id: Name
    status: GateStatus
    scope: Scope
    target_ref: EngineOutputLocator
    target_digest: Digest
    bundle_manifest_ref: Text | None = None

    @model_validator(mode="after")
    def _proves_its_target(self) -> Self:
        content = self.target_ref.content_digest
        if content is None and self.scope.needs_instance_proof:
            raise ValueError("target_ref.content_digest is required: the scope names an instance")
        if content is not None and content != self.target_digest:
            raise ValueError("target_digest is not target_ref.content_digest")
        if self.target_ref.output_id != self.output_id:
            raise ValueError("target_ref.output_id is not output_id")
        for name in ("manifest_fingerprint", *INSTANCE_FIELDS):
            mine, theirs = getattr(self.scope, name), getattr(self.target_ref, name)
            if None not in (mine, theirs) and mine != theirs:
                raise ValueError(f"target_ref.{name} is not scope.{name}")
        return self


class RunReceipt(EngineObject):
    """``run_receipt``: the identity of an engine's run; whatever else it holds is kept."""

    model_config = ConfigDict(extra="allow")

    run_id: Hex32
    manifest_fingerprint: Hex64
    parameter_hash: Hex64
    seed: Uint64


class CanonicalEventEnvelope(EngineObject):
    """The header that every event carries; the payload is any JSON."""

    event_id: EventId
    event_type: EventId
    ts_utc: UtcTimestamp
    manifest_fingerprint: Hex64
    parameter_hash: Hex64 | None = None
    seed: Uint64 | None = None
    scenario_id: ScenarioId | None = None
    run_id: Hex32 | None = None
    emitted_at_utc: UtcTimestamp | None = None
    schema_version: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    producer: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    payload: JsonValue = None
    trace_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    span_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    parent_event_id: EventId | None = None


class OffsetKind(StrEnum):
    """What the offset of an event counts."""

    FILE_LINE = "file_line"
    KINESIS_SEQUENCE = "kinesis_sequence"
    KAFKA_OFFSET = "kafka_offset"


class EventBusRef(EngineObject):
    """``eb_ref``: one record of the event bus."""

    topic: Text
    partition: Annotated[int, Field(ge=0)]
    offset: Text
    offset_kind: OffsetKind


MAX_NOTES = 2048
"""Characters of a text in the engine's objects."""


def as_engine_receipt(receipt: GateReceipt) -> EngineGateReceipt:
    """The same verdict as the engine's object; ``digest`` is that of the bytes it speaks of.

    The scope names the manifest alone, from which anyone computes the run: a scope that names a
    run would speak of an instance and need an instance proof.
    """
    said = EngineGateReceipt(
        gate_id=receipt.gate_id,
        status=receipt.status,
        scope=Scope(manifest_fingerprint=receipt.scope.manifest_fingerprint),
        produced_at_utc=receipt.produced_at_utc,
        receipt_kind=ReceiptKind.JSON_RECEIPT,
        digest=Digest(algo="sha256", hex=receipt.subject.digest),
    )
    if not receipt.notes:
        return said  # a field is present or left out, never null
    return said.model_copy(update={"notes": receipt.notes[:MAX_NOTES]})
