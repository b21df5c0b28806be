"""What launching takes from Dagster that Dagster does not promise.

``tests/orchestration/test_launches.py`` shows each of these to mean what is assumed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemotePartitionSetOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external_data import partition_set_snap_name_for_job_name
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.runs import RunStorage, SqliteRunStorage
from dagster._core.storage.sqlite_storage import _runs_directory
from dagster._core.workspace.load_target import WorkspaceFileTarget

__all__ = [
    "LaunchRunContext",
    "PartitionBackfill",
    "RunQueueConfig",
    "RunStorage",
    "SqliteRunStorage",
    "backfill_covers",
    "backfill_facts",
    "enqueue_again",
    "job_backfill",
    "launch_facts",
    "location_of",
    "modules_of",
    "retry_covers",
    "runs_folder",
    "under_way",
    "with_limits",
]

BACKFILL = "dagster/backfill"
PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
AUTOMATIC = (
    BACKFILL,
    "dagster/sensor_name",
    "dagster/schedule_name",
    "dagster/retry_number",
    "dagster/auto_materialize",
    "dagster/from_automation_condition",
)
"""The tags by which Dagster's daemon marks what nobody launches by hand."""

_COVERED = (
    PARTITION,  # and dagster/partition_set, dagster/partition/<dimension>
    "dagster/asset_partition_range_",
    BACKFILL,
    "dagster/parent_run_id",
    "dagster/root_run_id",
    "dagster/is_resume_retry",
    "dagster/step_selection",
    "dagster/solid_selection",
    "dagster/defer_asset_events",
    "ro/replay",
)


def launch_facts(run: dg.DagsterRun) -> dict[str, Any]:
    """What a run executes, as JSON: all that is fixed when it is created. Tags that Dagster adds
    later are left out; those that change what is executed are in."""
    return {
        "run": run.run_id,
        "job": run.job_name,
        "origin": _serialized(run.remote_job_origin),
        "code": _serialized(run.job_code_origin),
        "assets": _names(run.asset_selection),
        "checks": _names(run.asset_check_selection),
        "op_selection": _list(run.op_selection),
        "ops": sorted(run.resolved_op_selection) if run.resolved_op_selection else None,
        "steps": _list(run.step_keys_to_execute),
        "config": run.run_config or {},
        "parent": run.parent_run_id,
        "root": run.root_run_id,
        "job_snapshot": run.job_snapshot_id,
        "plan_snapshot": run.execution_plan_snapshot_id,
        "partitions": _serialized(run.partitions_subset),
        "tags": {key: value for key, value in run.tags.items() if key.startswith(_COVERED)},
    }


def backfill_facts(backfill: PartitionBackfill) -> dict[str, Any]:
    """What a backfill is over, as JSON: all that is fixed when it is added, its progress left
    out."""
    return {
        "backfill": backfill.backfill_id,
        "assets": _names(backfill.asset_selection),
        "config": backfill.run_config or {},
        "partition_set": _serialized(backfill.partition_set_origin),
        "partitions": _list(backfill.partition_names),
        "steps": _list(backfill.reexecution_steps),
        "from_failure": backfill.from_failure,
        "target": {key: sorted(keys) for key, keys in _target(backfill).items()},
        "tags": {key: value for key, value in backfill.tags.items() if key.startswith(_COVERED)},
    }


def backfill_covers(backfill: PartitionBackfill, run: dg.DagsterRun) -> bool:
    """Whether a run is a part of what the backfill is over: its job or assets, and partitions."""
    partitions = {
        value for key, value in run.tags.items() if key in (PARTITION, RANGE_START, RANGE_END)
    }
    if not backfill.is_asset_backfill:
        names = frozenset(backfill.partition_names or ())
        same_job = run.job_name == backfill.job_name and _is_where(backfill, run)
        return same_job and bool(partitions) and partitions <= names
    target = _target(backfill)
    selected = [key.to_user_string() for key in run.asset_selection or ()]
    same_config = dict(run.run_config or {}) == dict(backfill.run_config or {})
    return (
        bool(selected)
        and same_config
        and all(key in target and partitions <= target[key] for key in selected)
    )


def retry_covers(parent: dg.DagsterRun, run: dg.DagsterRun) -> bool:
    """Whether a run executes nothing but what its parent was launched for: the same job, config and
    partitions, and all or some of the assets, checks and steps."""
    before, now = launch_facts(parent), launch_facts(run)
    same = ("job", "config", "op_selection", "ops", "partitions")
    fewer = ("assets", "checks")
    # Of a run that was launched for some steps, the same plan may be written down without them.
    same_plan = before["plan_snapshot"] is not None and (
        before["plan_snapshot"] == now["plan_snapshot"]
    )
    return (
        run.parent_run_id == parent.run_id
        and (same_plan or _within(now["steps"], before["steps"]))
        and all(before[name] == now[name] for name in same)
        and all(_within(now[name], before[name]) for name in fewer)
        and _partition_tags(parent) == _partition_tags(run)
    )


def enqueue_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Put a run that was about to be launched back into the queue, as Dagster's own daemon does
    when a code server does not answer."""
    instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run_id=run.run_id)


def with_limits(config: RunQueueConfig, limits: Iterable[Mapping[str, Any]]) -> RunQueueConfig:
    """The queue's configuration with more limits by tag."""
    more = [dict(limit) for limit in limits]
    return config._replace(tag_concurrency_limits=[*config.tag_concurrency_limits, *more])


def under_way(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Every run that has not ended."""
    return instance.get_runs(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES)))


def runs_folder(base: str) -> str:
    """Where Dagster's SQLite storage keeps runs below its own folder."""
    return _runs_directory(base)


def location_of(workspace: Path, module: str) -> ManagedGrpcPythonEnvCodeLocationOrigin | None:
    """The code location that a workspace file loads from a module, or its only one. Nothing is
    loaded for it."""
    found = _locations(workspace)
    named = [item for item in found if item.loadable_target_origin.module_name == module]
    if named:
        return named[0]
    return found[0] if len(found) == 1 else None


def modules_of(workspace: Path) -> list[str]:
    """The modules that a workspace file loads code locations from."""
    origins = (item.loadable_target_origin for item in _locations(workspace))
    return [origin.module_name for origin in origins if origin.module_name]


def _locations(workspace: Path) -> list[ManagedGrpcPythonEnvCodeLocationOrigin]:
    return [
        origin
        for origin in WorkspaceFileTarget([str(workspace)]).create_origins()
        if isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin)
    ]


def job_backfill(
    backfill_id: str,
    *,
    job: str,
    partitions: Sequence[str],
    tags: Mapping[str, str],
    location: ManagedGrpcPythonEnvCodeLocationOrigin,
    moment: float,
    title: str,
) -> PartitionBackfill:
    """A backfill of a job over these partitions, requested; ``moment`` in seconds since 1970."""
    repository = RemoteRepositoryOrigin(location, "__repository__")
    return PartitionBackfill(
        backfill_id=backfill_id,
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags=tags,
        backfill_timestamp=moment,
        title=title,
        partition_set_origin=RemotePartitionSetOrigin(
            repository_origin=repository,
            partition_set_name=partition_set_snap_name_for_job_name(job),
        ),
        partition_names=list(partitions),
    )


def _is_where(backfill: PartitionBackfill, run: dg.DagsterRun) -> bool:
    """Whether a run's job is in the backfill's code location. One that is executed in process has
    none."""
    asked, origin = backfill.partition_set_origin, run.remote_job_origin
    if asked is None or origin is None:
        return origin is None
    wanted, found = asked.repository_origin, origin.repository_origin
    return (wanted.code_location_origin.location_name, wanted.repository_name) == (
        found.code_location_origin.location_name,
        found.repository_name,
    )


def _target(backfill: PartitionBackfill) -> dict[str, frozenset[str]]:
    """The partition keys of each asset of an asset backfill; none for an unpartitioned one."""
    data = backfill.asset_backfill_data
    if data is None:
        return {}
    subset = data.target_subset
    partitioned = {
        key.to_user_string(): frozenset(keys.get_partition_keys())
        for key, keys in subset.partitions_subsets_by_asset_key.items()
    }
    whole = {key.to_user_string(): frozenset[str]() for key in subset.non_partitioned_asset_keys}
    return {**whole, **partitioned}


def _partition_tags(run: dg.DagsterRun) -> dict[str, str]:
    keys = (PARTITION, "dagster/asset_partition_range_")
    return {key: value for key, value in run.tags.items() if key.startswith(keys)}


def _within(some: list[str] | None, whole: list[str] | None) -> bool:
    # None selects everything.
    return whole is None or (some is not None and set(some) <= set(whole))


def _serialized(value: Any) -> str | None:
    return None if value is None else dg.serialize_value(value)


def _names(keys: Iterable[Any] | None) -> list[str] | None:
    return sorted(key.to_user_string() for key in keys) if keys else None


def _list(values: Iterable[str] | None) -> list[str] | None:
    return list(values) if values else None
