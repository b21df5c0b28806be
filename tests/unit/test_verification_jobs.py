"""Verification by several processes says what one process says, of sound and of damaged ledgers."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import LedgerCorruptError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger import segments, verification
from ro_platform.ledger.backends.base import Census, LedgerRows
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.segments import CheckedSegment, Segment, check_segment
from ro_platform.ledger.verification import Kept, Reopen, Verification, Workers, verify

SIZE = 600
LEVEL = 5
TAMPERINGS = [
    "UPDATE entry SET entry = CAST(replace(entry, 'number', 'NUMBER') AS BLOB) WHERE seq = {0}",
    "UPDATE entry SET leaf = zeroblob(32) WHERE seq = {0}",
    "UPDATE entry SET subject = 'other' WHERE seq = {0}",
    "DELETE FROM entry WHERE seq = {0}",
    "UPDATE node SET hash = zeroblob(32) WHERE level = 4 AND position = {0} / 16",
    "UPDATE node SET hash = zeroblob(32) WHERE level = 8 AND position = {0} / 256",
    "DELETE FROM node WHERE level = 8 AND position = {0} / 256",
    "DELETE FROM mention WHERE seq = {0}",
]


def drafts(count: int) -> list[EntryDraft]:
    return [
        EntryDraft(EntryKind.ADMIN_EVENT, f"s-{n}", "SYSTEM::test", {"number": n}, mentions=("m",))
        for n in range(count)
    ]


class SoundLedger:
    """One ledger file, its roots at every size, and a way to damage a copy and undo it."""

    def __init__(self, folder: Path) -> None:
        self.backend = SqliteLedgerBackend(folder / "ledger.sqlite")
        ledger = Ledger(self.backend, ManualClock())
        ledger.append_many(drafts(SIZE))
        self.roots = [ledger.root(size) for size in range(SIZE + 1)]
        self.backend.close()

    def damaged_by(self, statements: list[str]) -> SqliteLedgerBackend:
        """The same ledger after these statements, with its guards put back."""
        copy = self.backend.path.with_name("copy.sqlite")
        copy.write_bytes(self.backend.path.read_bytes())
        database = sqlite3.connect(copy)
        guards = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = database.execute(guards).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        for _, sql in triggers:
            database.execute(sql)
        database.commit()
        database.close()
        return SqliteLedgerBackend(copy)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> SoundLedger:
    return SoundLedger(tmp_path_factory.mktemp("sound"))


def verdict(rows: LedgerRows, kept: list[Kept], *, jobs: int) -> object:
    """What verification answers, or what it raises, word for word."""
    try:
        return verify(rows, None, kept, jobs=jobs, segment_level=LEVEL)
    except LedgerCorruptError as error:
        return error.message, error.diagnostics()


class WorkersHere(Workers):
    """What the workers do, one after the other and here: quick enough for many examples."""

    def __init__(self, reopen: Reopen, jobs: int) -> None:
        self.backend = reopen()

    def census(self, meanwhile: Sequence[Segment]) -> Census:
        return self.backend.census()

    def check(self, found: Sequence[Segment]) -> Generator[CheckedSegment, None, None]:
        for segment in found:
            yield check_segment(self.backend, segment)

    def close(self) -> None:
        self.backend.close()


damages = st.lists(
    st.tuples(st.sampled_from(TAMPERINGS), st.integers(0, SIZE - 1)), min_size=0, max_size=2
)
marks = st.lists(st.tuples(st.integers(0, SIZE + 3), st.booleans()), max_size=4)


@given(damages=damages, marks=marks)
def test_segments_give_the_verdict_of_one_pass(
    sound: SoundLedger, damages: list[tuple[str, int]], marks: list[tuple[int, bool]]
) -> None:
    """Whatever was damaged and whatever was kept: the same answer, or the same first bad entry."""
    backend = sound.damaged_by([text.format(seq) for text, seq in damages])
    roots = [*sound.roots, *[b"\x07" * 32] * 4]
    kept = {
        size: Kept(size, roots[size] if good else b"\x08" * 32, f"note {size}")
        for size, good in marks
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "Workers", WorkersHere)
        segmented = verdict(backend, list(kept.values()), jobs=2)
    assert segmented == verdict(backend, list(kept.values()), jobs=1)
    backend.close()


@given(damages=damages, marks=marks)
def test_pages_taken_at_once_give_the_verdict_of_entry_by_entry(
    sound: SoundLedger, damages: list[tuple[str, int]], marks: list[tuple[int, bool]]
) -> None:
    """Whatever was damaged and whatever was kept: the same answer, or the same first bad entry."""
    backend = sound.damaged_by([text.format(seq) for text, seq in damages])
    roots = [*sound.roots, *[b"\x07" * 32] * 4]
    kept = {
        size: Kept(size, roots[size] if good else b"\x08" * 32, f"note {size}")
        for size, good in marks
    }
    at_once = verdict(backend, list(kept.values()), jobs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "sound_leaves", lambda *_: None)
        assert verdict(backend, list(kept.values()), jobs=1) == at_once
    backend.close()


def test_a_sound_ledger_is_not_gone_through_entry_by_entry(
    sound: SoundLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the pages would be read twice, and every entry built as an object."""
    monkeypatch.setattr(segments, "decode_entry", None)
    assert verify(sound.backend).root == sound.roots[SIZE]


def test_processes_of_their_own_verify_a_sound_ledger(sound: SoundLedger) -> None:
    """With real workers: size, root, every kept root, and progress up to the whole."""
    seen: list[tuple[int, int]] = []
    kept = [Kept(size, sound.roots[size]) for size in (0, 1, 31, 32, 33, 256, 599, 600)]
    found = verify(
        sound.backend,
        lambda done, of: seen.append((done, of)),
        kept,
        jobs=2,
        segment_level=LEVEL,
    )
    assert found == Verification(SIZE, sound.roots[SIZE])
    assert seen[-1] == (SIZE, SIZE)
    assert seen == sorted(set(seen))


def test_processes_of_their_own_name_the_first_bad_entry(sound: SoundLedger) -> None:
    """The damage in entry 77 is reported, not that in 400, which another worker may meet first."""
    backend = sound.damaged_by([TAMPERINGS[0].format(seq) for seq in (400, 77)])
    found = verdict(backend, [], jobs=2)
    assert found == verdict(backend, [], jobs=1)
    assert isinstance(found, tuple)
    assert found[1]["seq"] == "77"
    backend.close()


def test_a_ledger_of_this_process_only_is_verified_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for one in memory, however many jobs are allowed."""
    backend = MemoryLedgerBackend()
    Ledger(backend, ManualClock()).append_many(drafts(200))
    monkeypatch.setattr(verification, "Workers", None)
    assert verify(backend, jobs=8, segment_level=LEVEL).size == 200
