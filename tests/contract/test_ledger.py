"""One suite for every ledger backend: appending, reading, proving, verifying."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.config import PinnedConfigRef
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.errors import (
    ContractError,
    EntryConflictError,
    InvalidInputError,
    LedgerCorruptError,
    NotCanonicalError,
    NotFoundError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.merkle import EMPTY_ROOT, fold, leaf_hash
from ro_platform.ledger.backends.base import Between, LedgerBackend, Mention, Row, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft, encode_entry
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.ledger.tree import ConsistencyProof, InclusionProof
from tests.effort import times
from tests.servers import Databases

RUN = ["a" * 32, "b" * 32]
OpenLedger = Callable[[], Ledger]
OpenBackend = Callable[[], LedgerBackend]
KINDS = list(EntryKind)[:4]
SUBJECTS = [f"subject-{number}" for number in range(6)]


def draft(number: int, **changes: Any) -> EntryDraft:
    """The fact of that number: four kinds, five subjects, two runs, three Dagster runs; every
    fourth mentions nothing, the others two names or, twice over, one."""
    ids = CorrelationIds(run_id=RUN[number % 2], dagster_run_id=f"dagster-{number % 3}")
    given: dict[str, Any] = {
        "kind": list(EntryKind)[number % 4],
        "subject": f"subject-{number % 5}",
        "actor": "SYSTEM::test",
        "body": {"number": number, "text": "é", "nothing": None, "deep": [{"x": 1.5}]},
        "correlation_ids": ids,
        "mentions": (f"name-{number % 7}", f"name-{number % 3}") if number % 4 else (),
    }
    return EntryDraft(**(given | changes))


def drafts(count: int, start: int = 0) -> list[EntryDraft]:
    """Facts ``start`` up to ``start + count``."""
    return [draft(number) for number in range(start, start + count)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBackend]:
    """Opens a fresh backend at every call."""
    numbers, opened, taken = itertools.count(), list[LedgerBackend](), list[str]()
    databases: Databases | None = None
    if request.param == "postgres":
        databases = request.getfixturevalue("postgres_databases")

    def fresh() -> LedgerBackend:
        backend: LedgerBackend = MemoryLedgerBackend()
        if request.param == "sqlite":
            backend = SqliteLedgerBackend(tmp_path / str(next(numbers)) / "ledger.sqlite")
        if databases is not None:
            taken.append(databases.take())
            backend = PostgresLedgerBackend(databases.server.socket_url(taken[-1]))
        opened.append(backend)
        return backend

    yield fresh
    for backend in opened:
        backend.close()
    for name in taken:
        assert databases is not None
        databases.give_back(name)


@pytest.fixture
def open_ledger(open_backend: OpenBackend) -> OpenLedger:
    """Opens a fresh ledger at every call."""
    return lambda: Ledger(open_backend(), ManualClock())


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Ledger:
    """One fresh ledger."""
    return open_ledger()


laws = settings(
    max_examples=times(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# --- appending -----------------------------------------------------------------------------------


def test_a_ledger_that_does_not_exist_reads_as_an_empty_one(ledger: Ledger) -> None:
    """Nothing recorded: size 0, the root of nothing, no entries, and it verifies."""
    assert (ledger.size(), ledger.root()) == (0, EMPTY_ROOT)
    assert list(ledger.scan()) == []
    assert ledger.find("key") is None
    assert ledger.latest(EntryKind.ADMIN_EVENT, "x") is None
    assert ledger.latest_of([(EntryKind.ADMIN_EVENT, "x")] * 2) == [None, None]
    assert list(ledger.scan(mention="x")) == []
    assert ledger.verify().size == 0
    with pytest.raises(NotFoundError):
        ledger.get(0)


def test_an_appended_entry_has_its_place_its_time_and_everything_drafted(ledger: Ledger) -> None:
    """What comes back, now and when read again, is the draft plus ``seq`` and the clock's time."""
    given = draft(7, key="k", actor="HUMAN::ada")
    entry = ledger.append(given)
    assert entry == LedgerEntry(
        seq=0,
        kind=given.kind,
        subject=given.subject,
        key="k",
        actor="HUMAN::ada",
        recorded_at_utc="2000-01-01T00:00:00.000000Z",
        mentions=("name-0", "name-1"),
        correlation_ids=given.correlation_ids,
        body=given.body_object(),
    )
    assert ledger.get(0) == ledger.find("k") == ledger.latest(given.kind, given.subject) == entry
    assert ledger.root() == leaf_hash(canonical_bytes(entry))


def test_a_contract_is_a_body(ledger: Ledger) -> None:
    """A contract is stored as its JSON form, absent fields left out."""
    body = PinnedConfigRef(config_name="c", config_version=1, digest="d" * 64)
    assert ledger.append(draft(0, body=body)).body == body.to_json_value()


@laws
@given(sizes=st.lists(st.sampled_from([0, 1, 1, 1, 15, 16, 17, 40]), max_size=8))
def test_any_batches_give_the_tree_that_one_by_one_gives(
    open_ledger: OpenLedger, sizes: list[int]
) -> None:
    """The root depends on the entries alone, never on how they were committed together, nor on
    which backend has them."""
    batched, single, number = open_ledger(), Ledger(MemoryLedgerBackend(), ManualClock()), 0
    for size in sizes:
        batched.append_many(drafts(size, number))
        number += size
    for fact in drafts(number):
        single.append(fact)
    assert batched.root() == single.root()
    assert [entry.seq for entry in batched.scan()] == list(range(number))
    assert batched.verify() == single.verify()


def test_a_batch_with_one_bad_draft_leaves_nothing(ledger: Ledger) -> None:
    """All or none: the drafts before the bad one are not recorded either."""
    ledger.append_many(drafts(20))
    root = ledger.root()
    refusals: list[tuple[EntryDraft, type[Exception] | tuple[type[Exception], ...]]] = [
        (draft(1, actor="nobody"), ContractError),
        (draft(1, subject=""), ContractError),
        (draft(1, mentions=("",)), ContractError),
        (draft(1, mentions=("ok", "\ud800")), (ContractError, NotCanonicalError)),
        (draft(1, mentions=("a\0b",)), ContractError),
        (draft(1, subject="a\0b"), ContractError),
        (draft(1, key="é\0"), ContractError),
        (draft(1, key="é" * 1025), ContractError),
        (draft(1, subject="€" * 683), ContractError),
        (draft(1, body={"n": 2**53}), NotCanonicalError),
        (draft(1, body={"n": float("inf")}), (ContractError, NotCanonicalError)),
        (draft(1, body={"t": "\ud800"}), (ContractError, NotCanonicalError)),
        (draft(1, body={"t": object()}), ContractError),
    ]
    for bad, error in refusals:
        with pytest.raises(error):
            ledger.append_many([*drafts(5), bad])
    assert (ledger.size(), ledger.root()) == (20, root)
    assert ledger.append(draft(0)).seq == 20
    assert ledger.verify().size == 21


def test_no_drafts_record_nothing(ledger: Ledger) -> None:
    """An empty batch is not an error and creates nothing."""
    assert ledger.append_many([]) == []
    assert ledger.append_with(lambda _: []) == []
    assert ledger.size() == 0


def test_restating_a_fact_under_its_key_returns_the_entry_there_is(ledger: Ledger) -> None:
    """Same key, kind, subject and body: idempotent, alone, in a batch, and twice in one batch."""
    first = ledger.append(draft(0, key="k"))
    assert ledger.append(draft(0, key="k", actor="HUMAN::other")) == first
    again = ledger.append_many([draft(1, key="l"), draft(0, key="k"), draft(1, key="l"), draft(2)])
    assert [entry.seq for entry in again] == [1, 0, 1, 2]
    assert ledger.size() == 3
    assert ledger.verify().size == 3


@pytest.mark.parametrize(
    "change",
    [
        {"kind": EntryKind.ADMIN_EVENT},
        {"subject": "other"},
        {"body": {"number": True}},
        {"body": {"number": 1, "more": None}},
    ],
)
def test_another_fact_under_a_used_key_is_a_conflict(
    ledger: Ledger, change: dict[str, Any]
) -> None:
    """Refused with the ``seq`` that has the key; nothing of the batch is recorded."""
    ledger.append(draft(3))
    ledger.append(draft(0, key="k", body={"number": 1}))
    with pytest.raises(EntryConflictError, match="Entry 1 ") as refused:
        ledger.append_many([draft(9), draft(0, **({"key": "k", "body": {"number": 1}} | change))])
    assert refused.value.diagnostics()["seq"] == "1"
    assert ledger.size() == 2


@laws
@given(keys=st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12), cut=st.integers(0, 12))
def test_keys_are_unique_however_they_arrive(
    open_ledger: OpenLedger, keys: list[str | None], cut: int
) -> None:
    """One entry a key, one for every draft without; each draft gets the entry of its key."""
    ledger = open_ledger()
    facts = [draft(0, key=key, body={"key": key}) for key in keys]
    entries = ledger.append_many(facts[:cut]) + ledger.append_many(facts[cut:])
    assert [entry.key for entry in entries] == keys
    assert ledger.size() == keys.count(None) + len(set(keys) - {None})
    assert ledger.verify().size == ledger.size()


def test_build_reads_what_is_recorded_and_its_exception_records_nothing(ledger: Ledger) -> None:
    """``append_with`` sees the log as it is for the append; a failing build leaves no trace."""
    ledger.append_many(drafts(18))

    def following(reader: LedgerReader) -> list[EntryDraft]:
        latest = reader.latest(draft(4).kind, draft(4).subject)
        assert latest is not None
        assert reader.size() == 18
        assert [entry.seq for entry in reader.scan(newest_first=True, limit=1)] == [17]
        return [draft(0, body={"after": latest.seq})]

    assert ledger.append_with(following)[0].body == {"after": 4}

    def failing(reader: LedgerReader) -> list[EntryDraft]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ledger.append_with(failing)
    assert ledger.verify().size == 19


def test_an_append_inside_an_append_is_refused(ledger: Ledger) -> None:
    """By the same thread it would wait for itself, or number twice: neither is recorded."""

    def appending(reader: LedgerReader) -> list[EntryDraft]:
        ledger.append(draft(0))
        return [draft(1)]

    with pytest.raises(InvalidInputError, match="decides what to append"):
        ledger.append_with(appending)
    assert ledger.size() == 0
    assert ledger.append(draft(2)).seq == 0


def test_threads_number_their_facts_without_a_race(ledger: Ledger) -> None:
    """Eight threads that read the last number and append the next one never share a number."""

    def next_number(reader: LedgerReader) -> list[EntryDraft]:
        latest = reader.latest(EntryKind.CONFIG_PUBLISHED, "c")
        number = 1 if latest is None else int(str(latest.body["number"])) + 1
        return [draft(0, kind=EntryKind.CONFIG_PUBLISHED, subject="c", body={"number": number})]

    def work() -> None:
        for _ in range(10):
            ledger.append_with(next_number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.body["number"] for entry in ledger.scan()] == list(range(1, 81))
    assert ledger.verify().size == 80


# --- reading -------------------------------------------------------------------------------------


@laws
@given(
    count=st.integers(0, 60),
    start=st.integers(-1, 70),
    end=st.none() | st.integers(0, 70),
    kind=st.none() | st.sampled_from(list(EntryKind)),
    subject=st.none() | st.sampled_from(SUBJECTS),
    run_id=st.none() | st.sampled_from(RUN),
    dagster_run_id=st.none() | st.sampled_from(["dagster-0", "dagster-9"]),
    mention=st.none() | st.sampled_from(["name-0", "name-2", "name-5", "name-9"]),
    newest_first=st.booleans(),
    limit=st.none() | st.integers(0, 5),
)
def test_a_scan_is_the_filtered_log(
    open_ledger: OpenLedger,
    count: int,
    start: int,
    end: int | None,
    kind: EntryKind | None,
    subject: str | None,
    run_id: str | None,
    dagster_run_id: str | None,
    mention: str | None,
    newest_first: bool,
    limit: int | None,
) -> None:
    """Every filter, direction and limit answers what filtering the whole log would."""
    ledger = open_ledger()
    entries = ledger.append_many(drafts(count))
    expected = [
        entry
        for entry in entries
        if entry.seq >= start
        and (end is None or entry.seq < end)
        and kind in (None, entry.kind)
        and subject in (None, entry.subject)
        and run_id in (None, entry.correlation_ids.run_id)
        and dagster_run_id in (None, entry.correlation_ids.dagster_run_id)
        and (mention is None or mention in (entry.mentions or ()))
    ]
    found = ledger.scan(
        start=start,
        end=end,
        kind=kind,
        subject=subject,
        run_id=run_id,
        dagster_run_id=dagster_run_id,
        mention=mention,
        newest_first=newest_first,
        limit=limit,
    )
    assert list(found) == (expected[::-1] if newest_first else expected)[:limit]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_long_scan_streams_in_order_while_others_append(
    ledger: Ledger, newest_first: bool
) -> None:
    """It goes on over many pages, is not disturbed by an append, and does not include it."""
    ledger.append_many(drafts(1234))
    seen = []
    for entry in ledger.scan(run_id=RUN[0], newest_first=newest_first):
        seen.append(entry.seq)
        if len(seen) == 3:
            ledger.append_many(drafts(10, 1234))
    expected = list(range(0, 1234, 2))
    assert seen == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("run_id", "step"), [(None, 1), (RUN[0], 2)])
def test_what_is_mentioned_often_is_found_over_many_pages(
    ledger: Ledger, newest_first: bool, run_id: str | None, step: int
) -> None:
    """Each entry once and in order, alone and with another filter, whatever comes meanwhile."""
    ledger.append_many([draft(number, mentions=("often", f"{number}")) for number in range(1600)])
    seen = []
    for entry in ledger.scan(mention="often", run_id=run_id, newest_first=newest_first):
        seen.append(entry.seq)
        if len(seen) == 3:
            ledger.append(draft(0, mentions=("often",)))
    expected = list(range(0, 1600, step))
    assert seen == (expected[::-1] if newest_first else expected)
    assert [entry.seq for entry in ledger.scan(mention="777")] == [777]


def test_a_name_said_twice_is_one_mention(ledger: Ledger) -> None:
    """Duplicates in a draft collapse, whatever their order; no mentions are none."""
    entry = ledger.append(draft(0, mentions=("b", "a", "b", "a")))
    assert entry.mentions == ("a", "b")
    assert ledger.append(draft(0, mentions=())).mentions is None
    assert list(ledger.scan(mention="b")) == [entry]
    assert ledger.verify().size == 2


def test_names_are_compared_exactly(ledger: Ledger) -> None:
    """Case, accents, spaces and wildcards make another name; length and script do not matter."""
    names = [
        "name",
        "Name",
        "nàme",
        "na\u0301me",
        "name ",
        "n%",
        "n_me",
        "'",
        "é" * 1024,
        "名" * 682,
    ]
    for name in names:
        ledger.append(draft(0, subject=name, key=name, mentions=(name,)))
    for seq, name in enumerate(names):
        assert [entry.seq for entry in ledger.scan(mention=name)] == [seq]
        assert [entry.seq for entry in ledger.scan(subject=name)] == [seq]
        assert ledger.find(name) == ledger.latest(KINDS[0], name) == ledger.get(seq)
    assert ledger.verify().size == len(names)


def test_an_exception_takes_mentions_back(open_backend: OpenBackend) -> None:
    """Neither found nor in the way: the same names may be mentioned at the same place again."""
    backend = open_backend()
    ledger = Ledger(backend, ManualClock())
    ledger.append(draft(0, mentions=("kept",)))

    def abandoned() -> None:
        _, row = encode_entry(draft(1), 1, "2000-01-01T00:00:00.000000Z")
        with backend.transaction() as transaction:
            transaction.insert([row], [], [Mention(1, "kept"), Mention(1, "lost")])
            assert [row.seq for row in transaction.page(Selection(mention="lost"), 9)] == [1]
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        abandoned()
    assert list(ledger.scan(mention="lost")) == []
    assert [entry.seq for entry in ledger.scan(mention="kept")] == [0]
    assert ledger.append(draft(2, mentions=("lost", "kept"))).seq == 1
    assert [entry.seq for entry in ledger.scan(mention="lost")] == [1]
    assert ledger.verify().size == 2


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (Mention(0, "name-1"), "Entry 0 is found by 'name-1'"),
        (Mention(1, "added"), "Entry 1 is found by 'added'"),
        (Mention(7, "added"), "3 mentions are stored where 2 belong"),
    ],
)
def test_a_mention_that_no_entry_makes_is_found(
    open_backend: OpenBackend, extra: Mention, said: str
) -> None:
    """A wrong one at an entry, or one beyond the end: a read through it and verification refuse."""
    backend = open_backend()
    ledger = Ledger(backend, ManualClock())
    ledger.append_many([draft(0), draft(1), draft(2)])
    with backend.transaction() as transaction:
        transaction.insert([], [], [extra])
    with pytest.raises(LedgerCorruptError, match=said):
        ledger.verify()
    if extra.seq < 3:
        with pytest.raises(LedgerCorruptError, match=f"Entry {extra.seq} was found by"):
            list(ledger.scan(mention=extra.name))


def test_nothing_is_stored_twice(open_backend: OpenBackend) -> None:
    """The same place, key, mention or node again is refused as corruption, and nothing is kept."""
    backend = open_backend()
    ledger = Ledger(backend, ManualClock())
    ledger.append_many([draft(number, key=f"k{number}") for number in range(20)])
    moment = "2000-01-01T00:00:00.000000Z"
    again, same_key = (
        encode_entry(draft(3), 3, moment)[1],
        encode_entry(draft(3, key="k3"), 20, moment)[1],
    )
    gap = encode_entry(draft(3), 21, moment)[1]
    refused: list[tuple[list[Row], list[Mention]]] = [
        ([again], []),
        ([same_key], []),
        ([gap], []),
        ([], [Mention(1, "name-1")]),
    ]
    for rows, mentions in refused:
        with pytest.raises(LedgerCorruptError), backend.transaction() as transaction:
            transaction.insert(rows, [], mentions)
    assert ledger.verify().size == 20


@laws
@given(
    count=st.integers(0, 30),
    questions=st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(SUBJECTS)), max_size=8),
)
def test_the_latest_of_many_is_the_latest_of_each(
    open_ledger: OpenLedger, count: int, questions: list[tuple[EntryKind, str]]
) -> None:
    """In the order of the questions, one asked twice too, inside a transaction and outside."""
    ledger = open_ledger()
    entries = ledger.append_many(drafts(count))
    expected: list[LedgerEntry | None] = []
    for kind, subject in questions:
        matching = [entry for entry in entries if (entry.kind, entry.subject) == (kind, subject)]
        expected.append(matching[-1] if matching else None)
    assert ledger.latest_of(questions) == expected
    within: list[LedgerEntry | None] = []

    def ask(reader: LedgerReader) -> list[EntryDraft]:
        within.extend(reader.latest_of(questions))
        return []

    ledger.append_with(ask)
    assert within == expected


BOUNDS = ["subject", *SUBJECTS, "subject-3/", "t"]


@laws
@given(
    count=st.integers(0, 30),
    asked=st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)),
        max_size=5,
    ),
    single=st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(SUBJECTS)), max_size=3),
)
def test_the_latest_between_two_subjects_is_that_of_the_greatest_that_has_one(
    open_ledger: OpenLedger,
    count: int,
    asked: list[tuple[EntryKind, str, str]],
    single: list[tuple[EntryKind, str]],
) -> None:
    """Both ends belong to it, an empty stretch has none; asked together with single subjects, of
    what a transaction sees too."""
    ledger = open_ledger()
    entries = ledger.append_many(drafts(count))
    expected: list[LedgerEntry | None] = []
    for kind, first, last in asked:
        within = [item for item in entries if item.kind == kind and first <= item.subject <= last]
        expected.append(max(within, key=lambda item: (item.subject, item.seq), default=None))
    questions = [(kind, Between(first, last)) for kind, first, last in asked]
    expected += ledger.latest_of(single)
    assert ledger.latest_of([*questions, *single]) == expected
    within_append: list[LedgerEntry | None] = []

    def ask(reader: LedgerReader) -> list[EntryDraft]:
        within_append.extend(reader.latest_of([*questions, *single]))
        return []

    ledger.append_with(ask)
    assert within_append == expected


def test_what_was_taken_back_is_between_nothing(open_backend: OpenBackend) -> None:
    """A subject that only a transaction without an end had is not found."""
    backend = open_backend()
    ledger = Ledger(backend, ManualClock())
    ledger.append(draft(0, subject="s/1"))
    _, row = encode_entry(draft(0, subject="s/2"), 1, "2026-01-01T00:00:00.000000Z")
    with suppress(RuntimeError), backend.transaction() as transaction:
        transaction.insert([row], [], [])
        raise RuntimeError("taken back")
    [found] = ledger.latest_of([(KINDS[0], Between("s/0", "s/9"))])
    assert found is not None
    assert found.subject == "s/1"
    ledger.append(draft(0, subject="s/2"))
    [found] = ledger.latest_of([(KINDS[0], Between("s/0", "s/9"))])
    assert found is not None
    assert found.subject == "s/2"


def test_the_latest_of_very_many(ledger: Ledger) -> None:
    """Hundreds of questions are one call."""
    ledger.append_many([draft(0, subject=f"s{number}") for number in range(450)])
    found = ledger.latest_of([(KINDS[0], f"s{number}") for number in range(500)])
    assert [entry and entry.seq for entry in found] == [*range(450), *[None] * 50]


@pytest.mark.parametrize("seq", [-1, 3, 2**63, 2**70])
def test_there_is_no_entry_beyond_the_end(ledger: Ledger, seq: int) -> None:
    """Any other number is not found, however large."""
    ledger.append_many(drafts(3))
    with pytest.raises(NotFoundError):
        ledger.get(seq)
    with pytest.raises(NotFoundError):
        ledger.inclusion_proof(seq)


# --- proofs --------------------------------------------------------------------------------------


@laws
@given(size=st.integers(1, 300), data=st.data())
def test_every_proof_of_the_log_verifies_from_its_json(
    open_ledger: OpenLedger, size: int, data: st.DataObject
) -> None:
    """At any size up to now, over the sparsely stored tree; and not for another entry or root."""
    ledger = open_ledger()
    entries = ledger.append_many(drafts(size))
    leaves = [leaf_hash(canonical_bytes(entry)) for entry in entries]
    tree = data.draw(st.integers(1, size))
    seq = data.draw(st.integers(0, tree - 1))
    root = ledger.root(tree)
    if tree & (tree - 1) == 0:
        assert root == fold(leaves[:tree])

    inclusion = InclusionProof.from_json(canonical_bytes(ledger.inclusion_proof(seq, tree)))
    assert inclusion.verify(entries[seq], root)
    assert inclusion.verify(canonical_bytes(entries[seq]), root)
    assert not inclusion.verify(entries[seq].model_copy(update={"actor": "HUMAN::eve"}), root)
    assert not inclusion.verify(entries[seq], b"\x00" * 32)

    consistency = ConsistencyProof.from_json(canonical_bytes(ledger.consistency_proof(tree)))
    assert consistency.verify(root, ledger.root())
    assert not consistency.verify(b"\x00" * 32, ledger.root())
    assert not consistency.verify(root, b"\x00" * 32)


def test_proofs_of_every_entry_and_every_growth(ledger: Ledger) -> None:
    """All of them for a log of 70 entries: four stored nodes of level 4 and six loose leaves."""
    entries = ledger.append_many(drafts(70))
    roots = [ledger.root(size) for size in range(71)]
    for size, seq in itertools.product((1, 15, 16, 17, 33, 64, 70), range(70)):
        if seq < size:
            assert ledger.inclusion_proof(seq, size).verify(entries[seq], roots[size])
    for old in range(71):
        assert ledger.consistency_proof(old).verify(roots[old], roots[70])


def test_sizes_that_the_log_does_not_have_are_refused(ledger: Ledger) -> None:
    """Roots and proofs of a future or negative size are errors."""
    ledger.append_many(drafts(3))
    for ask in (
        lambda: ledger.root(4),
        lambda: ledger.root(-1),
        lambda: ledger.inclusion_proof(0, 4),
        lambda: ledger.consistency_proof(4),
        lambda: ledger.consistency_proof(3, 2),
    ):
        with pytest.raises(InvalidInputError):
            ask()


# --- verifying -----------------------------------------------------------------------------------


def test_verification_reports_progress_size_and_root(ledger: Ledger) -> None:
    """The callback ends at the whole; the answer is the log's own size and root."""
    ledger.append_many(drafts(2500))
    seen: list[tuple[int, int]] = []
    found = ledger.verify(lambda done, of: seen.append((done, of)))
    assert (found.size, found.root) == (2500, ledger.root())
    assert seen[-1] == (2500, 2500)
    assert seen == sorted(set(seen))


def test_verification_against_a_kept_root(ledger: Ledger) -> None:
    """A log that extends the kept size and root verifies; a wrong root or a lost tail does not."""
    ledger.append_many(drafts(40))
    kept = (ledger.size(), ledger.root())
    ledger.append_many(drafts(5))
    assert ledger.verify(against=kept).size == 45
    assert ledger.verify(against=(0, EMPTY_ROOT)).size == 45
    with pytest.raises(LedgerCorruptError, match="first 40 entries"):
        ledger.verify(against=(40, b"\x01" * 32))
    with pytest.raises(LedgerCorruptError, match="fewer than the 46"):
        ledger.verify(against=(46, kept[1]))
    with pytest.raises(LedgerCorruptError):
        ledger.verify(against=(0, kept[1]))
