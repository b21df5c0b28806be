"""Reading documents: YAML and JSON give the same JSON values, and nothing ambiguous gets in."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ro_platform.errors import DocumentSyntaxError
from ro_platform.kernel.documents import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    MAX_YAML_BYTES,
    parse_document,
)

NOT_FINITE = {"nan", "NaN", "inf", "Infinity", ".nan", ".inf"}
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
# Plain YAML cannot tell these words from numbers, so the reader refuses them without quotes.
YAML_TEXT = TEXT.filter(lambda text: text.lstrip("+-") not in NOT_FINITE)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).filter(
    lambda text: text.lstrip("+-") not in NOT_FINITE
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any JSON value over that kind of text."""
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | text,
        lambda below: st.lists(below, max_size=4) | st.dictionaries(text, below, max_size=4),
        max_leaves=12,
    )


def as_yaml(value: Any) -> bytes:
    """The value as another tool would write it in block style."""
    stream = io.BytesIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = False
    writer.width = 100_000  # its folding of long text loses blanks
    writer.dump(value, stream)
    return stream.getvalue()


def refusal(data: bytes | str, source: str = "m.yaml") -> str:
    """The message with which the reader refuses the document."""
    with pytest.raises(DocumentSyntaxError) as caught:
        parse_document(data.encode() if isinstance(data, str) else data, source)
    assert caught.value.next_step
    assert source in caught.value.message
    return caught.value.message


def exactly(value: Any) -> str:
    """A form in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


@given(json_values(TEXT), st.booleans())
def test_json_reads_back_equal(value: Any, ascii_only: bool) -> None:
    """Any JSON value, written as JSON, is read back equal and of the same types."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert exactly(parse_document(text.encode(), "m.json").value) == exactly(value)


@given(json_values(YAML_TEXT))
def test_yaml_reads_back_equal(value: Any) -> None:
    """Any JSON value, written as YAML by another library, is read back equal."""
    assert exactly(parse_document(as_yaml(value), "m.yaml").value) == exactly(value)


@given(json_values(PRINTABLE), st.sampled_from([None, 2]))
def test_json_text_is_yaml(value: Any, indent: int | None) -> None:
    """JSON text reads the same whether its file is called .json or .yaml."""
    data = json.dumps(value, indent=indent).encode()
    from_json = parse_document(data, "m.json").value
    assert exactly(parse_document(data, "m.yaml").value) == exactly(from_json)


@given(st.binary(max_size=200), st.sampled_from(["m.yaml", "m.json"]))
def test_any_bytes_give_a_value_or_one_error(data: bytes, source: str) -> None:
    """Whatever the bytes, the reader answers a JSON value or a DocumentSyntaxError."""
    try:
        value = parse_document(data, source).value
    except DocumentSyntaxError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1", "anchor or alias (line 1, column 4)"),
        ("a: *x", "anchor or alias"),
        ("<<: {a: 1}", "a key that is not plain text"),
        ("? [a]\n: 1", "a key that is not plain text"),
        ("a: !!str 1", "the tag"),
        ("a: !!python/object/apply:os.system ['true']", "the tag"),
        ("a: ! 1", "the tag"),
        ("- 1\n- !!binary aGk=", "the tag tag:yaml.org,2002:binary (line 2, column 3)"),
        ("a: 1\nb: 2\na: 3", "the key 'a' twice (line 3, column 1)"),
        ("{a: 1, 'a': 2}", "the key 'a' twice"),
        ("a: {b: 1, b: 1}", "the key 'b' twice"),
        ("a: .nan", ".nan at a (line 1, column 4), which is not a JSON number"),
        ("a: NaN", "not a JSON number"),
        ("a: [1, -.inf]", "-.inf at a[1]"),
        ("a: 1e999", "too large a number"),
        ("a: -1e999", "too large a number"),
        (f"a: {'9' * 5000}", "too large a number"),
        ("a: \x00", "not valid YAML"),
        ("a: \x07", "not valid YAML"),
        ("\ta: 1", "not valid YAML"),
        ("a:\n\tb: 1", "(line 2, column 1)"),
        ("a: b: c", "(line 1, column 5)"),
        ("a: 'x", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
        ("a: 'x\u2028y'", "bare character U+2028 (line 1)"),
        ("a: 1\nb: x\x85y", "bare character U+0085 (line 2)"),
        ("", "is empty"),
        ("# nothing but a comment\n", "is empty"),
        (r'a: "\ud800"', "half of a surrogate pair"),
        (r'"\udc00": 1', "half of a surrogate pair"),
    ],
)
def test_yaml_refusals(text: str, words: str) -> None:
    """What JSON cannot say, or says in two ways, is refused where it stands in the YAML."""
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' twice"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        ('{"a": NaN}', "holds NaN"),
        ("[Infinity]", "holds Infinity"),
        ("[-Infinity]", "holds -Infinity"),
        ("1e999", "holds 1e999"),
        (f"[-{'9' * 5000}]", "too large a number"),
        ('{"a": 007}', "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ('{"a": 1,}', "is not JSON"),
        ('{"a": "\x00"}', "is not JSON"),
        ('{"a": 1} {"b": 2}', "line 1, column 10"),
        ("", "is not JSON"),
        (r'["\ud800"]', "half of a surrogate pair"),
        (r'{"\udfff": 1}', "half of a surrogate pair"),
    ],
)
def test_json_refusals(text: str, words: str) -> None:
    """What is not JSON, or has no single meaning as JSON, is refused."""
    assert words in refusal(text, "m.json")


@pytest.mark.parametrize("source", ["m.yaml", "m.json"])
def test_bad_utf8_is_refused(source: str) -> None:
    """Bytes that are not UTF-8 are refused with their offset."""
    assert "is not UTF-8 (byte 7)" in refusal(b'{"a": "\xff"}', source)


def test_a_byte_order_mark_is_ignored() -> None:
    """A document saved with a byte order mark is the same document."""
    for source in ("m.yaml", "m.json"):
        assert parse_document(b'\xef\xbb\xbf{"a": 1}', source).value == {"a": 1}


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "yes",
        "on",
        "off",
        "1997-09-30",
        "2001-12-14t21:59:43.10-05:00",
        "007",
        "0o17",
        "0x1F",
        "0b1",
        "12:30:45",
        "1_000",
        "1,5",
        "=",
        "tRue",
        "nULL",
        "1e",
        "--1",
        "1.2.3",
    ],
)
def test_words_of_older_yaml_stay_text(word: str) -> None:
    """Only JSON's own literals are anything but text: no Norway, no dates, no octals."""
    assert parse_document(f"a: {word}".encode(), "m.yaml").value == {"a": word}


def test_plain_scalars_of_json() -> None:
    """Null, booleans and numbers are read as JSON reads them; quotes make text of anything."""
    text = "a: null\nb: true\nc: -12\nd: 1.50\ne: 2e3\nf: '1'\ng: \"true\"\nh: |\n  1\n"
    value = parse_document(text.encode(), "m.yaml").value
    assert exactly(value) == exactly(
        {"a": None, "b": True, "c": -12, "d": 1.5, "e": 2000.0, "f": "1", "g": "true", "h": "1\n"}
    )


def test_keys_are_text_as_written() -> None:
    """A key is text however it looks, and a quoted << is a key like any other."""
    text = "1: a\ntrue: b\nnull: c\n'<<': d\n"
    expected = {"1": "a", "true": "b", "null": "c", "<<": "d"}
    assert parse_document(text.encode(), "m.yaml").value == expected


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    """JSON's escape of a character beyond the first plane reads the same as YAML."""
    data = rb'{"a": "\ud83d\ude00"}'
    for source in ("m.json", "m.yaml"):
        assert parse_document(data, source).value == {"a": "\U0001f600"}


def test_billion_laughs_is_refused_before_it_grows() -> None:
    """Aliases that would expand to a billion nodes are refused at the first one."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "anchor or alias (line 1, column 5)" in refusal("\n".join(["l0: &l0 lol", *levels]))


@pytest.mark.parametrize("source", ["m.yaml", "m.json"])
def test_nesting_has_one_limit(source: str) -> None:
    """The deepest accepted document and the first refused one are the same for both readers."""
    deepest, deeper = (b"[" * n + b"]" * n for n in (MAX_DEPTH, MAX_DEPTH + 1))
    assert json.dumps(parse_document(deepest, source).value).encode() == deepest
    assert "nested too deeply" in refusal(deeper, source)
    assert "nested too deeply" in refusal(b"[" * 50_000 + b"]" * 50_000, source)
    assert "nested too deeply" in refusal(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, source)


def test_size_limits() -> None:
    """A document beyond its format's limit is refused unread, with what to do instead."""
    assert f"larger than {MAX_DOCUMENT_BYTES} bytes" in refusal(
        b" " * (MAX_DOCUMENT_BYTES + 1), "m.json"
    )
    assert "write it as a .json file" in refusal(b" " * (MAX_YAML_BYTES + 1), "m.yaml")


def test_many_keys_are_read_in_one_pass() -> None:
    """A flat object of a hundred thousand keys is read without comparing each with each."""
    value = {f"k{n}": n for n in range(100_000)}
    assert parse_document(json.dumps(value).encode(), "m.json").value == value


def test_where_names_file_line_and_column() -> None:
    """A value's place is known by its path; a JSON value's by its path alone."""
    text = b"workload: w\nparameters:\n  as_of: x\nlist:\n  - a\n  - b: 1\n"
    document = parse_document(text, "m.yaml")
    assert document.where("parameters.as_of") == "m.yaml, line 3, column 3: parameters.as_of"
    assert document.where("list[1].b") == "m.yaml, line 6, column 5: list[1].b"
    assert document.where("absent") == "m.yaml: absent"
    assert parse_document(b"{}", "m.json").where("") == "m.json"
