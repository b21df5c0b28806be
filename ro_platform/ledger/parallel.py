"""Segments verified by several processes, each with a connection of its own to the ledger.

Processes are spawned, never forked: the caller may have threads and open connections. At most a
hundred segments a process are under way, a few hundred bytes each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from ro_platform.errors import BackendUnavailableError
from ro_platform.ledger.backends.base import Census, LedgerBackend
from ro_platform.ledger.segments import CheckedSegment, Segment, check_segment

Reopen = Callable[[], LedgerBackend]
"""Opens the ledger anew in another process; it can be sent there."""

_SEGMENTS_AHEAD = 100
"""A process: the ledger's census may take as long as all of that."""

A = TypeVar("A")

_opened: list[LedgerBackend] = []


class Workers:
    """Processes that count and check, until they are closed. Raises the backend's errors, and
    :class:`BackendUnavailableError` if a process dies."""

    def __init__(self, reopen: Reopen, jobs: int) -> None:
        self._pool = ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_open, initargs=(reopen,)
        )
        self._ahead = jobs * _SEGMENTS_AHEAD
        self._begun: deque[Future[CheckedSegment]] = deque()

    def census(self, meanwhile: Sequence[Segment]) -> Census:
        """Count the ledger; these, the first segments of it, are begun at the same time."""
        counting = self._pool.submit(_census)
        self._begin(meanwhile[: self._ahead])
        return _answer(counting)

    def check(self, segments: Sequence[Segment]) -> Generator[CheckedSegment, None, None]:
        """What is found in each segment, in their order; those begun are the first of them."""
        ahead = iter(segments[len(self._begun) :])
        self._begin(islice(ahead, self._ahead - len(self._begun)))
        while self._begun:
            yield _answer(self._begun.popleft())
            self._begin(islice(ahead, 1))

    def close(self) -> None:
        """Let them end what they are at, and no more."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, segments: Iterable[Segment]) -> None:
        try:
            self._begun.extend(self._pool.submit(_check, segment) for segment in segments)
        except BrokenProcessPool:
            raise _died() from None


def _answer(asked: Future[A]) -> A:
    try:
        return asked.result()
    except BrokenProcessPool:
        raise _died() from None


def _died() -> BackendUnavailableError:
    return BackendUnavailableError(
        "A process that verified a part of the ledger died.",
        next_step="Nothing is known of that part. Try again, with fewer --jobs if memory is short.",
    )


def _open(reopen: Reopen) -> None:
    _opened.append(reopen())


def _check(segment: Segment) -> CheckedSegment:
    return check_segment(_opened[0], segment)


def _census() -> Census:
    return _opened[0].census()
