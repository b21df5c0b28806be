"""Rounds of real kills at random times, all on one plane that grows, so that damage would stay."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ro_platform.contracts import EntryKind, JobStatus
from ro_platform.kernel.merkle import EMPTY_ROOT
from ro_platform.plane import Plane
from ro_platform.runs.attempt import transition_of
from tests.integration.crash_points.aftermath import (
    Said,
    closing,
    ended,
    reconcile,
    require_acknowledged,
    require_recorded,
    require_sound,
)
from tests.integration.crash_points.cells import begun_child, in_child, job_at
from tests.integration.crash_points.publication import Job, Pipe

FILES = (1, 3, 20)
"""How many files an artifact has; from 17 on they are made durable together (syncfs)."""
JOBS_A_WORKER = 3


@dataclass(frozen=True)
class Toll:
    """How many processes were killed, how many had finished before, and how many attempts were
    at work when their process died."""

    killed: int
    finished: int
    lost: int


class Rounds:
    """A plane at ``home`` on which several processes publish at once until each is killed."""

    def __init__(self, home: Path, files: Path, seed: int, ledger_url: str = "") -> None:
        self._home = home
        self._ledger_url = ledger_url
        self._files = files
        self._chance = random.Random(seed)
        self._kept = (0, EMPTY_ROOT)
        self._jobs: list[Job] = []
        self._patience = self._undisturbed_seconds()

    def play(self, rounds: int, workers: int) -> Toll:
        """Kill that many workers in each of the rounds, and look at the plane after each.

        Raises AssertionError for whatever is not well.
        """
        killed = 0
        for _ in range(rounds):
            jobs = [[self._job() for _ in range(JOBS_A_WORKER)] for _ in range(workers)]
            ends = self._killed(jobs)
            killed += sum(code == -signal.SIGKILL for code, _ in ends)
            assert {code for code, _ in ends} <= {0, -signal.SIGKILL}, ends
            with closing(jobs[0][0].plane()) as plane:
                self._look(plane, [said for _, said in ends])
                self._complete(plane, [self._chance.choice(own) for own in jobs])
        return Toll(killed, rounds * workers - killed, self._lost())

    def verify(self) -> int:
        """Verify the whole plane, byte by byte; how many entries its ledger has."""
        with closing(self._jobs[0].plane()) as plane:
            require_sound(plane)
            return plane.ledger.size()

    def _job(self) -> Job:
        name = f"job-{len(self._jobs)}"
        folder = self._files / name
        folder.mkdir(parents=True)
        for number in range(self._chance.choice(FILES)):
            (folder / f"{number}.txt").write_text(f"{name}, file {number}")
        self._jobs.append(job_at(self._home, folder, self._ledger_url, name=name))
        return self._jobs[-1]

    def _undisturbed_seconds(self) -> float:
        jobs = [self._job() for _ in range(JOBS_A_WORKER)]
        begun = time.monotonic()
        code, _ = in_child(lambda pipe: _work(jobs, pipe))
        assert code == 0
        return time.monotonic() - begun

    def _killed(self, jobs: Sequence[Sequence[Job]]) -> list[tuple[int, Said]]:
        """Let a process work on each of the lists at once, and kill each when its time has come."""
        due = [self._chance.uniform(0, 1.5 * self._patience) for _ in jobs]
        begun = time.monotonic()
        children = [begun_child(partial(_work, own)) for own in jobs]
        for seconds, child in sorted(zip(due, children, strict=True), key=lambda one: one[0]):
            time.sleep(max(0.0, begun + seconds - time.monotonic()))
            os.kill(child.pid, signal.SIGKILL)
        return [child.ended() for child in children]

    def _look(self, plane: Plane, said: Sequence[Said]) -> None:
        size, root = self._kept
        for words in said:
            require_acknowledged(plane, words)
        assert plane.ledger.root(size) == root
        require_recorded(plane, start=size)
        reconcile(plane, start=size)
        self._kept = (plane.ledger.size(), plane.ledger.root())
        plane.ledger.verify(against=(size, root))

    def _complete(self, plane: Plane, jobs: Sequence[Job]) -> None:
        """Another try gives the bytes that a store in memory gives, whatever is there already."""
        for job in jobs:
            assert job.publish(plane, f"{job.name}-again") == job.expected_digest()
            assert ended(plane, job.file.fingerprint)[-1] is JobStatus.SUCCEEDED

    def _lost(self) -> int:
        with closing(self._jobs[0].plane()) as plane:
            moves = map(transition_of, plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION))
            return sum(move.status is JobStatus.LOST for move in moves)


def _work(jobs: Sequence[Job], pipe: Pipe) -> None:
    plane = jobs[0].plane()
    with pipe.acknowledging():
        for job in jobs:
            job.publish(plane, f"{job.name}-once", pipe=pipe)
