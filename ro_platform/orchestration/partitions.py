"""Runs as partitions: the partition key of every governed asset is a manifest's fingerprint.

Registering a manifest for Dagster: on record with the plane, and a partition of its assets.
"""

import re
from collections.abc import Collection
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.dagster_private.launches import PARTITION, RANGE_START
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile

MANIFESTS = dg.DynamicPartitionsDefinition(name="manifests")

MANIFEST_TAGS = frozenset({PARTITION, RANGE_START})
"""The tags by which Dagster says for which partition, or range of them, a run is."""

_FINGERPRINT = re.compile(r"[a-f0-9]{64}\Z")


def is_fingerprint(partition_key: str) -> bool:
    """Whether a partition key has the form of a manifest's fingerprint."""
    return _FINGERPRINT.match(partition_key) is not None


def unit_of(asset: dg.AssetKey) -> str:
    """The unit of work that materializes an asset: its key, the parts joined by a slash."""
    return "/".join(asset.path)


class ByManifest(dict[str, Any]):
    """The values of an asset for several manifests, by fingerprint."""


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
        raise errors.UnknownWorkloadError(
            f"workload {name!r} is not one of this deployment's.",
            next_step=f"Name one of: {', '.join(sorted(known)) or '(none is defined)'}.",
            workload=name,
        )
