"""What each mutation of Dagster is here: its action, its targets, and who is told beforehand.

Closed: a mutation that is not in the table is refused, and ``tests/unit/test_web_mutations.py``
fails until each mutation of the installed Dagster is in it.

Which workloads a mutation is about, as far as its arguments and the record can say.

A launch names its manifest by the partition's tag, and the manifest names its workload, which is
the job that is launched: any other job, such as Dagster's own for a hand-picked selection of
assets, could make what belongs to other workloads. A run or a backfill that is there is about the
partitions it was launched for. Where that is not known for certain the answer is None, and then
only a role that is not narrowed to a workload allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeGuard

from ro_platform.access.policy import Access, PolicyInForce, Target
from ro_platform.access.roles import actions_of
from ro_platform.contracts.access import Action


class TargetPlace(StrEnum):
    """Where a mutation acts, as its arguments say."""

    ENVIRONMENT = "environment"  # all of it: no role narrowed to a workload is enough
    LAUNCH = "launch"  # executionParams: the manifest that the partition's tag names
    LAUNCHES = "launches"  # a list of them
    REEXECUTION = "reexecution"  # executionParams, or the run that is executed again
    BACKFILL_LAUNCH = "backfill_launch"  # backfillParams: the manifests of the partitions
    RUN = "run"  # runId
    RUNS = "runs"  # runIds
    BACKFILL = "backfill"  # backfillId


@dataclass(frozen=True, slots=True)
class Rule:
    """``action`` is what allows it; None means that nobody may, and ``instead`` what to do."""

    action: Action | None
    place: TargetPlace = TargetPlace.ENVIRONMENT
    instead: str = ""


_AUTOMATE = Rule(Action.AUTOMATE)
_DELETE = Rule(None, instead="Records are not deleted; `ro artifact erase` erases bytes.")
_REPORT = Rule(None, instead="What was made and judged is reported by the runs themselves only.")
_APP_MANAGED = Rule(None, instead="Change the deployment's code; its versions are recorded.")
_TERMINATE = Rule(Action.CANCEL_RUN, TargetPlace.RUN)

MUTATIONS: Mapping[str, Rule] = {
    "launchRun": Rule(Action.LAUNCH, TargetPlace.LAUNCH),
    "launchPipelineExecution": Rule(Action.LAUNCH, TargetPlace.LAUNCH),
    "launchMultipleRuns": Rule(Action.LAUNCH, TargetPlace.LAUNCHES),
    "launchRunReexecution": Rule(Action.LAUNCH, TargetPlace.REEXECUTION),
    "launchPipelineReexecution": Rule(Action.LAUNCH, TargetPlace.REEXECUTION),
    "launchPartitionBackfill": Rule(Action.LAUNCH, TargetPlace.BACKFILL_LAUNCH),
    "resumePartitionBackfill": Rule(Action.LAUNCH),
    "reexecutePartitionBackfill": Rule(Action.LAUNCH),
    "cancelPartitionBackfill": Rule(Action.CANCEL_RUN, TargetPlace.BACKFILL),
    "terminateRun": _TERMINATE,
    "terminatePipelineExecution": _TERMINATE,
    "terminateRuns": Rule(Action.CANCEL_RUN, TargetPlace.RUNS),
    "startSchedule": _AUTOMATE,
    "stopRunningSchedule": _AUTOMATE,
    "resetSchedule": _AUTOMATE,
    "scheduleDryRun": _AUTOMATE,
    "startSensor": _AUTOMATE,
    "stopSensor": _AUTOMATE,
    "resetSensor": _AUTOMATE,
    "setSensorCursor": _AUTOMATE,
    "sensorDryRun": _AUTOMATE,
    "setAutoMaterializePaused": _AUTOMATE,
    "setConcurrencyLimit": _AUTOMATE,
    "deleteConcurrencyLimit": _AUTOMATE,
    "freeConcurrencySlots": _AUTOMATE,
    "freeConcurrencySlotsForRun": _AUTOMATE,
    "reloadRepositoryLocation": Rule(Action.RELOAD),
    "reloadWorkspace": Rule(Action.RELOAD),
    "shutdownRepositoryLocation": Rule(Action.RELOAD),
    "refreshComponentState": Rule(Action.RELOAD),
    "addDynamicPartition": Rule(
        None, instead="A partition is a registered manifest: `ro manifest register`."
    ),
    "deleteDynamicPartitions": _DELETE,
    "deleteRun": _DELETE,
    "deletePipelineRun": _DELETE,
    "wipeAssets": _DELETE,
    "reportRunlessAssetEvents": _REPORT,
    "reportAssetCheckEvaluations": _REPORT,
    "setAppManagedComponent": _APP_MANAGED,
    "deleteAppManagedComponent": _APP_MANAGED,
    # Nothing but what the UI shows to its own visitor.
    "logTelemetry": Rule(Action.VIEW),
    "setNuxSeen": Rule(Action.VIEW),
}

SUBSCRIPTIONS = frozenset({"pipelineRunLogs", "capturedLogs", "locationStateChangeEvents"})
"""Each needs :attr:`Action.VIEW`; any other is refused."""

PERMISSIONS: Mapping[str, Action | None] = {
    "launch_pipeline_execution": Action.LAUNCH,
    "launch_pipeline_reexecution": Action.LAUNCH,
    "launch_partition_backfill": Action.LAUNCH,
    "start_schedule": Action.AUTOMATE,
    "stop_running_schedule": Action.AUTOMATE,
    "schedule_dry_run": Action.AUTOMATE,
    "edit_sensor": Action.AUTOMATE,
    "sensor_dry_run": Action.AUTOMATE,
    "update_sensor_cursor": Action.AUTOMATE,
    "toggle_auto_materialize": Action.AUTOMATE,
    "edit_concurrency_limit": Action.AUTOMATE,
    "terminate_pipeline_execution": Action.CANCEL_RUN,
    "cancel_partition_backfill": Action.CANCEL_RUN,
    "reload_repository_location": Action.RELOAD,
    "reload_workspace": Action.RELOAD,
    "refresh_component_state": Action.RELOAD,
    "delete_pipeline_run": None,
    "wipe_assets": None,
    "report_runless_asset_events": None,
    "edit_dynamic_partitions": None,
    "edit_app_managed_components": None,
}
"""The same decisions as Dagster's own permissions, by which its UI enables its buttons."""


PARTITION = "dagster/partition"
_RANGE = "dagster/asset_partition_range_start"
_SET = "_partition_set"
Workloads = frozenset[str] | None


class Launched(Protocol):
    """What Dagster has on record about what was launched."""

    def run_of(self, dagster_run_id: str) -> tuple[str, Mapping[str, str]] | None:
        """The job and the tags of a run; None if there is none."""
        ...

    def backfill_partitions(self, backfill_id: str) -> tuple[str, ...] | None:
        """The partition keys of a backfill; None where it has none or is none."""
        ...


class Targets:
    """Finds workloads. ``workload_of`` answers that of a partition key, or None."""

    def __init__(self, launched: Launched, workload_of: Callable[[str], str | None]) -> None:
        self._launched = launched
        self._workload_of = workload_of

    def of(self, place: TargetPlace, arguments: Mapping[str, Any]) -> Workloads:
        """The workloads a mutation at that place is about; None where that is not known."""
        match place:
            case TargetPlace.ENVIRONMENT:
                return None
            case TargetPlace.LAUNCH:
                return self._launch(arguments.get("executionParams"))
            case TargetPlace.LAUNCHES:
                return _all(map(self._launch, _list(arguments.get("executionParamsList"))))
            case TargetPlace.REEXECUTION:
                return self._reexecution(arguments)
            case TargetPlace.BACKFILL_LAUNCH:
                return self._backfill_launch(_object(arguments.get("backfillParams")))
            case TargetPlace.RUN:
                return self._run(arguments.get("runId"))
            case TargetPlace.RUNS:
                return _all(map(self._run, _list(arguments.get("runIds"))))
            case TargetPlace.BACKFILL:
                return self._backfill(arguments.get("backfillId"))

    def _launch(self, params: Any) -> Workloads:
        said = _list(_object(_object(params).get("executionMetadata")).get("tags"))
        tags = [(_object(tag).get("key"), _object(tag).get("value")) for tag in said]
        selector = _object(_object(params).get("selector"))
        jobs = [selector[name] for name in ("jobName", "pipelineName") if selector.get(name)]
        return _only(self._tagged(tags), jobs)

    def _reexecution(self, arguments: Mapping[str, Any]) -> Workloads:
        again = _object(arguments.get("reexecutionParams"))
        if not again:
            return self._launch(arguments.get("executionParams"))
        extra = [_object(tag).get("key") for tag in _list(again.get("extraTags"))]
        if arguments.get("executionParams") or PARTITION in extra or _RANGE in extra:
            return None
        parent = again.get("parentRunId")
        found = self._launched.run_of(parent) if _is_text(parent) else None
        return None if found is None else _only(self._tagged(list(found[1].items())), [found[0]])

    def _backfill_launch(self, params: Mapping[str, Any]) -> Workloads:
        if params.get("allPartitions") or params.get("partitionsByAssets"):
            return None
        name = _object(params.get("selector")).get("partitionSetName")
        jobs = [name.removesuffix(_SET)] if _is_text(name) else []
        return _only(self._partitions(_list(params.get("partitionNames"))), jobs)

    def _run(self, dagster_run_id: Any) -> Workloads:
        found = self._launched.run_of(dagster_run_id) if _is_text(dagster_run_id) else None
        return None if found is None else self._tagged(list(found[1].items()))

    def _backfill(self, backfill_id: Any) -> Workloads:
        found = self._launched.backfill_partitions(backfill_id) if _is_text(backfill_id) else None
        return None if found is None else self._partitions(found)

    def _tagged(self, tags: list[tuple[Any, Any]]) -> Workloads:
        if any(key == _RANGE for key, _ in tags):
            return None
        return self._partitions([value for key, value in tags if key == PARTITION])

    def _partitions(self, keys: Iterable[Any]) -> Workloads:
        found = [self._workload_of(key) if _is_text(key) else None for key in keys]
        known = frozenset(name for name in found if name is not None)
        return known if found and None not in found else None


def _all(found: Iterable[Workloads]) -> Workloads:
    several = list(found)
    if not several or None in several:
        return None
    return frozenset().union(*(some for some in several if some is not None))


def _only(found: Workloads, jobs: list[Any]) -> Workloads:
    """Those workloads, if what is launched is their one job."""
    return found if found is not None and len(jobs) == 1 and found == {jobs[0]} else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    # GraphQL takes a single value where a list is wanted.
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


_NOBODY = "Nobody may do this through the UI: "
_CLOSED = {
    "delete_pipeline_run": MUTATIONS["deleteRun"].instead,
    "wipe_assets": MUTATIONS["wipeAssets"].instead,
    "report_runless_asset_events": MUTATIONS["reportRunlessAssetEvents"].instead,
    "edit_dynamic_partitions": MUTATIONS["addDynamicPartition"].instead,
    "edit_app_managed_components": MUTATIONS["setAppManagedComponent"].instead,
}


def explained(access: Access, actor: str | None) -> dict[str, tuple[bool, str]]:
    """By Dagster's name of a permission: whether the actor has it anywhere in this environment, and
    otherwise why not. For display: what is done is decided where it is done."""
    found = access.in_force
    decided: dict[Action, tuple[bool, str]] = {}
    for action in {action for action in PERMISSIONS.values() if action is not None}:
        decided[action] = _decided(access, found, actor, action)
    return {
        name: decided[action] if action else (False, _NOBODY + _CLOSED[name])
        for name, action in PERMISSIONS.items()
    }


def anywhere(access: Access, actor: str | None, action: Action) -> tuple[bool, str]:
    """Whether the actor may do that anywhere in this environment, and otherwise why not. For
    display, as :func:`explained`."""
    return _decided(access, access.in_force, actor, action)


def _decided(
    access: Access, found: PolicyInForce | None, actor: str | None, action: Action
) -> tuple[bool, str]:
    if actor is None:
        return False, "Nobody is signed in."
    still = Access(lambda: found, environment=access.environment, single_user=access.single_user)
    target = Target("this deployment", environment=access.environment)
    decision = still.decide(actor, action, target)
    narrowed = found is not None and any(
        binding.actor == actor
        and action in actions_of(binding.role)
        and binding.scope.environment in (None, access.environment)
        and binding.scope.stream is None
        for binding in found.policy.bindings
    )
    return decision.allowed or narrowed, f"{actor} may not {action}: {decision.why}"
