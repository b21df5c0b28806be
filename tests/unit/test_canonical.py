"""Canonical bytes: the RFC's own vectors, and the law that both writers give the same bytes."""

from __future__ import annotations

import json
import struct
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.errors import NotCanonicalError
from ro_platform.kernel.canonical import MAX_SAFE_INTEGER, canonical_bytes, parse_canonical

VECTORS = json.loads((Path(__file__).parent / "vectors" / "rfc8785.json").read_text("utf-8"))

_SAFE = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALAR: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | _SAFE | _TEXT | st.floats(allow_nan=False, allow_infinity=False)
)
_KEY = _TEXT | st.text(st.characters(codec="ascii"), max_size=8)
JSON_VALUES = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=20,
)
_WILD_SCALAR = (
    _SCALAR
    | st.integers(MAX_SAFE_INTEGER - 2)
    | st.floats()
    | st.text(st.characters(), max_size=4)
    | st.binary(max_size=2)
    | st.tuples(_SAFE)
)
WILD_VALUES = st.recursive(
    _WILD_SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 3) | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


def _double(bits: str) -> float:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    return float(value)


def test_the_sample_of_the_rfc_has_the_bytes_of_the_rfc() -> None:
    """Sections 3.2.2 to 3.2.4: the sample's canonical text and its bytes."""
    found = canonical_bytes(json.loads(VECTORS["sample_input"]))
    assert found.decode() == VECTORS["sample_canonical"]
    assert found == bytes.fromhex(" ".join(VECTORS["sample_bytes"]))


def test_keys_are_sorted_by_utf16_code_units() -> None:
    """Section 3.2.3: the sorting sample comes out in the RFC's order."""
    found = json.loads(canonical_bytes(json.loads(VECTORS["sorting_input"])))
    assert list(found.values()) == VECTORS["sorting_order"]


@pytest.mark.parametrize(("bits", "text"), VECTORS["numbers"])
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    """Appendix B: each double has the text of the table, alone and inside an object."""
    assert canonical_bytes(_double(bits)) == text.encode()
    assert canonical_bytes({"n": [_double(bits)]}) == f'{{"n":[{text}]}}'.encode()


@pytest.mark.parametrize("bits", VECTORS["not_numbers"])
def test_what_json_has_no_number_for_is_refused(bits: str) -> None:
    """Appendix B: NaN and the infinities are errors, with their position."""
    with pytest.raises(NotCanonicalError, match=r"\$\.a\[1\] is not a finite number"):
        canonical_bytes({"a": [0, _double(bits)]})


@given(JSON_VALUES)
def test_any_json_value_has_the_bytes_that_the_reference_gives(value: Any) -> None:
    """The fast writer is never taken where it would differ from ``rfc8785``."""
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(WILD_VALUES)
def test_what_the_reference_refuses_is_refused_and_nothing_else(value: Any) -> None:
    """Unsafe integers, NaN, lone surrogates, odd keys and types: refused exactly as before."""
    try:
        expected: bytes | None = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        expected = None
    if expected is None:
        with pytest.raises(NotCanonicalError) as refused:
            canonical_bytes({"a": value})
        assert refused.value.diagnostics()["position"].startswith("$.a")
    else:
        assert canonical_bytes({"a": value}) == b'{"a":' + expected + b"}"


@given(JSON_VALUES)
def test_canonical_bytes_read_back_to_the_same_bytes(value: Any) -> None:
    """Canonical bytes are canonical, whatever was written."""
    data = canonical_bytes(value)
    assert canonical_bytes(parse_canonical(data)) == data


def test_every_control_character_is_escaped_like_the_reference() -> None:
    """All of U+0000 to U+00FF, in values and in keys."""
    value = {chr(point): chr(point) for point in range(256)}
    assert canonical_bytes(value) == rfc8785.dumps(value)
    plain = {"text": "".join(map(chr, range(256)))}
    assert canonical_bytes(plain) == rfc8785.dumps(plain)


class _Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2)}, b'{"a":[1,2]}'),
        ({"a": _Colour.RED, _Colour.RED: 1}, b'{"a":"red","red":1}'),
        ({"a": True, "b": 1, "c": 1.0}, b'{"a":true,"b":1,"c":1}'),
        (CorrelationIds(train_run_id="t"), b'{"train_run_id":"t"}'),
        ({}, b"{}"),
    ],
)
def test_python_types_that_stand_for_json(value: Any, expected: bytes) -> None:
    """Tuples are arrays, string enums are strings, booleans are not integers, None is absent."""
    assert canonical_bytes(value) == expected


@pytest.mark.parametrize(
    ("value", "position"),
    [
        ({"a": {"b": [1, 2**53]}}, "$.a.b[1]"),
        ({"a": -(2**53)}, "$.a"),
        ({"a": "\ud800"}, "$.a"),
        ({"\udc00": 1}, "$ (key)"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ([{"x": {1, 2}}], "$[0].x"),
    ],
)
def test_a_refusal_names_the_position(value: Any, position: str) -> None:
    """The first fault in document order is named by its path."""
    with pytest.raises(NotCanonicalError) as refused:
        canonical_bytes(value)
    assert refused.value.diagnostics()["position"] == position


def test_what_nests_without_end_is_refused() -> None:
    """A value that contains itself, or nests beyond reason, is an error and not a crash."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep, {"a": deep}):
        with pytest.raises(NotCanonicalError, match="nests too deeply"):
            canonical_bytes(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1.0}',
        b'{"a":1,"a":1}',
        b'{"a":"\\u0041"}',
        b"not json",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    """Order, white space, number form, duplicate keys, escapes: one form only."""
    with pytest.raises(NotCanonicalError):
        parse_canonical(data)
