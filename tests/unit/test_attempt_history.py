"""The history of attempts: numbered without a race, never rewritten, ended once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import AttemptTransition, JobStatus
from ro_platform.errors import EntryConflictError, InvalidTransitionError
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import attempt_id, job_id, run_id
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.plane import Plane

FP = "a" * 64
S = JobStatus


@pytest.fixture
def plane() -> Plane:
    return Plane.in_memory(clock=ManualClock())


def begin(plane: Plane, unit: str = "made", run: str = "run-1") -> AttemptTransition:
    return plane.attempts.begin(FP, unit, step_key=unit, dagster_run_id=run)


def test_an_attempts_identity_is_computed_from_the_work_and_its_number(plane: Plane) -> None:
    """No time, no chance: anyone can recompute it."""
    first, second = begin(plane), begin(plane)
    job = job_id(run_id(FP), "made")
    assert (first.job_id, first.number, second.number) == (job, 1, 2)
    assert [first.attempt_id, second.attempt_id] == [attempt_id(job, n) for n in (1, 2)]
    assert begin(plane, "other").number == 1


def test_numbers_under_concurrency_have_no_gap_and_no_double(tmp_path: Path) -> None:
    """Eight threads, three attempts each, on a real ledger file: 1 to 24."""
    plane = Plane.over(
        MemoryBackend(), SqliteLedgerBackend(tmp_path / "ledger.sqlite"), clock=ManualClock()
    )
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: begin(plane).number, range(24)))
    assert sorted(numbers) == list(range(1, 25))
    assert len(plane.attempts.of_run(FP)) == 24
    plane.ledger.verify()


def test_the_next_number_is_free_though_an_earlier_attempt_moved_last(plane: Plane) -> None:
    """Several runs wait for the same work: the retry of the first takes nobody else's number."""
    first, second = begin(plane, run="run-1"), begin(plane, run="run-2")
    plane.attempts.move(first, S.RUNNING, dagster_run_id="run-1")
    third = begin(plane, run="run-1")
    assert (first.number, second.number, third.number) == (1, 2, 3)
    newest = plane.attempts.newest(FP, "made")
    assert newest is not None
    assert newest.number == 3


def test_the_newest_attempt_of_a_step_is_the_one_with_the_highest_number(plane: Plane) -> None:
    """Though the end of an earlier one was written after it began."""
    first = begin(plane)
    running = plane.attempts.move(first, S.RUNNING, dagster_run_id="run-1")
    second = begin(plane)
    plane.attempts.end(running, S.LOST, dagster_run_id="run-1")
    assert plane.attempts.of_dagster_run("run-1") == {"made": (second,)}


def test_a_move_is_judged_by_the_ledger_and_not_by_what_the_caller_remembers(
    plane: Plane,
) -> None:
    """Two see it RUNNING and end it: the first stands, the second is refused."""
    running = plane.attempts.move(begin(plane), S.RUNNING, dagster_run_id="run-1")
    plane.attempts.move(running, S.LOST, dagster_run_id="run-1")
    size = plane.ledger.size()
    with pytest.raises(InvalidTransitionError, match="LOST to SUCCEEDED"):
        plane.attempts.move(running, S.SUCCEEDED, dagster_run_id="run-1")
    assert plane.ledger.size() == size


def test_two_threads_that_end_one_attempt_leave_one_end(tmp_path: Path) -> None:
    """Whoever is second hears so."""
    plane = Plane.over(
        MemoryBackend(), SqliteLedgerBackend(tmp_path / "ledger.sqlite"), clock=ManualClock()
    )
    running = plane.attempts.move(begin(plane), S.RUNNING, dagster_run_id="run-1")
    ends = [S.SUCCEEDED, S.FAILED, S.CANCELED, S.LOST]

    def end(status: JobStatus) -> bool:
        try:
            plane.attempts.move(running, status, dagster_run_id="run-1")
        except InvalidTransitionError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(end, ends))
    assert done.count(True) == 1
    assert plane.attempts.of_run(FP)[0].status is ends[done.index(True)]


def test_an_older_attempt_may_still_end_while_a_newer_one_runs(plane: Plane) -> None:
    """Each attempt has a life of its own."""
    older = plane.attempts.move(begin(plane), S.RUNNING, dagster_run_id="run-1")
    begin(plane, run="run-2")
    plane.attempts.move(older, S.CANCELED, dagster_run_id="run-1")
    assert [record.status for record in plane.attempts.of_run(FP)] == [S.CANCELED, S.QUEUED]


def test_the_same_move_again_changes_nothing_and_another_one_conflicts(plane: Plane) -> None:
    """So a reply that was lost can be repeated, and cannot be changed."""
    attempt = begin(plane)
    plane.attempts.move(attempt, S.RUNNING, dagster_run_id="run-1", code_version="1")
    size = plane.ledger.size()
    plane.attempts.move(attempt, S.RUNNING, dagster_run_id="run-1", code_version="1")
    assert plane.ledger.size() == size
    with pytest.raises(EntryConflictError):
        plane.attempts.move(attempt, S.RUNNING, dagster_run_id="run-1", code_version="2")


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.CANCELED, S.LOST])
def test_no_attempt_begins_with_an_end(plane: Plane, status: JobStatus) -> None:
    """Only QUEUED, RUNNING or REFUSED."""
    with pytest.raises(InvalidTransitionError):
        plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="r", status=status)
    assert plane.ledger.size() == 0


def test_the_attempts_of_a_dagster_run_are_the_newest_of_each_step(plane: Plane) -> None:
    """By step key; a step with two units has two; other runs' attempts are not among them."""
    first = begin(plane)
    plane.attempts.move(first, S.RUNNING, dagster_run_id="run-1")
    left, right = (
        plane.attempts.begin(FP, unit, step_key="pair", dagster_run_id="run-1")
        for unit in ("left", "right")
    )
    begin(plane, "elsewhere", run="run-2")

    steps = plane.attempts.of_dagster_run("run-1")

    assert set(steps) == {"made", "pair"}
    assert [item.status for item in steps["made"]] == [S.RUNNING]
    assert steps["pair"] == (left, right)
    assert plane.attempts.of_dagster_run("run-3") == {}


def test_the_newest_transition_of_a_unit(plane: Plane) -> None:
    """Of its newest attempt; None before the first."""
    assert plane.attempts.newest(FP, "made") is None
    begin(plane)
    second = begin(plane)
    moved = plane.attempts.move(second, S.RUNNING, dagster_run_id="run-1")
    assert plane.attempts.newest(FP, "made") == moved
