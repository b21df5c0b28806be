"""The ledger: append, read, prove, verify.

An append is one durable commit, all of it or none. Sequence numbers have no gap and are the leaf
indexes of the Merkle tree. Appenders are serialised, whichever thread or process they are in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ro_platform.contracts.ledger import LedgerEntry
from ro_platform.errors import InvalidInputError
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.ledger.backends.base import LedgerBackend, LedgerTransaction, Mention, Row
from ro_platform.ledger.entry import EntryDraft, checked, require_indexable, require_same, sealed
from ro_platform.ledger.reader import LedgerReader
from ro_platform.ledger.sealing import Sealing, runs_of, seal_question
from ro_platform.ledger.tree import Frontier
from ro_platform.ledger.verification import Kept, Progress, Verification, verify

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
            raise InvalidInputError(
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
                entry, row = sealed(draft, seq + len(rows), moment)
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
    entries = {key: checked(row) for key, row in rows.items()}
    newest = [checked(row) if row else None for row in seals]
    return entries, Sealing(LedgerReader(transaction), runs, newest)
