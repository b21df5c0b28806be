"""Segments verified by several processes, each with a connection of its own to the ledger.

Processes are spawned, never forked: the caller may have threads and open connections. At most two
segments a process are under way, so memory does not grow with the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from ro_platform.errors import BackendUnavailableError
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.segments import CheckedSegment, Segment, check_segment

Reopen = Callable[[], LedgerBackend]
"""Opens the ledger anew in another process; it can be sent there."""

_opened: list[LedgerBackend] = []


def check_in_parallel(
    reopen: Reopen, segments: Sequence[Segment], jobs: int
) -> Generator[CheckedSegment, None, None]:
    """What is found in each segment, in their order. Raises the backend's errors, and
    :class:`BackendUnavailableError` if a process dies."""
    pool = ProcessPoolExecutor(
        min(jobs, len(segments)),
        mp_context=get_context("spawn"),
        initializer=_open,
        initargs=(reopen,),
    )
    try:
        ahead = iter(segments)
        under_way: deque[Future[CheckedSegment]] = deque(
            pool.submit(_check, segment) for segment in islice(ahead, 2 * jobs)
        )
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(pool.submit(_check, segment) for segment in islice(ahead, 1))
    except BrokenProcessPool:
        raise BackendUnavailableError(
            "A process that verified a part of the ledger died.",
            next_step="Nothing is known of that part. Try again, with fewer --jobs if memory is "
            "short.",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _open(reopen: Reopen) -> None:
    _opened.append(reopen())


def _check(segment: Segment) -> CheckedSegment:
    return check_segment(_opened[0], segment)
