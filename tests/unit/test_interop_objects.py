"""The engine's objects: what is accepted, and that every constraint refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ro_platform.engine_formats.objects import (
    CanonicalEventEnvelope,
    EngineGateReceipt,
    EngineObject,
    EngineOutputLocator,
    EventBusRef,
    InstanceProofReceipt,
    RunReceipt,
    Scope,
    is_member_path,
)
from ro_platform.errors import InvalidInputError

WORLD, PARAMETERS, RUN = "ab" * 32, "cd" * 32, "ef" * 16
NOW = "2026-01-31T23:59:59.000000Z"
DIGEST = {"algo": "sha256", "hex": "12" * 32}
SCOPE = {"manifest_fingerprint": WORLD}
INSTANCE = {**SCOPE, "parameter_hash": PARAMETERS, "seed": 2**64 - 1, "run_id": RUN}
LOCATOR = {"output_id": "o-1._X", "path": "data/x", "manifest_fingerprint": WORLD}
TARGET = {**LOCATOR, "content_digest": DIGEST}
RECEIPT = {"gate_id": "gate.layer1.1A", "status": "PASS", "scope": SCOPE}
PROOF = {
    "output_id": "o-1._X",
    "status": "PASS",
    "scope": INSTANCE,
    "target_ref": TARGET,
    "target_digest": DIGEST,
}
RUN_RECEIPT = {
    "run_id": RUN,
    "manifest_fingerprint": WORLD,
    "parameter_hash": PARAMETERS,
    "seed": 0,
}
EVENT = {"event_id": "e", "event_type": "arrival", "ts_utc": NOW, "manifest_fingerprint": WORLD}
BUS = {"topic": "t", "partition": 0, "offset": "12", "offset_kind": "kafka_offset"}

GOOD: list[tuple[type[EngineObject], dict[str, Any]]] = [
    (EngineGateReceipt, RECEIPT),
    (
        EngineGateReceipt,
        {
            **RECEIPT,
            "status": "FAIL",
            "scope": {**INSTANCE, "scenario_id": 3},
            "produced_at_utc": NOW,
            "receipt_kind": "passed_flag",
            "digest": DIGEST,
            "artifacts": {"index_path": "index.json"},
            "notes": "n",
        },
    ),
    (EngineOutputLocator, LOCATOR),
    (EngineOutputLocator, {"output_id": "o", "path": "p", "scenario_id": "base", "seed": 1}),
    (EngineOutputLocator, {**TARGET, "schema_ref": "s#/a", "dictionary_ref": "d"}),
    (InstanceProofReceipt, PROOF),
    (InstanceProofReceipt, {**PROOF, "scope": SCOPE, "target_ref": LOCATOR}),
    (RunReceipt, RUN_RECEIPT),
    (RunReceipt, {**RUN_RECEIPT, "anything": {"else": None}, "contracts": None}),
    (CanonicalEventEnvelope, EVENT),
    (
        CanonicalEventEnvelope,
        {
            **EVENT,
            "payload": {"a": [1, None]},
            "trace_id": "t",
            "span_id": "s",
            "schema_version": "1",
            "producer": "p",
            "emitted_at_utc": NOW,
        },
    ),
    (EventBusRef, BUS),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_what_the_engine_writes_is_read(kind: type[EngineObject], value: dict[str, Any]) -> None:
    """Each object, minimal and full, with both ends of uint64, is read without change."""
    read = kind.from_json(json.dumps(value))
    assert read.to_json_value() == value


BAD: list[tuple[type[EngineObject], dict[str, Any]]] = [
    *((kind, {**value, "extra": 1}) for kind, value in GOOD if kind is not RunReceipt),
    *(
        (kind, {name: item for name, item in value.items() if name != left_out})
        for kind, value, required in (
            (EngineGateReceipt, RECEIPT, RECEIPT),
            (EngineOutputLocator, LOCATOR, LOCATOR),
            (InstanceProofReceipt, PROOF, PROOF),
            (RunReceipt, RUN_RECEIPT, RUN_RECEIPT),
            (CanonicalEventEnvelope, EVENT, EVENT),
            (EventBusRef, BUS, BUS),
        )
        for left_out in required
    ),
    *((RunReceipt, {**RUN_RECEIPT, name: None}) for name in RUN_RECEIPT),
    *((RunReceipt, {**RUN_RECEIPT, "seed": bad}) for bad in (-1, 2**64, 1.5, "1", True)),
    *((Scope, {"manifest_fingerprint": bad}) for bad in (WORLD.upper(), WORLD[1:], f"{WORLD}\n")),
    (Scope, {**SCOPE, "run_id": WORLD}),
    (Scope, {**SCOPE, "seed": None}),
    (Scope, {**SCOPE, "scenario_id": ""}),
    (Scope, {**SCOPE, "scenario_id": -1}),
    *((EngineGateReceipt, {**RECEIPT, "gate_id": bad}) for bad in ("", "a b", "a/b", "x" * 129)),
    *((EngineGateReceipt, {**RECEIPT, "status": bad}) for bad in ("pass", "WARN", None)),
    *(
        (EngineGateReceipt, {**RECEIPT, "produced_at_utc": bad})
        for bad in (NOW.replace(".000000", ""), NOW[:-1], NOW.replace("000000Z", "000Z"))
    ),
    (EngineGateReceipt, {**RECEIPT, "receipt_kind": "rumour"}),
    (EngineGateReceipt, {**RECEIPT, "digest": {"algo": "sha1", "hex": "12" * 32}}),
    (EngineGateReceipt, {**RECEIPT, "digest": {**DIGEST, "size": 1}}),
    (EngineGateReceipt, {**RECEIPT, "artifacts": {"other": "x"}}),
    (EngineOutputLocator, {"output_id": "o", "path": "p", "seed": 1}),
    (EngineOutputLocator, {**LOCATOR, "path": ""}),
    (InstanceProofReceipt, {**PROOF, "target_ref": LOCATOR}),
    (InstanceProofReceipt, {**PROOF, "target_digest": {**DIGEST, "hex": "34" * 32}}),
    (InstanceProofReceipt, {**PROOF, "output_id": "another"}),
    (InstanceProofReceipt, {**PROOF, "target_ref": {**TARGET, "seed": 1}}),
    *((EventBusRef, {**BUS, "offset_kind": bad}) for bad in ("line", "", None)),
    (EventBusRef, {**BUS, "offset": 12}),
    (EventBusRef, {**BUS, "partition": -1}),
]


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_what_breaks_a_constraint_is_refused(
    kind: type[EngineObject], value: dict[str, Any]
) -> None:
    """Every missing, surplus, ill-typed, ill-formed or contradictory field is an error."""
    with pytest.raises(InvalidInputError):
        kind.from_json(json.dumps(value))


def test_at_least_one_of_four_identifies_an_output() -> None:
    """Any one of manifest_fingerprint, parameter_hash, run_id, scenario_id is enough."""
    for name, value in (
        ("manifest_fingerprint", WORLD),
        ("parameter_hash", PARAMETERS),
        ("run_id", RUN),
        ("scenario_id", "base"),
    ):
        text = json.dumps({"output_id": "o", "path": "p", name: value})
        assert getattr(EngineOutputLocator.from_json(text), name) == value


def test_a_scope_that_names_an_instance_needs_its_proof() -> None:
    """A seed (0 among them), scenario, parameter hash or run makes an instance."""
    assert not Scope(manifest_fingerprint=WORLD).needs_instance_proof
    for name, value in (
        ("seed", 0),
        ("scenario_id", "s"),
        ("parameter_hash", WORLD),
        ("run_id", RUN),
    ):
        assert Scope.from_json(json.dumps({**SCOPE, name: value})).needs_instance_proof


@pytest.mark.parametrize(
    "text", ['{"algo":"sha256","algo":"sha256","hex":"' + "12" * 32 + '"}', "[]", "{", "NaN", ""]
)
def test_a_document_that_parsers_read_differently_is_refused(text: str) -> None:
    """A key that stands twice, and what is no JSON object, is nothing to rely on."""
    for kind in (EngineGateReceipt, RunReceipt):
        with pytest.raises(InvalidInputError):
            kind.from_json(text)


@pytest.mark.parametrize("path", ["a", "a/b", "a b", ".hidden", "é/x", "a.b", "fingerprint=1/x"])
def test_paths_that_a_bundle_may_list(path: str) -> None:
    """Relative POSIX paths, in the one spelling that each has."""
    assert is_member_path(path)


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/a", "a..b", "a\\b", "a//b", "./a", "a/", "a/.", "a\nb", "a\0", "\ud800"],
)
def test_paths_that_a_bundle_may_not_list(path: str) -> None:
    """What the engine's pattern refuses, and what has a second spelling or hides a line."""
    assert not is_member_path(path)
