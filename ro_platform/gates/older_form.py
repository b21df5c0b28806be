"""Verdicts under rules of the older form: their code version is a digest of source text alone."""

from __future__ import annotations

from ro_platform.contracts import EntryKind, GateReceipt, GateStatus, RunManifest
from ro_platform.errors import VersionNotPinnedError
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.receipts import rule_digest
from ro_platform.ledger.names import asset_name
from ro_platform.ledger.reader import LedgerReader

OLDER_FORM = "src-"
"""How the code version of such a rule begins."""
OLDER = "passed only under a rule of the older form (`src-`, the check's source alone) the bytes"
"""What a refusal says of them."""


def is_older_form(log: LedgerReader, receipt: GateReceipt, manifest: RunManifest) -> bool:
    """Whether a PASS was given under such a rule, by the gate sets that were on record."""
    if receipt.status is not GateStatus.PASS:
        return False
    entries = log.scan(kind=EntryKind.GATE_SET_DECLARED, subject=asset_name(receipt.scope.asset))
    rules = (rule for entry in entries for rule in declared_in(entry).gates)
    older = (
        rule
        for rule in rules
        if rule.gate_id == receipt.gate_id and rule.code_version.startswith(OLDER_FORM)
    )
    try:
        return any(rule_digest(rule, manifest) == receipt.rule_digest for rule in older)
    except VersionNotPinnedError:
        return False
