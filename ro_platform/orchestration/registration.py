"""Registering a manifest for Dagster: on record with the plane, and a partition of its assets."""

from collections.abc import Collection

import dagster as dg

from ro_platform.errors import UnknownWorkloadError
from ro_platform.orchestration.partitions import MANIFESTS
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile

_PARTITIONS = str(MANIFESTS.name)


def register_manifest(
    plane: Plane,
    instance: dg.DagsterInstance,
    file: ManifestFile,
    *,
    workloads: Collection[str],
    actor: str,
    publish_first_versions: bool = False,
) -> bool:
    """Register a manifest and its partition; True if the manifest is new.

    The workload is checked before anything is written. A crash between the record and the
    partition is mended by registering again.
    """
    require_workload(file.manifest.workload, workloads)
    new = plane.runs.register(file, actor=actor, publish_first_versions=publish_first_versions)
    if not instance.has_dynamic_partition(_PARTITIONS, file.fingerprint):
        instance.add_dynamic_partitions(_PARTITIONS, [file.fingerprint])
    return new


def require_workload(name: str, known: Collection[str]) -> None:
    """Raise :class:`UnknownWorkloadError`, which lists those that exist."""
    if name not in known:
        raise UnknownWorkloadError(
            f"workload {name!r} is not one of this deployment's.",
            next_step=f"Name one of: {', '.join(sorted(known)) or '(none is defined)'}.",
            workload=name,
        )
