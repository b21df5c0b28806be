"""The store against the ledger: everything that is bound or recorded is read and compared.

It finds altered bytes, and also what the ledger says was stored and the store no longer has, or has
otherwise in any field. Nothing is changed or removed. What was erased is reported as that, and is
nothing wrong as long as its bytes are gone or something un-erased holds them too. A binding or a
receipt that no entry names is what a crash may leave: nobody can read it, and it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from ro_platform import errors
from ro_platform.artifacts.addressing import (
    BINDINGS,
    RECEIPTS,
    TOMBSTONES,
    blob_name,
    parse_binding,
    tombstone_name,
)
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import ArtifactBound, ArtifactErased, ArtifactRef, BoundRef, EntryKind
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.made import artifact_at, artifacts_on_record
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.code.listing import listing_digest
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.log import Ledger
from ro_platform.runs.attempt import transition_of
from ro_platform.runs.references import BlobReferences, erased_digests
from ro_platform.runs.registry import RunRegistry, blob_ref, input_ref

UNRECORDED = "unrecorded object"
_LARGEST_TOMBSTONE = 64 << 20
"""Bytes; it lists whatever was bound to what was erased."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One stored thing: what it is, where, how large, and what is wrong with it, if anything.

    What was erased is of the kind ``erased artifact`` or ``erased input``; what stands in the
    store and on no record, of the kind :data:`UNRECORDED`.
    """

    kind: str
    locator: str
    size_bytes: int = 0
    error: errors.RunOperateError | None = None


class Audit:
    """Verifies everything of one environment, streaming: one finding each, good or bad."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        configs: ConfigVersions,
        runs: RunRegistry,
        references: BlobReferences,
    ) -> None:
        self._store = store
        self._holdings = references
        self._ledger = ledger
        self._configs = configs
        self._runs = runs

    def everything(self, *, full: bool = False) -> Iterator[AuditFinding]:
        """Artifacts, receipts and evidence, configs, manifests, inputs, listings and tombstones.

        With ``full``, both digests of each artifact. Raises :class:`LedgerCorruptError` where an
        entry was altered.
        """
        erased = erased_digests(self._ledger)
        recorded = artifacts_on_record(self._ledger)
        for made in recorded.values():
            yield from self._made(made, erased, full=full)
        yield from self._unrecorded(BINDINGS, recorded, partial(self._planted, full=full))
        receipts: set[str] = set()
        for finding in self._receipts(erased):
            receipts.add(finding.locator)
            yield finding
        yield from self._unrecorded(RECEIPTS, receipts, _noted)
        yield from self._registered(erased)
        yield from self._listings()
        yield from self._tombstones()

    def artifact(self, asset: str, ref: BoundRef, *, full: bool = False) -> AuditFinding:
        """One bound artifact: the store's binding against the ledger, and every byte of it.

        What no entry made is an :class:`ArtifactUnrecordedError`.
        """
        recorded = artifact_at(self._ledger, ref.ref)
        if recorded is None:
            return AuditFinding("artifact", ref.ref, ref.size_bytes, _unrecorded(asset, ref))
        altered = _checked("binding", ref.ref, 0, partial(self._store.compare, recorded), asset)
        if altered.error:
            return altered
        return self._artifact(asset, recorded, erased_digests(self._ledger), full=full)

    def _made(
        self, made: ArtifactBound, erased: frozenset[str], *, full: bool
    ) -> Iterator[AuditFinding]:
        """An artifact by the ledger's reference, and how the store's binding differs, if it does:
        each is a finding of its own."""
        yield self._artifact(made.asset, made.artifact, erased, full=full)
        compare = partial(self._store.compare, made.artifact)
        bound = _checked("binding", made.artifact.ref, 0, compare, made.asset)
        if bound.error:
            yield bound

    def _artifact(
        self, asset: str, ref: BoundRef, erased: frozenset[str], *, full: bool
    ) -> AuditFinding:
        if ref.digest in erased:
            return self._erased("artifact", ref)
        return _checked(
            "artifact", ref.ref, ref.size_bytes, partial(self._store.verify, ref, full=full), asset
        )

    def _unrecorded(
        self, space: str, recorded: Collection[str], look: Callable[[str], AuditFinding]
    ) -> Iterator[AuditFinding]:
        """What stands in a space of the store and on no record: a crash may leave it, somebody may
        have planted it. It counts for nothing, and is named."""
        for name in self._store.backend.names(space):
            if name not in recorded:
                yield look(name)

    def _planted(self, name: str, *, full: bool) -> AuditFinding:
        try:
            address = parse_binding(name)
            ref = self._store.binding(*address) if address else None
        except errors.RunOperateError as error:
            return AuditFinding(UNRECORDED, name, 0, error)
        if address is None or ref is None:
            return AuditFinding(UNRECORDED, name, 0, _no_name(name))
        return _checked(UNRECORDED, name, 0, partial(self._store.verify, ref, full=full), name)

    def _erased(self, kind: str, ref: ArtifactRef) -> AuditFinding:
        """What has a tombstone: its bytes are gone, or there for something else that holds them."""
        digest, error = str(ref.digest), None
        there = self._store.backend.size(blob_name(digest)) is not None
        if there and not self._holdings.of({digest}, self._ledger):
            error = errors.IntegrityError(
                f"{kind} {ref.ref}, sha256:{digest}, was erased, and the store holds its bytes.",
                next_step="Complete the erasure: `ro artifact erase --resume`.",
                digest=digest,
            )
        return AuditFinding(f"erased {kind}", ref.ref, 0, error)

    def _receipts(self, erased: frozenset[str]) -> Iterator[AuditFinding]:
        """Every verdict's receipt, and what it was given on."""
        evidence: dict[str, ArtifactRef] = {}
        for entry in self._ledger.scan(kind=EntryKind.GATE_RECEIPT):
            receipt = recorded_in(entry).receipt
            read = partial(self._store.read_receipt, receipt)
            yield (finding := _checked("receipt", receipt.ref, receipt.size_bytes, read))
            shown = None if finding.error else read().evidence
            if shown is not None and shown.digest is not None:
                evidence[shown.digest] = shown
        for digest, ref in evidence.items():
            if digest in erased:
                yield self._erased("evidence", ref)
                continue
            verify = partial(self._store.verify, ref)
            yield _checked("evidence", blob_name(digest), ref.size_bytes or 0, verify)

    def _registered(self, erased: frozenset[str]) -> Iterator[AuditFinding]:
        """Configs, manifests and their inputs: what runs are about, rather than what they made."""
        for published in self._configs.list():
            version = published.version
            name = names.config_version_name(version.config_name, version.config_version)
            yield _checked("config", name, 0, partial(self._configs.read, version))
        inputs: dict[str, ArtifactRef] = {}
        for registered in self._runs.registered():
            fingerprint = registered.manifest_fingerprint
            ref = blob_ref(fingerprint)
            finding = _checked(
                "manifest", ref.ref, registered.size_bytes, partial(self._store.verify, ref)
            )
            yield finding
            if finding.error is None:
                manifest = self._runs.manifest(fingerprint)
                inputs |= {str(item.ref.digest): input_ref(item) for item in manifest.inputs}
        for digest, ref in inputs.items():
            if digest in erased:
                yield self._erased("input", ref)
                continue
            yield _checked("input", ref.ref, ref.size_bytes or 0, partial(self._store.verify, ref))

    def _listings(self) -> Iterator[AuditFinding]:
        """What the rules on record are the digests of; of what attempts ran under, the listings
        of packages that were kept."""
        rules = {
            digest
            for entry in self._ledger.scan(kind=EntryKind.GATE_SET_DECLARED)
            for rule in declared_in(entry).gates
            if (digest := listing_digest(rule.code_version))
        }
        packages = {
            runtime.packages_digest
            for entry in self._ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION)
            if (runtime := transition_of(entry).runtime)
        }
        kept = {digest for digest in packages if self._store.has(blob_ref(digest))}
        for digest in sorted(rules | kept):
            ref = blob_ref(digest)
            size_bytes = self._store.backend.size(ref.ref) or 0
            yield _checked("listing", ref.ref, size_bytes, partial(self._store.verify, ref))

    def _tombstones(self) -> Iterator[AuditFinding]:
        """What the store says was erased, against the ledger: one without an entry is nobody's
        decision, and no crash leaves it."""
        decided = {
            tombstone_name(body.digest): body
            for entry in self._ledger.scan(kind=EntryKind.ARTIFACT_ERASED)
            for body in [body_of(entry, ArtifactErased)]
        }
        for name in self._store.backend.names(TOMBSTONES):
            yield _checked("tombstone", name, 0, partial(self._tombstone, name, decided.get(name)))

    def _tombstone(self, name: str, decided: ArtifactErased | None) -> None:
        held = self._store.backend.read(name, _LARGEST_TOMBSTONE)
        if decided is None or held != canonical_bytes(decided):
            how = "says something else than the ledger" if decided else "is on no record"
            raise errors.IntegrityError(
                f"the tombstone {name} {how}.",
                next_step="It refuses nothing. Keep it as evidence, then remove it."
                if decided is None
                else "Keep it as evidence, and restore it from a copy of the store.",
                name=name,
            )


def _noted(name: str) -> AuditFinding:
    return AuditFinding(UNRECORDED, name)


def _unrecorded(asset: str, ref: BoundRef) -> errors.ArtifactUnrecordedError:
    return errors.ArtifactUnrecordedError(
        f"{ref.ref} of asset {asset!r} is bound to sha256:{ref.digest}, which no entry of the "
        "ledger made.",
        next_step="Materialize the asset again: what it makes is recorded.",
        asset=asset,
        digest=ref.digest,
    )


def _no_name(name: str) -> errors.BindingCorruptError:
    return errors.BindingCorruptError(
        f"{name} has a name that no binding has.",
        next_step="Nothing reads it. Keep it as evidence, then remove it.",
        name=name,
    )


def _checked(
    kind: str, locator: str, size_bytes: int, check: Callable[[], object], owner: str = ""
) -> AuditFinding:
    try:
        check()
    except errors.ArtifactNotFoundError as error:
        missing = errors.IntegrityError(
            f"{owner or kind} {locator} is on record, but its bytes are gone: {error.message}",
            next_step="Restore the object from a copy of the store.",
        )
        return AuditFinding(kind, locator, size_bytes, missing)
    except errors.RunOperateError as error:
        return AuditFinding(kind, locator, size_bytes, error)
    return AuditFinding(kind, locator, size_bytes)
