"""One cell of the matrix: a publication whose process meets one fault at one write boundary."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ro_platform.config.settings import Settings
from ro_platform.contracts import JobStatus
from ro_platform.errors import RunOperateError
from tests.integration.crash_points.aftermath import (
    Said,
    closing,
    ended,
    reconcile,
    require_acknowledged,
    require_sound,
    standing,
)
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.publication import Job, Pipe, give_up
from tests.integration.crash_points.tripwire import Boundary, Tripwire

MEMBERS = {"small.txt": b"a few bytes", "deep/large.bin": bytes(range(256)) * 4097}
"""The artifact: one small file, and one that is streamed in several writes."""


PATIENCE_SECONDS = 60


class Trap(Protocol):
    """What a publication runs into."""

    @property
    def kills(self) -> bool:
        """Whether its process dies of it; else a call fails, or nothing happens."""

    def begin(self, step: str) -> None:
        """Hear which step begins."""

    def armed(self) -> AbstractContextManager[None]:
        """Within the block, it waits."""


@dataclass(frozen=True)
class Finding:
    """What became of one cell: what the fault left, the error's code where the process lived on,
    how the attempts ended, in order, and the digest that the next try gave."""

    left: str
    code: str
    ends: tuple[JobStatus, ...]
    digest: str


@dataclass(frozen=True)
class Child:
    """A forked process at work, and the end of its pipe."""

    pid: int
    pipe: int

    def ended(self) -> tuple[int, Said]:
        """How it ended (see ``waitstatus_to_exitcode``), and what it said. Waits for it."""
        with open(self.pipe, "rb") as pipe:  # noqa: PTH123
            text = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), Said.of(text)


def begun_child(work: Callable[[Pipe], None]) -> Child:
    """Run it in a forked process, which no failure outlives."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            signal.alarm(PATIENCE_SECONDS)
            os.close(reading)
            work(Pipe(writing))
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(writing)
    return Child(child, reading)


def in_child(work: Callable[[Pipe], None]) -> tuple[int, Said]:
    """Run it in a forked process, and wait."""
    return begun_child(work).ended()


def artifact(folder: Path, members: Mapping[str, bytes] = MEMBERS) -> Path:
    """The folder that is published."""
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def job_at(home: Path, folder: Path, ledger_url: str = "", *, name: str = "crash") -> Job:
    """That folder's publication on a plane at ``home``, its ledger in SQLite if no URL is given."""
    environment = {"RO_ROOT": str(home.parent), "RO_HOME": str(home)}
    if ledger_url:
        environment["RO_LEDGER_URL"] = ledger_url
    return Job(Settings.load(environment), folder, name)


def crossings(job: Job) -> list[Boundary]:
    """Every boundary of an undisturbed publication, in order. The plane is there afterwards."""

    def work(pipe: Pipe) -> None:
        tripwire = Tripwire(job.settings.home)
        _publish(job, tripwire, pipe)
        for one in tripwire.crossed:
            pipe.say(boundary=[one.step, one.call, one.what, sorted(one.torn)])

    code, said = in_child(work)
    assert code == 0
    found = [line["boundary"] for line in said.lines if "boundary" in line]
    return [
        Boundary(step, call, what, frozenset(map(Fault, torn))) for step, call, what, torn in found
    ]


def meet(job: Job, trap: Trap) -> Finding:
    """Publish into that trap on a plane that is not there yet, and try once more.

    Raises AssertionError for whatever is not well then.
    """
    code, said = in_child(lambda pipe: _publish(job, trap, pipe))
    assert (code < 0) is trap.kills, code
    with closing(job.plane()) as plane:
        left = said.last("left") or standing(plane, job.file.fingerprint, job.settings.home)
        require_acknowledged(plane, said)
        require_sound(plane)
        reconcile(plane)
        digest = said.last("digest") or job.publish(plane, "again")
        require_acknowledged(plane, said)
        require_sound(plane)
        return Finding(left, said.last("code") or "", ended(plane, job.file.fingerprint), digest)


def _publish(job: Job, trap: Trap, pipe: Pipe) -> None:
    """Publish into the trap. After an error, once more in the same process without it."""
    plane = job.plane()
    try:
        with pipe.acknowledging(), trap.armed():
            digest = job.publish(plane, "once", step=trap.begin, pipe=pipe)
    except RunOperateError as error:
        give_up(plane, error, "once")
        left = standing(plane, job.file.fingerprint, job.settings.home)
        pipe.say(code=error.code, left=left)
        require_sound(plane)
        with pipe.acknowledging():
            digest = job.publish(plane, "again", pipe=pipe)
    pipe.say(digest=digest)
