"""What running, its events and its storage take from Dagster that Dagster does not promise.

``tests/orchestration/test_dagster_private.py`` shows each of these to mean what is assumed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import sqlalchemy
from dagster._config import Field, StringSource
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.errors import (
    DagsterExecutionInterruptedError,
    DagsterUserCodeUnreachableError,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    EngineEventData,
    StepMaterializationData,
)
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData
from dagster._core.instance import MayHaveInstanceWeakref
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.storage.event_log import EventLogStorage, SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value
from dagster._utils.concurrency import ConcurrencyClaimStatus as ClaimStatus
from dagster._utils.interrupts import pop_captured_interrupt
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "CheckRunHealthResult",
    "ClaimStatus",
    "ConfigurableClassData",
    "DagsterSqliteStorage",
    "EventLogStorage",
    "Field",
    "LocalArtifactStorage",
    "LocalComputeLogManager",
    "QueuedRunCoordinator",
    "SqliteEventLogStorage",
    "StringSource",
    "SubmitRunContext",
    "WorkerStatus",
    "assets_of_input",
    "checks_of_step",
    "code_version_of",
    "dagster_run_of_input",
    "engine_of",
    "errors_of",
    "events_folder",
    "exchange_parts",
    "executed_nodes",
    "free_slots_of_run",
    "instance_of",
    "is_executing",
    "is_interrupted",
    "is_of_output",
    "launched_with_key",
    "parents_in_workspace",
    "parents_of",
    "planned_units",
    "raise_interrupted",
    "report_refusal",
    "slot_holders",
    "step_key_of",
    "step_key_of_input",
    "was_on_this_host",
]


def instance_of(part: MayHaveInstanceWeakref[Any]) -> dg.DagsterInstance:
    """The instance that a storage, a coordinator or a launcher is a part of.

    Raises Dagster's own error for one that is part of none.
    """
    instance: dg.DagsterInstance = part._instance
    return instance


def events_folder(events: Any) -> Path:
    """Where an event log in SQLite keeps its files."""
    return Path(events._base_dir)


def exchange_parts(
    storage: Any, *, runs: RunStorage, events: EventLogStorage, schedules: Any = None
) -> None:
    """Have Dagster's storage use these in the place of its own runs, events and schedules.

    ``storage`` is Dagster's, in SQLite or PostgreSQL; schedules that are not given stay its own.
    """
    storage._run_storage = runs
    storage._event_log_storage = events
    if schedules is not None:
        storage._schedule_storage = schedules


def engine_of(storage: Any) -> sqlalchemy.Engine:
    """The engine through which a storage in PostgreSQL asks its database."""
    engine: sqlalchemy.Engine = storage._engine
    return engine


def step_key_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str:
    """The key of the step that an asset or a check executes in."""
    return str(context.get_step_execution_context().step.key)


def parents_in_workspace(context: SubmitRunContext, asset: str) -> frozenset[dg.AssetKey]:
    """The assets that one reads under the same partition key, in whichever code location they are
    made; one read through another partition mapping is left out."""
    graph = context.workspace.asset_graph
    key = dg.AssetKey(asset.split("/"))
    if not graph.has(key):
        return frozenset()
    return frozenset(
        parent
        for parent in graph.get(key).parent_keys - {key}
        if graph.has(parent)
        and isinstance(graph.get_partition_mapping(key, parent), dg.IdentityPartitionMapping)
    )


def report_refusal(
    instance: dg.DagsterInstance, run: dg.DagsterRun, words: str, shown: Mapping[str, Any]
) -> None:
    """Write an event of the engine into a run's log, with what belongs to it."""
    instance.report_engine_event(words, run, EngineEventData(metadata=dict(shown)))


def is_executing(run: dg.DagsterRun) -> bool | None:
    """Whether the code server that launched a run has a living process for it; None if none is
    noted or it does not answer."""
    where = json.loads(run.tags.get(GRPC_INFO_TAG, "null"))
    if where is None:
        return None
    client = DagsterGrpcClient(
        host=where.get("host"),
        port=where.get("port"),
        socket=where.get("socket"),
        use_ssl=bool(where.get("use_ssl")),
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
    except DagsterUserCodeUnreachableError:
        return None
    return bool(deserialize_value(answer, CanCancelExecutionResult).can_cancel)


def was_on_this_host(run: dg.DagsterRun) -> bool:
    """Whether the code server that launched a run was reached by a socket in this file system."""
    where = json.loads(run.tags.get(GRPC_INFO_TAG, "null"))
    return where is not None and bool(where.get("socket"))


def checks_of_step(context: dg.InputContext) -> frozenset[dg.AssetCheckKey]:
    """The checks that the reading step can evaluate, if evaluating checks is all it does: also
    those that this run leaves out, since one function computes them all."""
    definition = _definition_that_reads(context)
    if definition is None or definition.keys:
        return frozenset()
    specs = definition.node_check_specs_by_output_name.values()
    return frozenset(spec.key for spec in specs)


def assets_of_input(context: dg.InputContext) -> frozenset[dg.AssetKey]:
    """The assets that the reading step helps to make; inside a graph-backed asset, that one."""
    definition = _definition_that_reads(context)
    return frozenset(definition.keys) if definition else frozenset()


def step_key_of_input(context: dg.InputContext) -> str | None:
    """The key of the reading step; None outside a run (``Definitions.load_asset_value``)."""
    step = _reading_step(context)
    return step.step.key if step else None


def parents_of(context: dg.OutputContext) -> frozenset[dg.AssetKey]:
    """The assets that the written asset depends on, loaded or not, itself left out."""
    graph = context.step_context.job_def.asset_layer.asset_graph
    return frozenset(graph.get(context.asset_key).parent_keys) - {context.asset_key}


def dagster_run_of_input(context: dg.InputContext) -> str | None:
    """The Dagster run that reads; None outside a run."""
    step = _reading_step(context)
    return step.run_id if step else None


def _reading_step(context: dg.InputContext) -> StepExecutionContext | None:
    """The step that an input is loaded for; None outside a run."""
    try:
        return context.step_context
    except dg.DagsterInvariantViolationError:
        return None


def _definition_that_reads(context: dg.InputContext) -> dg.AssetsDefinition | None:
    """The assets or checks that the reading step belongs to."""
    step = _reading_step(context)
    if step is None:
        return None
    return step.job_def.asset_layer.get_assets_def_for_node(step.node_handle)


def planned_units(event: dg.DagsterEvent) -> Iterator[tuple[str, str]]:
    """What a planned event announces: (partition key, unit). Nothing for other events.

    A unit is the asset key, its parts joined by a slash, or for a check the asset key, ``#`` and
    the check's name.
    """
    match event.event_specific_data:
        case AssetMaterializationPlannedData(asset_key=key, partition=partition) as planned:
            unit = "/".join(key.path)
            subset = planned.partitions_subset
        case AssetCheckEvaluationPlanned(asset_key=key, check_name=name) as evaluation:
            unit, partition = f"{'/'.join(key.path)}#{name}", None
            subset = evaluation.partitions_subset
        case _:
            return
    for partition_key in (
        [partition] if partition else (subset.get_partition_keys() if subset else [])
    ):
        yield partition_key, unit


def code_version_of(event: dg.DagsterEvent, dagster_run_id: str) -> str | None:
    """The asset's code version, from its materialization event; None if it declares none.

    For an asset without one Dagster writes the run's id in its place.
    """
    data = event.event_specific_data
    if not isinstance(data, StepMaterializationData):
        return None
    version = (data.materialization.tags or {}).get("dagster/code_version")
    return None if version == dagster_run_id else version


def is_of_output(event: dg.DagsterEvent) -> bool:
    """Whether a materialization event is Dagster's own, of an output, and not one that the code of
    the step reported."""
    data = event.event_specific_data
    if not isinstance(data, StepMaterializationData):
        return False
    return "dagster/code_version" in (data.materialization.tags or {})


def errors_of(event: dg.DagsterEvent) -> list[SerializableErrorInfo]:
    """The errors of a failed or restarted step, each followed by its cause."""
    data = event.event_specific_data
    if not isinstance(data, StepFailureData | StepRetryData):
        return []
    errors, error = [], data.error
    while error is not None:
        errors.append(error)
        error = error.cause
    return errors


def executed_nodes(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[str]:
    """The ops and graphs at the top of its job that a run executes, by its plan; empty if there is
    no plan on record."""
    if run.execution_plan_snapshot_id is None:
        return frozenset()
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return frozenset(key.split(".")[0].split("[")[0] for key in plan.step_keys_to_execute)


def launched_with_key(context: dg.SensorEvaluationContext, sensor: str, run_key: str) -> bool:
    """Whether there is a run that this sensor of this code location launched under a run key.

    It is the daemon's own question before it launches; a run that carries no origin is told by the
    sensor's name alone, there as here.
    """
    here = context.code_location_origin
    for run in context.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key})):
        origin = run.remote_job_origin
        elsewhere = (
            origin is not None
            and here is not None
            and origin.repository_origin.code_location_origin.location_name != here.location_name
        )
        if run.tags.get("dagster/sensor_name") == sensor and not elsewhere:
            return True
    return False


def free_slots_of_run(instance: dg.DagsterInstance, dagster_run_id: str) -> None:
    """Give back every slot that a run holds in concurrency pools, and take its waiting steps out of
    their queues. Another's slots stay; a run without any changes nothing."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        storage.free_concurrency_slots_for_run(dagster_run_id)


def slot_holders(instance: dg.DagsterInstance, pool: str) -> list[tuple[str, str]]:
    """Who holds a slot of a pool, or was given one and has not taken it yet: (run, step)."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    held = [(slot.run_id, slot.step_key) for slot in info.claimed_slots]
    given = [step for step in info.pending_steps if step.assigned_timestamp is not None]
    return sorted({*held, *((step.run_id, step.step_key) for step in given)})


def is_interrupted() -> bool:
    """Whether this process was told to end (TERM, Ctrl-C) while Dagster held the signal back; only
    the first who asks is told."""
    return pop_captured_interrupt()


def raise_interrupted(words: str) -> NoReturn:
    """End the run that this process executes, as a signal in one of its steps does."""
    raise DagsterExecutionInterruptedError(words)
