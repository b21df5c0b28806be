"""Which training run made an artifact, and which bundle it is: said with every word on it."""

from __future__ import annotations

from collections.abc import Sequence

from ro_platform.contracts import CorrelationIds, EntryKind
from ro_platform.gates.subjects import artifact_subject
from ro_platform.ledger.reader import LedgerReader


def made_ids(log: LedgerReader, locators: Sequence[str]) -> CorrelationIds:
    """``train_run_id`` and ``bundle_id`` of what is bound there, as the entries that bound it have
    them; none where they are not one. What is said of it belongs to no run's record by them."""
    questions = [(EntryKind.ARTIFACT_BOUND, artifact_subject(name)) for name in locators]
    ids = [entry.correlation_ids for entry in log.latest_of(questions) if entry is not None]
    trained = {item.train_run_id for item in ids}
    bundles = {item.bundle_id for item in ids}
    return CorrelationIds(
        train_run_id=trained.pop() if len(trained) == 1 else None,
        bundle_id=bundles.pop() if len(bundles) == 1 else None,
    )
