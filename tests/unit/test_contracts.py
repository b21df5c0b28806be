"""Contracts: the models and their published JSON Schema say the same, and say the charter."""

from __future__ import annotations

import copy
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    ArtifactRef,
    Contract,
    JobStatus,
    RunManifest,
    TreeMember,
)
from ro_platform.contracts.schema import PUBLIC, contracts_schema, main, schema_text
from ro_platform.errors import ContractError
from tests.effort import times

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY.joinpath(
    "docs/model_spec/meta-layers/run_operate_plane/contracts/ro_public_contracts_v0.schema.json"
)
SCHEMA = contracts_schema()
DEFS = SCHEMA["$defs"]

# The charter's words: object -> (required, optional).
CHARTER = {
    "ArtifactRef": ({"ref"}, {"digest", "digest_alg", "schema_version", "size_bytes"}),
    "JobAttemptRecord": (
        {"job_id", "attempt_id", "status", "created_at_utc", "updated_at_utc"},
        {"correlation_ids", "error_code", "retryable"},
    ),
    "CorrelationIds": (set(), {"run_id", "train_run_id", "bundle_id"}),
    "ConfigVersionRef": ({"config_name", "config_version"}, {"digest", "ref"}),
    "AdminEvent": (
        {"admin_event_id", "action_type", "actor", "observed_at_utc", "reason"},
        {"targets", "before", "after", "result"},
    ),
    "SecretRotationEvent": ({"secret_name", "new_version", "actor", "reason"}, {"old_version"}),
    "ErrorResponse": ({"code", "message", "retryable"}, {"diagnostics", "correlation_ids"}),
}

# --- the schema's own reading of a document ------------------------------------------------------


def _ecma_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[Any]:
    """``$`` is the end of the text, as in ECMA 262; Python's also matches before a line feed."""
    if isinstance(value, str) and not re.search(re.sub(r"\$\Z", r"\\Z", pattern), value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


EcmaValidator: Any = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"pattern": _ecma_pattern}
)


@functools.cache
def validator(name: str) -> Any:
    """The validator for one object of the published schema."""
    return EcmaValidator({"$ref": f"#/$defs/{name}", "$defs": DEFS})


def fault_of(model: type[Contract], document: Any) -> str:
    """Why the model refuses the document ("" if it does not), as far as a schema can say it."""
    try:
        model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        said = [f["msg"] for f in error.errors()]
        beyond = ("named more than once", "strings are for seeds", "a seed is a uint64")
        return "; ".join(text for text in said if not any(words in text for words in beyond))
    return ""


# --- documents, drawn from the schema ------------------------------------------------------------

ANY_JSON: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 2.5, "text", [1, None], {"a": {"b": []}}]
)


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON values that the schema accepts."""
    if "$ref" in schema:
        return documents(DEFS[schema["$ref"].removeprefix("#/$defs/")])
    if "anyOf" in schema and "type" not in schema:
        return st.one_of(*(documents(option) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "object":
            return _objects(schema)
        case "array":
            return st.lists(documents(schema["items"]), max_size=2)
        case "string":
            return _texts(schema)
        case "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            return st.integers(low, schema.get("maximum", 2**53 - 1))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return ANY_JSON


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    pattern = schema.get("pattern", "")
    if hexadecimal := re.fullmatch(r"\^\[a-f0-9\]\{(\d+)\}.*", pattern):
        return st.sampled_from("0af").map(lambda digit: digit * int(hexadecimal[1]))
    low, high = schema.get("minLength", 0), min(schema.get("maxLength", 20), 20)
    if not pattern or not pattern.startswith("^"):
        return st.text("ab Z9é", min_size=low, max_size=high).map(lambda text: f"{text}.")
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: low <= len(text) <= 100)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" not in schema:
        values = documents(schema["additionalProperties"])
        return st.dictionaries(st.text("abc", min_size=1, max_size=3), values, max_size=2)
    fields = {name: documents(field) for name, field in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: values for name, values in fields.items() if name in required},
        optional={name: values for name, values in fields.items() if name not in required},
    )


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of a document, outermost first."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield value, key
        yield from places(value[key])


ODDITIES: list[Any] = [None, True, -1, 0, 1.5, "", " ", "x\n", "A" * 64, "a" * 64, "/x", [], [{}]]
ODDITIES += [{}, {"digest": None}, "2000-13-01T00:00:00.000000Z", "٢" * 20, "HUMAN::", 2**63]


@st.composite
def mutated(draw: st.DrawFn, name: str) -> Any:
    """A document of that object with one thing replaced, removed or added."""
    document = copy.deepcopy(draw(documents(DEFS[name])))
    spots = list(places(document))
    if not spots or draw(st.integers(0, 9)) == 0:
        return document | {"surprise": 1}
    container, key = draw(st.sampled_from(spots))
    if draw(st.booleans()):
        container[key] = draw(st.sampled_from(ODDITIES))
    elif isinstance(container, dict):
        container.pop(key)
    return document


EACH = pytest.mark.parametrize("model", PUBLIC, ids=lambda model: model.__name__)


@EACH
def test_model_and_schema_agree(model: type[Contract]) -> None:
    """A document, sound or with one fault, is accepted by both or refused by both."""

    @settings(max_examples=times(60))
    @given(documents(DEFS[model.__name__]) | mutated(model.__name__))
    def agree(document: Any) -> None:
        by_schema = next(validator(model.__name__).iter_errors(document), None)
        by_model = fault_of(model, document)
        assert (by_schema is None) == (by_model == ""), (document, by_schema, by_model)

    agree()


@EACH
def test_an_object_survives_its_json(model: type[Contract]) -> None:
    """An object, written as JSON and read again, is equal, and null fields are not written."""

    @settings(max_examples=times(25))
    @given(documents(DEFS[model.__name__]))
    def survive(document: Any) -> None:
        try:
            value = model.model_validate_json(json.dumps(document))
        except ValidationError:
            return
        written = value.to_json_value()
        assert model.from_json(json.dumps(written)) == value
        assert all(item is not None for item in written.values())

    survive()


@pytest.mark.parametrize(
    "model",
    [model for model in PUBLIC if "required" in DEFS[model.__name__]],
    ids=lambda model: model.__name__,
)
def test_each_required_field_is_required(model: type[Contract]) -> None:
    """An empty object is refused, by the name of each field that the schema requires."""
    required = DEFS[model.__name__]["required"]
    with pytest.raises(ContractError, match=f"{required[0]} is required and missing"):
        model.from_json("{}")
    with pytest.raises(ValidationError) as everything:
        model.model_validate_json("{}")
    assert {str(fault["loc"][0]) for fault in everything.value.errors()} == set(required)


# --- the published document ----------------------------------------------------------------------


def test_the_committed_schema_is_the_generated_one() -> None:
    """The file at the charter's path is what `make schema` writes, byte for byte."""
    assert COMMITTED.read_bytes() == schema_text().encode()


def test_the_schema_is_a_sound_schema() -> None:
    """The document follows draft 2020-12, and every reference in it leads to a definition."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("draft/2020-12/schema")
    targets = set(re.findall(r'"#/\$defs/(\w+)"', schema_text()))
    assert targets <= set(DEFS)
    assert len(targets) > 10


def test_the_charters_objects_are_there_as_it_says() -> None:
    """Each object of the charter has the fields that it requires, and has those it allows."""
    assert {"JobStatus", "AdminActionType", "RunManifest", "GateReceipt", "LedgerEntry"} < set(DEFS)
    for name, (required, optional) in CHARTER.items():
        definition = DEFS[name]
        assert required <= set(definition.get("required", [])), name
        assert optional <= set(definition["properties"]) - set(definition.get("required", [])), name
    assert DEFS["ArtifactRef"]["required"] == ["ref"]


def test_the_enumerations_are_closed() -> None:
    """The schema lists exactly the statuses and the actions of the library."""
    assert DEFS["JobStatus"]["enum"] == [status.value for status in JobStatus]
    actions = {"pause", "resume", "drain", "replay_request", "rotate_secret", "change_retention"}
    assert actions < set(DEFS["AdminActionType"]["enum"])
    assert DEFS["AdminActionType"]["enum"] == [action.value for action in AdminActionType]


FIRST_ACTIONS = [
    *("pause", "resume", "drain", "replay_request", "rotate_secret", "change_retention"),
    *("cancel_run", "publish_config", "apply_streams", "deploy", "promote", "revoke_pass"),
    *("erase_artifact", "grant_role", "revoke_role"),
]


def test_the_closed_set_of_actions_grows_at_its_end_only() -> None:
    """What was in it stays in its place, so that readers of an older schema know what they knew."""
    assert DEFS["AdminActionType"]["enum"][: len(FIRST_ACTIONS)] == FIRST_ACTIONS


def test_every_object_is_closed_and_described() -> None:
    """No object takes a field it does not name, and each says what it is."""
    for model in PUBLIC:
        assert DEFS[model.__name__]["additionalProperties"] is False
        assert DEFS[model.__name__]["description"]


def test_the_schema_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m ro_platform.contracts.schema` prints the document; --write puts it in a file."""
    assert main([]) == 0
    assert capsys.readouterr().out == schema_text()
    target = tmp_path / "new" / "schema.json"
    command = [sys.executable, "-m", "ro_platform.contracts.schema", "--write", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert target.read_text() == schema_text()


# --- what every contract does --------------------------------------------------------------------


def test_a_contract_cannot_be_changed() -> None:
    """An object's fields cannot be set after it is made."""
    ref = ArtifactRef(ref="a")
    with pytest.raises(ValidationError, match="frozen"):
        ref.ref = "b"  # type: ignore[misc]


def test_nothing_is_converted() -> None:
    """A number is not taken for text, nor text for a number, nor a yes for a boolean."""
    for text in ('{"ref": 1}', '{"ref": "a", "size_bytes": "1"}', '{"ref": "a", "digest": 0}'):
        with pytest.raises(ContractError):
            ArtifactRef.from_json(text)


def test_the_error_names_field_and_document() -> None:
    """A refusal names the document, the first fault's position, how many more, and the contract."""
    with pytest.raises(ContractError) as caught:
        RunManifest.from_json(
            '{"kind": "ro.run_manifest.v0", "workload": "w", "code": {"version": 1}, "x": 1}',
            where="m.yaml",
        )
    assert "m.yaml: code.version is not acceptable" in caught.value.message
    assert "(1 more)" in caught.value.message
    assert caught.value.diagnostics()["contract"] == "RunManifest"


@pytest.mark.parametrize("text", ["", "{", "nothing", '{"ref": "a"} x', b"\xff"])
def test_what_is_not_json_is_one_contract_error(text: str | bytes) -> None:
    """Text that is not JSON is refused like any other document, not by another exception."""
    with pytest.raises(ContractError, match="the whole document"):
        ArtifactRef.from_json(text)


def admin_event(**changes: Any) -> AdminEvent:
    """A sound event with some fields changed."""
    fields = {
        "admin_event_id": "e1",
        "action_type": "pause",
        "actor": "HUMAN::ada",
        "observed_at_utc": "2000-02-29T23:59:59.000001Z",
        "reason": "maintenance",
    }
    return AdminEvent.from_json(json.dumps(fields | changes))


@pytest.mark.parametrize(
    "moment",
    [
        "2000-01-01T00:00:00Z",
        "2000-01-01T00:00:00.000000+00:00",
        "2000-01-01 00:00:00.000000Z",
        "2000-13-01T00:00:00.000000Z",
        "2000-00-01T00:00:00.000000Z",
        "2000-01-32T00:00:00.000000Z",
        "2000-01-01T24:00:00.000000Z",
        "2000-01-01T00:60:00.000000Z",
        "2000-01-01T00:00:60.000000Z",
        "٢٠٠٠-01-01T00:00:00.000000Z",
        "2000-01-01T00:00:00.000000Z\n",
        "",
        946684800,
    ],
)
def test_a_moment_has_one_form(moment: Any) -> None:
    """UTC, six digits of a second, ASCII digits, a month, day and hour that exist."""
    assert admin_event().observed_at_utc == "2000-02-29T23:59:59.000001Z"
    with pytest.raises(ContractError, match="observed_at_utc"):
        admin_event(observed_at_utc=moment)


@pytest.mark.parametrize("actor", ["", "ada", "HUMAN::", "ROBOT::x", "human::ada", "HUMAN::a b"])
def test_an_actor_is_a_human_or_a_system(actor: str) -> None:
    """Anything but HUMAN::id or SYSTEM::service is refused."""
    assert admin_event(actor="SYSTEM::schedule.verify").actor == "SYSTEM::schedule.verify"
    with pytest.raises(ContractError, match="actor"):
        admin_event(actor=actor)


@pytest.mark.parametrize("reason", ["", " ", "\t\n", None])
def test_no_action_without_a_reason(reason: Any) -> None:
    """A blank reason is no reason."""
    with pytest.raises(ContractError, match="reason"):
        admin_event(reason=reason)


@pytest.mark.parametrize("path", ["a", "a/b.c", ".hidden", "a..b", "...", "..a/b", "é/\U0001f600"])
def test_a_path_within_a_tree(path: str) -> None:
    """A member's path is any relative POSIX path."""
    assert member(path).path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "./a",
        "a/.",
        "../a",
        "a/..",
        "a/../b",
        "a\\b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "a\n",
        "a" * 1025,
    ],
)
def test_a_path_cannot_leave_its_tree(path: str) -> None:
    """An absolute path, a step up, an empty part, a backslash or a control character is refused."""
    with pytest.raises(ContractError, match="path"):
        member(path)


def member(path: str) -> TreeMember:
    """A member of a tree at that path."""
    fields = {"path": path, "digest": "a" * 64, "size_bytes": 0, "blake3": "b" * 64}
    return TreeMember.from_json(json.dumps(fields))
