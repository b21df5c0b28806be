"""The life of an attempt: which moves exist, and what a record is made of."""

from __future__ import annotations

import itertools

import pytest

from ro_platform.contracts import JobStatus
from ro_platform.errors import InvalidTransitionError
from ro_platform.kernel.clock import ManualClock
from ro_platform.plane import Plane
from ro_platform.runs.attempt import check_move, is_open, project

S = JobStatus
EXISTS = {
    (None, S.QUEUED),
    (None, S.RUNNING),
    (None, S.REFUSED),
    (S.QUEUED, S.RUNNING),
    (S.QUEUED, S.CANCELED),
    (S.QUEUED, S.LOST),
    (S.QUEUED, S.REFUSED),
    (S.RUNNING, S.SUCCEEDED),
    (S.RUNNING, S.FAILED),
    (S.RUNNING, S.CANCELED),
    (S.RUNNING, S.LOST),
}
ALL = list(itertools.product([None, *S], S))


@pytest.mark.parametrize(("old", "new"), ALL, ids=lambda status: str(status))
def test_every_move_exists_or_is_refused(old: JobStatus | None, new: JobStatus) -> None:
    """All 56 pairs; what is refused names both states and what to do."""
    if (old, new) in EXISTS:
        check_move(old, new)
    else:
        with pytest.raises(InvalidTransitionError, match=f"{old or 'nothing'} to {new}") as caught:
            check_move(old, new)
        assert caught.value.next_step


def test_an_attempt_is_open_while_it_can_move() -> None:
    """QUEUED and RUNNING; every other state is an end."""
    assert {status for status in S if is_open(status)} == {S.QUEUED, S.RUNNING}
    assert {old for old, _ in EXISTS if old} == {S.QUEUED, S.RUNNING}


def test_a_record_is_the_projection_of_its_transitions() -> None:
    """The newest state, all facts said on the way, when it began and when it last moved."""
    clock = ManualClock()
    plane = Plane.in_memory(clock=clock)
    history = plane.attempts
    attempt = history.begin("a" * 64, "made", step_key="made", dagster_run_id="run-1")
    clock.advance(1)
    attempt = history.move(attempt, S.RUNNING, dagster_run_id="run-1", code_version="3")
    clock.advance(1)
    history.move(attempt, S.FAILED, dagster_run_id="run-1", error_code="RO_X", retryable=True)
    other = history.begin("a" * 64, "used", step_key="used", dagster_run_id="run-1")

    made, used = project(plane.ledger.scan())

    assert (made.status, made.number, made.unit) == (S.FAILED, 1, "made")
    assert (made.code_version, made.error_code, made.retryable) == ("3", "RO_X", True)
    assert made.created_at_utc == "2000-01-01T00:00:00.000000Z"
    assert made.updated_at_utc == "2000-01-01T00:00:02.000000Z"
    assert made.correlation_ids.dagster_run_id == "run-1"
    assert (used.attempt_id, used.status) == (other.attempt_id, S.QUEUED)
