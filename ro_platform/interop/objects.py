"""The engine's objects as closed, strict models. ``Model.from_json`` reads one, or says why not.

Only :class:`RunReceipt` may hold fields that are not named here. A scope or a locator that names a
seed, a scenario, a parameter hash or a run speaks of one instance: it needs an instance proof.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from ro_platform.contracts.base import Hex32, Hex64, Name, UtcTimestamp
from ro_platform.contracts.gate import GateStatus
from ro_platform.interop.primitives import Digest, EngineObject, ScenarioId, Text, Uint64

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
