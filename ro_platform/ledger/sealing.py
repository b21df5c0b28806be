"""The refusal: a sealed run takes no more entries, unless the first of them reopens it.

An entry belongs to a run by the ``run_id`` in its correlation ids. What merely touches a run (a
revocation, say) mentions that it touched the run instead, and no seal refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ro_platform.contracts.ledger import EntryKind, LedgerEntry
from ro_platform.errors import RunSealedError
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import run_subject
from ro_platform.ledger.reader import LedgerReader


def standing_seals(log: LedgerReader, run_ids: Sequence[str]) -> list[LedgerEntry | None]:
    """The seal under which each run stands, or None for one that is open. One round trip while
    none of them was ever sealed, otherwise two."""
    seals = log.latest_of([(EntryKind.RUN_SEALED, run_subject(run)) for run in run_ids])
    return _not_reopened(log, run_ids, seals)


def _not_reopened(
    log: LedgerReader, run_ids: Sequence[str], seals: list[LedgerEntry | None]
) -> list[LedgerEntry | None]:
    if not any(seals):
        return seals
    reopened = log.latest_of([(EntryKind.RUN_REOPENED, run_subject(run)) for run in run_ids])
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
    return EntryKind.RUN_SEALED.value, run_subject(run_id)


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


def _sealed(run: str, sealed: int, draft: EntryDraft) -> RunSealedError:
    return RunSealedError(
        f"Run {run} was sealed by entry {sealed}: a {draft.kind} about {draft.subject!r} cannot be "
        "added to its record.",
        next_step="Begin a new attempt: that opens a new record, which links to the seal.",
        correlation_ids={"run_id": run},
        seq=sealed,
    )


def _not_a_reopening(run: str, seal: tuple[int, object] | None) -> RunSealedError:
    stands = f"its seal is entry {seal[0]}, record {seal[1]}" if seal else "it is not sealed"
    return RunSealedError(
        f"Run {run} is not reopened by that entry: {stands}.",
        next_step="A reopening names the run's newest seal, and the record after it.",
        correlation_ids={"run_id": run},
    )
