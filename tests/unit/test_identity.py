"""Identities: the same content has one name, other content another, and anyone can compute it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ro_platform.contracts import RunManifest
from ro_platform.errors import ContractError, NotCanonicalError
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.documents import parse_document
from ro_platform.kernel.identity import (
    attempt_id,
    job_id,
    manifest_fingerprint,
    parameter_hash,
    run_id,
)

SIMPLE: dict[str, Any] = {
    "kind": "ro.run_manifest.v0",
    "workload": "purchases",
    "scenario_id": "first",
    "seed": 7,
    "parameters": {"as_of": "1997-09-30", "folds": 3, "rate": 0.5, "none": None},
    "inputs": [
        {"name": "purchases", "ref": {"ref": "data/p.csv", "digest": "ab" * 32, "size_bytes": 9}}
    ],
    "config_versions": [{"config_name": "policy", "config_version": 1, "digest": "cd" * 32}],
    "code": {"version": "0.1.0"},
}

NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda number: not 2**53 <= abs(number) < 1e21
    )
    | st.text("aé€\U0001f600 1.:#-'\"\\", max_size=6)
)
PARAMETERS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
SEEDS = st.integers(0, 2**64 - 1).map(lambda n: n if n < 2**53 else str(n))
MANIFESTS = st.fixed_dictionaries(
    {"kind": st.just("ro.run_manifest.v0"), "workload": NAMES, "parameters": PARAMETERS},
    optional={"scenario_id": NAMES, "seed": SEEDS},
).map(lambda some: SIMPLE | some)


def manifest(value: dict[str, Any]) -> RunManifest:
    """The manifest that this JSON value says."""
    return RunManifest.from_json(json.dumps(value))


def fingerprint(value: dict[str, Any]) -> str:
    """The fingerprint of the manifest that this JSON value says."""
    return manifest_fingerprint(manifest(value))


def reordered(value: Any) -> Any:
    """The same JSON value with the keys of every object turned round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def changes(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed: each scalar, each key, each member left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            rest = {name: other for name, other in value.items() if name != key}
            yield rest
            yield rest | {f"{key}_": item}
            yield from (rest | {key: changed} for changed in changes(item))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in changes(item))
    else:
        yield from (other for other in (None, True, 11, "eleven", "ef" * 32) if other != value)


def test_known_answer() -> None:
    """The fingerprint is what sorted, compact JSON and SHA-256 alone give for plain content."""
    plain = json.dumps(SIMPLE, sort_keys=True, separators=(",", ":")).encode()
    assert canonical_bytes(manifest(SIMPLE)) == plain
    assert fingerprint(SIMPLE) == hashlib.sha256(plain).hexdigest()
    assert fingerprint(SIMPLE) == (
        "0278b8987ca9ec21a254d5872a8a76a808d6880b2c78edab59bb795966c27374"
    )


def test_derived_identities_are_what_the_contract_says() -> None:
    """Run, job and attempt are named by the first 32 hex of SHA-256 over a tagged line each."""

    def named(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    run = run_id("ab" * 32)
    job = job_id(run, "cdnow/bundle#complete")
    assert run == named("ro/run/v0\n" + "ab" * 32)
    assert job == named(f"ro/job/v0\n{run}\ncdnow/bundle#complete")
    assert attempt_id(job, 12) == named(f"ro/attempt/v0\n{job}\n12")


def test_parameter_hash_is_of_the_parameters_alone() -> None:
    """The parameter hash moves with the parameters and with nothing else."""
    plain = json.dumps(SIMPLE["parameters"], sort_keys=True, separators=(",", ":")).encode()
    assert parameter_hash(manifest(SIMPLE)) == hashlib.sha256(plain).hexdigest()
    elsewhere = manifest(SIMPLE | {"seed": 8, "workload": "other"})
    assert parameter_hash(elsewhere) == parameter_hash(manifest(SIMPLE))
    assert (
        parameter_hash(manifest(SIMPLE | {"parameters": {}})) != hashlib.sha256(plain).hexdigest()
    )


@given(MANIFESTS)
def test_form_does_not_change_the_fingerprint(value: dict[str, Any]) -> None:
    """Key order, white space, escapes, and YAML or JSON are no part of the identity."""
    stream = io.BytesIO()
    writer = YAML(typ="safe", pure=True)
    writer.width = 100_000
    writer.dump(reordered(value), stream)
    forms = {
        "a.json": json.dumps(reordered(value), indent=3).encode(),
        "b.json": json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
        "c.yaml": stream.getvalue(),
    }
    read = {name: parse_document(data, name).value for name, data in forms.items()}
    assert {fingerprint(found) for found in read.values()} == {fingerprint(value)}


@given(MANIFESTS)
def test_the_fingerprint_is_that_of_the_document_alone(value: dict[str, Any]) -> None:
    """RFC 8785 over the document as it was written, by another package, gives the same bytes."""
    assert canonical_bytes(manifest(value)) == rfc8785.dumps(value)


@given(MANIFESTS)
def test_canonical_bytes_are_a_fixed_point(value: dict[str, Any]) -> None:
    """The canonical bytes, read as a manifest, are the same manifest with the same bytes."""
    data = canonical_bytes(manifest(value))
    assert RunManifest.from_json(data) == manifest(value)
    assert canonical_bytes(RunManifest.from_json(data)) == data


@given(MANIFESTS, MANIFESTS)
def test_other_manifests_have_other_fingerprints(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Two manifests share a fingerprint exactly when they are the same manifest."""
    same = canonical_bytes(manifest(one)) == canonical_bytes(manifest(two))
    assert (fingerprint(one) == fingerprint(two)) == same


def test_any_single_change_is_refused_or_another_identity() -> None:
    """Whatever one value, key or member is changed, the fingerprint is new or there is none."""
    seen = {fingerprint(SIMPLE)}
    refused = 0
    for changed in changes(SIMPLE):
        try:
            found = fingerprint(changed)
        except ContractError:
            refused += 1
        else:
            assert found not in seen or json.dumps(changed).count("null") > 0, changed
            assert found != fingerprint(SIMPLE), changed
            seen.add(found)
    assert refused > 20
    assert len(seen) > 50


@given(MANIFESTS, NAMES, PARAMETERS)
def test_any_changed_parameter_is_another_identity(
    value: dict[str, Any], name: str, others: dict[str, Any]
) -> None:
    """Parameters with another value, one more or one fewer, name another run."""
    for parameters in (others, value["parameters"] | {name: others}):
        same = canonical_bytes(parameters) == canonical_bytes(value["parameters"])
        assert (fingerprint(value | {"parameters": parameters}) == fingerprint(value)) == same


def test_null_and_absent_parameters_differ() -> None:
    """Inside the parameters null is a value: leaving it out is a change."""
    with_null = SIMPLE | {"parameters": {"a": None}}
    assert fingerprint(with_null) != fingerprint(SIMPLE | {"parameters": {}})


@given(st.integers(0, 2**64 - 1))
def test_a_seed_has_one_spelling(seed: int) -> None:
    """Each uint64 is accepted in exactly one form, and the canonical bytes carry that form."""
    accepted = []
    for spelling in (seed, str(seed), f"0{seed}", f"+{seed}", f" {seed}", float(seed), f"{seed}.0"):
        try:
            accepted.append((spelling, manifest(SIMPLE | {"seed": spelling})))
        except ContractError:
            continue
    [(spelling, read)] = accepted
    assert read.seed == seed
    assert isinstance(spelling, int if seed < 2**53 else str)
    assert read.to_json_value()["seed"] == spelling


@pytest.mark.parametrize(
    "seed",
    [
        -1,
        2**53,
        2**64,
        str(2**64),
        str(2**53 - 1),
        "7",
        "",
        "-9007199254740993",
        "\u0669" * 17,
        True,
        7.0,
        "1e20",
        "9007199254740993\n",
        [7],
        "9" * 5000,
    ],
)
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    """A seed is a uint64 in its one spelling; anything else is refused by name."""
    with pytest.raises(ContractError, match="seed"):
        manifest(SIMPLE | {"seed": seed})


@pytest.mark.parametrize("edge", [0, 2**53 - 1, "9007199254740992", str(2**64 - 1)])
def test_the_edges_of_a_seed(edge: int | str) -> None:
    """The smallest and largest seed of each spelling are accepted."""
    assert manifest(SIMPLE | {"seed": edge}).seed == int(edge)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", str(2**53), str(-(2**53))])
def test_numbers_without_a_canonical_form_have_no_identity(number: str) -> None:
    """A parameter that RFC 8785 cannot carry exactly is refused with its position."""
    text = json.dumps(SIMPLE | {"parameters": {"deep": ["@"]}}).replace('"@"', number)
    with pytest.raises(NotCanonicalError) as caught:
        manifest_fingerprint(RunManifest.from_json(text))
    assert caught.value.diagnostics()["position"] == "$.parameters.deep[0]"


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 1e16, 9.99e20])
def test_a_float_that_would_read_back_as_a_large_integer_is_refused(number: float) -> None:
    """JCS writes such a float as a whole number beyond 2^53-1, so it has no safe form."""
    with pytest.raises(ContractError, match=r"at\[0\] is beyond"):
        manifest(SIMPLE | {"parameters": {"at": [number]}})


@pytest.mark.parametrize("number", [2.0**53 - 1, 1e21, -1e300, 5e-324])
def test_other_floats_are_fine(number: float) -> None:
    """Floats below that range, and those that JCS writes with an exponent, read back equal."""
    value = manifest(SIMPLE | {"parameters": {"at": number}})
    assert RunManifest.from_json(canonical_bytes(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2.0**53, 1e16, -1e20]))
def test_a_canonical_document_with_any_float_reads_back(number: float) -> None:
    """What is written canonically is read canonically, whole floats beyond 2^53-1 too."""
    assert parse_canonical(canonical_bytes({"a": number})) == {"a": number}
