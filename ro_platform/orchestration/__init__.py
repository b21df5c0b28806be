"""Dagster under the plane's law. This package is the only one that imports Dagster.

A code location adopts the plane with :data:`MANIFESTS` as its assets' partitions, :func:`gate` in
the place of a blocking ``@asset_check``, and :func:`govern` around its ``Definitions``.
"""

from ro_platform.orchestration.gate import gate
from ro_platform.orchestration.govern import govern, plane_resources
from ro_platform.orchestration.io_manager import ArtifactIOManager
from ro_platform.orchestration.partitions import MANIFESTS
from ro_platform.orchestration.passing import when_passed
from ro_platform.orchestration.resource import PlaneResource

__all__ = [
    "MANIFESTS",
    "ArtifactIOManager",
    "PlaneResource",
    "gate",
    "govern",
    "plane_resources",
    "when_passed",
]
