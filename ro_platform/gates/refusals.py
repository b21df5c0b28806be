"""What the guard says of an artifact that may not be read whatever a gate said of it.

Only the words: whether it may be read is decided in :mod:`ro_platform.gates.guard`.

Verdicts under rules of the older form: their code version is a digest of source text alone.
"""

from __future__ import annotations

from ro_platform import errors
from ro_platform.artifacts.bindings import differences
from ro_platform.contracts import (
    ArtifactBlocked,
    BoundRef,
    EntryKind,
    GateReceipt,
    GateStatus,
    RunManifest,
)
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.receipts import rule_digest
from ro_platform.ledger import names
from ro_platform.ledger.reader import LedgerReader

OLDER_FORM = "src-"
"""How the code version of such a rule begins."""
OLDER = "passed only under a rule of the older form (`src-`, the check's source alone) the bytes"
"""What a refusal says of them."""


def is_older_form(log: LedgerReader, receipt: GateReceipt, manifest: RunManifest) -> bool:
    """Whether a PASS was given under such a rule, by the gate sets that were on record."""
    if receipt.status is not GateStatus.PASS:
        return False
    entries = log.scan(
        kind=EntryKind.GATE_SET_DECLARED, subject=names.asset_name(receipt.scope.asset)
    )
    rules = (rule for entry in entries for rule in declared_in(entry).gates)
    older = (
        rule
        for rule in rules
        if rule.gate_id == receipt.gate_id and rule.code_version.startswith(OLDER_FORM)
    )
    try:
        return any(rule_digest(rule, manifest) == receipt.rule_digest for rule in older)
    except errors.VersionNotPinnedError:
        return False


def missing(asset: str, fingerprint: str) -> errors.ArtifactNotFoundError:
    """Nothing is there."""
    return errors.ArtifactNotFoundError(
        f"asset {asset!r} has no artifact under manifest {fingerprint}.",
        next_step="Materialize it for this manifest first; `ro gate register` brings in "
        "what was made outside.",
        asset=asset,
        manifest_fingerprint=fingerprint,
    )


def undeclared(asset: str, ref: BoundRef) -> errors.GateUndeclaredError:
    """No gate set of the asset is on record."""
    return errors.GateUndeclaredError(
        f"asset {asset!r} has no gate set on record, so nothing vouches for sha256:{ref.digest}.",
        next_step="Materialize it through a code location that `govern` has bound.",
        asset=asset,
        digest=ref.digest,
    )


def unrecorded(
    asset: str, fingerprint: str, ref: BoundRef, recorded: BoundRef | None
) -> errors.ArtifactUnrecordedError:
    """No entry made it as it is bound: ``recorded`` is what the newest one made, if any did."""
    how = f" ({differences(ref, recorded)})" if recorded else ""
    return errors.ArtifactUnrecordedError(
        f"{ref.ref} is bound to sha256:{ref.digest}, which no entry of the ledger made{how}.",
        next_step="Materialize the asset again: what it makes is recorded. "
        "If it was recorded before, run `ro ledger verify`.",
        asset=asset,
        digest=ref.digest,
        manifest_fingerprint=fingerprint,
    )


def reached(
    asset: str, fingerprint: str, ref: BoundRef, blocked: ArtifactBlocked
) -> errors.ArtifactBlockedError:
    """A revocation reached what it was made from."""
    more = len(blocked.because) - 1
    return errors.ArtifactBlockedError(
        f"sha256:{ref.digest} of asset {asset!r} was made from {blocked.because[0]}"
        f"{f' and {more} more' if more else ''}, which a revocation reached.",
        next_step="Make its inputs stand again, then materialize it again; "
        "`ro gate impact` shows all that was reached.",
        admin_event_id=blocked.admin_event_id,
        asset=asset,
        digest=ref.digest,
        manifest_fingerprint=fingerprint,
    )
