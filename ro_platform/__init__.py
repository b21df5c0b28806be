"""The Run/Operate plane: deterministic runs, immutable artifacts, binding gates, one ledger.

What is named here is the public interface, together with the packages
:mod:`ro_platform.contracts`, :mod:`ro_platform.errors` and :mod:`ro_platform.testing`, and the
classes that dagster.yaml names. Everything else is internal and may change in any version.

A name is imported when it is first asked for, so that ``import ro_platform`` loads neither Dagster
nor pandas.

>>> import ro_platform
>>> ro_platform.MANIFESTS.name
'manifests'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ro_platform.config.settings import Settings
    from ro_platform.errors import RunOperateError
    from ro_platform.orchestration.gate import gate
    from ro_platform.orchestration.govern import govern, plane_resources
    from ro_platform.orchestration.io_manager import ArtifactIOManager
    from ro_platform.orchestration.partitions import MANIFESTS
    from ro_platform.orchestration.passing import when_passed
    from ro_platform.orchestration.resource import PlaneResource
    from ro_platform.orchestration.standard import standard_operations
    from ro_platform.plane import Plane
    from ro_platform.runs.scope import RunScope

    __version__: str

_HOMES = {
    "MANIFESTS": "ro_platform.orchestration.partitions",
    "ArtifactIOManager": "ro_platform.orchestration.io_manager",
    "Plane": "ro_platform.plane",
    "PlaneResource": "ro_platform.orchestration.resource",
    "RunOperateError": "ro_platform.errors",
    "RunScope": "ro_platform.runs.scope",
    "Settings": "ro_platform.config.settings",
    "gate": "ro_platform.orchestration.gate",
    "govern": "ro_platform.orchestration.govern",
    "plane_resources": "ro_platform.orchestration.govern",
    "standard_operations": "ro_platform.orchestration.standard",
    "when_passed": "ro_platform.orchestration.passing",
}

__all__ = [
    "MANIFESTS",
    "ArtifactIOManager",
    "Plane",
    "PlaneResource",
    "RunOperateError",
    "RunScope",
    "Settings",
    "__version__",
    "gate",
    "govern",
    "plane_resources",
    "standard_operations",
    "when_passed",
]


def __getattr__(name: str) -> Any:
    """A public name, from its home. Raises AttributeError for any other."""
    if name == "__version__":
        from importlib import metadata  # costs every start as much as all of ro_platform.errors

        return metadata.version("ro-platform")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
