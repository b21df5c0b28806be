"""What was made: the artifact of an asset under a manifest, as the ledger has it.

The ledger alone says which bytes they are, how many, and of what type; its entry holds the whole
reference. The store's ``refs/`` is an index beside it, which decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ro_platform import errors
from ro_platform.artifacts.addressing import MAX_REVISION, BindingAddress, parse_binding
from ro_platform.contracts import (
    ArtifactBound,
    ArtifactErased,
    BoundRef,
    CorrelationIds,
    EntryKind,
    LedgerEntry,
)
from ro_platform.ledger import names
from ro_platform.ledger.backends.base import Between
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader


def revisions_between(
    asset: str, fingerprint: str, first: int = 1, last: int = MAX_REVISION
) -> Between:
    """The subjects of these revisions: the greatest with a making is the one that counts."""
    low, high = (
        names.artifact_subject(BindingAddress(asset, fingerprint, revision).name)
        for revision in (first, last)
    )
    return Between(low, high)


def artifact_in(entry: LedgerEntry) -> BoundRef:
    """The artifact that an entry records as made, whole."""
    ref = body_of(entry, ArtifactBound).artifact
    if entry.subject != names.artifact_subject(ref.ref):
        raise errors.LedgerCorruptError(
            f"Entry {entry.seq} is about {entry.subject} and speaks of {ref.ref}.",
            next_step="Run `ro ledger verify` and keep the files as evidence.",
            seq=entry.seq,
        )
    return ref


def artifact_of(log: LedgerReader, asset: str, fingerprint: str) -> BoundRef | None:
    """The artifact of an asset under a manifest: the highest revision on record, or None.

    One round, whatever the number of revisions and of entries.
    """
    asked = (EntryKind.ARTIFACT_BOUND, revisions_between(asset, fingerprint))
    [entry] = log.latest_of([asked])
    return artifact_in(entry) if entry else None


def artifact_at(log: LedgerReader, locator: str) -> BoundRef | None:
    """The artifact that is on record as bound there, or None."""
    entry = log.latest(EntryKind.ARTIFACT_BOUND, names.artifact_subject(locator))
    return artifact_in(entry) if entry else None


def earlier_revisions(
    log: LedgerReader, asset: str, fingerprint: str, below: int = MAX_REVISION + 1
) -> Iterator[BoundRef]:
    """Every revision on record below that one, the highest first. One round each."""
    while below > 1:
        asked = revisions_between(asset, fingerprint, last=below - 1)
        [entry] = log.latest_of([(EntryKind.ARTIFACT_BOUND, asked)])
        address = parse_binding(artifact_in(entry).ref) if entry else None
        if entry is None or address is None:
            return
        yield artifact_in(entry)
        below = address.revision


def artifacts_on_record(log: LedgerReader) -> dict[str, ArtifactBound]:
    """The newest making of every artifact, by its locator, sorted. It reads all makings."""
    found: dict[str, ArtifactBound] = {}
    for entry in log.scan(kind=EntryKind.ARTIFACT_BOUND):
        found[artifact_in(entry).ref] = body_of(entry, ArtifactBound)
    return dict(sorted(found.items()))


def erasure_of(log: LedgerReader, digest: str) -> ArtifactErased | None:
    """The decision on record to erase the bytes with that SHA-256, or None."""
    entry = log.latest(EntryKind.ARTIFACT_ERASED, names.digest_name(digest))
    return body_of(entry, ArtifactErased) if entry else None


def made_ids(log: LedgerReader, locators: Sequence[str]) -> CorrelationIds:
    """``train_run_id`` and ``bundle_id`` of what is bound there, as the entries that bound it have
    them; none where they are not one. What is said of it belongs to no run's record by them."""
    questions = [(EntryKind.ARTIFACT_BOUND, names.artifact_subject(name)) for name in locators]
    ids = [entry.correlation_ids for entry in log.latest_of(questions) if entry is not None]
    trained = {item.train_run_id for item in ids}
    bundles = {item.bundle_id for item in ids}
    return CorrelationIds(
        train_run_id=trained.pop() if len(trained) == 1 else None,
        bundle_id=bundles.pop() if len(bundles) == 1 else None,
    )
