"""Run a command and leave nothing of it behind: ``python -m tests.supervised COMMAND``.

Tests start servers, daemons and workers in sessions of their own, so neither Ctrl-C nor the end of
pytest reaches them. On Linux this process adopts every descendant whose parent ends
(``PR_SET_CHILD_SUBREAPER``, prctl(2)). When the command ends, or this process is told to end or
loses its own parent, it kills what is left. Elsewhere it only runs the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
PATIENCE_SECONDS = 20.0
"""How long a command that is to end may take to put its own things away."""


class Told(BaseException):
    """A signal asks this process to end; no error, as KeyboardInterrupt is none."""


def main(command: list[str], patience: float = PATIENCE_SECONDS) -> int:
    """The command's exit code; 128 and the signal's number if a signal ended it."""
    _adopt_descendants()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _told)
    # A shell that starts a command in the background has it ignore this one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(command)
    try:
        code = _exit_code_of(child)
    except KeyboardInterrupt:  # the terminal has told the command, too
        code = _ended(child, patience)
    except Told:
        child.send_signal(signal.SIGINT)
        code = _ended(child, patience)
    finally:
        _kill_descendants()
    return code if code >= 0 else 128 - code


def _adopt_descendants() -> None:
    if sys.platform != "linux":
        return
    parent = os.getppid()
    library = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_PDEATHSIG, signal.SIGTERM)):
        if library.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it ended before the kernel was asked to tell
        raise SystemExit(128 + signal.SIGTERM)


def _told(number: int, frame: FrameType | None) -> None:
    raise Told(number)


def _exit_code_of(child: subprocess.Popen[bytes], patience: float | None = None) -> int:
    """Wait for the command, and meanwhile for every adopted process that ends: one that nobody
    waits for still has its id, and a test would take it for alive.

    Raises :class:`TimeoutError` after so many seconds.
    """
    until = None if patience is None else time.monotonic() + patience
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode
        if until is not None and time.monotonic() > until:
            raise TimeoutError
        if not pid:
            time.sleep(0.02)


def _ended(child: subprocess.Popen[bytes], patience: float) -> int:
    """Wait while the fixtures of the command end what they hold."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        return _exit_code_of(child, patience)
    except TimeoutError:
        child.kill()
        return _exit_code_of(child)


def _kill_descendants() -> None:
    """Kill until none is left: one that is killed hands its children to this process."""
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--patience"]:
        sys.exit(main(words[2:], float(words[1])))
    sys.exit(main(words))
