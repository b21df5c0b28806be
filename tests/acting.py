"""What a test does to a plane is done as anybody does it: by the administrative service, which asks
who may and records intent and outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ro_platform.admin.intents import admin_request
from ro_platform.admin.outcomes import Outcome
from ro_platform.config.versions import PublishedConfig
from ro_platform.contracts import (
    AdminActionType,
    BoundRef,
    JsonObject,
    LedgerEntry,
    PassRevoked,
)
from ro_platform.gates.impact import Impact
from ro_platform.plane import Plane
from ro_platform.runs.erasure import Erasure

WHY = "because the test asks for it"

NOT_BUILT = frozenset(
    {AdminActionType.ROTATE_SECRET, AdminActionType.APPLY_STREAMS, AdminActionType.DEPLOY}
)
"""Names of the closed set that no action has yet."""
OWN_WAY = frozenset({AdminActionType.GRANT_LEDGER, AdminActionType.MIGRATE_LEDGER})
"""What commands of their own do where the ledger is kept, and record."""


@dataclass(frozen=True)
class Withdrawn:
    """A revocation on record, and what it blocked; None if another action had recorded it."""

    entry: LedgerEntry
    body: PassRevoked
    impact: Impact | None


def act(
    plane: Plane,
    kind: AdminActionType,
    parameters: JsonObject,
    *,
    reason: str = WHY,
    actor: str | None = None,
    key: str | None = None,
) -> Outcome:
    """Do an action, as the single user unless told otherwise; without a key, one of its own."""
    request = admin_request(kind, reason=reason, parameters=parameters)
    name = key or plane.admin.key_for(request)
    return plane.admin.perform(request, actor=actor or plane.access.single_user, key=name)


def revoke_pass(
    plane: Plane, gate_id: str, ref: BoundRef, *, reason: str = WHY, actor: str | None = None
) -> Withdrawn:
    """Withdraw a PASS."""
    asked: JsonObject = {"gate_id": gate_id, "ref": ref.ref}
    outcome = act(plane, AdminActionType.REVOKE_PASS, asked, reason=reason, actor=actor)
    found = plane.revocations.revoked(gate_id, ref)
    own = outcome.new and found.body.admin_event_id == outcome.event_id
    return Withdrawn(found.entry, found.body, plane.revocations.impact(ref) if own else None)


def erase_bytes(
    plane: Plane,
    digest: str,
    *,
    all_bindings: bool = False,
    reason: str = WHY,
    actor: str | None = None,
    key: str | None = None,
) -> Erasure:
    """Erase bytes; answers what is on record, with what this call removed."""
    asked: JsonObject = {"digest": digest, "all_bindings": all_bindings}
    kind, files = AdminActionType.ERASE_ARTIFACT, plane.erasures.files(digest)
    outcome = act(plane, kind, asked, reason=reason, actor=actor, key=key)
    found = plane.erasures.on_record(digest, files)
    if not outcome.new:
        return found
    blobs, size = (int(str(outcome.after[name])) for name in ("blobs", "bytes"))
    own = found.body.admin_event_id == outcome.event_id
    return replace(found, new=own, blobs=blobs, size_bytes=size)


def publish_config(
    plane: Plane, name: str, content: Any, *, reason: str = WHY, actor: str | None = None
) -> PublishedConfig:
    """Publish the next version of a config; answers the newest."""
    asked: JsonObject = {"name": name, "digest": plane.configs.keep(content)}
    act(plane, AdminActionType.PUBLISH_CONFIG, asked, reason=reason, actor=actor)
    return plane.configs.find(name)
