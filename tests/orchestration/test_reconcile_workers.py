"""The process that executes a run: told from any other, found dead, and bound to its parent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import pytest

from ro_platform.dagster_private.running import (
    WorkerStatus,
    is_executing,
    was_on_this_host,
)
from ro_platform.orchestration.launcher import GovernedRunLauncher, worker_is_gone
from ro_platform.orchestration.workers import WORKER, Worker, die_with_parent
from ro_platform.testing import EphemeralPlane


@dg.op
def nothing() -> None:
    return None


@dg.job
def plain() -> None:
    nothing()


def begin(governed: EphemeralPlane, *, started: bool = True) -> dg.DagsterRun:
    """A run of any job, governed or not: all are monitored."""
    run = governed.instance.create_run_for_job(plain)
    if started:
        event = dg.DagsterEvent("PIPELINE_START", "plain", message="started")
        governed.instance.report_dagster_event(event, run_id=run.run_id)
    return run


def reloaded(governed: EphemeralPlane, run: dg.DagsterRun) -> dg.DagsterRun:
    found = governed.instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def sign_on_as_a_dead_process(governed: EphemeralPlane, run: dg.DagsterRun) -> None:
    worker = Worker.of(reloaded(governed, run))
    assert worker is not None
    dead = replace(worker, started=worker.started - 1)
    governed.instance.add_run_tags(run.run_id, {WORKER: json.dumps(asdict(dead))})


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that a test may kill."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_worker_is_told_from_whoever_has_its_number_later(
    governed: EphemeralPlane, sleeper: subprocess.Popen[bytes]
) -> None:
    """Alive, dead (collected or not), another start, another boot, another host, another space."""
    me = Worker.this_process("run")
    assert me is not None
    assert me.is_gone() is False
    assert replace(me, started=me.started + 1).is_gone() is True
    assert replace(me, boot="another").is_gone() is True
    assert replace(me, host="elsewhere").is_gone() is None
    assert replace(me, space="pid:[1]").is_gone() is None
    itself = _worker(sleeper.pid)
    assert itself.is_gone() is False
    sleeper.kill()
    deadline = time.monotonic() + 10
    while not itself.is_gone():  # not collected yet: a zombie
        assert time.monotonic() < deadline
    sleeper.wait()
    assert itself.is_gone() is True


def _worker(pid: int) -> Worker:
    """Another process as a worker, by what the kernel says of its start."""
    me = Worker.this_process("run")
    assert me is not None
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return replace(me, pid=pid, started=int(started))


def test_the_process_that_executes_a_run_signs_on(governed: EphemeralPlane) -> None:
    """Before its RUN_START is stored; a retry's copy of the tag is not taken for its own."""
    run = begin(governed)
    worker = Worker.of(reloaded(governed, run))
    assert worker == Worker.this_process(run.run_id)
    other = begin(governed, started=False)
    governed.instance.add_run_tags(
        other.run_id, {WORKER: reloaded(governed, run).tags[WORKER], "other": "tag"}
    )
    assert Worker.of(reloaded(governed, other)) is None


def test_the_launcher_answers_for_the_worker(governed: EphemeralPlane) -> None:
    """RUNNING while it lives, FAILED when it is gone."""
    launcher = GovernedRunLauncher()
    run = begin(governed)
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(reloaded(governed, run)).status is WorkerStatus.RUNNING
    sign_on_as_a_dead_process(governed, run)
    assert launcher.check_run_worker_health(reloaded(governed, run)).status is WorkerStatus.FAILED


@pytest.mark.parametrize(
    ("where", "gone"),
    [('{"host": "localhost", "socket": "/nowhere"}', True), ('{"host": "10.255.255.1"}', False)],
)
def test_without_a_worker_the_code_server_decides(
    governed: EphemeralPlane, where: str, gone: bool
) -> None:
    """One on this host that does not answer took its runs with it; of one elsewhere, who knows."""
    run = begin(governed, started=False)
    address = (
        where
        if gone
        else where.replace("}", f', "port": {free_port()}}}').replace("10.255.255.1", "localhost")
    )
    governed.instance.add_run_tags(run.run_id, {".dagster/grpc_info": address})
    known = reloaded(governed, run)
    assert is_executing(known) is None
    assert was_on_this_host(known) is gone
    assert worker_is_gone(known) is gone


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_process_that_nobody_forked_for_a_step_is_not_bound(governed: EphemeralPlane) -> None:
    """`ro run` and a test outlive whoever started them: nothing is asked of the kernel."""
    die_with_parent()
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert asked.stdout.split() == ["0", "9"]


ASK = """
import ctypes, multiprocessing
from ro_platform.orchestration.workers import die_with_parent

def signal_at_parents_death():
    die_with_parent()
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(found))
    print(found.value, flush=True)

signal_at_parents_death()
child = multiprocessing.get_context("fork").Process(target=signal_at_parents_death)
child.start()
child.join()
"""
