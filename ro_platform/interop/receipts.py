"""This plane's verdicts in the engine's form of a ``gate_receipt``."""

from __future__ import annotations

from ro_platform.contracts import GateReceipt
from ro_platform.interop.objects import EngineGateReceipt, ReceiptKind, Scope
from ro_platform.interop.primitives import Digest

MAX_NOTES = 2048
"""Characters of a text in the engine's objects."""


def as_engine_receipt(receipt: GateReceipt) -> EngineGateReceipt:
    """The same verdict as the engine's object; ``digest`` is that of the bytes it speaks of.

    The scope names the manifest alone, from which anyone computes the run: a scope that names a
    run would speak of an instance and need an instance proof.
    """
    said = EngineGateReceipt(
        gate_id=receipt.gate_id,
        status=receipt.status,
        scope=Scope(manifest_fingerprint=receipt.scope.manifest_fingerprint),
        produced_at_utc=receipt.produced_at_utc,
        receipt_kind=ReceiptKind.JSON_RECEIPT,
        digest=Digest(algo="sha256", hex=receipt.subject.digest),
    )
    if not receipt.notes:
        return said  # a field is present or left out, never null
    return said.model_copy(update={"notes": receipt.notes[:MAX_NOTES]})
