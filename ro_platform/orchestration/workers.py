"""Who executes a run, and which slots of concurrency pools it holds.

The process that executes a run signs on, in the tag ``ro/worker``, before its RUN_START is stored.
So whoever finds a run STARTED can ask whether that process lives: a process id alone would not do,
since after a restart of the machine somebody else has it. Linux only; elsewhere nobody signs on,
and :meth:`Worker.is_gone` is never asked.

Concurrency pools: who holds a slot that a step waits for, and giving back what a dead run held.

Dagster counts a slot as taken until the process of its step gives it back, which a killed process
never does. So whoever finds a run over gives its slots back (:func:`free_slots`).

While ``ro run`` waits for a slot, the in-process executor asks for it without a pause and hears no
signal. Here each question takes a moment, notes what is waited for, and ends the run if it was
interrupted: the process that executes with :func:`waiting` around it, and no other.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import parent_process
from pathlib import Path

import dagster as dg

from ro_platform.dagster_private.running import (
    ClaimStatus,
    free_slots_of_run,
    is_interrupted,
    raise_interrupted,
    slot_holders,
)
from ro_platform.kernel.clock import utc_text
from ro_platform.plane import Plane

WORKER = "ro/worker"
_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_MACHINE = Path("/etc/machine-id")
_PR_SET_PDEATHSIG = 1
_STATE, _START_TIME = 0, 19  # proc_pid_stat(5): fields 3 and 22, counted after the name


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that executes a run. ``space`` is its process id namespace; ``started`` is in
    clock ticks since that boot."""

    run: str
    host: str
    boot: str
    space: str
    pid: int
    started: int

    @classmethod
    def this_process(cls, run: str) -> "Worker | None":
        """The calling process as the worker of a run; None where that cannot be told."""
        started = _start_of(os.getpid())
        if started is None:
            return None
        return cls(run, _host(), _boot(), _space(), os.getpid(), started)

    @classmethod
    def of(cls, run: dg.DagsterRun) -> "Worker | None":
        """Who signed on for a run. A run that was retried carries its parent's tag at first."""
        try:
            worker = cls(**json.loads(run.tags.get(WORKER, "null")))
        except (TypeError, ValueError):
            return None
        return worker if worker.run == run.run_id else None

    def is_gone(self) -> bool | None:
        """Whether the process is dead; None if it cannot be seen from here."""
        if self.host != _host():
            return None
        if self.boot != _boot():
            return True  # the machine was restarted since
        if self.space != _space():
            return None
        return _start_of(self.pid) != self.started


def sign_on(instance: dg.DagsterInstance, entry: dg.EventLogEntry) -> None:
    """Note who executes a run, given an event of it that is about to be stored."""
    event = entry.dagster_event
    if event is None or event.event_type is not dg.DagsterEventType.RUN_START:
        return
    worker = Worker.this_process(entry.run_id)
    if worker and instance.has_run(entry.run_id):
        instance.add_run_tags(entry.run_id, {WORKER: json.dumps(asdict(worker), sort_keys=True)})


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that executes the run dies.

    For a process of the multiprocess executor, which would otherwise outlive its run and go on.
    Does nothing in any other process, and where there is no such thing (prctl(2) is Linux's).
    """
    parent = parent_process()
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not parent.is_alive():  # it died before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)


def _start_of(pid: int) -> int | None:
    """When a process started; None if it is dead, though nobody may have collected it yet."""
    with suppress(OSError):
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return int(fields[_START_TIME]) if fields[_STATE] not in "ZX" else None
    return None


def _host() -> str:
    """This machine: by its name, which others may share, and by what systemd calls it."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{_MACHINE.read_text().strip()}"
    return socket.gethostname()


def _boot() -> str:
    return _BOOT.read_text().strip()


def _space() -> str:
    return str((_PROC / "self/ns/pid").readlink())


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
