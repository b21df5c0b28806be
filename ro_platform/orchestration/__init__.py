"""Dagster under the plane's law. Only this package imports Dagster, and
:mod:`ro_platform.dagster_private` what Dagster does not promise.

A code location adopts the plane with :data:`MANIFESTS` as its assets' partitions, :func:`gate` in
the place of a blocking ``@asset_check``, and :func:`govern` around its ``Definitions``;
:func:`standard_operations` adds what watches over them.
"""

from ro_platform.orchestration.gate import gate
from ro_platform.orchestration.govern import govern, plane_resources
from ro_platform.orchestration.inbox import WorkloadJob
from ro_platform.orchestration.io_manager import ArtifactIOManager
from ro_platform.orchestration.partitions import MANIFESTS
from ro_platform.orchestration.passing import when_passed
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.orchestration.standard import standard_operations

__all__ = [
    "MANIFESTS",
    "ArtifactIOManager",
    "PlaneResource",
    "WorkloadJob",
    "gate",
    "govern",
    "plane_resources",
    "standard_operations",
    "when_passed",
]
