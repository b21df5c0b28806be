"""Targets that a form may offer: of workloads and assets that were in use lately."""

from __future__ import annotations

from ro_platform.contracts import ArtifactBound, EntryKind, RegisteredManifest
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane

_LOOKED_AT = 200
_OFFERED = 50


def targets_in_use(plane: Plane) -> tuple[str, ...]:
    """What can be paused, and was registered or made lately; any other can be written, too."""
    log = plane.ledger
    runs = log.scan(kind=EntryKind.RUN_REGISTERED, newest_first=True, limit=_LOOKED_AT)
    made = log.scan(kind=EntryKind.ARTIFACT_BOUND, newest_first=True, limit=_LOOKED_AT)
    workloads = {
        names.workload_target(body_of(entry, RegisteredManifest).workload) for entry in runs
    }
    assets = {names.asset_name(body_of(entry, ArtifactBound).asset) for entry in made}
    return (names.PLANE, *sorted(workloads), *sorted(assets))[:_OFFERED]


def targets_paused(plane: Plane) -> tuple[str, ...]:
    """What can be resumed."""
    return tuple(pause.target for pause in plane.pauses.standing()[:_OFFERED])
