"""Every way to launch past the gateway, by real processes: a webserver that nobody guards, and the
commands of Dagster, each with no token, a reader's, and an operator's.

One story for all tests. Under a policy, alice has launched one manifest, which waits in the queue;
the others try to execute it again, and to launch another.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import Role
from ro_platform.plane import shared_plane
from tests.acceptance.product import (
    BACKFILL,
    LAUNCH,
    Answer,
    Deployment,
    small_deployment,
    small_manifest,
    stop,
)
from tests.integration.people import published_roles
from tests.servers import free_port

pytestmark = pytest.mark.timeout(900)  # a dozen processes that each load Dagster
PATIENCE_SECONDS = 150
ALICE, READER = "HUMAN::alice", "HUMAN::reader"
REEXECUTE = """
mutation Again($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId status } } ... on PythonError { message }
  }
}"""
REPORT = """
mutation Report {
  reportRunlessAssetEvents(
    eventParams: {eventType: ASSET_MATERIALIZATION, assetKey: {path: ["numbers"]}}
  ) { __typename ... on PythonError { message } }
}"""
CHECK = """
mutation Passed {
  reportAssetCheckEvaluations(
    eventParams: {assetKey: {path: ["numbers"]}, checkName: "few_enough", passed: true}
  ) { __typename ... on PythonError { message } }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"
HOLDERS = ("nobody", "reader")
CODES = {"nobody": "RO_NOT_AUTHENTICATED", "reader": "RO_ACCESS_DENIED"}
ALLOWED = {"access_refused", "attempt_transition", "run_sealed", "run_reopened"}


@dataclass(frozen=True)
class Ways:
    """What came of each way: answers by (holder, way), and the ledger around them."""

    answers: dict[tuple[str, str], Any]
    by_alice: dict[str, Answer]
    runs: dict[str, dg.DagsterRun]
    backfills: int
    added: list[dict[str, Any]]
    blobs: tuple[set[str], set[str]]

    def codes(self, source: str) -> set[str]:
        """The codes under which launches from such sources are on record as refused."""
        found = [entry["body"] for entry in self.added if entry["kind"] == "access_refused"]
        return {body["code"] for body in found if body["source"].startswith(source)}


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """All of them, tried once."""
    folder = tmp_path_factory.mktemp("ways")
    small = small_deployment(folder)
    tokens = _policy(small)
    alice = small.with_environment(RO_TOKEN=tokens[ALICE])
    holders = {"nobody": small, "reader": small.with_environment(RO_TOKEN=tokens[READER])}
    registered = [
        alice.ro("manifest", "register", small_manifest(folder, count=count), "--json").json()
        for count in (2, 3)
    ]
    mine, others = (str(item["manifest_fingerprint"]) for item in registered)
    launched = alice.dagster(*_commands(mine)["job launch"])
    assert launched.code == 0, launched.err
    seen, blobs = len(small.entries()), {path.name for path in small.blobs()}
    with ThreadPoolExecutor(2) as pool:
        tried = [
            pool.submit(_by_holder, name, held, folder, others) for name, held in holders.items()
        ]
        found = [item.result() for item in tried]
    added = small.entries()[seen:]
    after = {path.name for path in small.blobs()}
    answers = {key: answer for each in found for key, answer in each.items()}
    with (
        settings_in_force(Settings.load(small.env(), cwd=small.root)),
        dg.DagsterInstance.from_config(str(small.root)) as instance,
    ):
        runs = {run.run_id: run for run in instance.get_runs()}
        backfills = len(instance.get_backfills())
    by_alice = {name: alice.dagster(*command) for name, command in _commands(others).items()}
    return Ways(answers, by_alice, runs, backfills, added, (blobs, after))


def _policy(small: Deployment) -> dict[str, str]:
    """A policy with an admin, an approver, alice and a reader; each one's token."""
    environment = {"RO_ROOT": str(small.root), "RO_HOME": str(small.home)}
    roles = {
        "HUMAN::boss": Role.ADMIN,
        "HUMAN::second": Role.APPROVER,
        ALICE: Role.OPERATOR,
        READER: Role.READER,
    }
    with settings_in_force(Settings.load(environment, cwd=small.root)) as settings:
        return published_roles(shared_plane(settings), roles)


def _commands(fingerprint: str) -> dict[str, tuple[str, ...]]:
    """The commands of Dagster that start work, each for that manifest."""
    tags = json.dumps({"dagster/partition": fingerprint})
    return {
        "job launch": ("job", "launch", "-w", "workspace.yaml", "-j", "adding", "--tags", tags),
        "job backfill": (
            *("job", "backfill", "-w", "workspace.yaml", "-j", "adding", "--noprompt"),
            *("--partitions", fingerprint),
        ),
        "job execute": ("job", "execute", "-m", "definitions", "-j", "adding", "--tags", tags),
        "asset materialize": (
            *("asset", "materialize", "--select", "*", "-m", "definitions"),
            *("--partition", fingerprint),
        ),
    }


def _by_holder(
    name: str, held: Deployment, folder: Path, fingerprint: str
) -> dict[tuple[str, str], Any]:
    answers: dict[tuple[str, str], Any] = {}
    for way, command in _commands(fingerprint).items():
        answers[name, way] = held.dagster(*command)
    with _webserver(held, folder / f"{name}.log") as ask:
        answers[name, "launchRun"] = ask(LAUNCH, _launch(fingerprint))
        answers[name, "launchPartitionBackfill"] = ask(BACKFILL, _backfill(fingerprint))
        runs = ask(RUNS, None)["data"]["runsOrError"]["results"]
        waiting = [run for run in runs if run["status"] == "QUEUED"]
        again = {"parentRunId": waiting[0]["runId"], "strategy": "ALL_STEPS"}
        answers[name, "launchRunReexecution"] = ask(REEXECUTE, again)
        answers[name, "reportRunlessAssetEvents"] = ask(REPORT, None)
        answers[name, "reportAssetCheckEvaluations"] = ask(CHECK, None)
    return answers


def _launch(fingerprint: str) -> dict[str, Any]:
    forged = {"ro/actor": ALICE, "ro/grant": "{}", "dagster/partition": fingerprint}
    return {
        "selector": {
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "jobName": "adding",
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in forged.items()]},
    }


def _backfill(fingerprint: str) -> dict[str, Any]:
    return {
        "selector": {
            "partitionSetName": "adding_partition_set",
            "repositorySelector": {
                "repositoryLocationName": "reference",
                "repositoryName": "__repository__",
            },
        },
        "partitionNames": [fingerprint],
        "tags": [{"key": "ro/actor", "value": ALICE}],
    }


@contextmanager
def _webserver(held: Deployment, log: Path) -> Iterator[Callable[[str, Any], Any]]:
    """Dagster's own webserver over the deployment; asks it by GraphQL."""
    port = free_port()
    server = held.start("dagster-webserver", "-w", "workspace.yaml", "-p", str(port), log=log)

    def ask(query: str, parameters: Any) -> Any:
        body = json.dumps({"query": query, "variables": {"parameters": parameters}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                assert ask("{ version }", None)["data"]["version"]
                break
            except (OSError, KeyError):
                assert time.monotonic() < deadline, log.read_text()[-4000:]
                time.sleep(0.5)
        yield ask
    finally:
        stop(server)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("way", ["job launch", "job execute", "asset materialize", "job backfill"])
def test_a_command_without_the_right_starts_nothing(ways: Ways, holder: str, way: str) -> None:
    """It says why, except `job launch`, whose run ends CANCELED with the words in its log."""
    answer = ways.answers[holder, way]
    if way != "job launch":
        assert CODES[holder] in answer.out + answer.err, answer.err[-2000:]
        assert way == "job execute" or answer.code != 0
    assert CODES[holder] in ways.codes("backfill/" if way == "job backfill" else "dagster_run/")


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("way", ["launchRun", "launchRunReexecution"])
def test_a_bare_webservers_run_is_cancelled(ways: Ways, holder: str, way: str) -> None:
    """A launch and a re-execution with a forged actor and grant: the run is refused before it is
    queued, with its code in its tags and nothing of what the client sent."""
    (launched,) = ways.answers[holder, way]["data"].values()
    assert "run" in launched, launched
    run = ways.runs[launched["run"]["runId"]]
    assert (run.status.name, run.tags["ro/refused"]) == ("CANCELED", CODES[holder])
    assert run.tags.get("ro/actor") == (READER if holder == "reader" else None)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "way",
    ["launchPartitionBackfill", "reportRunlessAssetEvents", "reportAssetCheckEvaluations"],
)
def test_a_bare_webserver_stores_no_backfill_and_no_report(
    ways: Ways, holder: str, way: str
) -> None:
    """Asked for by nobody or by a reader it is an error that says so; nothing of it is stored."""
    assert CODES[holder] in json.dumps(ways.answers[holder, way])
    assert ways.backfills == 0


def test_nothing_governed_changed(ways: Ways) -> None:
    """No step of it ever began, nothing was stored, and no verdict or binding was recorded: the
    ledger holds the refusals, the attempts that were refused, and seals over these."""
    assert {entry["kind"] for entry in ways.added} <= ALLOWED
    moved = [e["body"]["status"] for e in ways.added if e["kind"] == "attempt_transition"]
    assert set(moved) == {"QUEUED", "REFUSED"}
    assert ways.blobs[0] == ways.blobs[1]
    by_status = Counter(run.status.name for run in ways.runs.values())
    assert by_status["QUEUED"] == 1, "alice's"
    assert set(by_status) == {"QUEUED", "CANCELED", "FAILURE"}


@pytest.mark.parametrize("way", ["job launch", "job execute", "asset materialize", "job backfill"])
def test_an_operators_commands_work(ways: Ways, way: str) -> None:
    """The same ones by alice."""
    assert ways.by_alice[way].code == 0, ways.by_alice[way].err[-3000:]
