"""Manifest files: what would let chance into a run's identity is refused, at its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ro_platform.errors import (
    ContractError,
    DocumentSyntaxError,
    InputMissingError,
    InvalidInputError,
    NotCanonicalError,
    VolatileFieldError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile, parse_manifest, read_manifest_file

GOOD = """\
kind: ro.run_manifest.v0
workload: purchases
seed: 7
parameters:
  as_of: 1997-09-30
  start: "1997-01-01"
  end: 1997-06-30
  horizon_days: 90
  environmental: true
inputs:
  - name: purchases
    ref: {ref: data/purchases.csv, digest: DIGEST}
code: {version: "1.0"}
""".replace("DIGEST", "a" * 64)

PARAMETERS = """\
kind: ro.run_manifest.v0
workload: purchases
code: {version: "1.0"}
parameters:
  nested:
    deeper:
      - LINE
"""


def written(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def with_parameter(line: str) -> str:
    return PARAMETERS.replace("LINE", line)


def test_a_good_manifest_is_read_and_its_fingerprint_is_that_of_its_canonical_bytes(
    tmp_path: Path,
) -> None:
    """Dates that the data is about pass; the fingerprint needs two public tools."""
    file = read_manifest_file(written(tmp_path, GOOD))
    assert file.manifest.parameters["as_of"] == "1997-09-30"
    assert file.fingerprint == sha256_hex(canonical_bytes(file.manifest))
    assert file.folder == tmp_path


def test_yaml_json_key_order_and_white_space_give_one_fingerprint(tmp_path: Path) -> None:
    """The form does not matter, the values do."""
    first = read_manifest_file(written(tmp_path, GOOD))
    value = dict(reversed(first.manifest.to_json_value().items()))
    second = read_manifest_file(written(tmp_path, json.dumps(value, indent=7), "run.json"))
    other = read_manifest_file(written(tmp_path, GOOD.replace("seed: 7", "seed: 8"), "other.yaml"))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != other.fingerprint


VOLATILE_NAMES = [
    "now",
    "created_at",
    "createdAt",
    "started_on",
    "run_date",
    "timestamp",
    "current_time",
    "recorded_at_utc",
    "host",
    "hostname",
    "node_name",
    "pid",
    "ip_address",
    "user",
    "username",
    "owner",
    "launched_by",
    "env",
    "environment",
    "env_vars",
    "cwd",
    "home_dir",
    "uuid",
    "nonce",
]


@pytest.mark.parametrize("name", VOLATILE_NAMES)
def test_a_clock_host_user_or_environment_value_is_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    """However deep it is nested; with file, line and field."""
    path = written(tmp_path, with_parameter(f"{{{name}: x}}"))
    with pytest.raises(VolatileFieldError) as caught:
        read_manifest_file(path)
    field = f"parameters.nested.deeper[0].{name}"
    assert f"{path}, line 7, column 10: {field}" in caught.value.message
    assert caught.value.diagnostics()["field"] == field
    assert caught.value.next_step


@pytest.mark.parametrize(
    "value",
    [
        "now",
        "NOW()",
        "' now '",
        "today",
        "utcnow()",
        "yesterday",
        "current_date",
        "latest",
        "'${USER}'",
        "'a/${HOME}/b'",
        "$HOSTNAME",
        "$(hostname)",
        "'{{ ds }}'",
    ],
)
def test_a_value_that_means_something_else_each_time_is_refused(value: str) -> None:
    """A clock or environment value by its form."""
    with pytest.raises(VolatileFieldError, match="each time it is read") as caught:
        parse_manifest(with_parameter(f"{{as_of: {value}}}").encode(), "run.yaml")
    assert "run.yaml, line 7, column 10: parameters.nested.deeper[0].as_of" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "{as_of: 1997-09-30}",
        "{start: 1, end: 2, horizon_days: 3}",
        "{knowledge: now-casting}",
        "{latest_date_policy: drop}",
        "{users_min: 3}",
        "{hostility: low}",
        "{price: '$100'}",
        "{run_length: 4}",
        "{time_zone: UTC}",
        "{environment_index: 3}",
        "{text: 'from now on'}",
    ],
)
def test_names_and_values_of_the_data_itself_pass(line: str) -> None:
    """The rule is about whole names and whole values, not about letters in them."""
    assert parse_manifest(with_parameter(line).encode(), "run.yaml").parameters


BAD: dict[str, tuple[str, type[InvalidInputError], tuple[str, ...]]] = {
    "unknown field": (GOOD + "colour: red\n", ContractError, ("line 14", "colour", "not a field")),
    "missing field": (
        GOOD.replace("workload: purchases\n", ""),
        ContractError,
        ("workload", "missing"),
    ),
    "ref without digest": (
        GOOD.replace(f", digest: {'a' * 64}", ""),
        ContractError,
        ("line 11", "inputs.0", "without a digest"),
    ),
    "digest too short": (
        GOOD.replace("a" * 64, "a" * 63),
        ContractError,
        ("line 12", "inputs.0.ref.digest"),
    ),
    "seed too large": (
        GOOD.replace("seed: 7", "seed: 9007199254740993"),
        ContractError,
        ("line 3, column 1", "seed", '"9007199254740993"'),
    ),
    "seed beyond uint64": (
        GOOD.replace("seed: 7", 'seed: "18446744073709551616"'),
        ContractError,
        ("line 3", "seed", "uint64"),
    ),
    "seed that is no number": (
        GOOD.replace("seed: 7", "seed: true"),
        ContractError,
        ("line 3", "seed"),
    ),
    "integer too large": (
        GOOD.replace("horizon_days: 90", "horizon_days: 9007199254740993"),
        NotCanonicalError,
        ("line 8", "parameters.horizon_days", "2^53-1"),
    ),
    "float too large to be exact": (
        GOOD.replace("horizon_days: 90", "horizon_days: 1e17"),
        ContractError,
        ("line 8", "parameters.horizon_days", "2^53-1"),
    ),
    "float without end": (
        GOOD.replace("horizon_days: 90", "horizon_days: 1e999"),
        DocumentSyntaxError,
        ("line 8", "too large"),
    ),
    "NaN": (
        GOOD.replace("horizon_days: 90", "horizon_days: .nan"),
        DocumentSyntaxError,
        ("line 8", "horizon_days"),
    ),
    "infinity": (
        GOOD.replace("horizon_days: 90", "horizon_days: -.inf"),
        DocumentSyntaxError,
        ("line 8", "horizon_days"),
    ),
    "invalid YAML": (GOOD + "x: [1\n", DocumentSyntaxError, ("not valid YAML", "line")),
    "key twice": (GOOD + "seed: 8\n", DocumentSyntaxError, ("'seed' twice", "line 14")),
    "not a mapping": ("- 1\n- 2\n", ContractError, ("not a mapping",)),
    "empty": ("", DocumentSyntaxError, ("empty",)),
    "clock value": (
        GOOD.replace("seed: 7", "created_at: 2020-01-01"),
        VolatileFieldError,
        ("line 3", "created_at"),
    ),
    "name with a slash": (
        GOOD.replace("workload: purchases", "workload: a/b"),
        ContractError,
        ("line 2", "workload"),
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_each_bad_manifest_gets_one_clear_error_at_its_place(tmp_path: Path, case: str) -> None:
    """Code, file, line and field, what to do next; nothing beside the file is touched."""
    text, kind, words = BAD[case]
    path = written(tmp_path, text)
    with pytest.raises(kind) as caught:
        read_manifest_file(path)
    error = caught.value
    assert type(error) is kind
    for word in (str(path), *words):
        assert word in error.message, error.message
    assert error.next_step
    assert error.exit_code == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ['{"kind": NaN}', '{"kind": 1e999}', '{"kind": "a" "b"}', "{"])
def test_json_is_held_to_the_same_rules(tmp_path: Path, text: str) -> None:
    """NaN and overflow are refused there too."""
    with pytest.raises(DocumentSyntaxError):
        read_manifest_file(written(tmp_path, text, "run.json"))


def test_a_seed_beyond_json_travels_as_text() -> None:
    """A uint64 as its decimal digits is the same number."""
    text = GOOD.replace("seed: 7", f'seed: "{2**64 - 1}"')
    assert parse_manifest(text.encode(), "run.yaml").seed == 2**64 - 1


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Missing, or a folder."""
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(DocumentSyntaxError, match="cannot be read"):
            read_manifest_file(path)


@pytest.mark.parametrize(
    "ref",
    [
        "/etc/passwd",
        "../secret.csv",
        "data/../../secret.csv",
        "https://example.org/x.csv",
        "file:///etc/passwd",
        "s3://bucket/x",
        "..",
        ".",
        "data\\x.csv",
    ],
)
def test_an_input_is_only_ever_found_below_the_manifest(tmp_path: Path, ref: str) -> None:
    """No absolute path, no way upwards, no URL: the identity is not tied to one machine."""
    file = read_manifest_file(written(tmp_path, GOOD))
    with pytest.raises(InputMissingError, match="below the manifest's folder"):
        file.locate(ref)


def test_a_relative_ref_is_found_beside_the_manifest(tmp_path: Path) -> None:
    """And nowhere if the manifest came from no file."""
    file = read_manifest_file(written(tmp_path, GOOD))
    assert file.locate("data/x.csv") == tmp_path / "data" / "x.csv"
    with pytest.raises(InputMissingError):
        ManifestFile(file.manifest, file.fingerprint, None).locate("data/x.csv")


def test_reading_a_manifest_records_nothing(tmp_path: Path) -> None:
    """Neither good nor bad: an embedded plane beside it is not even created."""
    plane = Plane.in_memory()
    read_manifest_file(written(tmp_path, GOOD))
    state: Any = (plane.ledger.size(), list(plane.store.backend.names()))
    assert state == (0, [])
