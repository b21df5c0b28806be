"""The plane as a Dagster resource: what assets and gates use, and what is recorded through."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType, BoundRef, GateRule, JsonObject, LedgerEntry
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.plane import DAGSTER_ACTOR, Plane, shared_plane
from ro_platform.runs.scope import RunScope


class DeclaredGate(dg.Config):
    """A gate as the code location declares it."""

    gate_id: str
    code_version: str
    configs: list[str] = Field(default_factory=list)


class DeclaredGates(dg.Config):
    """The gates of one asset."""

    asset: str
    gates: list[DeclaredGate] = Field(default_factory=list)


class DagsterRunScope(RunScope):
    """The same, for code that Dagster executes: a permanent error is never retried."""

    def config(self, name: str) -> JsonObject:
        """See :class:`RunScope`."""
        with shown_by_dagster():
            return super().config(name)

    def input_bytes(self, name: str) -> bytes:
        """See :class:`RunScope`."""
        with shown_by_dagster():
            return super().input_bytes(name)

    def copy_input(self, name: str, destination: Path) -> None:
        """See :class:`RunScope`."""
        with shown_by_dagster():
            super().copy_input(name, destination)

    def artifact(self, asset: str) -> BoundRef:
        """See :class:`RunScope`."""
        with shown_by_dagster():
            return super().artifact(asset)


class PlaneResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The run at hand, attempts and admin events. Where it keeps them is in the settings.

    ``declared`` is filled in by :func:`ro_platform.orchestration.govern` from the checks of the
    code location.
    """

    declared: list[DeclaredGates] = Field(default_factory=list)

    @property
    def plane(self) -> Plane:
        """The plane of this process."""
        return shared_plane(Settings.load())

    def run(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> RunScope:
        """The run that the context's partition names: manifest, pinned configs, inputs.

        An error of the library is the step's failure, and is not retried when it is permanent.
        """
        with shown_by_dagster():
            plane = self.plane
            fingerprint = context.partition_key
            manifest = plane.runs.manifest(fingerprint)
            return DagsterRunScope(fingerprint, manifest, plane.store, plane.configs, plane.guard)

    def gates_of(self, asset: str) -> tuple[GateRule, ...]:
        """The gates that this code location declares for an asset."""
        return tuple(
            GateRule(
                gate_id=item.gate_id, code_version=item.code_version, configs=tuple(item.configs)
            )
            for declared in self.declared
            if declared.asset == asset
            for item in declared.gates
        )

    def record_admin_event(
        self,
        action: AdminActionType,
        *,
        key: str,
        subject: str,
        reason: str,
        before: JsonObject | None = None,
        after: JsonObject | None = None,
    ) -> LedgerEntry:
        """Record an administrative action that an asset or job took as a service.

        ``key`` names the action once and for all: recorded twice, it is one event.
        """
        return self.plane.record_admin_event(
            action,
            key=key,
            subject=subject,
            actor=DAGSTER_ACTOR,
            reason=reason,
            before=before,
            after=after,
        )
