"""Workloads: the asset jobs of this deployment that a manifest can name."""

from dataclasses import dataclass

import dagster as dg

from ro_platform.contracts import GateRule
from ro_platform.errors import SettingsError
from ro_platform.orchestration.dagster_definitions_private import (
    asset_order,
    code_versions,
    job_gates,
    judged_assets,
)
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.registration import require_workload
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane


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
        raise SettingsError(
            "these Definitions have no `plane` resource.",
            next_step="Put govern(...) around them.",
        )
    return plane
