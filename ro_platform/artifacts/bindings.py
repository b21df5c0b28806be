"""Bindings: an index of which bytes are an asset's artifact under a manifest, never replaced.

What is bound is what the ledger recorded; nothing here is believed by a reader. An index entry
lists the store's artifacts without a ledger, and keeps two writers from taking one revision.

A deterministic asset has one revision: the same content again changes nothing, other content is an
:class:`AddressConflictError`. An asset that declares itself non-deterministic gets the next
revision for other content; the latest one counts, and all stay.

Gate receipts in the store: write-once, and believed only if every byte is what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator

from ro_platform import errors
from ro_platform.artifacts.addressing import (
    BINDINGS,
    BindingAddress,
    ReceiptAddress,
    checked_asset,
    parse_binding,
    parse_receipt,
    revisions_of,
)
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.artifacts.blobs import bound_ref, check
from ro_platform.contracts.artifact import BoundRef
from ro_platform.contracts.gate import GateReceipt
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of

_LARGEST = 64 << 10
"""Bytes; a binding is a few hundred."""


def bind(
    backend: BlobBackend,
    asset: str,
    fingerprint: str,
    ref: BoundRef,
    *,
    deterministic: bool,
    recorded: BoundRef | None = None,
) -> BoundRef:
    """Take a revision for ``ref``'s bytes; answer the reference with the binding's locator.

    ``recorded`` is the asset's artifact on record: it counts, whatever the index has of it. What
    is held and not on record (a writer died, or is about to record it) is passed by, unless it is
    the very same.
    """
    taken = 0
    if recorded is not None:
        if not _same(recorded, ref) and deterministic:
            raise conflict(asset, recorded, ref)
        if _same(recorded, ref):
            if backend.size(recorded.ref) is None:  # it was lost
                backend.create(recorded.ref, canonical_bytes(recorded))
            return recorded
        taken = _revision(recorded)
    while True:
        taken += 1
        address = BindingAddress(asset, fingerprint, taken)
        bound = ref.model_copy(update={"ref": address.name})
        if backend.create(address.name, canonical_bytes(bound)):
            return bound
        held = _load(backend, address)
        if held == bound:
            return bound
        if deterministic:
            raise conflict(asset, held, ref)


def binding(
    backend: BlobBackend, asset: str, fingerprint: str, revision: int | None
) -> BoundRef | None:
    """The binding of that revision, the latest by default, or None."""
    if revision is None:
        revision = _latest(backend, asset, fingerprint)
        if revision == 0:
            return None
    address = BindingAddress(asset, fingerprint, revision)
    return _load(backend, address) if backend.size(address.name) is not None else None


def bindings(backend: BlobBackend, asset_prefix: str) -> Iterator[tuple[str, str, int, BoundRef]]:
    """All bindings of the asset of that path and of those below it; of every asset for ""."""
    prefix = f"{BINDINGS}{checked_asset(asset_prefix)}/" if asset_prefix else BINDINGS
    for name in backend.names(prefix):
        address = parse_binding(name)
        if address is None:
            raise _corrupt(name, "has a name that no binding has")
        yield *address, _load(backend, address)


def _latest(backend: BlobBackend, asset: str, fingerprint: str) -> int:
    """The highest revision that exists; 0 for none."""
    found = (parse_binding(name) for name in backend.names(revisions_of(asset, fingerprint)))
    return max((address.revision for address in found if address), default=0)


def _revision(recorded: BoundRef) -> int:
    address = parse_binding(recorded.ref)
    return address.revision if address else 0


def _load(backend: BlobBackend, address: BindingAddress) -> BoundRef:
    data = backend.read(address.name, _LARGEST)
    try:
        bound = BoundRef.from_json(data, where=address.name)
    except errors.RunOperateError as error:
        raise _corrupt(address.name, f"is not a binding: {error.message}") from error
    if bound.ref != address.name:
        raise _corrupt(address.name, f"says that it is {bound.ref}")
    if canonical_bytes(bound) != data:
        raise _corrupt(address.name, "is not in canonical form")
    return bound


def _same(held: BoundRef, ref: BoundRef) -> bool:
    return held.model_copy(update={"ref": ref.ref}) == ref


def conflict(asset: str, held: BoundRef, ref: BoundRef) -> errors.AddressConflictError:
    """The refusal of other content than what is bound."""
    if held.digest != ref.digest:
        message = f"{asset} was computed again and gave {ref.digest}, but {held.digest} is bound."
        step = (
            "The asset is not deterministic: find the cause (a clock, chance, an order, an input "
            "outside the manifest) and correct it under a new code version, or declare the asset "
            "non-deterministic."
        )
    else:
        message = f"{asset} gave the bytes that are bound, {ref.digest}, described differently."
        step = (
            f"Bound is {held.media_type} {held.schema_version or ''}, given is {ref.media_type} "
            f"{ref.schema_version or ''}: another form needs a new code version."
        )
    return errors.AddressConflictError(
        message,
        next_step=step,
        asset=asset,
        binding=held.ref,
        bound_digest=held.digest,
        given_digest=ref.digest,
    )


def missing_blob(asset: str, ref: BoundRef) -> errors.ArtifactNotFoundError:
    """The refusal to bind bytes that the store does not hold."""
    return errors.ArtifactNotFoundError(
        f"{asset} cannot be bound to {ref.digest}: the store does not hold those bytes whole.",
        next_step="Put the artifact first, then bind the reference that put returns.",
        asset=asset,
        digest=ref.digest,
    )


def compare(backend: BlobBackend, recorded: BoundRef) -> None:
    """Raise :class:`BindingCorruptError` unless the index has that artifact as it is on record."""
    address = parse_binding(recorded.ref)
    if address is None or backend.size(address.name) is None:
        raise _corrupt(recorded.ref, "is on record, and is gone from the store")
    held = _load(backend, address)
    if held != recorded:
        raise _corrupt(recorded.ref, f"is not what was recorded: {differences(held, recorded)}")


def differences(held: BoundRef, recorded: BoundRef) -> str:
    """Each field that differs, in words."""
    said, was = held.to_json_value(), recorded.to_json_value()
    names = [name for name in sorted(said | was) if said.get(name) != was.get(name)]
    return "; ".join(
        f"it says {name} {said.get(name)!r}, the ledger {was.get(name)!r}" for name in names
    )


def _corrupt(name: str, problem: str) -> errors.BindingCorruptError:
    return errors.BindingCorruptError(
        f"{name} {problem}.",
        next_step="It is left as evidence. Compare it with the ledger's entry for this artifact "
        "and restore it from a copy of the store.",
        name=name,
    )


RECEIPT_SCHEMA = "ro.gate_receipt.v0"
_JSON = "application/json"


def put_receipt(backend: BlobBackend, receipt: GateReceipt) -> BoundRef:
    """Store a verdict. The same again changes nothing; another for that attempt is a conflict."""
    data = canonical_bytes(receipt)
    name = _address(receipt).name
    ref = bound_ref(digests_of(data), _JSON, RECEIPT_SCHEMA, name)
    if not backend.create(name, data) and (held := backend.read(name, len(data) + 1)) != data:
        raise errors.AddressConflictError(
            f"Attempt {receipt.attempt_id} of gate {receipt.gate_id} on {receipt.scope.asset} has "
            "another receipt already.",
            next_step="A verdict is not changed: judge again in a new attempt.",
            asset=receipt.scope.asset,
            receipt=name,
            stored_digest=digests_of(held).sha256,
            given_digest=ref.digest,
        )
    return ref


def read_receipt(backend: BlobBackend, ref: BoundRef) -> GateReceipt:
    """The receipt that ``ref`` names, or :class:`ReceiptUnverifiableError`: there is no third."""
    address = parse_receipt(ref.ref)
    if address is None:
        raise _unverifiable(ref, "is not a receipt's place")
    try:
        data = backend.read(ref.ref, ref.size_bytes + 1)
        digests = digests_of(data)
        check(ref, digests.size_bytes, digests.sha256, digests.blake3)
        receipt = GateReceipt.from_json(data, where=ref.ref)
    except errors.ArtifactNotFoundError as error:
        raise _unverifiable(ref, "is missing from the store") from error
    except errors.IntegrityError as error:
        raise _unverifiable(ref, "is not what was recorded") from error
    except errors.ContractError as error:
        raise _unverifiable(ref, f"is not a receipt: {error.message}") from error
    if canonical_bytes(receipt) != data:
        raise _unverifiable(ref, "is not in canonical form")
    if _address(receipt) != address:
        raise _unverifiable(ref, "speaks of another gate, asset or attempt")
    return receipt


def _address(receipt: GateReceipt) -> ReceiptAddress:
    scope = receipt.scope
    return ReceiptAddress(
        scope.asset, scope.manifest_fingerprint, receipt.gate_id, receipt.attempt_id
    )


def _unverifiable(ref: BoundRef, problem: str) -> errors.ReceiptUnverifiableError:
    return errors.ReceiptUnverifiableError(
        f"The receipt {ref.ref} {problem}.",
        next_step="Its verdict does not count. Run the gate again to get a new receipt.",
        receipt=ref.ref,
        digest=ref.digest,
    )
