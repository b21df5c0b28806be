"""A draft's ledger: each of its entries says that it is a draft's, under its leaf hash.

So no entry of a draft can be passed off as a governed one: not in a ledger that was copied or
renamed, and not in a dossier that was made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ro_platform import errors
from ro_platform.contracts.ledger import LedgerEntry
from ro_platform.kernel.clock import Clock
from ro_platform.ledger import names
from ro_platform.ledger.backends.base import LedgerBackend, LedgerTransaction
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.ledger.tree import Frontier


class DraftLedger(Ledger):
    """A ledger of which each entry mentions the draft that it belongs to."""

    def __init__(self, backend: LedgerBackend, clock: Clock, *, draft: str) -> None:
        super().__init__(backend, clock)
        self._mark = names.draft_mention(draft)

    def _write(
        self, transaction: LedgerTransaction, drafts: Sequence[EntryDraft]
    ) -> tuple[list[LedgerEntry], Frontier]:
        marked = [replace(item, mentions=(*item.mentions, self._mark)) for item in drafts]
        return super()._write(transaction, marked)


def draft_of(entry: LedgerEntry) -> str | None:
    """The draft that an entry belongs to; None for an entry of a governed ledger."""
    marks = filter(None, map(names.draft_mention.parse, entry.mentions or ()))
    return next((name for (name,) in marks), None)


def require_governed(log: LedgerReader) -> None:
    """Raise :class:`DraftError` if the ledger is a draft's: its first entry says so.

    A ledger that cannot be read is not judged: whoever reads it is told.
    """
    try:
        first = [log.get(0)] if log.size() else []
    except errors.RunOperateError:
        return
    for name in filter(None, map(draft_of, first)):
        raise errors.DraftError(
            f"this ledger is that of the draft {name!r}: it counts for nothing governed.",
            next_step="Run the manifest without --draft: what that makes is governed.",
        )
