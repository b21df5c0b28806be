"""Who holds which bytes: everything that needs a blob of the store, other than what was erased.

Asked before bytes are erased, since the same blob may be an artifact of its own, a file in a tree,
a manifest, an input, a config, a gate's evidence or a segment of the ledger. There is no index of
it: each question reads every binding, tree, receipt and manifest once, and what cannot be read
refuses, because it might need the very blob that is asked about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from ro_platform import errors
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import (
    ArtifactBound,
    BoundRef,
    EntryKind,
    RegisteredManifest,
    SegmentArchived,
)
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.registry import RunRegistry

Held = Mapping[str, tuple[str, ...]]
"""By digest, what holds those bytes, in words for a person; a digest nobody holds is not in it."""


def erased_digests(log: LedgerReader) -> frozenset[str]:
    """Every digest with a tombstone on record."""
    return frozenset(
        str(entry.body["digest"]) for entry in log.scan(kind=EntryKind.ARTIFACT_ERASED)
    )


class BlobReferences:
    """What the store's blobs are needed for, in one environment."""

    def __init__(self, store: ArtifactStore, configs: ConfigVersions, runs: RunRegistry) -> None:
        self._store = store
        self._configs = configs
        self._runs = runs

    def of(self, digests: Collection[str], log: LedgerReader) -> Held:
        """Who needs these blobs. Raises what reading a binding, tree or manifest raises."""
        erased = erased_digests(log)
        return _collected(digests, self._all(log, erased))

    def since(self, start: int, digests: Collection[str], log: LedgerReader) -> Held:
        """The same of what was recorded from entry ``start`` on."""
        erased = erased_digests(log)
        return _collected(digests, self._recorded(log, start, erased))

    def _all(self, log: LedgerReader, erased: frozenset[str]) -> Iterator[tuple[str, str]]:
        yield from self._recorded(log, 0, erased)
        for published in self._configs.list():
            version = published.version
            yield version.digest, f"config {version.config_name} {version.config_version}"
        for entry in log.scan(kind=EntryKind.SEGMENT_ARCHIVED):
            body = canonical_bytes(entry.body)
            segment = SegmentArchived.from_json(body, where=f"entry {entry.seq}").segment
            yield segment.digest, f"archived segment (entry {entry.seq})"

    def _recorded(
        self, log: LedgerReader, start: int, erased: frozenset[str]
    ) -> Iterator[tuple[str, str]]:
        """What entries from ``start`` on say: makings, runs and verdicts."""
        made: set[tuple[str, str]] = set()
        for entry in log.scan(start=start, kind=EntryKind.ARTIFACT_BOUND):
            ref = body_of(entry, ArtifactBound).artifact
            if (ref.ref, ref.digest) not in made:  # made again, it is the same
                made.add((ref.ref, ref.digest))
                yield from self._artifact(ref, erased)
        for entry in log.scan(start=start, kind=EntryKind.RUN_REGISTERED):
            data = canonical_bytes(entry.body)
            run = RegisteredManifest.from_json(data, where=f"entry {entry.seq}")
            yield from self._manifest(run.manifest_fingerprint, erased)
        for entry in log.scan(start=start, kind=EntryKind.GATE_RECEIPT):
            receipt = recorded_in(entry).receipt
            try:
                evidence = self._store.read_receipt(receipt).evidence
            except errors.ReceiptUnverifiableError:
                continue  # its verdict does not count, and nobody reads its evidence
            if evidence is not None and evidence.digest and evidence.digest not in erased:
                yield evidence.digest, f"evidence of {receipt.ref}"

    def _artifact(self, ref: BoundRef, erased: frozenset[str]) -> Iterator[tuple[str, str]]:
        if ref.digest in erased:
            return
        yield ref.digest, ref.ref
        for member in self._store.members(ref):
            yield member.digest, f"a file of {ref.ref}"

    def _manifest(self, fingerprint: str, erased: frozenset[str]) -> Iterator[tuple[str, str]]:
        yield fingerprint, f"manifest {fingerprint}"
        for item in self._runs.manifest(fingerprint).inputs:
            if item.ref.digest and item.ref.digest not in erased:
                yield item.ref.digest, f"input {item.name} of {fingerprint}"


def _collected(digests: Collection[str], found: Iterator[tuple[str, str]]) -> Held:
    wanted, holders = frozenset(digests), defaultdict[str, list[str]](list)
    for digest, holder in found:
        if digest in wanted and holder not in holders[digest]:
            holders[digest].append(holder)
    return {digest: tuple(names) for digest, names in holders.items()}
