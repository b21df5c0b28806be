"""Pages judged at once: the verdict of the exact, row by row reading, of sound and forged rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import LedgerCorruptError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.merkle import leaf_hash
from ro_platform.ledger import segments as pages
from ro_platform.ledger.backends.base import Mention, Row
from ro_platform.ledger.entry import EntryDraft, decode_entry, encode_entry, require_canonical
from ro_platform.ledger.segments import sound_leaves

MOMENT = "2000-01-01T00:00:00.000000Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAME = TEXT.filter(lambda name: name and "\0" not in name)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
DRAFTS = st.builds(
    EntryDraft,
    kind=st.sampled_from(EntryKind),
    subject=NAME,
    actor=st.sampled_from(["SYSTEM::test", "HUMAN::a@b"]),
    body=st.dictionaries(TEXT, JSON, max_size=4),
    key=st.none() | NAME,
    correlation_ids=st.builds(
        CorrelationIds,
        run_id=st.none() | st.just("a" * 32),
        dagster_run_id=st.none() | st.just("b-1"),
        train_run_id=st.none() | st.just("c"),
        bundle_id=st.none() | st.just("d"),
    ),
    mentions=st.lists(NAME, max_size=3).map(tuple),
)
PAGES = st.lists(DRAFTS, min_size=1, max_size=4)


def stored(drafts: list[EntryDraft]) -> tuple[list[Row], list[Mention]]:
    """What a backend would hold of them."""
    made = [encode_entry(draft, seq, MOMENT) for seq, draft in enumerate(drafts)]
    mentions = [Mention(e.seq, name) for e, _ in made for name in e.mentions or ()]
    return [row for _, row in made], mentions


def exactly(rows: list[Row], mentions: list[Mention]) -> bool:
    """Whether the exact reading finds nothing wrong with any row."""
    try:
        for seq, row in enumerate(rows):
            entry = decode_entry(row)
            require_canonical(row, entry)
            found = [mention.name for mention in mentions if mention.seq == seq]
            if row.seq != seq or sorted(entry.mentions or ()) != sorted(found):
                return False
    except LedgerCorruptError:
        return False
    return True


def at_once(rows: list[Row], mentions: list[Mention]) -> bool:
    """Whether the page is called sound."""
    found = sound_leaves(rows, mentions, 0, len(rows))
    assert found in (None, [row.leaf for row in rows])
    return found is not None


def with_bytes(row: Row, data: bytes) -> Row:
    """A forger's row: other bytes, and everything beside them as they say, where they say it."""
    forged = row._replace(entry=data, leaf=leaf_hash(data))
    try:
        said = json.loads(data)
        ids = said["correlation_ids"]
        return forged._replace(
            kind=said["kind"],
            subject=said["subject"],
            key=said.get("key"),
            run_id=ids.get("run_id"),
            dagster_run_id=ids.get("dagster_run_id"),
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        return forged


def with_field(name: str, value: object) -> Callable[[Row], bytes]:
    """Its bytes with one field of the entry changed, or left out."""

    def change(row: Row) -> bytes:
        fields: dict[str, Any] = json.loads(row.entry)
        fields[name] = value
        if value is ...:
            del fields[name]
        return json.dumps(
            fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()

    return change


NOT_AS_APPENDED: list[Callable[[Row], bytes]] = [
    lambda row: row.entry + b"\n",
    lambda row: b" " + row.entry,
    lambda row: row.entry + b"\n" + row.entry,
    lambda row: row.entry[:-1],
    lambda row: b"",
    lambda row: b"\xff" + row.entry,
    lambda row: row.entry.replace(b'"actor":"S', b'"actor":"\\u0053'),
    lambda row: row.entry.replace(b'"body"', b'"body":{},"body"'),
    lambda row: row.entry.replace(b'"seq":', b'"seq":-'),
    lambda row: row.entry.replace(b'"subject"', b'"seq":0,"subject"'),
    lambda row: json.dumps(dict(reversed(json.loads(row.entry).items()))).encode(),
    lambda row: json.dumps(json.loads(row.entry)).encode(),
    with_field("actor", "test"),
    with_field("actor", "SYSTEM::test\n"),
    with_field("actor", "SYSTEM::" + "x" * 256),
    with_field("actor", ...),
    with_field("body", []),
    with_field("body", {"n": 1.0}),
    with_field("body", {"n": 2**53}),
    with_field("body", {"n": -(2**63)}),
    with_field("body", {"n": 2**64}),
    with_field("body", {"n": 1e21}),
    with_field("body", {"n": [[[[[[[[1]]]]]]]]}),
    with_field("body", {"\ue000": 1, "\U00010000": 2}),
    with_field("body", {"\u007f": '\u2028\u0001"'}),
    with_field("body", None),
    with_field("correlation_ids", {"run_id": "A" * 32}),
    with_field("correlation_ids", {"run_id": "a" * 31}),
    with_field("correlation_ids", {"run_id": "a" * 32 + "\n"}),
    with_field("correlation_ids", {"train_run_id": "a b"}),
    with_field("correlation_ids", {"bundle_id": ""}),
    with_field("correlation_ids", {"other": "a"}),
    with_field("correlation_ids", ...),
    with_field("key", None),
    with_field("key", ""),
    with_field("key", "k" * 1024),
    with_field("key", "k" * 1025),
    with_field("key", 7),
    with_field("kind", "invented"),
    with_field("kind", 1),
    with_field("mentions", []),
    with_field("mentions", None),
    with_field("mentions", [""]),
    with_field("mentions", ["m", 1]),
    with_field("recorded_at_utc", "2000-01-01T00:00:00Z"),
    with_field("recorded_at_utc", MOMENT + "\n"),
    with_field("seq", 1),
    with_field("seq", 0.0),
    with_field("seq", "0"),
    with_field("subject", ""),
    with_field("subject", "é" * 1024),
    with_field("subject", "é" * 1025),
    with_field("extra", 1),
]
PLAIN = EntryDraft(EntryKind.ADMIN_EVENT, "s", "SYSTEM::test", {"n": 1}, "k")


@given(PAGES)
def test_every_page_that_was_appended_is_sound(drafts: list[EntryDraft]) -> None:
    """Whatever JSON the bodies are, and whatever the names: no valid page is taken for forged."""
    assert at_once(*stored(drafts))


@pytest.mark.parametrize("change", range(len(NOT_AS_APPENDED)))
@pytest.mark.parametrize("others", [0, 2])
def test_a_consistent_forgery_is_sound_exactly_if_row_by_row_it_is(
    change: int, others: int
) -> None:
    """Leaf hash and columns follow the forged bytes, so that only the bytes themselves tell."""
    rows, mentions = stored([PLAIN, *[EntryDraft(EntryKind.ADMIN_EVENT, "s", "SYSTEM::b", {})] * 2])
    forged = [with_bytes(rows[0], NOT_AS_APPENDED[change](rows[0])), *rows[1 : 1 + others]]
    assert at_once(forged, mentions) == exactly(forged, mentions)


@given(PAGES, st.data())
@example([PLAIN], None)
def test_any_changed_byte_is_judged_as_row_by_row(
    drafts: list[EntryDraft], data: st.DataObject | None
) -> None:
    """One byte of one entry replaced, removed or added, with the leaf hash and columns to match."""
    rows, mentions = stored(drafts)
    if data is not None:
        place = data.draw(st.integers(0, len(rows) - 1))
        old = rows[place].entry
        at = data.draw(st.integers(0, len(old)))
        new = data.draw(st.binary(max_size=2) | st.sampled_from([b" ", b'"', b"0", b".", b"e"]))
        rows[place] = with_bytes(rows[place], old[:at] + new + old[at + len(new) :])
    assert at_once(rows, mentions) == exactly(rows, mentions)


@given(PAGES, st.sampled_from(Row._fields), st.data())
def test_any_changed_column_is_judged_as_row_by_row(
    drafts: list[EntryDraft], column: str, data: st.DataObject
) -> None:
    """Beside true bytes: another place, leaf hash, kind, name or id."""
    rows, mentions = stored(drafts)
    place = data.draw(st.integers(0, len(rows) - 1))
    others: dict[str, st.SearchStrategy[Any]] = {
        "seq": st.integers(0, 9),
        "entry": st.just(b"{}"),
        "leaf": st.just(b"\x07" * 32),
    }
    value = data.draw(others.get(column, NAME))
    fields: dict[str, Any] = rows[place]._asdict() | {column: value}
    rows[place] = Row(**fields)
    assert at_once(rows, mentions) == exactly(rows, mentions)


@given(PAGES, st.data())
def test_any_changed_mention_is_judged_as_row_by_row(
    drafts: list[EntryDraft], data: st.DataObject
) -> None:
    """One left out, or one added that the entry does not make."""
    rows, mentions = stored(drafts)
    left_out = data.draw(st.integers(0, len(mentions)))
    if left_out < len(mentions):
        del mentions[left_out]
    else:
        extra = Mention(data.draw(st.integers(0, len(rows) - 1)), data.draw(NAME))
        mentions = sorted({*mentions, extra})
    assert at_once(rows, mentions) == exactly(rows, mentions)


def test_rows_that_share_a_line_break_are_not_taken_for_each_other() -> None:
    """Two entries in one row's bytes and none in the next are as many lines, and no page."""
    rows, mentions = stored([PLAIN, EntryDraft(EntryKind.ADMIN_EVENT, "s", "SYSTEM::b", {})])
    both = rows[0].entry + b"\n" + rows[1].entry
    forged = [with_bytes(rows[0], both), with_bytes(rows[1], b"")]
    assert not at_once(forged, mentions)


@pytest.mark.parametrize("body", [{"n": 1, "text": 'a\n"\\é'}, {"a": {"b": [1, {"c": [{}]}]}}])
def test_ordinary_entries_are_read_without_the_exact_reading(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of any script, whole numbers and a few levels of nesting are ordinary."""
    draft = EntryDraft(EntryKind.ADMIN_EVENT, "sé", "SYSTEM::b", body, mentions=("m",))
    monkeypatch.setattr(pages, "decode_entry", None)
    assert at_once(*stored([draft] * 3))


def test_a_whole_number_that_no_double_is_was_never_appended() -> None:
    """The refusal names the entry. 2^53 is a double, and its canonical form has no fraction."""
    rows, _ = stored([PLAIN])
    data = canonical_bytes({"n": 7}).join(rows[0].entry.split(canonical_bytes({"n": 1})))
    forged = with_bytes(rows[0], data.replace(b'{"n":7}', b'{"n":9007199254740993}'))
    with pytest.raises(LedgerCorruptError, match="not in canonical form") as caught:
        require_canonical(forged, decode_entry(forged))
    assert caught.value.diagnostics()["seq"] == "0"
    double, mentions = stored([EntryDraft(EntryKind.ADMIN_EVENT, "s", "SYSTEM::b", {"n": 2.0**53})])
    assert at_once(double, mentions)
