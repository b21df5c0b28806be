"""The ledger: append, read, prove, verify.

An append is one durable commit, all of it or none. Sequence numbers have no gap and are the leaf
indexes of the Merkle tree. Appenders are serialised, whichever thread or process they are in.

The refusal: a sealed run takes no more entries, unless the first of them reopens it.

An entry belongs to a run by the ``run_id`` in its correlation ids. What merely touches a run (a
revocation, say) mentions that it touched the run instead, and no seal refuses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from ro_platform import errors
from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.backends.base import LedgerBackend, LedgerTransaction, Mention, Row
from ro_platform.ledger.entry import (
    EntryDraft,
    decode_entry,
    encode_entry,
    require_indexable,
    require_same,
)
from ro_platform.ledger.reader import LedgerReader
from ro_platform.ledger.tree import Frontier
from ro_platform.ledger.verification import Kept, Progress, Verification, verify


def standing_seals(log: LedgerReader, run_ids: Sequence[str]) -> list[LedgerEntry | None]:
    """The seal under which each run stands, or None for one that is open. One round trip while
    none of them was ever sealed, otherwise two."""
    seals = log.latest_of([(EntryKind.RUN_SEALED, names.run_subject(run)) for run in run_ids])
    return _not_reopened(log, run_ids, seals)


def _not_reopened(
    log: LedgerReader, run_ids: Sequence[str], seals: list[LedgerEntry | None]
) -> list[LedgerEntry | None]:
    if not any(seals):
        return seals
    reopened = log.latest_of([(EntryKind.RUN_REOPENED, names.run_subject(run)) for run in run_ids])
    return [
        seal if seal and (later is None or later.seq < seal.seq) else None
        for seal, later in zip(seals, reopened, strict=True)
    ]


def runs_of(drafts: Iterable[EntryDraft]) -> list[str]:
    """The runs whose record these drafts would be added to."""
    ids = dict.fromkeys(draft.correlation_ids.run_id for draft in drafts)
    return [run for run in ids if run is not None]


def seal_question(run_id: str) -> tuple[str, str]:
    """The kind and subject of a run's seals."""
    return EntryKind.RUN_SEALED.value, names.run_subject(run_id)


class Sealing:
    """Which of the runs that an append is about are sealed, while its drafts are taken in order.

    ``newest`` is the last seal of each, whether it still stands or not.
    """

    def __init__(
        self, log: LedgerReader, runs: Sequence[str], newest: list[LedgerEntry | None]
    ) -> None:
        seals = _not_reopened(log, runs, newest)
        self._seals = {
            run: (seal.seq, seal.body.get("record"))
            for run, seal in zip(runs, seals, strict=True)
            if seal
        }

    def admit(self, draft: EntryDraft, seq: int) -> None:
        """Let a draft become entry ``seq``. Raises :class:`RunSealedError` if its run is sealed and
        it is not the reopening that links to that seal, or if it reopens an open run."""
        run = draft.correlation_ids.run_id
        if run is None:
            return
        seal = self._seals.get(run)
        if draft.kind is EntryKind.RUN_REOPENED:
            body = draft.body_object()
            if seal is None or not _follows(body, *seal):
                raise _not_a_reopening(run, seal)
            del self._seals[run]
        elif seal is not None:
            raise _sealed(run, seal[0], draft)
        elif draft.kind is EntryKind.RUN_SEALED:
            self._seals[run] = (seq, draft.body_object().get("record"))


def _follows(body: dict[str, object], sealed: int, record: object) -> bool:
    follows = isinstance(record, int) and body.get("record") == record + 1
    return follows and body.get("sealed") == sealed


def _sealed(run: str, sealed: int, draft: EntryDraft) -> errors.RunSealedError:
    return errors.RunSealedError(
        f"Run {run} was sealed by entry {sealed}: a {draft.kind} about {draft.subject!r} cannot be "
        "added to its record.",
        next_step="Begin a new attempt: that opens a new record, which links to the seal.",
        correlation_ids={"run_id": run},
        seq=sealed,
    )


def _not_a_reopening(run: str, seal: tuple[int, object] | None) -> errors.RunSealedError:
    stands = f"its seal is entry {seal[0]}, record {seal[1]}" if seal else "it is not sealed"
    return errors.RunSealedError(
        f"Run {run} is not reopened by that entry: {stands}.",
        next_step="A reopening names the run's newest seal, and the record after it.",
        correlation_ids={"run_id": run},
    )


Build = Callable[[LedgerReader], Sequence[EntryDraft]]
"""Decides what to append from what is recorded, while nobody else can append."""


class Ledger(LedgerReader):
    """The log of one environment. One object serves all threads of a process."""

    def __init__(self, backend: LedgerBackend, clock: Clock) -> None:
        super().__init__(backend)
        self._backend = backend
        self._clock = clock
        self._frontier = Frontier()
        self._appending = threading.local()

    def append(self, draft: EntryDraft) -> LedgerEntry:
        """Record one fact and return its entry, durable. See :meth:`append_with` for errors."""
        return self.append_many([draft])[0]

    def append_many(self, drafts: Sequence[EntryDraft]) -> list[LedgerEntry]:
        """Record facts in that order, in one commit, all or none; no drafts touch nothing."""
        return self.append_with(lambda _: drafts) if drafts else []

    def append_with(self, build: Build) -> list[LedgerEntry]:
        """Read and append with nothing in between: numbers 1, 2, 3 … come without a race.

        ``build`` must not append itself (:class:`InvalidInputError`), and should be quick, since
        every appender waits for it.
        Returns one entry for each draft. A draft whose key is in the log already returns the entry
        that has it, if kind, subject and body are the same.

        Raises :class:`EntryConflictError` if they are not, :class:`ContractError` or
        :class:`NotCanonicalError` for a bad draft, :class:`RunSealedError` for one that carries the
        id of a sealed run and does not reopen it first, and the backend's errors. After any of
        them, after an exception from ``build``, and after a crash, nothing of this call is in the
        log; only :class:`OutcomeUnknownError` leaves that open (repeat it with a key).
        """
        if getattr(self._appending, "now", False):
            raise errors.InvalidInputError(
                "An append was called while the same thread decides what to append.",
                next_step="Return the drafts from `build` instead.",
            )
        self._appending.now = True
        try:
            with self._backend.transaction() as transaction:
                drafts = build(LedgerReader(transaction))
                entries, frontier = self._write(transaction, drafts)
        finally:
            self._appending.now = False
        if frontier.tip.size > self._frontier.tip.size:
            self._frontier = frontier
        return entries

    def verify(
        self,
        progress: Progress | None = None,
        *,
        against: tuple[int, bytes] | Sequence[Kept] | None = None,
        jobs: int = 1,
    ) -> Verification:
        """Recompute everything. See :func:`ro_platform.ledger.verification.verify`."""
        return verify(self._backend, progress, against, jobs=jobs)

    def close(self) -> None:
        """Let go of the backend's connections; the next call opens them again."""
        self._backend.close()

    def _write(
        self, transaction: LedgerTransaction, drafts: Sequence[EntryDraft]
    ) -> tuple[list[LedgerEntry], Frontier]:
        frontier = self._frontier.caught_up(transaction, transaction.tip_at_begin())
        moment, seq = utc_text(self._clock()), frontier.tip.size
        recorded, sealing = _recorded(transaction, drafts)
        entries: list[LedgerEntry] = []
        rows: list[Row] = []
        mentions: list[Mention] = []
        for draft in drafts:
            entry = recorded.get(draft.key) if draft.key is not None else None
            if entry is None:
                sealing.admit(draft, seq + len(rows))
                entry, row = encode_entry(draft, seq + len(rows), moment)
                rows.append(row)
                mentions += [Mention(row.seq, name) for name in entry.mentions or ()]
                if draft.key is not None:
                    recorded[draft.key] = entry
            else:
                require_same(draft, entry)
            entries.append(entry)
        if rows:
            frontier, completed = frontier.extended([row.leaf for row in rows])
            transaction.insert(rows, completed, mentions)
        return entries, frontier


def _recorded(
    transaction: LedgerTransaction, drafts: Sequence[EntryDraft]
) -> tuple[dict[str, LedgerEntry], Sealing]:
    """The entries that carry the drafts' keys already, and how their runs stand."""
    keys = {draft.key for draft in drafts if draft.key is not None}
    for key in keys:
        require_indexable(key)
    runs = runs_of(drafts)
    rows, seals = transaction.recorded(keys, [seal_question(run) for run in runs])
    entries = {key: decode_entry(row) for key, row in rows.items()}
    newest = [decode_entry(row) if row else None for row in seals]
    return entries, Sealing(LedgerReader(transaction), runs, newest)
