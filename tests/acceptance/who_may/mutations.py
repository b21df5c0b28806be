"""Each mutation of the installed Dagster, with arguments that would do something real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg
from dagster_graphql.schema import create_schema
from graphql import GraphQLField, get_named_type, is_union_type

from tests.acceptance.who_may.people import HANDS, WORKLOAD
from tests.acceptance.who_may.world import World

LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "small"}
ASSET = {"path": ["numbers"]}
_TERMINATED = "terminateRunResults { __typename }"
_LAUNCHED = "launchMultipleRunsResult { __typename }"
Arguments = Mapping[str, Any]


@dataclass
class Subjects:
    """What a mutation is done to: made anew when somebody did it."""

    world: World
    run_id: str = ""
    backfill_id: str = ""

    def stand(self) -> None:
        """See that there is a run in the queue, and a backfill that was asked for."""
        run = self.world.instance.get_run_by_id(self.run_id) if self.run_id else None
        if run is None or run.status is not dg.DagsterRunStatus.QUEUED:
            said = self._done("launchRun")
            self.run_id = said["run"]["runId"]
        backfills = self.world.instance.get_backfills()
        if not any(one.backfill_id == self.backfill_id and _open(one) for one in backfills):
            self.backfill_id = self._done("launchPartitionBackfill")["backfillId"]

    def launch(self) -> Arguments:
        """The parameters that launch the workload's job."""
        tags = [{"key": "dagster/partition", "value": self.world.fingerprint}]
        return {
            "selector": {**LOCATION, "jobName": WORKLOAD},
            "executionMetadata": {"tags": tags},
        }

    def backfill(self) -> Arguments:
        """Those of a backfill of it."""
        names = {"partitionSetName": f"{WORKLOAD}_partition_set", "repositorySelector": LOCATION}
        return {"selector": names, "partitionNames": [self.world.fingerprint]}

    def _done(self, name: str) -> Any:
        more = {
            "launchRun": "... on LaunchRunSuccess { run { runId } }",
            "launchPartitionBackfill": "... on LaunchBackfillSuccess { backfillId }",
        }
        (mutation,) = (one for one in MUTATIONS if one.name == name)
        query = mutation.query(more[name])
        answer = self.world.graphql(HANDS, query, mutation.arguments(self)).json()
        assert answer["data"]["done"]["__typename"] in mutation.good, answer
        return answer["data"]["done"]


def _open(backfill: Any) -> bool:
    return str(backfill.status.value) == "REQUESTED"


@dataclass(frozen=True)
class Mutation:
    """``good`` are the answers that somebody gets who may: types, or True. ``reason`` says why
    nothing can come of it here, where that is so: then it is let through and fails of itself."""

    name: str
    arguments: Callable[[Subjects], Arguments]
    good: tuple[Any, ...]
    more: str = ""
    reason: str = ""

    def query(self, more: str = "") -> str:
        """The text, with its variables' types as the schema has them."""
        field = schema_mutations()[self.name]
        given = {name: str(one.type) for name, one in field.args.items()}
        heads = ", ".join(f"${name}: {kind}" for name, kind in given.items())
        passed = ", ".join(f"{name}: ${name}" for name in given)
        kind = get_named_type(field.type)
        picked = f"{{ __typename {more or self.more} {_words(kind)} }}" if _has(kind) else ""
        arguments = f"({heads})" if heads else ""
        return (
            f"mutation{arguments} {{ done: {self.name}{f'({passed})' if passed else ''} {picked} }}"
        )


@cache
def schema_mutations() -> Mapping[str, GraphQLField]:
    """The mutations of the installed Dagster."""
    kind = create_schema().graphql_schema.mutation_type
    assert kind is not None
    found: Mapping[str, GraphQLField] = kind.fields
    return found


def _has(kind: Any) -> bool:
    return hasattr(kind, "fields") or is_union_type(kind)


def _words(kind: Any) -> str:
    names = {one.name for one in kind.types} if is_union_type(kind) else set()
    return "... on PythonError { message }" if "PythonError" in names else ""


def _none(_subjects: Subjects) -> Arguments:
    return {}


def _launch(subjects: Subjects) -> Arguments:
    return {"executionParams": subjects.launch()}


def _again(subjects: Subjects) -> Arguments:
    return {"reexecutionParams": {"parentRunId": subjects.run_id, "strategy": "ALL_STEPS"}}


def _run(subjects: Subjects) -> Arguments:
    return {"runId": subjects.run_id}


def _backfill(subjects: Subjects) -> Arguments:
    return {"backfillId": subjects.backfill_id}


def _schedule(key: str, **more: Any) -> Callable[[Subjects], Arguments]:
    return lambda _: {key: {**LOCATION, "scheduleName": "yearly"}, **more}


def _sensor(key: str, **more: Any) -> Callable[[Subjects], Arguments]:
    return lambda _: {key: {**LOCATION, "sensorName": "watching"}, **more}


def _fixed(**arguments: Any) -> Callable[[Subjects], Arguments]:
    return lambda _: arguments


def _stopped(kind: str, name: str) -> Callable[[Subjects], Arguments]:
    """The id by which a schedule or sensor of the workspace is stopped."""
    query = (
        f"query($s: {kind.title()}Selector!) {{ found: {kind}OrError({kind}Selector: $s) "
        f"{{ ... on {kind.title()} {{ id }} }} }}"
    )

    def arguments(subjects: Subjects) -> Arguments:
        selector = {**LOCATION, f"{kind}Name": name}
        found = subjects.world.graphql(HANDS, query, {"s": selector}).json()
        return {"id": found["data"]["found"]["id"]}

    return arguments


_GONE = "nothing is there to be changed"
MUTATIONS = (
    Mutation("launchRun", _launch, ("LaunchRunSuccess",)),
    Mutation("launchPipelineExecution", _launch, ("LaunchRunSuccess",)),
    Mutation(
        "launchMultipleRuns",
        lambda s: {"executionParamsList": [s.launch()]},
        ("LaunchMultipleRunsResult",),
        f"... on LaunchMultipleRunsResult {{ {_LAUNCHED} }}",
    ),
    Mutation("launchRunReexecution", _again, ("LaunchRunSuccess",)),
    Mutation("launchPipelineReexecution", _again, ("LaunchRunSuccess",)),
    Mutation(
        "launchPartitionBackfill",
        lambda s: {"backfillParams": s.backfill()},
        ("LaunchBackfillSuccess",),
    ),
    Mutation("resumePartitionBackfill", _backfill, ("ResumeBackfillSuccess",)),
    Mutation(
        "reexecutePartitionBackfill",
        lambda s: {"reexecutionParams": {"parentRunId": s.backfill_id, "strategy": "ALL_STEPS"}},
        ("LaunchBackfillSuccess", "PythonError"),
        reason="the backfill has not ended",
    ),
    Mutation("cancelPartitionBackfill", _backfill, ("CancelBackfillSuccess",)),
    Mutation("terminateRun", _run, ("TerminateRunSuccess",)),
    Mutation("terminatePipelineExecution", _run, ("TerminateRunSuccess",)),
    Mutation(
        "terminateRuns",
        lambda s: {"runIds": [s.run_id]},
        ("TerminateRunsResult",),
        f"... on TerminateRunsResult {{ {_TERMINATED} }}",
    ),
    Mutation("startSchedule", _schedule("scheduleSelector"), ("ScheduleStateResult",)),
    Mutation("stopRunningSchedule", _stopped("schedule", "yearly"), ("ScheduleStateResult",)),
    Mutation("resetSchedule", _schedule("scheduleSelector"), ("ScheduleStateResult",)),
    Mutation(
        "scheduleDryRun", _schedule("selectorData", timestamp=0.0), ("DryRunInstigationTick",)
    ),
    Mutation("startSensor", _sensor("sensorSelector"), ("Sensor",)),
    Mutation("stopSensor", _stopped("sensor", "watching"), ("StopSensorMutationResult",)),
    Mutation("resetSensor", _sensor("sensorSelector"), ("Sensor",)),
    Mutation("setSensorCursor", _sensor("sensorSelector", cursor="here"), ("Sensor",)),
    Mutation("sensorDryRun", _sensor("selectorData", cursor=""), ("DryRunInstigationTick",)),
    Mutation("setAutoMaterializePaused", _fixed(paused=True), (True, False)),
    Mutation("setConcurrencyLimit", _fixed(concurrencyKey="a", limit=3), (True,)),
    Mutation("deleteConcurrencyLimit", _fixed(concurrencyKey="a"), (True,)),
    Mutation("freeConcurrencySlots", _run, (True,)),
    Mutation("freeConcurrencySlotsForRun", _run, (True,)),
    Mutation(
        "reloadRepositoryLocation",
        _fixed(repositoryLocationName="small"),
        ("WorkspaceLocationEntry",),
    ),
    Mutation("reloadWorkspace", _none, ("Workspace",)),
    Mutation(
        "shutdownRepositoryLocation",
        _fixed(repositoryLocationName="nowhere"),
        ("RepositoryLocationNotFound",),
        reason=_GONE,
    ),
    Mutation(
        "refreshComponentState",
        _fixed(locationName="small", defsStateKey="nothing"),
        ("RefreshComponentStateError", "PythonError"),
        reason=_GONE,
    ),
    Mutation(
        "addDynamicPartition",
        _fixed(partitionsDefName="manifests", partitionKey="forged", repositorySelector=LOCATION),
        (),
    ),
    Mutation(
        "deleteDynamicPartitions",
        lambda s: {
            "partitionsDefName": "manifests",
            "partitionKeys": [s.world.fingerprint],
            "repositorySelector": LOCATION,
        },
        (),
    ),
    Mutation("deleteRun", _run, ()),
    Mutation("deletePipelineRun", _run, ()),
    Mutation("wipeAssets", _fixed(assetPartitionRanges=[{"assetKey": ASSET}]), ()),
    Mutation(
        "reportRunlessAssetEvents",
        _fixed(eventParams={"eventType": "ASSET_MATERIALIZATION", "assetKey": ASSET}),
        (),
    ),
    Mutation(
        "reportAssetCheckEvaluations",
        _fixed(eventParams={"assetKey": ASSET, "checkName": "few_enough", "passed": True}),
        (),
    ),
    Mutation(
        "setAppManagedComponent",
        _fixed(locationName="small", componentId="a", componentType="b", attributes="{}"),
        (),
    ),
    Mutation("deleteAppManagedComponent", _fixed(locationName="small", componentId="a"), ()),
    Mutation(
        "logTelemetry",
        _fixed(action="a", clientTime="1", clientId="b", metadata="{}"),
        ("LogTelemetrySuccess",),
    ),
    Mutation("setNuxSeen", _none, (True,)),
)
"""All of them; one that the installed Dagster has beside these fails the test."""
