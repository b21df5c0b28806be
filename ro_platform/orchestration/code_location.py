"""The deployment's code location, and the workloads in it that a manifest can name.

That is ``Definitions``, or a function decorated with ``@dg.definitions`` that returns them: the
attribute that workspace.yaml names for the module, else ``defs``, else the only one in it.
"""

import importlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.contracts import GateRule
from ro_platform.dagster_private.definitions import (
    asset_order,
    code_versions,
    is_lazy,
    job_gates,
    judged_assets,
    target_of_module,
)
from ro_platform.dagster_private.launches import location_of, modules_of
from ro_platform.orchestration.partitions import MANIFESTS, require_workload, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane

_DEFAULT = "defs"


def load_definitions(settings: Settings) -> dg.Definitions:
    """This deployment's Definitions, with every job of theirs resolved.

    Raises :class:`SettingsError` when there are none, and for whatever goes wrong while the
    deployment's own code loads.
    """
    if str(settings.root) not in sys.path:
        sys.path.insert(0, str(settings.root))
    name = settings.definitions_module
    try:
        definitions = _definitions_in(_module(name, settings.root), settings.root)
        with warnings.catch_warnings():
            # Dagster hands a sensor's jobs on by a parameter of its own that it warns of.
            warnings.simplefilter("ignore", dg.BetaWarning)
            definitions.resolve_all_job_defs()
    except errors.RunOperateError:
        raise
    except Exception as error:
        raise errors.SettingsError(
            f"module {name!r}, the deployment's own code, does not load: "
            f"{type(error).__name__}: {error}",
            next_step=f"Correct it; `dagster definitions validate -m {name}` shows where.",
        ) from error
    return definitions


def _module(name: str, root: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a module that it imports, not itself
    workspace = root / "workspace.yaml"
    known = modules_of(workspace) if workspace.is_file() else []
    raise errors.SettingsError(
        f"there is no module {name!r} in {root}.",
        next_step=f"Set RO_DEFINITIONS_MODULE to one that workspace.yaml loads: {', '.join(known)}."
        if known
        else "Run from the deployment's folder, or set RO_DEFINITIONS_MODULE.",
    )


def _definitions_in(module: ModuleType, root: Path) -> dg.Definitions:
    target = _target(module, root)
    found = target() if is_lazy(target) else target
    if not isinstance(found, dg.Definitions):
        raise errors.SettingsError(
            f"module {module.__name__!r} has no Definitions, but a {type(found).__name__}.",
            next_step="Define `defs = govern(dg.Definitions(...))` in it, or a function with "
            "@dg.definitions that returns that.",
        )
    return found


def _target(module: ModuleType, root: Path) -> Any:
    """What Dagster loads from a module: the named attribute, ``defs``, or the only one."""
    workspace = root / "workspace.yaml"
    location = location_of(workspace, module.__name__) if workspace.is_file() else None
    origin = location.loadable_target_origin if location else None
    if origin and origin.module_name == module.__name__ and origin.attribute:
        return getattr(module, origin.attribute)
    named = getattr(module, _DEFAULT, None)
    if isinstance(named, dg.Definitions) or is_lazy(named):
        return named
    return target_of_module(module)


@dataclass(frozen=True)
class Workload:
    """One workload: its job, its assets in order, and the checks of each.

    ``foreign`` are assets that it does not make, and has checks on all the same.
    """

    name: str
    job: dg.JobDefinition
    assets: tuple[dg.AssetKey, ...]
    gates: dict[dg.AssetKey, frozenset[dg.AssetCheckKey]]
    plane: PlaneResource
    foreign: tuple[dg.AssetKey, ...] = ()

    @property
    def asset_names(self) -> tuple[str, ...]:
        """The assets as the plane names them, producers first."""
        return tuple(unit_of(key) for key in self.assets)

    @property
    def code_versions(self) -> dict[str, str | None]:
        """The code version that each asset declares now; None where it declares none."""
        versions = code_versions(self.job)
        return {unit_of(key): versions[key] for key in self.assets}

    @property
    def rules(self) -> list[GateRule]:
        """The gates of its assets."""
        return [rule for name in self.asset_names for rule in self.plane.gates_of(name)]

    def declare(self, plane: Plane) -> None:
        """Put the gates that the code declares for its assets on record.

        Raises :class:`GateSetShrankError`.
        """
        for asset in (*self.assets, *self.foreign):
            self.plane.declarations.bind(plane, unit_of(asset))


def workload_names(definitions: dg.Definitions) -> list[str]:
    """The jobs that are partitioned by manifests: what a manifest's ``workload`` can name."""
    return sorted(
        job.name
        for job in definitions.resolve_all_job_defs()
        if not job.name.startswith("__") and _is_workload(job)
    )


def find_workload(definitions: dg.Definitions, name: str) -> Workload:
    """A workload by name. Raises :class:`UnknownWorkloadError`, which lists those that exist."""
    require_workload(name, workload_names(definitions))
    job = definitions.resolve_job_def(name)
    assets = tuple(asset_order(job))
    foreign = tuple(sorted(judged_assets(job) - {*assets}))
    return Workload(
        name=name,
        job=job,
        assets=assets,
        gates={key: job_gates(job, key) for key in (*assets, *foreign)},
        plane=_plane_of(definitions),
        foreign=foreign,
    )


def _is_workload(job: dg.JobDefinition) -> bool:
    return job.partitions_def == MANIFESTS


def _plane_of(definitions: dg.Definitions) -> PlaneResource:
    plane = (definitions.resources or {}).get("plane")
    if not isinstance(plane, PlaneResource):
        raise errors.SettingsError(
            "these Definitions have no `plane` resource.",
            next_step="Put govern(...) around them.",
        )
    return plane
