"""A run's dossier as a download, for who may audit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from ro_platform.checkpoints.keys import deployment_key
from ro_platform.contracts import Action
from ro_platform.errors import RunOperateError
from ro_platform.web.operations.desk import Desk, Visit
from ro_platform.web.operations.runs import fingerprint_of, registered


def dossier_download(desk: Desk, visit: Visit, run: str) -> FileResponse:
    """The file, without the artifacts' bytes. The copy that is sent is removed after it.

    Raises :class:`NotFoundError`, :class:`AccessDeniedError` (recorded), :class:`SettingsError`
    where there is no signing key, and what the export raises, such as while an attempt is open.
    """
    plane = desk.plane
    fingerprint = fingerprint_of(registered(plane, run))
    workload = plane.runs.manifest(fingerprint).workload
    target = plane.access.target(f"run {run}", workload=workload)
    try:
        plane.access.require(visit.actor, Action.AUDIT, target)
    except RunOperateError as error:
        visit.refused(error, "dossier.download")
        raise
    key = deployment_key(desk.settings)
    exporter = plane.dossiers(key)
    folder = tempfile.TemporaryDirectory(prefix="ro-dossier-")
    file = Path(folder.name) / f"{run}.dossier"
    try:
        exporter.export(fingerprint, file, actor=visit.actor)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        file,
        media_type="application/octet-stream",
        filename=file.name,
        background=BackgroundTask(folder.cleanup),
    )
