"""The plane as a Dagster resource: what assets and gates use, and what is recorded through."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg

from ro_platform.artifacts.encodings import encode
from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType, BoundRef, GateRule, JsonObject, LedgerEntry
from ro_platform.dagster_private.running import step_key_of
from ro_platform.orchestration import sessions
from ro_platform.orchestration.declarations import Declarations
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.plane import DAGSTER_ACTOR, Plane, shared_plane
from ro_platform.runs.scope import RunScope


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

    An asset or a gate asks for it by the name ``plane``:

    >>> import dagster as dg
    >>> from ro_platform import MANIFESTS, PlaneResource, gate
    >>> @dg.asset(partitions_def=MANIFESTS)
    ... def sample(context: dg.AssetExecutionContext, plane: PlaneResource) -> list[int]:
    ...     run = plane.run(context)
    ...     return [run.seed or 0] * int(run.parameters["rows"])
    >>> sorted(sample.required_resource_keys)
    ['io_manager', 'plane']

    Its config schema is empty: nothing of the plane is set at launch.
    """

    declarations: ClassVar[Declarations] = Declarations()
    """What this code location declares about its assets."""

    @classmethod
    def declaring(cls, declared: Declarations) -> "PlaneResource":
        """The resource of a code location that declares this.

        It is the class's own, which Dagster makes anew in each process from the code alone. A
        field would be a part of the config schema, which a launch may fill in.
        """

        class Declaring(cls):  # type: ignore[valid-type,misc]
            declarations: ClassVar[Declarations] = declared

        plane: PlaneResource = Declaring()
        return plane

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Let the steps that this process executes know what the code location declares."""
        if context.run is not None:
            sessions.declare(context.run.run_id, self.declarations)

    @property
    def plane(self) -> Plane:
        """The plane of this process."""
        return shared_plane(Settings.load())

    def run(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> RunScope:
        """The run that the context's partition names: manifest, pinned configs, inputs.

        In a gate that judges several partitions, the one in hand. An error of the library is the
        step's failure, and is not retried when it is permanent.
        """
        return self._scope(context, sessions.manifest_in_hand() or context.partition_key)

    def runs(self, context: dg.AssetExecutionContext) -> Mapping[str, RunScope]:
        """The runs of a step over a range of partitions, by fingerprint."""
        return {key: self._scope(context, key) for key in context.partition_keys}

    def evidence(self, value: Any, *, encoding: str | None = None) -> BoundRef:
        """In a gate: keep a value (a table, JSON, bytes, a file, a folder) as its verdict's
        evidence. The receipt refers to it.

        Raises the step's failure outside a gate, a second time in one verdict, and for a value
        that no encoding takes.
        """
        with shown_by_dagster():
            ref = encode(self.plane.store, value, encoding=encoding)
            sessions.keep_evidence(ref)
            return ref

    def _scope(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, fingerprint: str
    ) -> RunScope:
        with shown_by_dagster():
            plane = self.plane
            step = sessions.find_session(context.run.run_id, step_key_of(context))
            return DagsterRunScope(
                fingerprint,
                plane.runs.manifest(fingerprint),
                plane.store,
                plane.configs,
                plane.runs,
                plane.guard,
                *([step.note] if step else []),
            )

    def gates_of(self, asset: str) -> tuple[GateRule, ...]:
        """The gates that this code location declares for an asset."""
        return self.declarations.gates_of(asset)

    def record_admin_event(
        self,
        action: AdminActionType,
        *,
        key: str,
        subject: str,
        reason: str,
        targets: Sequence[str] = (),
        before: JsonObject | None = None,
        after: JsonObject | None = None,
    ) -> LedgerEntry:
        """Record an administrative action that an asset or job took as a service.

        ``key`` names the action once and for all: recorded twice, it is one event. See
        :meth:`ro_platform.plane.Plane.record_admin_event`.
        """
        return self.plane.record_admin_event(
            action,
            key=key,
            subject=subject,
            actor=DAGSTER_ACTOR,
            reason=reason,
            targets=targets,
            before=before,
            after=after,
        )
