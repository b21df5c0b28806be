"""The run manifest: what it must name, what it may not, and which names are its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ro_platform.contracts import RunManifest
from ro_platform.errors import ContractError

DIGEST = "ab" * 32
INPUT = {"name": "purchases", "ref": {"ref": "p.csv", "digest": DIGEST}}
PIN = {"config_name": "policy", "config_version": 1, "digest": DIGEST}
LEAST: dict[str, Any] = {
    "kind": "ro.run_manifest.v0",
    "workload": "purchases",
    "code": {"version": "0.1.0"},
}


def read(**changes: Any) -> RunManifest:
    """The least manifest with some fields changed or added."""
    return RunManifest.from_json(json.dumps(LEAST | changes))


def test_the_least_manifest() -> None:
    """Kind, workload and code are enough; the rest is empty, not guessed and not written."""
    manifest = read()
    assert manifest.to_json_value() == LEAST
    assert (manifest.parameters, manifest.inputs, manifest.config_versions) == ({}, (), ())
    assert (manifest.seed, manifest.scenario_id) == (None, None)


def test_inputs_and_pins_are_found_by_name() -> None:
    """An input and a pinned config are found by the name the manifest gives them, or not at all."""
    manifest = read(inputs=[INPUT], config_versions=[PIN])
    found, pin = manifest.input("purchases"), manifest.pin("policy")
    assert found is not None
    assert found.ref.digest == DIGEST
    assert pin is not None
    assert (pin.config_version, pin.digest) == (1, DIGEST)
    assert manifest.input("policy") is None
    assert manifest.pin("purchases") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "ro.run_manifest.v1"}, "kind"),
        ({"kind": None}, "kind"),
        ({"workload": "a b"}, "workload"),
        ({"workload": ""}, "workload"),
        ({"inputs": [{"name": "p", "ref": {"ref": "p.csv"}}]}, "a ref without a digest"),
        ({"inputs": [{"name": "p", "ref": {"ref": "p", "digest": None}}]}, "without a digest"),
        ({"inputs": [{"name": "p", "ref": {"ref": "p", "digest": "AB" * 32}}]}, "digest"),
        ({"inputs": [{"name": "p", "ref": {"ref": "p", "digest": "ab" * 31}}]}, "digest"),
        ({"inputs": [{"name": "p", "ref": "p.csv"}]}, "inputs.0.ref"),
        ({"inputs": [{"name": "p", "ref": {"ref": "", "digest": DIGEST}}]}, "inputs.0.ref.ref"),
        ({"inputs": [INPUT, INPUT]}, "input 'purchases' is named more than once"),
        ({"inputs": INPUT}, "inputs"),
        ({"config_versions": [PIN, PIN | {"config_version": 2}]}, "'policy' is named more than"),
        ({"config_versions": [{"config_name": "p", "config_version": 1}]}, "digest is required"),
        ({"config_versions": [PIN | {"config_version": 0}]}, "config_version"),
        ({"config_versions": [PIN | {"config_version": "1"}]}, "config_version"),
        ({"code": {}}, "name the code by version"),
        ({"code": {"version": None}}, "name the code by version"),
        ({"code": "0.1.0"}, "code"),
        ({"code": {"git_commit": "abc123"}}, "code.git_commit"),
        ({"parameters": []}, "parameters"),
        ({"parameters": None}, "parameters"),
    ],
)
def test_refusals_name_the_field(changes: dict[str, Any], words: str) -> None:
    """Each fault is refused with the field it is in."""
    with pytest.raises(ContractError) as caught:
        read(**changes)
    assert words in caught.value.message


@pytest.mark.parametrize("missing", list(LEAST))
def test_what_a_manifest_must_say(missing: str) -> None:
    """Without kind, workload or code there is no manifest."""
    document = {name: value for name, value in LEAST.items() if name != missing}
    with pytest.raises(ContractError, match=f"{missing} is required and missing"):
        RunManifest.from_json(json.dumps(document))


@pytest.mark.parametrize(
    "field", ["created_at", "now", "hostname", "user", "env", "environment", "run_id", "Seed"]
)
def test_there_is_no_room_for_clock_host_or_user(field: str) -> None:
    """A field that the contract does not name is refused wherever it stands."""
    with pytest.raises(ContractError, match=f"{field} is not a field of the contract"):
        read(**{field: "x"})
    with pytest.raises(ContractError, match=rf"inputs\.0\.{field} is not a field"):
        read(inputs=[INPUT | {field: "x"}])
    with pytest.raises(ContractError, match=rf"code\.{field} is not a field"):
        read(code={"version": "1", field: "x"})


@pytest.mark.parametrize("commit", ["a" * 40, "0" * 64])
def test_code_may_be_a_commit(commit: str) -> None:
    """Code is named by a release, a SHA-1 or SHA-256 commit, or by both."""
    assert read(code={"git_commit": commit}).code.git_commit == commit
    assert read(code={"git_commit": commit, "version": "1"}).code.version == "1"
