"""Archiving: complete segments of the ledger are copied, verify by themselves, and nothing goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind, SegmentArchived
from ro_platform.errors import (
    BackendUnavailableError,
    DigestMismatchError,
    InvalidInputError,
    LedgerCorruptError,
)
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.archive import Segment, verify_segment
from tests.effort import times

ACTOR = "HUMAN::keeper"


def plane_with(count: int) -> Plane:
    plane = Plane.in_memory(clock=ManualClock())
    filled(plane, count)
    return plane


def filled(plane: Plane, count: int) -> None:
    drafts = [
        EntryDraft(EntryKind.ADMIN_EVENT, f"s/{n}", ACTOR, {"n": n, "text": "a\nb\u2028"})
        for n in range(count)
    ]
    plane.ledger.append_many(drafts)


def archive(plane: Plane, count: int = 8, upto: int | None = None) -> list[Segment]:
    return list(plane.archive.archive(actor=ACTOR, count=count, upto=upto))


def lines_of(plane: Plane, segment: Segment) -> list[bytes]:
    return plane.store.read(segment.body.segment).splitlines(keepends=True)


def mth(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word: independent of the library's tree."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:middle]) + mth(leaves[middle:])).digest()


def test_complete_segments_are_copied_and_the_rest_waits() -> None:
    """27 entries in segments of 8 are three of them; nothing leaves the ledger."""
    plane = plane_with(27)
    root = plane.ledger.root(27)
    found = archive(plane)
    assert [(item.body.first, item.body.count, item.new) for item in found] == [
        (0, 8, True),
        (8, 8, True),
        (16, 8, True),
    ]
    assert plane.ledger.root(27) == root
    assert plane.ledger.size() == 30, "one entry for each segment, and none less"
    assert plane.ledger.verify().size == 30


def test_a_segment_is_recomputed_with_sha256_alone() -> None:
    """Its lines are the entries' canonical bytes: the root of the range and, with the segments
    before it, the log's own root come out by the RFC's definition."""
    plane = plane_with(24)
    segments = archive(plane)
    leaves: list[bytes] = []
    for segment in segments:
        data = [line[:-1] for line in lines_of(plane, segment)]
        assert [json.loads(line)["seq"] for line in data] == list(
            range(segment.body.first, segment.end)
        )
        assert mth(data).hex() == segment.body.root
        leaves += data
        assert mth(leaves).hex() == segment.body.log_root
        assert plane.ledger.root(segment.end).hex() == segment.body.log_root


def test_archiving_again_copies_nothing_again() -> None:
    """What is on record is answered; what became complete since is added."""
    plane = plane_with(16)
    first = archive(plane)
    size, objects = plane.ledger.size(), len(list(plane.store.backend.names()))
    again = archive(plane, upto=16)
    assert [item.new for item in again] == [False, False]
    assert [item.entry for item in again] == [item.entry for item in first]
    assert (plane.ledger.size(), len(list(plane.store.backend.names()))) == (size, objects)
    filled(plane, 8)
    assert [item.new for item in archive(plane)] == [False, False, True]


@pytest.mark.parametrize(("upto", "segments"), [(0, 0), (7, 0), (8, 1), (20, 2), (10**9, 3)])
def test_upto_says_where_to_stop(upto: int, segments: int) -> None:
    """Only segments that end at or before it."""
    assert len(archive(plane_with(24), upto=upto)) == segments


@pytest.mark.parametrize("count", [0, -8, 3, 12])
def test_a_segment_is_a_power_of_two(count: int) -> None:
    """Anything else is no subtree of the log, and nothing is written."""
    plane = plane_with(24)
    with pytest.raises(InvalidInputError):
        archive(plane, count=count)
    assert plane.ledger.size() == 24


class Failing(MemoryBackend):
    """A store that takes so many more objects and then fails."""

    left = 10**9

    def create(self, name: str, data: bytes) -> bool:
        if self.left == 0:
            raise BackendUnavailableError("killed")
        self.left -= 1
        return super().create(name, data)


@pytest.mark.parametrize("left", range(3))
def test_an_interrupted_archive_is_completed(left: int) -> None:
    """After a failure at any segment the same call does what is left."""
    blobs = Failing()
    plane = Plane.over(blobs, MemoryLedgerBackend(), clock=ManualClock())
    filled(plane, 24)
    blobs.left = left
    with pytest.raises(BackendUnavailableError):
        archive(plane)
    assert plane.ledger.size() == 24 + left
    blobs.left = 10**9
    assert [item.new for item in archive(plane, upto=24)] == [False] * left + [True] * (3 - left)
    assert all(item.error is None for item in plane.archive.verify())


def test_a_copy_without_an_entry_is_found_again() -> None:
    """Killed between the blob and its entry: the same blob is used, and then named."""
    plane = plane_with(8)
    [segment] = archive(plane)
    other = plane_with(8)
    other.store.put_bytes(
        plane.store.read(segment.body.segment),
        media_type=segment.body.segment.media_type,
    )
    [again] = archive(other)
    assert again.body.segment == segment.body.segment


@settings(max_examples=times(60), deadline=None)
@given(st.data())
def test_any_changed_copy_is_found(data: st.DataObject) -> None:
    """Law: a line changed, left out, doubled, moved or cut, or another body, does not verify."""
    plane = plane_with(16)
    segment = archive(plane)[1]
    lines = lines_of(plane, segment)
    verify_segment(lines, segment.body)
    where = data.draw(st.integers(0, 7))
    match data.draw(st.sampled_from(["flip", "drop", "double", "swap", "cut", "body"])):
        case "flip":
            at = data.draw(st.integers(0, len(lines[where]) - 1))
            changed = bytearray(lines[where])
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
            lines[where] = bytes(changed)
        case "drop":
            del lines[where]
        case "double":
            lines.insert(where, lines[where])
        case "swap":
            lines[where], lines[where - 1] = lines[where - 1], lines[where]
        case "cut":
            lines[-1] = lines[-1][:-1]
        case "body":
            field = data.draw(st.sampled_from(["root", "log_root", "path", "first"]))
            other: dict[str, object] = {
                "root": "0" * 64,
                "log_root": "0" * 64,
                "path": (),
                "first": 0,
            }
            with pytest.raises(LedgerCorruptError):
                verify_segment(lines, segment.body.model_copy(update={field: other[field]}))
            return
    with pytest.raises(LedgerCorruptError):
        verify_segment(lines, segment.body)


@settings(max_examples=times(40), deadline=None)
@given(st.integers(0, 5), st.integers(0, 70))
def test_every_segment_leads_to_the_logs_root(exponent: int, entries: int) -> None:
    """Law: for any length and any number of segments, each copy verifies alone and in the log."""
    plane = plane_with(entries)
    found = archive(plane, count=1 << exponent, upto=entries)
    assert len(found) == entries >> exponent
    for segment in found:
        verify_segment(lines_of(plane, segment), segment.body)
    assert all(item.error is None for item in plane.archive.verify())


def test_verify_names_the_copy_that_is_not_what_was_recorded() -> None:
    """A damaged blob, and a body that some other log would fit: the others still verify."""
    blobs = MemoryBackend()
    plane = Plane.over(blobs, MemoryLedgerBackend(), clock=ManualClock())
    filled(plane, 16)
    first, second = archive(plane)
    blobs.objects[blob_name(second.body.segment.digest)] = b"{}"
    checked = list(plane.archive.verify())
    assert checked[0].error is None
    assert isinstance(checked[1].error, DigestMismatchError)
    foreign = plane_with(0)
    foreign.ledger.append(EntryDraft(EntryKind.ADMIN_EVENT, "other", ACTOR, {"n": -1}))
    filled(foreign, 7)
    foreign.store.put_bytes(
        plane.store.read(first.body.segment), media_type=first.body.segment.media_type
    )
    foreign.ledger.append(
        EntryDraft(EntryKind.SEGMENT_ARCHIVED, "ledger/segment/0", ACTOR, first.body)
    )
    [forged] = foreign.archive.verify()
    assert isinstance(forged.error, LedgerCorruptError)
    assert "another root" in forged.error.message


def test_the_contract_of_a_segment_is_closed() -> None:
    """A body reads back as it was written."""
    plane = plane_with(8)
    [segment] = archive(plane)
    again = SegmentArchived.from_json(json.dumps(segment.body.to_json_value()))
    assert again == segment.body


# --- ro ledger archive ---------------------------------------------------------------------------


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    chosen = Settings.load(
        {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    with settings_in_force(chosen):
        opened = shared_plane(chosen)
        filled(opened, 20)
        yield opened


def ask(*args: object) -> Result:
    return CliRunner().invoke(ro, ["ledger", "archive", *(str(arg) for arg in args)])


def facts(*args: object, code: int = 0) -> Any:
    answer = ask(*args, "--json")
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_the_command_archives_and_verifies(plane: Plane) -> None:
    """Segments and what waits; then every copy, verified; a damaged one is exit 6."""
    assert "No segment is complete yet." in ask().stdout
    said = facts("--segment-size", 8)
    assert [item["archived"]["first"] for item in said["segments"]] == [0, 8]
    assert said["not_archived"] == 6, "four, and the two entries about the segments"
    assert "8-15" in ask("--segment-size", 8, "--upto", 16).stdout
    assert [item["verified"] for item in facts("--verify")["segments"]] == [True, True]
    digest = said["segments"][1]["archived"]["segment"]["digest"]
    path = Path(plane.store.backend.location.removeprefix("file://")) / blob_name(digest)
    path.unlink()
    path.write_bytes(b"{}")
    again = facts("--verify", code=6)
    assert [item["verified"] for item in again["segments"]] == [True, False]
    assert ask("--verify").exit_code == 6
    assert ask("--verify", "--upto", 3).exit_code == 3
    assert ask("--segment-size", 3).exit_code == 3
