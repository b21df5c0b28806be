"""Who reads bytes before they have passed: the gates of that very asset, and no other check.

A step is let in that does nothing but evaluate gates of the asset, each of them on record, for the
manifest that it judges. Every other check is a reader like any other. Dagster starts it beside the
gates of its asset, not after them, so in their run it waits until they have judged.
"""

import time
from collections.abc import Iterator

import dagster as dg

from ro_platform.contracts import BoundRef, JobStatus
from ro_platform.errors import (
    GateAbsentError,
    GateOlderBytesError,
    GateRefusedError,
    GateStaleError,
)
from ro_platform.orchestration.dagster_private import checks_of_step, dagster_run_of_input
from ro_platform.orchestration.declarations import Declarations
from ro_platform.orchestration.names import gate_id
from ro_platform.orchestration.partitions import unit_of
from ro_platform.orchestration.sessions import StepSession
from ro_platform.plane import Plane

_VERDICT_HELPS = (GateAbsentError, GateOlderBytesError, GateStaleError)
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
        except GateRefusedError as refusal:
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
