"""Concurrency pools: who holds a slot that a step waits for, and giving back what a dead run held.

Dagster counts a slot as taken until the process of its step gives it back, which a killed process
never does. So whoever finds a run over gives its slots back (:func:`free_slots`).

While ``ro run`` waits for a slot, the in-process executor asks for it without a pause and hears no
signal. Here each question takes a moment, notes what is waited for, and ends the run if it was
interrupted: the process that executes with :func:`waiting` around it, and no other.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from ro_platform.kernel.clock import utc_text
from ro_platform.orchestration.dagster_private import (
    ClaimStatus,
    free_slots_of_run,
    is_interrupted,
    raise_interrupted,
    slot_holders,
)
from ro_platform.orchestration.workers import Worker
from ro_platform.plane import Plane

_ASK_SECONDS = 0.25
_waiting: ContextVar["dict[str, str] | None"] = ContextVar("pools waited for", default=None)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a slot: a step of a run, what it makes, since when, and whether it still can."""

    dagster_run_id: str
    unit: str
    since: datetime | None
    is_over: bool

    def words(self) -> str:
        """One clause for a person."""
        since = f" since {utc_text(self.since)}" if self.since else ""
        over = ", whose process is gone" if self.is_over else ""
        return f"{self.unit!r} of run {self.dagster_run_id}{since}{over}"


@dataclass(frozen=True, slots=True)
class Wait:
    """A step that waits for a slot of a pool, and who holds those that there are."""

    step: str
    pool: str
    holders: tuple[Holder, ...]

    def words(self) -> str:
        """What is waited for and, where only that helps, what to do."""
        held = "; ".join(holder.words() for holder in self.holders) or "nobody: see its limit"
        over = any(holder.is_over for holder in self.holders)
        advice = " `ro attempts reconcile` gives back what a dead run holds." if over else ""
        what = f"step {self.step!r} waits for a slot of the pool {self.pool!r}"
        return f"{what}, held by {held}.{advice}"


@contextmanager
def waiting(pools: dict[str, str]) -> Iterator[None]:
    """While this process executes a run by itself; keeps the pool that each step waits for."""
    token = _waiting.set(pools)
    try:
        yield
    finally:
        _waiting.reset(token)


def asked(status: ClaimStatus, step: str) -> ClaimStatus:
    """What the storage answers to a step that asks for a slot.

    Raises Dagster's interrupt if this process executes by itself, waits, and was told to end.
    """
    pools = _waiting.get()
    if pools is None:
        return status
    if status.is_claimed:
        pools.pop(step, None)
        return status
    pools[step] = status.concurrency_key
    if is_interrupted():
        raise_interrupted(f"It was told to end while step {step!r} waited for a slot.")
    time.sleep(_ASK_SECONDS)
    patient: ClaimStatus = status.with_sleep_interval(0.0)
    return patient


def waits(plane: Plane, instance: dg.DagsterInstance, pools: Mapping[str, str]) -> tuple[Wait, ...]:
    """What is waited for, with its holders."""
    return tuple(
        Wait(step, pool, tuple(_holders(plane, instance, pool)))
        for step, pool in sorted(pools.items())
    )


def free_slots(instance: dg.DagsterInstance, dagster_run_id: str, *, is_over: bool = False) -> None:
    """Give back what a run holds in pools and waits for there, unless its worker lives.

    ``is_over``: nothing more can come from it, also where its worker cannot be seen from here.
    """
    run = instance.get_run_by_id(dagster_run_id)
    worker = Worker.of(run) if run else None
    gone = worker.is_gone() if worker else None
    if gone or (gone is None and is_over):
        free_slots_of_run(instance, dagster_run_id)


def _holders(plane: Plane, instance: dg.DagsterInstance, pool: str) -> Iterator[Holder]:
    for dagster_run_id, step in slot_holders(instance, pool):
        run = instance.get_run_by_id(dagster_run_id)
        worker = Worker.of(run) if run else None
        attempts = plane.attempts.of_dagster_run(dagster_run_id).get(step, ())
        yield Holder(
            dagster_run_id=dagster_run_id,
            unit=", ".join(item.unit for item in attempts) or step,
            since=_since(instance, dagster_run_id, step),
            is_over=run is None or run.is_finished or bool(worker and worker.is_gone()),
        )


def _since(instance: dg.DagsterInstance, dagster_run_id: str, step: str) -> datetime | None:
    """When the step began; when its run did, if the step is not known to have."""
    for stats in instance.get_run_step_stats(dagster_run_id, [step]):
        if stats.start_time:
            return datetime.fromtimestamp(stats.start_time, UTC)
    record = instance.get_run_record_by_id(dagster_run_id)
    began = record.start_time if record else None
    return datetime.fromtimestamp(began, UTC) if began else None
