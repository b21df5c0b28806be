"""An interrupted run of the tests leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
# A command like a run of the tests: a worker of it starts a server in a session of its own, with
# an environment of its own, and the server a child that ignores what it can.
SERVER = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
depth, folder = int(sys.argv[2]), sys.argv[3]
open(os.path.join(folder, str(os.getpid())), "w").close()
if depth:
    subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1], str(depth - 1), folder],
                     start_new_session=True, env={})
if sys.argv[4:] == ["leave"]:
    while len(os.listdir(folder)) < 3:
        time.sleep(0.01)
    sys.exit(7)
time.sleep(600)
"""
SUPERVISED = [sys.executable, "-m", "tests.supervised", "--patience", "1"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts descendants")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Path]:
    """Where each process of the command leaves its id; none of them outlives the test."""
    folder = tmp_path / "started"
    folder.mkdir()
    yield folder
    for pid in pids(folder):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def supervised(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SERVER, SERVER, "2", str(folder), *more]
    return subprocess.Popen([*SUPERVISED, *command], cwd=ROOT, start_new_session=True)


def wait_for(folder: Path, count: int) -> None:
    end = time.monotonic() + 30
    while len(pids(folder)) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def left(folder: Path) -> list[int]:
    """The processes that still run; one that was killed may take a moment to go."""
    found = [psutil.Process(pid) for pid in pids(folder) if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(found, timeout=10)
    return [process.pid for process in alive]


def test_a_command_that_ends_by_itself_leaves_no_server_behind(started: Path) -> None:
    """Its exit code is the answer; what it left running in other sessions is gone."""
    process = supervised(started, "leave")
    assert process.wait(60) == 7
    assert len(pids(started)) == 3
    assert left(started) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_no_server_behind(started: Path, number: int) -> None:
    """Ctrl-C, TERM and a terminal that is closed: a command that does not care is killed, too."""
    process = supervised(started)
    wait_for(started, 3)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert left(started) == []


def test_a_command_whose_caller_is_killed_leaves_no_server_behind(started: Path) -> None:
    """`make` itself can be killed: the supervisor is told by the kernel."""
    words = [*SUPERVISED, sys.executable, "-c", SERVER, SERVER, "2"]
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    caller = subprocess.Popen([sys.executable, "-c", script, *words, str(started)], cwd=ROOT)
    wait_for(started, 3)
    caller.kill()
    caller.wait()
    end = time.monotonic() + 60
    while left(started):
        assert time.monotonic() < end


def test_an_orphan_that_ends_meanwhile_is_gone(started: Path) -> None:
    """A killed server whose parent ended has no id any more, while the command still runs: whoever
    asks whether it lives is told the truth."""
    orphan = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    server = [sys.executable, "-c", SERVER, SERVER, "0", str(started)]
    wait = "import subprocess, sys, time; subprocess.run(sys.argv[1:]); time.sleep(600)"
    words = [sys.executable, "-c", wait, sys.executable, "-c", orphan, *server]
    process = subprocess.Popen([*SUPERVISED, *words], cwd=ROOT, start_new_session=True)
    try:
        wait_for(started, 1)
        (pid,) = pids(started)
        end = time.monotonic() + 30
        while psutil.Process(pid).ppid() != process.pid:  # its parent has ended
            assert time.monotonic() < end
        os.kill(pid, signal.SIGKILL)
        while psutil.pid_exists(pid):
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(60)
