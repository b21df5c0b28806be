"""Verification: recompute the whole tree from the stored bytes, and compare all that is stored.

It finds every edited, missing, moved or added row, column and node, and a backend whose own guards
were taken away. What it cannot find alone: a tail cut off together with its nodes, or a history
rewritten consistently from some entry on. That needs sizes and roots kept elsewhere (``against``).
The last entries (at most 15) are under no stored node yet, so for them too only ``against`` counts.

Large logs are verified by several processes, an aligned segment each; the verdict and the first
bad entry are those of one process, because segments are judged in their order.

Segments verified by several processes, each with a connection of its own to the ledger.

Processes are spawned, never forked: the caller may have threads and open connections. At most a
hundred segments a process are under way, a few hundred bytes each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from multiprocessing import get_context
from typing import NamedTuple, TypeVar, cast

from ro_platform import errors
from ro_platform.kernel.merkle import EMPTY_ROOT, Node, root_of
from ro_platform.ledger.backends.base import Census, LedgerBackend, LedgerRows
from ro_platform.ledger.segments import CheckedSegment, Segment, check_segment, join, refuse
from ro_platform.ledger.tree import is_stored

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


def _died() -> errors.BackendUnavailableError:
    return errors.BackendUnavailableError(
        "A process that verified a part of the ledger died.",
        next_step="Nothing is known of that part. Try again, with fewer --jobs if memory is short.",
    )


def _open(reopen: Reopen) -> None:
    _opened.append(reopen())


def _check(segment: Segment) -> CheckedSegment:
    return check_segment(_opened[0], segment)


def _census() -> Census:
    return _opened[0].census()


SEGMENT_LEVEL = 14
"""Entries a worker verifies at a time, as a power of two: about a quarter of a second of work."""
_SEGMENTS_AT_LEAST = 8
"""Below that, starting processes takes longer than it saves."""

Progress = Callable[[int, int], None]
"""Told how many entries are verified, and of how many."""


class Kept(NamedTuple):
    """A size and root (32 bytes) that were kept elsewhere, and what says so, in words."""

    size: int
    root: bytes
    said_by: str = "the root it is verified against"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified: that many entries, under this root (32 bytes)."""

    size: int
    root: bytes


def verify(
    rows: LedgerRows,
    progress: Progress | None = None,
    against: tuple[int, bytes] | Sequence[Kept] | None = None,
    *,
    jobs: int = 1,
    segment_level: int = SEGMENT_LEVEL,
) -> Verification:
    """Verify the log as it stands now; appends meanwhile are welcome and not covered.

    ``against`` are sizes and roots kept elsewhere that the log must extend, all of them. With
    ``jobs`` above 1 that many processes read the log, if it is long enough and its backend can be
    opened by each. Memory is bounded by one page of entries a process.

    Raises :class:`LedgerCorruptError` naming the first bad ``seq`` and what differs, or between
    which two kept sizes the first difference lies; :class:`CheckpointRefusedError` if what was kept
    contradicts itself (a forked view).
    """
    kept = _in_order(against)
    reopen = rows.reopener() if isinstance(rows, LedgerBackend) and jobs > 1 else None
    size = _size_now(rows) if reopen else 0
    if reopen and size >= _SEGMENTS_AT_LEAST << segment_level:
        with closing(Workers(reopen, jobs)) as workers:
            # What is appended meanwhile does not move the boundaries of whole segments.
            whole = _segments(size >> segment_level << segment_level, kept, segment_level)
            census = workers.census(whole)
            _require_guards(census)
            if census.size < size:
                refuse(census.size, f"Entry {census.size} vanished during the verification.")
            segments = _segments(census.size, kept, segment_level)
            return _verdict(rows, census, kept, segments, workers.check(segments), progress)
    census = rows.census()
    _require_guards(census)
    segments = [Segment(0, census.size, _within(kept, 0, census.size))]
    step_by_step = (lambda done: progress(done, census.size)) if progress else None
    results = (check_segment(rows, one, step_by_step) for one in segments)
    return _verdict(rows, census, kept, segments, results)


def _verdict(
    rows: LedgerRows,
    census: Census,
    kept: Sequence[Kept],
    segments: Sequence[Segment],
    results: Iterable[CheckedSegment],
    progress: Progress | None = None,
) -> Verification:
    verdict = _Joined(rows, kept)
    for segment, result in zip(segments, results, strict=True):
        verdict.take(segment, result)
        if progress:
            progress(segment.end, census.size)
    verdict.require_no_more(census.size)
    _require_counts(census, verdict.mentions)
    return Verification(census.size, root_of(verdict.peaks))


class _Joined:
    """The log as far as its segments were taken, compared with what was kept on the way."""

    def __init__(self, rows: LedgerRows, kept: Sequence[Kept]) -> None:
        self.peaks: list[Node] = []
        self.mentions = 0
        self._rows = rows
        self._ahead = list(kept)[::-1]
        self._agreed: Kept | None = None
        self._compare(0, EMPTY_ROOT)

    def take(self, segment: Segment, result: CheckedSegment) -> None:
        for size, peaks in result.at_marks:
            if size < segment.end:
                self._compare(size, root_of([*self.peaks, *peaks]))
        if result.fault:
            raise result.fault
        join(self._rows, self.peaks, result.peaks)
        self.mentions += result.mentions
        self._compare(segment.end, root_of(self.peaks))

    def require_no_more(self, size: int) -> None:
        """That nothing was kept of a longer log."""
        if self._ahead:
            wanted = self._ahead[-1]
            refuse(
                size,
                f"The ledger has {size} entries, fewer than the {wanted.size} of {wanted.said_by}: "
                f"entry {size} is missing. {self._since(wanted)}".rstrip(),
            )

    def _compare(self, size: int, root: bytes) -> None:
        while self._ahead and self._ahead[-1].size == size:
            wanted = self._ahead.pop()
            if wanted.root != root:
                refuse(
                    self._agreed.size if self._agreed else 0,
                    f"The first {size} entries have the root {root.hex()}, not "
                    f"{wanted.root.hex()}, which is that of {wanted.said_by}: history was "
                    f"rewritten. {self._since(wanted)}".rstrip(),
                )
            self._agreed = wanted

    def _since(self, wanted: Kept) -> str:
        if self._agreed is None or self._agreed.size >= wanted.size:
            return ""
        return (
            f"Up to entry {self._agreed.size - 1} it is as {self._agreed.said_by} says, so the "
            f"first difference is among entries {self._agreed.size} to {wanted.size - 1}."
            if self._agreed.size
            else ""
        )


def require_one_view(kept: Sequence[Kept]) -> None:
    """Raises :class:`CheckpointRefusedError` if two of them have one size and different roots."""
    _in_order(kept)


def _in_order(against: tuple[int, bytes] | Sequence[Kept] | None) -> list[Kept]:
    kept = _listed(against)
    kept.sort(key=lambda one: one.size)
    for size, same in groupby(kept, key=lambda one: one.size):
        first, *others = same
        for other in others:
            if other.root != first.root:
                raise errors.CheckpointRefusedError(
                    f"Two views of the first {size} entries were handed out: {first.said_by} has "
                    f"the root {first.root.hex()}, {other.said_by} has {other.root.hex()}. The "
                    "ledger was forked or rewritten.",
                    next_step="Keep both as evidence, and ask who held the key between their "
                    "times.",
                    size=size,
                )
    return kept


def _listed(against: tuple[int, bytes] | Sequence[Kept] | None) -> list[Kept]:
    match against:
        case None:
            return []
        case (int() as size, bytes() as root, *said_by):
            return [Kept(size, root, *cast("list[str]", said_by))]
        case _:
            return list(against)


def _segments(size: int, kept: Sequence[Kept], level: int) -> list[Segment]:
    """A log of that size in aligned segments, the last one shorter."""
    starts = range(0, size, 1 << level)
    ends = [min(start + (1 << level), size) for start in starts]
    return [
        Segment(start, end, _within(kept, start, end))
        for start, end in zip(starts, ends, strict=True)
    ]


def _within(kept: Sequence[Kept], start: int, end: int) -> tuple[int, ...]:
    """The sizes kept that a segment leads to, each once: the list is in order of them."""
    return tuple(dict.fromkeys(one.size for one in kept if start < one.size <= end))


def _size_now(rows: LedgerRows) -> int:
    try:
        return rows.tip().size
    except errors.RunOperateError:
        return 0  # The census says why.


def _require_guards(census: Census) -> None:
    if census.faults:
        refuse(None, f"The ledger's own guards are not in order: {'; '.join(census.faults)}.")


def _require_counts(census: Census, mentions: int) -> None:
    for level, count in sorted(census.nodes.items()):
        if count > census.size >> level or not is_stored(level):
            refuse(
                census.size,
                f"Entry {census.size} is missing: nodes of level {level} cover {count << level} "
                f"entries, and {census.size} are stored.",
            )
    if census.rows != census.size:
        refuse(None, f"{census.rows} entries are stored where {census.size} belong.")
    if census.mentions != mentions:
        refuse(
            None,
            f"{census.mentions} mentions are stored where {mentions} belong: the others are of "
            f"entries outside 0 to {census.size - 1}.",
        )
