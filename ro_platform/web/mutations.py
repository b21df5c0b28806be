"""What each mutation of Dagster is here: which action allows it, and how its target is found.

Closed: a mutation that is not in the table is refused, and ``tests/unit/test_web_mutations.py``
fails until each mutation of the installed Dagster is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ro_platform.contracts.access import Action


class Place(StrEnum):
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
    place: Place = Place.ENVIRONMENT
    instead: str = ""


_AUTOMATE = Rule(Action.AUTOMATE)
_DELETE = Rule(None, instead="Records are not deleted; `ro artifact erase` erases bytes.")
_REPORT = Rule(None, instead="What was made and judged is reported by the runs themselves only.")
_APP_MANAGED = Rule(None, instead="Change the deployment's code; its versions are recorded.")
_TERMINATE = Rule(Action.CANCEL_RUN, Place.RUN)

MUTATIONS: Mapping[str, Rule] = {
    "launchRun": Rule(Action.LAUNCH, Place.LAUNCH),
    "launchPipelineExecution": Rule(Action.LAUNCH, Place.LAUNCH),
    "launchMultipleRuns": Rule(Action.LAUNCH, Place.LAUNCHES),
    "launchRunReexecution": Rule(Action.LAUNCH, Place.REEXECUTION),
    "launchPipelineReexecution": Rule(Action.LAUNCH, Place.REEXECUTION),
    "launchPartitionBackfill": Rule(Action.LAUNCH, Place.BACKFILL_LAUNCH),
    "resumePartitionBackfill": Rule(Action.LAUNCH),
    "reexecutePartitionBackfill": Rule(Action.LAUNCH),
    "cancelPartitionBackfill": Rule(Action.CANCEL_RUN, Place.BACKFILL),
    "terminateRun": _TERMINATE,
    "terminatePipelineExecution": _TERMINATE,
    "terminateRuns": Rule(Action.CANCEL_RUN, Place.RUNS),
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
