"""The buttons of the UI: every permission that the schema of the installed Dagster can be asked
for, over the real webserver, for each role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from dagster_graphql.schema import create_schema

from ro_platform.access.roles import actions_of
from ro_platform.contracts.access import Role
from ro_platform.web.mutations import PERMISSIONS
from tests.integration.web_world import LAUNCH, World, served_world

AUTOMATED = """

@dg.sensor(job_name="adding")
def watching() -> dg.SkipReason:
    return dg.SkipReason("never")


@dg.schedule(job_name="adding", cron_schedule="@daily")
def nightly() -> dg.SkipReason:
    return dg.SkipReason("never")


defs = dg.Definitions.merge(defs, dg.Definitions(sensors=[watching], schedules=[nightly]))
"""
_JOB = "__typename hasLaunchExecutionPermission hasLaunchReexecutionPermission"
_STATE = "{ __typename hasStartPermission hasStopPermission }"
_SAID = "{ __typename permission value disabledReason }"
EVERYTHING = f"""{{
  __typename
  canBulkTerminate
  permissions {_SAID}
  locationStatusesOrError {{ ... on WorkspaceLocationStatusEntries {{ entries {{
    __typename permissions {_SAID} }} }} }}
  workspaceOrError {{ ... on Workspace {{ locationEntries {{
    __typename permissions {_SAID}
    locationOrLoadError {{ ... on RepositoryLocation {{ repositories {{
      jobs {{ {_JOB} }}
      pipelines {{ {_JOB} }}
      assetNodes {{ __typename hasMaterializePermission hasWipePermission
        hasReportRunlessAssetEventPermission }}
      sensors {{ __typename hasCursorUpdatePermissions sensorState {_STATE} }}
      schedules {{ __typename scheduleState {_STATE} }}
      partitionSets {{ __typename hasLaunchBackfillPermission hasCancelBackfillPermission }}
    }} }} }} }} }} }}
  runsOrError {{ ... on Runs {{ results {{
    __typename hasReExecutePermission hasTerminatePermission hasDeletePermission }} }} }}
  partitionBackfillsOrError {{ ... on PartitionBackfills {{ results {{
    __typename hasCancelPermission hasResumePermission }} }} }}
}}"""
FIELDS = {
    "Query.canBulkTerminate": "terminate_pipeline_execution",
    "AssetNode.hasMaterializePermission": "launch_pipeline_execution",
    "AssetNode.hasWipePermission": "wipe_assets",
    "AssetNode.hasReportRunlessAssetEventPermission": "report_runless_asset_events",
    "Job.hasLaunchExecutionPermission": "launch_pipeline_execution",
    "Job.hasLaunchReexecutionPermission": "launch_pipeline_reexecution",
    "Pipeline.hasLaunchExecutionPermission": "launch_pipeline_execution",
    "Pipeline.hasLaunchReexecutionPermission": "launch_pipeline_reexecution",
    "Run.hasReExecutePermission": "launch_pipeline_reexecution",
    "Run.hasTerminatePermission": "terminate_pipeline_execution",
    "Run.hasDeletePermission": "delete_pipeline_run",
    "InstigationState.hasStartPermission": "start_schedule",
    "InstigationState.hasStopPermission": "stop_running_schedule",
    "Sensor.hasCursorUpdatePermissions": "update_sensor_cursor",
    "PartitionSet.hasLaunchBackfillPermission": "launch_partition_backfill",
    "PartitionSet.hasCancelBackfillPermission": "cancel_partition_backfill",
    "PartitionBackfill.hasCancelPermission": "cancel_partition_backfill",
    "PartitionBackfill.hasResumePermission": "launch_partition_backfill",
}
"""By type and field: the permission that it stands for."""
LISTS = {"Query.permissions", "WorkspaceLocationEntry.permissions"}
LISTS |= {"WorkspaceLocationStatusEntry.permissions"}
BACKFILL = """mutation($p: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $p) { __typename } }"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment with one of each: a job, assets, a sensor, a schedule, a run and a backfill."""
    with served_world(tmp_path_factory.mktemp("buttons"), more=AUTOMATED) as served:
        params = {"executionParams": served.launch_params()}
        assert served.graphql("HUMAN::operator", LAUNCH, params).status_code == 200
        place = {"repositoryLocationName": "small", "repositoryName": "__repository__"}
        backfill = {
            "selector": {"partitionSetName": "adding_partition_set", "repositorySelector": place},
            "partitionNames": [served.fingerprint],
        }
        answer = served.graphql("HUMAN::operator", BACKFILL, {"p": backfill})
        assert "LaunchBackfillSuccess" in answer.text
        yield served


def test_each_permission_field_of_the_installed_schema_is_asked_for() -> None:
    """One that a new Dagster brings fails here, until it is among those below."""
    schema: Any = create_schema().graphql_schema
    found = {
        f"{name}.{field}"
        for name, kind in schema.type_map.items()
        for field in getattr(kind, "fields", {})
        if re.fullmatch(r"has\w*Permissions?|canBulk\w+|permissions", field)
    }
    assert found == FIELDS.keys() | LISTS


def _values(value: Any) -> Iterator[tuple[str, Any]]:
    """Each field of an answer by its type and name."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item)
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{value.get('__typename', '')}.{name}", item
            yield from _values(item)


@pytest.mark.parametrize("role", [Role.READER, Role.OPERATOR, Role.DEPLOYER, Role.ADMIN])
def test_the_ui_is_told_for_each_thing_what_the_role_may_do_with_it(
    world: World, role: Role
) -> None:
    """Everywhere the same as what the role says, and no field is left out of the answer."""
    answer = world.graphql(f"HUMAN::{role}", EVERYTHING).json()
    assert "errors" not in answer, answer
    seen: dict[str, set[Any]] = {name: set() for name in FIELDS}
    for name, value in _values(answer["data"]):
        if name in seen:
            seen[name].add(value)
    assert seen == {
        name: {PERMISSIONS[permission] in actions_of(role)} for name, permission in FIELDS.items()
    }


def test_what_a_reader_may_not_do_is_disabled_with_a_reason_that_names_role_and_action(
    world: World,
) -> None:
    """For the deployment and for each code location, in both ways that the UI asks."""
    data = world.graphql("HUMAN::reader", EVERYTHING).json()["data"]
    lists = [(name, value) for name, value in _values(data) if name in LISTS]
    assert {name for name, _ in lists} == LISTS
    for name, said in lists:
        if name == "Query.permissions":
            assert {item["permission"] for item in said} == PERMISSIONS.keys()
        for item in said:
            action, reason = PERMISSIONS[item["permission"]], item["disabledReason"]
            assert item["value"] is False
            if action is None:
                assert reason.startswith("Nobody may do this through the UI: ")
            else:
                assert f"HUMAN::reader may not {action}:" in reason
                assert "(reader)" in reason
