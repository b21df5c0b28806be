"""Gate receipts in the store: write-once, and believed only if every byte is what was recorded."""

from __future__ import annotations

from ro_platform.artifacts.addressing import ReceiptAddress, parse_receipt
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.artifacts.blobs import bound_ref, check
from ro_platform.contracts.artifact import BoundRef
from ro_platform.contracts.gate import GateReceipt
from ro_platform.errors import (
    AddressConflictError,
    ArtifactNotFoundError,
    ContractError,
    IntegrityError,
    ReceiptUnverifiableError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of

RECEIPT_SCHEMA = "ro.gate_receipt.v0"
_JSON = "application/json"


def put_receipt(backend: BlobBackend, receipt: GateReceipt) -> BoundRef:
    """Store a verdict. The same again changes nothing; another for that attempt is a conflict."""
    data = canonical_bytes(receipt)
    name = _address(receipt).name
    ref = bound_ref(digests_of(data), _JSON, RECEIPT_SCHEMA, name)
    if not backend.create(name, data) and (held := backend.read(name, len(data) + 1)) != data:
        raise AddressConflictError(
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
    except ArtifactNotFoundError as error:
        raise _unverifiable(ref, "is missing from the store") from error
    except IntegrityError as error:
        raise _unverifiable(ref, "is not what was recorded") from error
    except ContractError as error:
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


def _unverifiable(ref: BoundRef, problem: str) -> ReceiptUnverifiableError:
    return ReceiptUnverifiableError(
        f"The receipt {ref.ref} {problem}.",
        next_step="Its verdict does not count. Run the gate again to get a new receipt.",
        receipt=ref.ref,
        digest=ref.digest,
    )
