"""What older releases recorded where nobody had commissioned it: the decision and an event of its
own, in one commit, by whoever called. Nothing writes these forms any more; all of it is still read.
"""

from __future__ import annotations

from dataclasses import replace

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import (
    AdminActionType,
    ArtifactBlocked,
    ArtifactErased,
    BoundRef,
    CorrelationIds,
    EntryKind,
    JsonObject,
    PassRevoked,
    UsedArtifact,
)
from ro_platform.gates.made import made_ids
from ro_platform.kernel.identity import admin_event_id, run_id
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.events import admin_event_draft
from ro_platform.ledger.names import revocation_subject
from ro_platform.plane import Plane
from tests.unit.small_world import BOSS

WHY = "decided long ago"


def older_erasure(plane: Plane, ref: BoundRef) -> ArtifactErased:
    """The tombstone of an erasure that was decided, and killed before any byte went."""
    digest, address = ref.digest, parse_binding(ref.ref)
    assert address is not None
    touched = (f"touched/{run_id(address.fingerprint)}",)
    event = admin_event_draft(
        AdminActionType.ERASE_ARTIFACT,
        key=f"erase/{digest}",
        subject=f"digest/{digest}",
        actor=BOSS,
        reason=WHY,
        moment=plane.clock(),
        targets=(ref.ref,),
        after={"erased": digest},
        result="intended",
    )
    body = ArtifactErased(
        digest=digest,
        size_bytes=ref.size_bytes,
        media_type=ref.media_type,
        bindings=(ref.ref,),
        inputs=(),
        members=None,
        reason=WHY,
        actor=BOSS,
        admin_event_id=admin_event_id("erase_artifact", f"erase/{digest}"),
    )
    tombstone = EntryDraft(
        kind=EntryKind.ARTIFACT_ERASED,
        subject=f"digest/{digest}",
        key=f"erased/{digest}",
        actor=BOSS,
        mentions=(*touched, f"admin/{body.admin_event_id}"),
        body=body,
    )
    ids = made_ids(plane.ledger, [ref.ref])
    drafts = [tombstone, replace(event, mentions=touched)]
    plane.ledger.append_many([replace(draft, correlation_ids=ids) for draft in drafts])
    return body


def older_revocation(plane: Plane, gate_id: str, ref: BoundRef) -> PassRevoked:
    """A PASS withdrawn, and all that was made from the bytes blocked."""
    recorded, _ = plane.revocations.found(gate_id, ref)
    address = parse_binding(ref.ref)
    assert address is not None
    asset, fingerprint, _ = address
    subject = revocation_subject(gate_id, fingerprint, ref.digest, recorded.rule_digest)
    event_id = admin_event_id("revoke_pass", subject)
    impact = plane.revocations.impact(ref)
    body = PassRevoked(
        asset=asset,
        manifest_fingerprint=fingerprint,
        gate_id=gate_id,
        subject_digest=ref.digest,
        rule_digest=recorded.rule_digest,
        receipt=recorded.receipt,
        reason=WHY,
        blocked=len(impact.artifacts),
        admin_event_id=event_id,
    )
    after: JsonObject = {"verdict": "REVOKED", "blocked": body.blocked}
    touched = (f"touched/{run_id(fingerprint)}",)
    event = admin_event_draft(
        AdminActionType.REVOKE_PASS,
        key=subject,
        subject=subject,
        actor=BOSS,
        reason=WHY,
        moment=plane.clock(),
        targets=(gate_id, ref.ref),
        before={"verdict": "PASS", "receipt": recorded.receipt.ref},
        after=after,
    )
    ids = made_ids(plane.ledger, [ref.ref])
    revoked = EntryDraft(
        kind=EntryKind.PASS_REVOKED,
        subject=subject,
        key=f"revoked/{subject}",
        actor=BOSS,
        correlation_ids=ids,
        mentions=touched,
        body=body,
    )
    blocks = [
        EntryDraft(
            kind=EntryKind.ARTIFACT_BLOCKED,
            subject=f"artifact/{item.ref}",
            actor=BOSS,
            correlation_ids=CorrelationIds(),
            mentions=(f"touched/{run_id(item.fingerprint)}",),
            body=ArtifactBlocked(
                asset=item.asset,
                manifest_fingerprint=item.fingerprint,
                artifact=UsedArtifact(ref=item.ref, digest=item.digest),
                because=item.because,
                admin_event_id=event_id,
            ),
        )
        for item in impact.artifacts
    ]
    own = replace(event, correlation_ids=ids, mentions=touched)
    plane.ledger.append_many([revoked, own, *blocks])
    return body
