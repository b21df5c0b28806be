"""Who executes a run: a process that can be told from every other, and be found dead.

The process that executes a run signs on, in the tag ``ro/worker``, before its RUN_START is stored.
So whoever finds a run STARTED can ask whether that process lives: a process id alone would not do,
since after a restart of the machine somebody else has it. Linux only; elsewhere nobody signs on,
and :meth:`Worker.is_gone` is never asked.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from pathlib import Path

import dagster as dg

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
