"""The table of mutations against the installed Dagster, and who may do each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ro_platform.access.policy import Access, PolicyInForce
from ro_platform.access.roles import actions_of
from ro_platform.contracts.access import AccessPolicy, Role
from ro_platform.dagster_private.webserver import schema_names
from ro_platform.errors import AccessDeniedError, RequestRefusedError
from ro_platform.web.firewall import Firewall, operation_name
from ro_platform.web.graphql_requests import call_of
from ro_platform.web.mutations import MUTATIONS, PERMISSIONS, SUBSCRIPTIONS, Targets, explained

LAUNCH = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"


class Nothing:
    """A Dagster with one run of the workload ``adding``, of that job."""

    def run_of(self, dagster_run_id: str) -> tuple[str, Mapping[str, str]] | None:
        if dagster_run_id == "of-adding":
            return "adding", {"dagster/partition": "adding-1"}
        return None

    def backfill_partitions(self, backfill_id: str) -> tuple[str, ...] | None:
        return ("adding-1", "adding-2") if backfill_id == "of-adding" else None


def workload_of(partition: str) -> str | None:
    """``<workload>-<number>``, as if that were registered."""
    name, _, number = partition.partition("-")
    return name if number else None


def firewall(*bindings: Mapping[str, Any]) -> Firewall:
    """A firewall under a policy with these bindings."""
    said = {"kind": "ro.access_policy.v0", "bindings": list(bindings)}
    policy = PolicyInForce(AccessPolicy.from_json(json.dumps(said)), 1, "0" * 64)
    access = Access(lambda: policy, environment="test", single_user="HUMAN::me")
    return Firewall(access, Targets(Nothing(), workload_of))


def allowed(wall: Firewall, actor: str, query: str, variables: Any = None) -> bool:
    """Whether the firewall lets it through, by POST."""
    call = call_of({"query": query, "variables": variables})
    try:
        wall.require(call, actor, mutations=True, subscriptions=False)
    except AccessDeniedError:
        return False
    return True


def test_each_mutation_of_the_installed_dagster_is_classified() -> None:
    """A new mutation fails here until somebody decides what allows it; it is refused until then."""
    assert schema_names()["mutations"] - MUTATIONS.keys() == set()


def test_each_subscription_and_permission_of_the_installed_dagster_is_classified() -> None:
    """The same for what websockets carry, and for the buttons of the UI."""
    assert schema_names()["subscriptions"] == SUBSCRIPTIONS
    assert schema_names()["permissions"] == PERMISSIONS.keys()


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("name", [*MUTATIONS, "aMutationOfTomorrow"])
def test_each_role_may_run_exactly_the_mutations_of_its_actions(role: Role, name: str) -> None:
    """Role by mutation: what the table and the role say, and nobody the unknown or closed ones."""
    wall = firewall({"actor": "HUMAN::a", "role": role.value})
    rule = MUTATIONS.get(name)
    expected = rule is not None and rule.action is not None and rule.action in actions_of(role)
    assert allowed(wall, "HUMAN::a", f"mutation {{ x: {name} {{ __typename }} }}") is expected


@pytest.mark.parametrize(
    "name",
    [
        "reportAssetCheckEvaluations",
        "reportRunlessAssetEvents",
        "wipeAssets",
        "deleteRun",
        "deletePipelineRun",
        "deleteDynamicPartitions",
        "addDynamicPartition",
    ],
)
def test_nobody_can_forge_or_delete(name: str) -> None:
    """Not even somebody with every role."""
    wall = firewall(*({"actor": "HUMAN::a", "role": role.value} for role in Role))
    assert not allowed(wall, "HUMAN::a", f"mutation {{ {name} {{ __typename }} }}")


def params(partition: str | None, job: str = "adding", **tags: str) -> dict[str, Any]:
    """Parameters of a launch."""
    said = {**({"dagster/partition": partition} if partition else {}), **tags}
    return {
        "p": {
            "selector": {"jobName": job},
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in said.items()]},
        }
    }


NARROW = (
    {"actor": "HUMAN::n", "role": "reader"},
    {"actor": "HUMAN::n", "role": "operator", "scope": {"workload": "adding"}},
)
LAUNCHES = {
    "its own": (params("adding-1"), True),
    "another's": (params("other-1", job="other"), False),
    "no partition": (params(None), False),
    "unregistered": (params("nothing"), False),
    "another job under its partition": (params("adding-1", job="other"), False),
    "picked assets under its partition": (params("adding-1", job="__ASSET_JOB"), False),
    "a range": (params("adding-1", **{"dagster/asset_partition_range_start": "a"}), False),
}


@pytest.mark.parametrize(("variables", "expected"), LAUNCHES.values(), ids=LAUNCHES.keys())
def test_a_role_of_one_workload_launches_that_one_only(variables: Any, expected: bool) -> None:
    """The manifest of the partition names the workload, and the job must be that one."""
    assert allowed(firewall(*NARROW), "HUMAN::n", LAUNCH, variables) is expected


BY_ID = {
    "terminate its run": ('terminateRun(runId: "of-adding")', True),
    "terminate another run": ('terminateRun(runId: "x")', False),
    "terminate both": ('terminateRuns(runIds: ["of-adding", "x"])', False),
    "terminate one as a list": ('terminateRuns(runIds: "of-adding")', True),
    "terminate none": ("terminateRuns(runIds: [])", False),
    "cancel its backfill": ('cancelPartitionBackfill(backfillId: "of-adding")', True),
    "cancel another": ('cancelPartitionBackfill(backfillId: "x")', False),
    "resume": ('resumePartitionBackfill(backfillId: "of-adding")', False),
    "execute again": (
        'launchRunReexecution(reexecutionParams: {parentRunId: "of-adding", strategy: ALL})',
        True,
    ),
    "execute again under another partition": (
        (
            'launchRunReexecution(reexecutionParams: {parentRunId: "of-adding", extraTags: '
            '[{key: "dagster/partition", value: "other-1"}]})'
        ),
        False,
    ),
    "backfill its job": (
        (
            "launchPartitionBackfill(backfillParams: {selector: {partitionSetName: "
            '"adding_partition_set"}, partitionNames: ["adding-1", "adding-2"]})'
        ),
        True,
    ),
    "backfill all partitions": (
        (
            "launchPartitionBackfill(backfillParams: {allPartitions: true, selector: "
            '{partitionSetName: "adding_partition_set"}, partitionNames: ["adding-1"]})'
        ),
        False,
    ),
    "backfill picked assets": (
        (
            'launchPartitionBackfill(backfillParams: {assetSelection: [{path: ["a"]}], '
            'partitionNames: ["adding-1"]})'
        ),
        False,
    ),
    "backfill another's partition": (
        (
            "launchPartitionBackfill(backfillParams: {selector: {partitionSetName: "
            '"adding_partition_set"}, partitionNames: ["adding-1", "other-1"]})'
        ),
        False,
    ),
    "start a sensor": ('startSensor(sensorSelector: {sensorName: "s"})', False),
}


@pytest.mark.parametrize(("field", "expected"), BY_ID.values(), ids=BY_ID.keys())
def test_a_role_of_one_workload_reaches_what_is_known_to_be_its_own(
    field: str, expected: bool
) -> None:
    """Runs and backfills by what they were launched for; what is not known needs a wider role."""
    query = f"mutation {{ {field} {{ __typename }} }}"
    assert allowed(firewall(*NARROW), "HUMAN::n", query) is expected
    wide = firewall({"actor": "HUMAN::n", "role": "operator"})
    assert allowed(wide, "HUMAN::n", query)


@pytest.mark.parametrize(
    "query",
    [
        (
            'mutation { launchRun(executionParams: {executionMetadata: {tags: [{key: "ro/actor", '
            'value: "HUMAN::x"}]}}) { __typename } }'
        ),
        (
            'mutation($k: String = "ro/grant") { launchRun(executionParams: {executionMetadata: '
            '{tags: [{key: $k, value: "x"}]}}) { __typename } }'
        ),
        (
            'mutation { launchPartitionBackfill(backfillParams: {tags: [{key: "ro/worker", value: '
            '"x"}]}) { __typename } }'
        ),
    ],
)
def test_a_reserved_tag_written_into_the_query_is_refused(query: str) -> None:
    """What cannot be left out of a query without rewriting it is not executed at all."""
    wall = firewall({"actor": "HUMAN::o", "role": "operator"})
    call = call_of({"query": query})
    with pytest.raises(RequestRefusedError, match="only the server sets"):
        wall.require(call, "HUMAN::o", mutations=True, subscriptions=False)


def test_mutations_come_by_post_and_subscriptions_by_websocket_only() -> None:
    """A GET changes nothing, and a websocket carries nothing but subscriptions."""
    wall = firewall({"actor": "HUMAN::o", "role": "operator"})
    for query, socket in (
        ("mutation { startSensor { x } }", False),
        ("mutation { startSensor { x } }", True),
        ("{ version }", True),
        ("subscription { pipelineRunLogs { x } }", False),
        ("subscription { aSubscriptionOfTomorrow { x } }", True),
    ):
        with pytest.raises(RequestRefusedError):
            wall.require(
                call_of({"query": query}), "HUMAN::o", mutations=False, subscriptions=socket
            )
    known = call_of({"query": "subscription { pipelineRunLogs { x } }"})
    wall.require(known, "HUMAN::o", mutations=False, subscriptions=True)


def test_who_has_no_role_may_not_even_look() -> None:
    """Authenticated is not authorised: introspection and queries need the action view."""
    wall = firewall({"actor": "HUMAN::a", "role": "reader"})
    for query in ("{ version }", "{ __schema { types { name } } }"):
        assert allowed(wall, "HUMAN::a", query)
        assert not allowed(wall, "HUMAN::b", query)


def test_one_refused_mutation_refuses_the_whole_request() -> None:
    """Nothing of it is executed, whichever operation is named."""
    wall = firewall({"actor": "HUMAN::o", "role": "operator"})
    query = "mutation A { startSensor { x } } mutation B { wipeAssets { x } }"
    call = call_of({"query": query, "operationName": "A"})
    with pytest.raises(AccessDeniedError):
        wall.require(call, "HUMAN::o", mutations=True, subscriptions=False)
    assert operation_name(call) == "startSensor.wipeAssets"


def test_the_ui_is_told_the_same_decisions_with_their_reasons() -> None:
    """Dagster's permissions follow the policy, narrowed roles included, and say why not."""
    wall = firewall(*NARROW, {"actor": "HUMAN::r", "role": "reader"})
    reader, narrow = explained(wall.access, "HUMAN::r"), explained(wall.access, "HUMAN::n")
    assert reader["launch_pipeline_execution"] == (
        False,
        "HUMAN::r may not launch: their roles (reader) do not allow it.",
    )
    assert narrow["launch_pipeline_execution"][0]
    assert not narrow["reload_workspace"][0]
    for found in (reader, narrow, explained(wall.access, None)):
        assert found.keys() == PERMISSIONS.keys()
        assert not found["wipe_assets"][0]
        assert not found["report_runless_asset_events"][0]
