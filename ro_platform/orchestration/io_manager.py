"""The IO manager: writes content-addressed artifacts, and reads through the guard.

What an asset returns is encoded by its type, stored under its digest, bound to (asset, manifest)
and recorded, in that order; a crash in between leaves blobs that nothing refers to, or a binding
that running again finds and completes. What an asset loads has passed every gate on record for its
producer, for exactly those bytes, in this run or any other; what it depends on without loading it
must have passed before its step computes; and all of it must still stand when the asset's own
output is published.

An asset says more about its output in its ``metadata``: ``ro/deterministic: False`` (other bytes
become the next revision instead of a conflict), ``ro/encoding``, ``ro/schema_version``,
``ro/bundle: True`` (it is a bundle, known by its digest as ``bundle_id``), and
``ro/train_run: True`` (making it is a training run, known by its attempt as ``train_run_id``).

Who reads bytes before they have passed: the gates of that very asset, and no other check.

A step is let in that does nothing but evaluate gates of the asset, each of them on record, for the
manifest that it judges. Every other check is a reader like any other. Dagster starts it beside the
gates of its asset, not after them, so in their run it waits until they have judged.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.artifacts.encodings import PICKLE, decode, encode
from ro_platform.contracts import BoundRef, JobStatus, NamedArtifact
from ro_platform.dagster_private.launches import RANGE_START
from ro_platform.dagster_private.running import (
    assets_of_input,
    checks_of_step,
    dagster_run_of_input,
    parents_of,
    step_key_of_input,
)
from ro_platform.gates.made import artifact_of
from ro_platform.orchestration.declarations import Declarations
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.launches import REPLAY
from ro_platform.orchestration.listings import keep_listings
from ro_platform.orchestration.names import gate_id
from ro_platform.orchestration.partitions import ByManifest, is_fingerprint, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.orchestration.sessions import (
    StepSession,
    find_session,
    give,
    given,
    require_session,
)
from ro_platform.orchestration.shown import shown_artifact, shown_artifacts
from ro_platform.plane import DAGSTER_ACTOR, Plane
from ro_platform.runs.publication import Provenance

_VERDICT_HELPS = (errors.GateAbsentError, errors.GateOlderBytesError, errors.GateStaleError)
_POLL_SECONDS = 0.25
_MOST_QUEUED_SECONDS = 30.0
"""How long a gate may be queued that a check waits for. It is started first, so one that stays
queued waits for something that this check may hold."""


def judges(
    context: dg.InputContext,
    declared: Declarations,
    fingerprint: str,
    session: StepSession | None,
) -> bool:
    """Whether the reading step evaluates gates of the asset that it reads, and nothing else.

    A gate is one by what the code location declares, which :meth:`Declarations.bind` puts on
    record. A check that only has the name of a gate on record is none, and a gate reads unjudged
    only what it judges: not the same asset under another manifest.
    """
    asset, checks = unit_of(context.asset_key), checks_of_step(context)
    gates = {rule.gate_id for rule in declared.gates_of(asset)}
    return (
        session is not None
        and bool(checks)
        and all(key.asset_key == context.asset_key for key in checks)
        and {gate_id(key.asset_key, key.name) for key in checks} <= gates
        and any(session.attempt(fingerprint, f"{asset}#{key.name}") for key in checks)
    )


def passed(
    plane: Plane, context: dg.InputContext, declared: Declarations, fingerprint: str
) -> BoundRef:
    """The artifact of an asset that a step reads, if every gate of it stands.

    A check in the run of the asset's gates waits for their verdicts first. Raises what
    :meth:`Declarations.require` raises.
    """
    asset, began = unit_of(context.asset_key), time.monotonic()
    while True:
        try:
            return declared.require(plane, asset, fingerprint)
        except errors.GateRefusedError as refusal:
            if not isinstance(refusal, _VERDICT_HELPS) or not checks_of_step(context):
                raise
            waited = time.monotonic() - began
            under_way = set(_gates_under_way(plane, context, declared, fingerprint))
            is_queued = JobStatus.RUNNING not in under_way
            if not under_way or (is_queued and waited > _MOST_QUEUED_SECONDS):
                raise
        time.sleep(_POLL_SECONDS)


def _gates_under_way(
    plane: Plane, context: dg.InputContext, declared: Declarations, fingerprint: str
) -> Iterator[JobStatus]:
    """How the gates of the asset stand that this run has begun or will begin."""
    key = context.asset_key
    names = {rule.gate_id for rule in declared.gates_of(unit_of(key))}
    dagster_run_id = dagster_run_of_input(context)
    steps = plane.attempts.of_dagster_run(dagster_run_id) if dagster_run_id else {}
    for attempt in (attempt for attempts in steps.values() for attempt in attempts):
        asset, _, check = attempt.unit.partition("#")
        is_gate = asset == unit_of(key) and gate_id(key, check) in names
        is_here = is_gate and attempt.manifest_fingerprint == fingerprint
        if is_here and attempt.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            yield attempt.status


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Every governed asset's IO manager: what an asset returns is stored under its digest, bound to
    asset and manifest, and recorded; what a step loads is verified and has passed its gates.

    :func:`~ro_platform.orchestration.govern` provides it as ``io_manager``.

    >>> import dagster as dg
    >>> from ro_platform import ArtifactIOManager, govern
    >>> defs = govern(dg.Definitions())
    >>> isinstance(defs.resources["io_manager"], ArtifactIOManager)
    True
    """

    plane: dg.ResourceDependency[PlaneResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Encode, store, bind and record what an asset returned.

        A step over several partitions returns a dict with a value for each. Raises the step's
        failure for a value no encoding takes, for other bytes than those already bound (the asset
        is not deterministic), and when something that went into it does not stand any more.
        """
        with shown_by_dagster():
            asset, declared = _asset_of(context), self.plane.declarations
            is_ranged = declared.is_ranged(asset) or RANGE_START in context.step_context.run_tags
            values = _by_partition(context, obj, is_ranged=is_ranged)
            plane = self.plane.plane
            for fingerprint in values:
                plane.runs.require_registered(fingerprint)
            session = require_session(plane, context.run_id, context.step_key)
            keep_listings(plane, declared.gates_of(asset))
            plane.gates.declare(asset, declared.gates_of(asset), actor=DAGSTER_ACTOR)
            inputs = self._inputs(context, session, list(values))
            made = []
            for fingerprint, value in values.items():
                attempt = session.attempt(fingerprint, asset)
                if attempt is None:
                    raise errors.AttemptNotRecordedError(
                        f"asset {asset!r} has no attempt of its own."
                    )
                work = Provenance(attempt, inputs, context.run_id)
                with _proving(context):
                    ref = _publish(plane, asset, value, work, context.definition_metadata)
                session.outputs.append(NamedArtifact(name=asset, artifact=ref))
                made.append((attempt, value, ref))
            context.add_output_metadata(
                shown_artifact(
                    plane.store, made[0][2], made[0][1], attempt_id=made[0][0].attempt_id
                )
                if len(made) == 1
                else shown_artifacts([(a.manifest_fingerprint, ref) for a, _, ref in made])
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """The verified value of an upstream asset, if every gate of it stands.

        One partition gives the value itself; several give a dict by partition key. Only the gates
        of that very asset read it before it has passed: they are what makes it pass.
        """
        with shown_by_dagster():
            values = ByManifest(
                (key, self._load(context, key)) for key in context.asset_partition_keys
            )
        return next(iter(values.values())) if len(values) == 1 else values

    def _inputs(
        self, context: dg.OutputContext, session: StepSession, fingerprints: list[str]
    ) -> list[NamedArtifact]:
        """All that went into a step's outputs: what it was given, and what its asset depends on
        and another process was given, which must stand as well."""
        inputs = [*session.inputs, *given(context.run_id, unit_of(context.asset_key))]
        plane, declared = self.plane.plane, self.plane.declarations
        known = {item.name for item in inputs}
        for parent in sorted(map(unit_of, parents_of(context))):
            if parent not in known and declared.is_governed(plane, parent):
                inputs += [
                    NamedArtifact(
                        name=parent, artifact=declared.require(plane, parent, fingerprint)
                    )
                    for fingerprint in fingerprints
                ]
        return inputs

    def _load(self, context: dg.InputContext, fingerprint: str) -> Any:
        plane, asset = self.plane.plane, unit_of(context.asset_key)
        declared = self.plane.declarations
        dagster_run_id = dagster_run_of_input(context)
        session = find_session(dagster_run_id, step_key_of_input(context))
        if judges(context, declared, fingerprint, session):
            declared.bind(plane, asset)
            ref = _unjudged(plane, asset, fingerprint)
        else:
            ref = passed(plane, context, declared, fingerprint)
        value = decode(
            plane.store,
            ref,
            context.dagster_type.typing_type,
            folder=session.folder() if session else _folder_outside_runs(),
            allow_pickle=ref.media_type == PICKLE,
        )
        if session is not None:
            session.note(asset, ref)
        elif dagster_run_id is not None:
            for key in assets_of_input(context):
                give(dagster_run_id, unit_of(key), NamedArtifact(name=asset, artifact=ref))
        return value


@contextmanager
def _proving(context: dg.OutputContext) -> Iterator[None]:
    """A replay proves the bytes that are bound: others are its divergence, with its own code."""
    try:
        yield
    except errors.AddressConflictError as error:
        if context.step_context.run_tags.get(REPLAY) != "true":
            raise
        facts = error.diagnostics()
        raise errors.ReplayDivergedError(
            f"the replay diverged: {error.message}",
            next_step="What is recorded stands as it was. Correct the asset and replay again.",
            asset=facts.get("asset"),
            bound_digest=facts.get("bound_digest"),
            given_digest=facts.get("given_digest"),
        ) from error


@lru_cache(maxsize=1)
def _keeper() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="ro-inputs-")


def _folder_outside_runs() -> Path:
    """Where files are copied that are loaded outside a run; gone when the process ends."""
    return Path(_keeper().name)


def _unjudged(plane: Plane, asset: str, fingerprint: str) -> BoundRef:
    ref = artifact_of(plane.ledger, asset, fingerprint)
    if ref is None:
        raise errors.ArtifactNotFoundError(
            f"asset {asset!r} has no artifact to judge under manifest {fingerprint}.",
            next_step="Materialize the asset for this manifest first.",
        )
    plane.guard.require_unerased(ref.digest)
    return ref


def _publish(plane: Plane, asset: str, value: Any, work: Provenance, options: Any) -> BoundRef:
    encoding = options.get("ro/encoding")
    ref = encode(
        plane.store, value, encoding=encoding, schema_version=options.get("ro/schema_version")
    )
    deterministic = bool(options.get("ro/deterministic", True))
    return plane.publication.publish(
        asset,
        ref,
        work,
        actor=DAGSTER_ACTOR,
        deterministic=deterministic and ref.media_type != PICKLE,
        bundle=bool(options.get("ro/bundle", False)),
        train_run=bool(options.get("ro/train_run", False)),
    )


def _asset_of(context: dg.OutputContext) -> str:
    if not context.has_asset_key:
        raise errors.EncodingError(
            f"output {context.name!r} of step {context.step_key!r} is no asset's, and only what "
            "is bound to an asset and a manifest is kept.",
            next_step="Give the output an io_manager_key of its own, such as Dagster's "
            "mem_io_manager.",
        )
    return unit_of(context.asset_key)


def _by_partition(context: dg.OutputContext, value: Any, *, is_ranged: bool) -> dict[str, Any]:
    """What a step returned, by manifest.

    Of one manifest's, only a step that may have several returns it in a dict: any other asset may
    have a value that looks like that.
    """
    asset = unit_of(context.asset_key)
    keys = list(context.asset_partition_keys) if context.has_asset_partitions else []
    if not keys:
        raise errors.EncodingError(
            f"asset {asset!r} ran for no partition.",
            next_step="Partition it by MANIFESTS, and run it for a manifest.",
        )
    for key in keys:
        if not is_fingerprint(key):
            raise errors.ManifestNotRegisteredError(
                f"asset {asset!r} ran for partition {key!r}, which is no manifest's fingerprint.",
                next_step="Partition it by MANIFESTS: `ro manifest register FILE` adds the "
                "partition.",
            )
    is_by_manifest = isinstance(value, dict) and value.keys() == set(keys)
    if len(keys) == 1 and not (is_by_manifest and (is_ranged or isinstance(value, ByManifest))):
        return {keys[0]: value}
    if not is_by_manifest:
        raise errors.EncodingError(
            f"asset {asset!r} ran for {len(keys)} partitions at once, and did not return a dict "
            "with a value for each.",
            next_step="Return {fingerprint: value} over `plane.runs(context)`, or let each "
            "partition have a run of its own.",
        )
    return {key: value[key] for key in keys}
