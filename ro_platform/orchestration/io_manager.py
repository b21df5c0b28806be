"""The IO manager: writes content-addressed artifacts, and reads through the guard.

What an asset returns is encoded by its type, stored under its digest, bound to (asset, manifest)
and recorded, in that order; a crash in between leaves blobs that nothing refers to, or a binding
that running again finds and completes. What an asset loads has passed every gate on record for its
producer, for exactly those bytes, in this run or any other; and what an asset depends on without
loading it must have passed before the asset's own output is published.

An asset says more about its output in its ``metadata``: ``ro/deterministic: False`` (other bytes
become the next revision instead of a conflict), ``ro/encoding`` and ``ro/schema_version``.
"""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform.artifacts.encodings import PICKLE, decode, encode
from ro_platform.contracts import (
    ArtifactBound,
    AttemptTransition,
    BoundRef,
    CorrelationIds,
    EntryKind,
    NamedArtifact,
)
from ro_platform.errors import (
    ArtifactNotFoundError,
    AttemptNotRecordedError,
    EncodingError,
    ManifestNotRegisteredError,
)
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.entry import EntryDraft
from ro_platform.orchestration.dagster_private import (
    checks_of_step,
    dagster_run_of_input,
    parents_of,
    step_key_of_input,
)
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.partitions import is_fingerprint, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.orchestration.sessions import StepSession, find_session, require_session
from ro_platform.orchestration.shown import shown_artifact
from ro_platform.plane import DAGSTER_ACTOR, Plane


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Every governed asset's IO manager."""

    plane: dg.ResourceDependency[PlaneResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Encode, store, bind and record what an asset returned.

        Raises the step's failure for a value no encoding takes, and for other bytes than those
        already bound: the asset is not deterministic.
        """
        with shown_by_dagster():
            asset, fingerprint = _asset_of(context), _one_partition(context)
            plane = self.plane.plane
            plane.runs.require_registered(fingerprint)
            session = require_session(plane, context.run_id, context.step_key)
            attempt = session.attempt(fingerprint, asset)
            if attempt is None:
                raise AttemptNotRecordedError(f"asset {asset!r} has no attempt of its own here.")
            plane.gates.declare(asset, self.plane.gates_of(asset), actor=DAGSTER_ACTOR)
            self._require_unloaded(plane, context, session, fingerprint)
            ref = _publish(plane, asset, fingerprint, obj, context.definition_metadata)
            plane.ledger.append(_bound_draft(asset, fingerprint, ref, attempt, context.run_id))
            session.outputs.append(NamedArtifact(name=asset, artifact=ref))
            context.add_output_metadata(
                shown_artifact(plane.store, ref, obj, attempt_id=attempt.attempt_id)
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """The verified value of an upstream asset, if every gate of it stands.

        One partition gives the value itself; several give a dict by partition key. Only the checks
        of that very asset read it before it has passed: they are what makes it pass.
        """
        with shown_by_dagster():
            values = {key: self._load(context, key) for key in context.asset_partition_keys}
        return next(iter(values.values())) if len(values) == 1 else values

    def _require_unloaded(
        self, plane: Plane, context: dg.OutputContext, session: StepSession, fingerprint: str
    ) -> None:
        """Refuse to publish what depends on a governed asset that it did not load, if that asset's
        gates do not stand: an edge in ``deps`` binds like one that carries a value."""
        for key in sorted(parents_of(context), key=unit_of):
            parent = unit_of(key)
            if session.loaded(parent) is not None:
                continue
            if self.plane.gates_of(parent) or plane.gates.gates_of(parent) is not None:
                _passed(plane, parent, fingerprint)

    def _load(self, context: dg.InputContext, fingerprint: str) -> Any:
        plane, asset = self.plane.plane, unit_of(context.asset_key)
        if declared := self.plane.gates_of(asset):
            # A gate or rule that is new in the code binds from here on, not from the next write.
            plane.gates.declare(asset, declared, actor=DAGSTER_ACTOR)
        judged = any(key.asset_key == context.asset_key for key in checks_of_step(context))
        ref = _unjudged(plane, asset, fingerprint) if judged else _passed(plane, asset, fingerprint)
        session = find_session(dagster_run_of_input(context), step_key_of_input(context))
        value = decode(
            plane.store,
            ref,
            context.dagster_type.typing_type,
            folder=session.folder() if session else _folder_outside_runs(),
            allow_pickle=ref.media_type == PICKLE,
        )
        if session is not None:
            session.inputs.append(NamedArtifact(name=asset, artifact=ref))
        return value


@lru_cache(maxsize=1)
def _keeper() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="ro-inputs-")


def _folder_outside_runs() -> Path:
    """Where files are copied that are loaded outside a run; gone when the process ends."""
    return Path(_keeper().name)


def _passed(plane: Plane, asset: str, fingerprint: str) -> BoundRef:
    return plane.guard.require(asset, plane.runs.manifest(fingerprint), fingerprint)


def _unjudged(plane: Plane, asset: str, fingerprint: str) -> BoundRef:
    ref = plane.store.binding(asset, fingerprint)
    if ref is None:
        raise ArtifactNotFoundError(
            f"asset {asset!r} has no artifact to judge under manifest {fingerprint}.",
            next_step="Materialize the asset for this manifest first.",
        )
    return ref


def _publish(plane: Plane, asset: str, fingerprint: str, value: Any, options: Any) -> BoundRef:
    encoding = options.get("ro/encoding")
    ref = encode(
        plane.store, value, encoding=encoding, schema_version=options.get("ro/schema_version")
    )
    deterministic = bool(options.get("ro/deterministic", True))
    return plane.store.bind(
        asset,
        fingerprint,
        ref,
        deterministic=deterministic and ref.media_type != PICKLE,
    )


def _bound_draft(
    asset: str, fingerprint: str, ref: BoundRef, attempt: AttemptTransition, dagster_run_id: str
) -> EntryDraft:
    body = ArtifactBound(
        asset=asset, manifest_fingerprint=fingerprint, attempt_id=attempt.attempt_id, artifact=ref
    )
    return EntryDraft(
        kind=EntryKind.ARTIFACT_BOUND,
        subject=f"digest/{ref.digest}",
        key=f"bound/{attempt.attempt_id}/{ref.ref}",
        actor=DAGSTER_ACTOR,
        correlation_ids=CorrelationIds(run_id=run_id(fingerprint), dagster_run_id=dagster_run_id),
        body=body.to_json_value(),
    )


def _asset_of(context: dg.OutputContext) -> str:
    if not context.has_asset_key:
        raise EncodingError(
            f"output {context.name!r} of step {context.step_key!r} is no asset's, and only what "
            "is bound to an asset and a manifest is kept.",
            next_step="Give the output an io_manager_key of its own, such as Dagster's "
            "mem_io_manager.",
        )
    return unit_of(context.asset_key)


def _one_partition(context: dg.OutputContext) -> str:
    keys = context.asset_partition_keys if context.has_asset_partitions else ()
    if len(keys) != 1:
        raise EncodingError(
            f"asset {unit_of(context.asset_key)!r} ran for {len(keys)} partitions at once.",
            next_step="Partition it by MANIFESTS, and run one partition at a time.",
        )
    if not is_fingerprint(keys[0]):
        raise ManifestNotRegisteredError(
            f"asset {unit_of(context.asset_key)!r} ran for partition {keys[0]!r}, which is no "
            "manifest's fingerprint.",
            next_step="Partition it by MANIFESTS: `ro manifest register FILE` adds the partition.",
        )
    return keys[0]
