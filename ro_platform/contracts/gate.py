"""Verdicts on artifacts, each bound to the exact bytes and the exact rule it speaks of."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, NonNegativeInt

from ro_platform.contracts.artifact import ArtifactRef, BoundRef
from ro_platform.contracts.base import AssetPath, Contract, Hex32, Hex64, Name, Reason, UtcTimestamp
from ro_platform.contracts.config import PinnedConfigRef


class GateStatus(StrEnum):
    """The two verdicts. Everything else (absent, stale, unreadable) is a refusal to read."""

    PASS = "PASS"
    FAIL = "FAIL"


class GateScope(Contract):
    """What the verdict is about, in terms of the run."""

    asset: AssetPath
    manifest_fingerprint: Hex64
    run_id: Hex32


class GateReceipt(Contract):
    """Write-once evidence of one verdict, in the store and in the ledger."""

    gate_id: Name
    status: GateStatus
    subject: BoundRef
    scope: GateScope
    rule_digest: Hex64
    attempt_id: Hex32
    produced_at_utc: UtcTimestamp
    warned: Literal[True] | None = Field(
        default=None, description="It passed, and found something worth a warning."
    )
    evidence: ArtifactRef | None = None
    notes: str | None = None


class GateRule(Contract):
    """What a gate judges by: its code version and the names of the configs it reads."""

    gate_id: Name
    code_version: Name
    configs: tuple[Name, ...] = ()
    guest: Literal[True] | None = Field(
        default=None, description="Declared by a code location that does not make the asset."
    )


class ResolvedRule(Contract):
    """A rule with its configs resolved to the versions one manifest pins; hashed to rule_digest."""

    gate_id: Name
    code_version: Name
    config_versions: tuple[PinnedConfigRef, ...] = ()


class GateSetDeclared(Contract):
    """The ledger's body for the gates an asset has from here on."""

    asset: AssetPath
    gates: tuple[GateRule, ...]
    reason: Reason | None = None


class ReceiptRecorded(Contract):
    """The ledger's body for a verdict: where the receipt is, and what it says."""

    asset: AssetPath
    manifest_fingerprint: Hex64
    gate_id: Name
    status: GateStatus
    subject_digest: Hex64
    rule_digest: Hex64
    receipt: BoundRef
    warned: Literal[True] | None = None


class PassRevoked(Contract):
    """The ledger's body for a PASS that was withdrawn: which one, why, and how much it blocked."""

    asset: AssetPath
    manifest_fingerprint: Hex64
    gate_id: Name
    subject_digest: Hex64
    rule_digest: Hex64
    receipt: BoundRef
    reason: Reason
    blocked: NonNegativeInt
    admin_event_id: Name
