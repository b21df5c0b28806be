"""The names by which one piece of work is known beside its run: a training run, a bundle.

Both come from what an asset says of itself in its definition's metadata. ``ro/train_run: True``:
making it is a training run, known by its attempt (``train_run_id`` = ``attempt_id``), so that
training again is another one. ``ro/bundle: True``: it is a bundle, known by its bytes
(``bundle_id`` = the digest), so that the same bundle made again is the same one. The entry that
binds the artifact carries them, and so does the end of its attempt; each is mentioned, too, so
that it is found without reading anything else. What is said of the artifact later (a verdict, a
revocation, a block, an erasure) carries them as well: :mod:`ro_platform.gates.made`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ro_platform.contracts import CorrelationIds, EntryKind, NamedArtifact
from ro_platform.ledger.names import artifact_subject, bundle_mention, train_run_mention
from ro_platform.ledger.reader import LedgerReader


def mentions_of(ids: CorrelationIds) -> tuple[str, ...]:
    """What an entry with these correlation ids mentions; the other two ids have columns."""
    trained = (train_run_mention(ids.train_run_id),) if ids.train_run_id else ()
    bundled = (bundle_mention(ids.bundle_id),) if ids.bundle_id else ()
    return trained + bundled


def ids_of_outputs(
    log: LedgerReader, attempt_id: str, outputs: Iterable[NamedArtifact] | None
) -> CorrelationIds:
    """``train_run_id`` and ``bundle_id`` of what an attempt bound, as the ledger has them."""
    subjects = [artifact_subject(item.artifact.ref) for item in outputs or ()]
    found = log.latest_of([(EntryKind.ARTIFACT_BOUND, subject) for subject in subjects])
    own = [
        entry.correlation_ids
        for entry in found
        if entry is not None and entry.body["attempt_id"] == attempt_id
    ]
    return CorrelationIds(
        train_run_id=next((ids.train_run_id for ids in own if ids.train_run_id), None),
        bundle_id=next((ids.bundle_id for ids in own if ids.bundle_id), None),
    )
