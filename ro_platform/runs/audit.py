"""The store against the ledger: everything that is bound or recorded is read and compared.

It finds altered bytes, and also what the ledger says was stored and the store no longer has.
Nothing is changed or removed. What was erased is reported as that, and is nothing wrong as long as
its bytes are gone or something un-erased holds them too. A binding that no entry names is what a
crash may leave, and is only verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import ArtifactBound, ArtifactRef, BoundRef, EntryKind
from ro_platform.errors import ArtifactNotFoundError, IntegrityError, RunOperateError
from ro_platform.gates.receipts import recorded_in
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.log import Ledger
from ro_platform.runs.holdings import Holdings, erased_digests
from ro_platform.runs.registry import RunRegistry, blob_ref, input_ref


@dataclass(frozen=True, slots=True)
class Finding:
    """One stored thing: what it is, where, how large, and what is wrong with it, if anything.

    What was erased is of the kind ``erased artifact`` or ``erased input``.
    """

    kind: str
    locator: str
    size_bytes: int = 0
    error: RunOperateError | None = None


class Audit:
    """Verifies everything of one environment, streaming: one finding each, good or bad."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        configs: ConfigVersions,
        runs: RunRegistry,
        holdings: Holdings,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._ledger = ledger
        self._configs = configs
        self._runs = runs

    def everything(self, *, full: bool = False) -> Iterator[Finding]:
        """Artifacts, receipts, configs, manifests and inputs. With ``full``, both digests of each
        artifact. Raises :class:`BindingCorruptError` where a binding cannot be read at all, and
        :class:`LedgerCorruptError` where an entry was altered."""
        bound: dict[str, BoundRef] = {}
        erased = erased_digests(self._ledger)
        for asset, _, _, ref in self._store.bindings():
            bound[ref.ref] = ref
            yield self._artifact(asset, ref, erased, full=full)
        yield from self._unbound(bound)
        yield from self._receipts()
        yield from self._registered(erased)

    def artifact(self, asset: str, ref: BoundRef, *, full: bool = False) -> Finding:
        """One bound artifact, every byte of it."""
        return self._artifact(asset, ref, erased_digests(self._ledger), full=full)

    def _artifact(
        self, asset: str, ref: BoundRef, erased: frozenset[str], *, full: bool
    ) -> Finding:
        if ref.digest in erased:
            return self._erased("artifact", ref)
        return _checked(
            "artifact", ref.ref, ref.size_bytes, partial(self._store.verify, ref, full=full), asset
        )

    def _erased(self, kind: str, ref: ArtifactRef) -> Finding:
        """What has a tombstone: its bytes are gone, or there for something else that holds them."""
        digest, error = str(ref.digest), None
        there = self._store.backend.size(blob_name(digest)) is not None
        if there and not self._holdings.of({digest}, self._ledger):
            error = IntegrityError(
                f"{kind} {ref.ref}, sha256:{digest}, was erased, and the store holds its bytes.",
                next_step="Complete the erasure: `ro artifact erase --resume`.",
                digest=digest,
            )
        return Finding(f"erased {kind}", ref.ref, 0, error)

    def _unbound(self, bound: dict[str, BoundRef]) -> Iterator[Finding]:
        """What the ledger says is bound, and the store does not have, or has otherwise."""
        for entry in self._ledger.scan(kind=EntryKind.ARTIFACT_BOUND):
            said = body_of(entry, ArtifactBound)
            ref = said.artifact
            if (found := bound.get(ref.ref)) == ref:
                continue
            why = "is gone from the store" if found is None else "is bound to other bytes"
            error = IntegrityError(
                f"{ref.ref}, recorded in entry {entry.seq} as sha256:{ref.digest}, {why}.",
                next_step="Keep the store as it is, and restore this object from a copy of it.",
                seq=entry.seq,
            )
            yield Finding("artifact", ref.ref, 0, error)

    def _receipts(self) -> Iterator[Finding]:
        for entry in self._ledger.scan(kind=EntryKind.GATE_RECEIPT):
            receipt = recorded_in(entry).receipt
            yield _checked(
                "receipt",
                receipt.ref,
                receipt.size_bytes,
                partial(self._store.read_receipt, receipt),
            )

    def _registered(self, erased: frozenset[str]) -> Iterator[Finding]:
        """Configs, manifests and their inputs: what runs are about, rather than what they made."""
        for published in self._configs.list():
            version = published.version
            name = f"config/{version.config_name}/{version.config_version}"
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


def _checked(
    kind: str, locator: str, size_bytes: int, check: Callable[[], object], owner: str = ""
) -> Finding:
    try:
        check()
    except ArtifactNotFoundError as error:
        missing = IntegrityError(
            f"{owner or kind} {locator} is on record, but its bytes are gone: {error.message}",
            next_step="Restore the object from a copy of the store.",
        )
        return Finding(kind, locator, size_bytes, missing)
    except RunOperateError as error:
        return Finding(kind, locator, size_bytes, error)
    return Finding(kind, locator, size_bytes)
