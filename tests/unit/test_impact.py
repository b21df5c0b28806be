"""The blast radius: exact on any graph, under any order of makings, at the cost of its own size."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import ArtifactBound, BoundRef, CorrelationIds, EntryKind, UsedArtifact
from ro_platform.errors import ContractError
from ro_platform.gates import impact as impact_module
from ro_platform.gates.impact import Impact
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.backends.base import Question, Row, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject, digest_name, used_mention
from ro_platform.plane import Plane
from tests.effort import times
from tests.unit.small_world import SmallWorld

ACTOR = "SYSTEM::dagster"


def artifact(number: int) -> BoundRef:
    """The artifact of that number; three assets under each manifest."""
    fingerprint = sha256_hex(f"manifest {number // 3}".encode())
    digest = sha256_hex(f"bytes {number}".encode())
    return BoundRef(
        ref=f"refs/asset_{number % 3}/fingerprint={fingerprint}/rev=000001.json",
        digest=digest,
        size_bytes=1,
        media_type="text/plain",
        blake3=digest,
    )


def making(ref: BoundRef, inputs: Sequence[BoundRef]) -> EntryDraft:
    """An entry as a publication records it."""
    _, asset, fingerprint, _ = ref.ref.split("/")
    fingerprint = fingerprint.removeprefix("fingerprint=")
    return EntryDraft(
        kind=EntryKind.ARTIFACT_BOUND,
        subject=artifact_subject(ref.ref),
        actor=ACTOR,
        correlation_ids=CorrelationIds(run_id=run_id(fingerprint)),
        mentions=(digest_name(ref.digest), *(used_mention(item.ref) for item in inputs)),
        body=ArtifactBound(
            asset=asset,
            manifest_fingerprint=fingerprint,
            attempt_id="a" * 32,
            artifact=ref,
            inputs=tuple(UsedArtifact(ref=item.ref, digest=item.digest) for item in inputs) or None,
        ),
    )


History = list[tuple[int, set[int]]]
"""Makings in their order: which artifact, from which others."""


def record(plane: Plane, history: History) -> None:
    drafts = [making(artifact(one), [artifact(n) for n in sorted(used)]) for one, used in history]
    plane.ledger.append_many(drafts)


def reference(history: History, origin: int) -> dict[int, tuple[int, set[int]]]:
    """By a plain walk over the newest makings: depth, and the inputs that were reached."""
    newest = dict(history)
    depths: dict[int, int] = {}
    frontier = {origin}
    while frontier:
        depth = max(depths.values(), default=0) + 1
        frontier = {one for one, used in newest.items() if used & frontier and one not in depths}
        depths |= dict.fromkeys(frontier, depth)
    reached = depths.keys() | {origin}
    return {one: (depth, newest[one] & reached) for one, depth in depths.items()}


def said(impact: Impact) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {item.ref: (item.depth, item.because) for item in impact.artifacts}


def expected(history: History, origin: int) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {
        artifact(one).ref: (depth, tuple(sorted(artifact(n).ref for n in because)))
        for one, (depth, because) in reference(history, origin).items()
    }


def fresh(log: MemoryLedgerBackend | None = None) -> Plane:
    return Plane.over(MemoryBackend(), log or MemoryLedgerBackend(), clock=ManualClock())


@st.composite
def histories(draw: st.DrawFn, most: int = 12) -> History:
    """Graphs without cycles, in which artifacts are made and made again from other inputs."""
    makings = draw(
        st.lists(st.tuples(st.integers(0, most - 1), st.sets(st.integers(0, most - 1), max_size=4)))
    )
    return [(one, {n for n in used if n < one}) for one, used in makings]


@settings(max_examples=times(300), deadline=None)
@given(
    history=histories(),
    origin=st.integers(0, 11),
    few=st.sampled_from([(0, 10**9), (2, 10**9), (3, 2), (10**9, 1)]),
)
def test_the_radius_is_what_a_plain_walk_finds(
    history: History, origin: int, few: tuple[int, int]
) -> None:
    """With depths and causes, by following mentions, by reading everything, and by both."""
    plane = fresh()
    record(plane, history)
    with mock.patch.multiple(impact_module, _FEW=few[0], _A_GOOD_PART=few[1]):
        assert said(plane.revocations.impact(artifact(origin))) == expected(history, origin)


@settings(max_examples=times(300), deadline=None)
@given(
    before=histories(),
    between=histories(),
    origin=st.integers(0, 11),
    few=st.sampled_from([(0, 10**9), (2, 10**9), (10**9, 1)]),
)
def test_what_is_made_while_the_radius_is_found_is_part_of_it(
    before: History, between: History, origin: int, few: tuple[int, int]
) -> None:
    """The exploration is brought up to date exactly, reading only what was appended."""
    plane = fresh()
    record(plane, before)
    with mock.patch.multiple(impact_module, _FEW=few[0], _A_GOOD_PART=few[1]):
        ref = artifact(origin)
        found = impact_module.Origin("asset", "f" * 64, ref.digest, (ref.ref,))
        exploration, early = impact_module.explore(plane.ledger, lambda: found, lambda _: None)
        assert said(early) == expected(before, origin)
        record(plane, between)
        assert exploration.catch_up(plane.ledger) == bool(between)
        assert said(exploration.impact(plane.ledger)) == expected(before + between, origin)
        assert not exploration.catch_up(plane.ledger)


class CountingLedger(MemoryLedgerBackend):
    """Counts the questions it is asked and the rows it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.answered = 0

    def page(self, selection: Selection, limit: int) -> list[Row]:
        """See :class:`LedgerRows`."""
        rows = super().page(selection, limit)
        self.asked, self.answered = self.asked + 1, self.answered + len(rows)
        return rows

    def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
        """See :class:`LedgerRows`."""
        rows = super().latest_of(questions)
        self.asked, self.answered = self.asked + 1, self.answered + sum(map(bool, rows))
        return rows


def test_a_small_radius_in_a_large_ledger_costs_its_own_size() -> None:
    """Three artifacts among ten thousand: some ten questions, and as many rows."""
    log = CountingLedger()
    plane = fresh(log)
    record(plane, [(number, {number - 3} if number > 100 else set()) for number in range(10_000)])
    record(plane, [(20_000, set()), (20_001, {20_000}), (20_002, {20_001}), (20_003, {20_000})])
    log.asked = log.answered = 0
    found = plane.revocations.impact(artifact(20_000))
    assert [item.depth for item in found.artifacts] == [1, 1, 2]
    assert log.answered <= 8
    assert log.asked <= 12


def test_a_large_radius_reads_each_making_little_more_than_once() -> None:
    """Beyond a part of the ledger, everything is read in order rather than one by one."""
    log = CountingLedger()
    plane = fresh(log)
    count = 4_000
    chance = [(number, {number // 2, number // 3}) for number in range(1, count)]
    record(plane, [(0, set()), *chance])
    log.asked = log.answered = 0
    assert len(plane.revocations.impact(artifact(0)).artifacts) == count - 1
    assert log.answered < 3 * count


def test_runs_bundles_and_edges_are_counted() -> None:
    """By run, by Dagster run, and by asset."""
    world = SmallWorld()
    raw = world.made("raw")
    clean = world.made("clean", raw)
    world.made("report", clean, raw, bundle=True)
    other = world.register("2")
    world.made("clean", raw, under=other)
    found = world.plane.revocations.impact(raw)
    assert found.runs == tuple(sorted([run_id(world.fingerprint), run_id(other)]))
    assert found.dagster_runs == ("dagster-clean", "dagster-report")
    assert [item.asset for item in found.bundles] == ["report"]
    assert found.edges == {("clean", "report"): 1, ("raw", "clean"): 2, ("raw", "report"): 1}
    assert (found.origin.asset, found.origin.refs) == ("raw", (raw.ref,))


def test_looking_records_nothing_and_tells_how_far_it_is() -> None:
    """Progress is the number of makings read."""
    plane = fresh()
    record(plane, [(number, {number // 2} if number else set()) for number in range(1_000)])
    before, told = plane.ledger.size(), list[int]()
    plane.revocations.impact(artifact(0), told.append)
    assert plane.ledger.size() == before
    assert told == sorted(told)
    assert told[-1] >= 1_000


def test_an_entry_that_is_no_making_stops_it() -> None:
    """A radius that cannot be known is not guessed."""
    plane = fresh()
    record(plane, [(0, set())])
    bad = making(artifact(1), [artifact(0)])
    plane.ledger.append(
        EntryDraft(bad.kind, bad.subject, ACTOR, {"asset": "x"}, mentions=bad.mentions)
    )
    with pytest.raises(ContractError, match="entry 1"):
        plane.revocations.impact(artifact(0))
