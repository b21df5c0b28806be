"""Which runs are not settled yet: an attempt is open, or all have ended and no seal says so.

Only what moves can unsettle a run, and every move is an entry: a transition of an attempt, the
registration of a manifest whose attempts ended before it, or the reopening of a sealed record. So a
pass reads these entries from where the last one came to, and the runs that were left unsettled
then; what is settled is not read again, however much of it there is. The ledger's ``seq`` has no
gaps and commits in order, so nothing can appear before a :class:`Mark` later. A mark that is lost
costs time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from ro_platform.contracts import AttemptTransition, EntryKind, LedgerEntry
from ro_platform.kernel.clock import moment_of
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.names import run_subject
from ro_platform.ledger.reader import LedgerReader
from ro_platform.ledger.sealing import standing_seals
from ro_platform.runs.attempt import is_open, transition_of

MOST_CARRIED = 1000
"""How many runs a mark names; further ones hold back its ``start`` instead."""

_UNSETTLING = (EntryKind.RUN_REGISTERED, EntryKind.ATTEMPT_TRANSITION, EntryKind.RUN_REOPENED)
_RUNS_A_QUESTION = 500
_CARRIED = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the ledger is done with: before ``start`` (a ``seq``) every run is settled, but for
    ``runs`` (manifest fingerprints)."""

    start: int = 0
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt without an end: where it began in the ledger, where it stands and since when."""

    begun: int
    since: datetime
    attempt: AttemptTransition
    dagster_run_id: str | None


@dataclass(frozen=True, slots=True)
class UnsettledRun:
    """A run that has attempts, or a record that was opened again, and no seal on it.

    ``met`` is the entry by which it was found. ``dagster_runs`` are those with attempts in its open
    record, and when the last of them moved.
    """

    fingerprint: str
    met: int
    registered: bool
    open: tuple[OpenAttempt, ...]
    dagster_runs: Mapping[str, datetime]


def unsettled_runs(log: LedgerReader, mark: Mark, *, end: int) -> list[UnsettledRun]:
    """The runs that are unsettled by the entries before ``end``, in the order of ``met``."""
    met = dict.fromkeys(mark.runs, _CARRIED)
    for kind in _UNSETTLING:
        for entry in log.scan(start=mark.start, end=end, kind=kind):
            met.setdefault(str(entry.body["manifest_fingerprint"]), entry.seq)
    found = (_unsettled(log, one, met[one], end) for one in _unsealed(log, met))
    return sorted(filter(None, found), key=lambda run: run.met)


def next_mark(unsettled: Sequence[UnsettledRun], *, end: int) -> Mark:
    """From where the next pass reads, if these runs are still unsettled at ``end``."""
    ordered = sorted(unsettled, key=lambda run: run.met)
    carried, rest = ordered[:MOST_CARRIED], ordered[MOST_CARRIED:]
    return Mark(rest[0].met if rest else end, tuple(run.fingerprint for run in carried))


def open_attempts(entries: Iterable[LedgerEntry]) -> list[OpenAttempt]:
    """The attempts that have not ended, oldest first, from their transitions in order."""
    found: dict[str, OpenAttempt] = {}
    for entry in entries:
        move = transition_of(entry)
        if not is_open(move.status):
            found.pop(move.attempt_id, None)
            continue
        before = found.get(move.attempt_id)
        found[move.attempt_id] = OpenAttempt(
            begun=before.begun if before else entry.seq,
            since=moment_of(entry.recorded_at_utc),
            attempt=move,
            dagster_run_id=entry.correlation_ids.dagster_run_id,
        )
    return sorted(found.values(), key=lambda item: item.begun)


def _unsealed(log: LedgerReader, fingerprints: Iterable[str]) -> Iterator[str]:
    """Those of the runs that no seal stands on."""
    left = iter(fingerprints)
    while some := list(islice(left, _RUNS_A_QUESTION)):
        seals = standing_seals(log, [run_id(one) for one in some])
        yield from (one for one, seal in zip(some, seals, strict=True) if seal is None)


def _unsettled(log: LedgerReader, fingerprint: str, met: int, end: int) -> UnsettledRun | None:
    """A run's open record; None if it is the first one and has no attempts in it."""
    run = run_id(fingerprint)
    reopened = log.latest(EntryKind.RUN_REOPENED, run_subject(run))
    start = reopened.seq if reopened else 0
    kind = EntryKind.ATTEMPT_TRANSITION
    moves = list(log.scan(run_id=run, kind=kind, start=start, end=end))
    if not moves and reopened is None:
        return None
    heard = {move.correlation_ids.dagster_run_id: move.recorded_at_utc for move in moves}
    return UnsettledRun(
        fingerprint,
        met,
        log.latest(EntryKind.RUN_REGISTERED, run_subject(run)) is not None,
        tuple(open_attempts(moves)),
        {name: moment_of(last) for name, last in heard.items() if name is not None},
    )
