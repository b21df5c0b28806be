"""What ``ro run`` says an asset is, and apart from it what this call did about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ro_platform.cli.run import _row
from ro_platform.contracts import (
    BoundRef,
    CorrelationIds,
    JobAttemptRecord,
    JobStatus,
    NamedArtifact,
)
from ro_platform.kernel.identity import run_id
from ro_platform.orchestration.execution import RunOutcome
from ro_platform.runs.attempt import SKIPPED_CODE
from ro_platform.runs.plan import AssetState
from tests.unit.small_world import SmallWorld

MINE, OTHERS, BEFORE = "run-mine", "run-of-another", "run-before"
END = JobStatus


@pytest.fixture(scope="module")
def refs() -> dict[str, BoundRef]:
    """Two artifacts of one asset."""
    world = SmallWorld()
    return {text: world.made(f"a{text}", data=text.encode()) for text in ("1", "2")}


@dataclass(frozen=True)
class Told:
    """A situation: attempts as (number, Dagster run, end, what it put out), what stands, what
    stood before; and what the row says of it: attempt and status, and the result."""

    attempts: list[tuple[int, str, JobStatus, str | None]]
    stands: str | None
    found: str | None
    row: tuple[str, str, str]
    replay: bool = False
    skipped: frozenset[int] = field(default_factory=frozenset)


SITUATIONS = {
    "computed": Told([(1, MINE, END.SUCCEEDED, "1")], "1", None, ("#1", "SUCCEEDED", "computed")),
    "kept": Told([(1, BEFORE, END.SUCCEEDED, "1")], "1", "1", ("#1", "SUCCEEDED", "kept")),
    "kept although a later attempt failed": Told(
        [(1, BEFORE, END.SUCCEEDED, "1"), (2, BEFORE, END.FAILED, None)],
        "1",
        "1",
        ("#1", "SUCCEEDED", "kept"),
    ),
    "failed": Told([(1, MINE, END.FAILED, None)], None, None, ("#1", "FAILED", "FAILED #1")),
    "nothing was begun": Told([], None, None, ("-", "-", "missing")),
    "canceled before": Told(
        [(1, BEFORE, END.CANCELED, None)], None, None, ("#1", "CANCELED", "missing")
    ),
    "a replay failed beside what stands": Told(
        [(1, BEFORE, END.SUCCEEDED, "1"), (2, MINE, END.FAILED, None)],
        "1",
        "1",
        ("#1", "SUCCEEDED", "FAILED #2"),
        replay=True,
    ),
    "a replay was canceled beside what stands": Told(
        [(1, BEFORE, END.SUCCEEDED, "1"), (2, MINE, END.CANCELED, None)],
        "1",
        "1",
        ("#1", "SUCCEEDED", "CANCELED #2"),
        replay=True,
    ),
    "a replay was identical": Told(
        [(1, BEFORE, END.SUCCEEDED, "1"), (2, MINE, END.SUCCEEDED, "1")],
        "1",
        "1",
        ("#2", "SUCCEEDED", "identical"),
        replay=True,
    ),
    "a replay diverged": Told(
        [(1, BEFORE, END.SUCCEEDED, "1"), (2, MINE, END.SUCCEEDED, "2")],
        "2",
        "1",
        ("#2", "SUCCEEDED", "diverged"),
        replay=True,
    ),
    "a replay was identical, and another run diverged since": Told(
        [
            (1, BEFORE, END.SUCCEEDED, "1"),
            (2, MINE, END.SUCCEEDED, "1"),
            (3, OTHERS, END.SUCCEEDED, "2"),
        ],
        "2",
        "1",
        ("#3", "SUCCEEDED", "identical"),
        replay=True,
    ),
    "another run computed it meanwhile": Told(
        [(1, OTHERS, END.SUCCEEDED, "1")], "1", None, ("#1", "SUCCEEDED", "by another run")
    ),
    "both computed the same": Told(
        [(1, OTHERS, END.SUCCEEDED, "1"), (2, MINE, END.SUCCEEDED, "1")],
        "1",
        None,
        ("#2", "SUCCEEDED", "computed"),
    ),
    "this one failed, another computed it": Told(
        [(1, MINE, END.FAILED, None), (2, OTHERS, END.SUCCEEDED, "1")],
        "1",
        None,
        ("#2", "SUCCEEDED", "FAILED #1"),
    ),
    "another run bound other bytes since": Told(
        [(1, MINE, END.SUCCEEDED, "1"), (2, OTHERS, END.SUCCEEDED, "2")],
        "2",
        None,
        ("#2", "SUCCEEDED", "replaced"),
    ),
    "skipped": Told(
        [(1, MINE, END.CANCELED, None)],
        None,
        None,
        ("#1", "SKIPPED", "skipped"),
        skipped=frozenset({1}),
    ),
    "skipped before": Told(
        [(1, BEFORE, END.CANCELED, None)],
        None,
        None,
        ("#1", "SKIPPED", "skipped"),
        skipped=frozenset({1}),
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_row_tells_what_stands_and_who_made_it_apart_from_what_this_call_did(
    refs: dict[str, BoundRef], name: str
) -> None:
    """Attempt, status and digest are of what stands; the result is this call's, with the number of
    its own attempt where that failed."""
    told, world = SITUATIONS[name], SmallWorld()
    stands = refs[told.stands] if told.stands else None
    found = {"a": refs[told.found].digest} if told.found else {}
    outcome = RunOutcome(
        fingerprint=world.fingerprint,
        run_id=run_id(world.fingerprint),
        workload="w",
        replay=told.replay,
        registered=False,
        dagster_run_id=MINE,
        executed=(),
        standings=(AssetState("a", stands),),
        attempts=tuple(_attempt(world, told, item, refs) for item in told.attempts),
        found=found,
        replayed=found if told.replay else {},
    )

    row = [str(cell) for cell in _row(outcome.standings[0], outcome)]

    number = row[1].split(" ")[0]
    assert (number, row[2], row[3]) == told.row
    assert row[4] == (stands.digest[:12] if stands else "-")


def _attempt(
    world: SmallWorld,
    told: Told,
    item: tuple[int, str, JobStatus, str | None],
    refs: dict[str, BoundRef],
) -> JobAttemptRecord:
    number, dagster_run_id, status, put_out = item
    made = (NamedArtifact(name="a", artifact=refs[put_out]),) if put_out else ()
    return JobAttemptRecord(
        job_id="0" * 32,
        attempt_id=f"{number:032x}",
        status=status,
        created_at_utc="2026-01-01T00:00:00.000000Z",
        updated_at_utc="2026-01-01T00:00:00.000000Z",
        unit="a",
        step_key="a",
        manifest_fingerprint=world.fingerprint,
        number=number,
        correlation_ids=CorrelationIds(dagster_run_id=dagster_run_id),
        error_code=SKIPPED_CODE if number in told.skipped else None,
        outputs=made,
    )
