"""Operators and a worker that has started: cancelled, terminated in the gateway, and drained.

One deployment for all: the gateway and the daemon as `ro web --daemon` runs them, under a policy.
Its asset waits until it is told to go on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import Role
from ro_platform.plane import shared_plane
from tests.acceptance.product import BACKFILL, LAUNCH, ROOT, Deployment, stop
from tests.integration.people import published_roles
from tests.servers import free_port

pytestmark = pytest.mark.timeout(900)
PATIENCE_SECONDS = 150
ALICE, READER, DAEMON = "HUMAN::alice", "HUMAN::reader", "SYSTEM::dagster-daemon"
_WHY = ("--reason", "a test")
CRASHING = ROOT / "tests" / "acceptance" / "crashing_deployment" / "definitions.py"
TERMINATE = """
mutation Terminate($parameters: [String!]!) {
  terminateRuns(runIds: $parameters) {
    __typename
    ... on TerminateRunsResult { terminateRunResults { __typename } }
    ... on PythonError { message }
  }
}"""
RUNS = """{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"""


@dataclass
class Live:
    """The deployment while it is served."""

    deployment: Deployment
    tokens: dict[str, str]
    address: str
    log: Path
    fingerprints: list[str] = field(default_factory=list)

    @property
    def alice(self) -> Deployment:
        """Its commands, as alice gives them."""
        return self.deployment.with_environment(RO_TOKEN=self.tokens[ALICE])

    def ask(self, query: str, parameters: Any = None, actor: str = ALICE) -> Any:
        """One GraphQL request by the gateway."""
        body = {"query": query, "variables": {"parameters": parameters} if parameters else {}}
        headers = {"Authorization": f"Bearer {self.tokens[actor]}"}
        answer = httpx.post(f"{self.address}/graphql", json=body, headers=headers, timeout=100)
        return answer.json()

    def launch(self, name: str) -> str:
        """A run of the waiting asset that alice launches in the gateway; its id."""
        tags = {"dagster/partition": self.register(), "test/name": name, "test/how": "wait"}
        answer = self.ask(
            LAUNCH,
            {
                "selector": {**_SELECTOR, "jobName": "one"},
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
            },
        )
        return str(answer["data"]["launchRun"]["run"]["runId"])

    def backfill(self, name: str) -> str:
        """A backfill of it over one manifest, by alice; its id."""
        tags = {"test/name": name, "test/how": "go"}
        selector = {
            "partitionSetName": "one_partition_set",
            "repositorySelector": {
                key: value for key, value in _SELECTOR.items() if key.startswith("repository")
            },
        }
        answer = self.ask(
            BACKFILL,
            {
                "selector": selector,
                "partitionNames": [self.register()],
                "tags": [{"key": k, "value": v} for k, v in tags.items()],
            },
        )
        return str(answer["data"]["launchPartitionBackfill"]["backfillId"])

    def register(self) -> str:
        """One more manifest; its fingerprint."""
        file = self.deployment.home.parent / f"manifest-{len(self.fingerprints)}.json"
        manifest = {
            "kind": "ro.run_manifest.v0",
            "workload": "one",
            "parameters": {"count": len(self.fingerprints) + 1},
            "code": {"version": "1"},
        }
        file.write_text(json.dumps(manifest))
        answer = self.alice.ro("manifest", "register", file, "--json")
        assert answer.code == 0, answer.err
        self.fingerprints.append(str(answer.json()["manifest_fingerprint"]))
        return self.fingerprints[-1]

    def runs(self, **tags: str) -> dict[str, str]:
        """The status of each run with these tags, by id."""
        found = self.ask(RUNS)["data"]["runsOrError"]["results"]
        wanted = {key.replace("__", "/"): value for key, value in tags.items()}
        return {
            run["runId"]: run["status"]
            for run in found
            if wanted.items() <= {tag["key"]: tag["value"] for tag in run["tags"]}.items()
        }

    def until(self, what: Callable[[], Any]) -> Any:
        """What it gives, as soon as that is something; not for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := what()):
            assert time.monotonic() < deadline, self.log.read_text()[-5000:]
            time.sleep(0.3)
        return found

    def worker(self, name: str) -> psutil.Process:
        """The process that computes, once it does."""
        (mark,) = self.until(lambda: list((self.deployment.root / "control").glob(f"{name}.*")))
        return psutil.Process(int(mark.suffix.removeprefix(".")))

    def go_on(self, name: str) -> None:
        """Let a waiting asset end."""
        (self.deployment.root / "control" / f"{name}.go").touch()

    def attempts(self, run: str) -> set[str]:
        """The last status of each unit of a run, by the ledger."""
        found = {
            entry["body"]["attempt_id"]: str(entry["body"]["status"])
            for entry in self.deployment.entries()
            if entry["kind"] == "attempt_transition"
            and entry["correlation_ids"].get("dagster_run_id") == run
        }
        return set(found.values())


_SELECTOR = {"repositoryLocationName": "reference", "repositoryName": "__repository__"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Served until the tests are over."""
    folder = tmp_path_factory.mktemp("live")
    root = folder / "deployment"
    (root / "control").mkdir(parents=True)
    shutil.copy(CRASHING, root)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    port, log = free_port(), folder / "log"
    address = f"http://127.0.0.1:{port}"
    deployment = Deployment(root, folder / "home", {"RO_UI_URL": address})
    tokens = _policy(deployment)
    held = deployment.with_environment(RO_TOKEN=tokens[DAEMON])
    serving = held.start("ro", "web", "--daemon", "--port", port, log=log)
    found = Live(deployment, tokens, address, log)
    try:
        found.until(lambda: serving.poll() is not None or _answers(address))
        assert serving.poll() is None, log.read_text()
        yield found
    finally:
        stop(serving)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 204
    except httpx.HTTPError:
        return False


def _policy(deployment: Deployment) -> dict[str, str]:
    roles = {
        "HUMAN::boss": Role.ADMIN,
        "HUMAN::second": Role.APPROVER,
        ALICE: Role.OPERATOR,
        READER: Role.READER,
        DAEMON: Role.OPERATOR,
    }
    environment = {"RO_ROOT": str(deployment.root), "RO_HOME": str(deployment.home)}
    with settings_in_force(Settings.load(environment, cwd=deployment.root)) as settings:
        return published_roles(shared_plane(settings), roles)


def _is_dead(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_worker_that_has_started_is_cancelled_by_command(live: Live) -> None:
    """`ro admin cancel-run`: its process ends, the run and its attempts are CANCELED, and nothing
    was bound; a reader's command ends nothing."""
    run = live.launch("cancelled")
    worker = live.worker("cancelled")
    reader = live.deployment.with_environment(RO_TOKEN=live.tokens[READER])
    assert reader.ro("admin", "cancel-run", run, *_WHY).code == 11
    assert not _is_dead(worker)
    answer = live.alice.ro("admin", "cancel-run", run, *_WHY)
    assert answer.code == 0, answer.err
    live.until(lambda: _is_dead(worker))
    live.until(lambda: live.runs()[run] == "CANCELED")
    assert live.attempts(run) == {"CANCELED"}


def test_a_worker_that_has_started_is_terminated_in_the_face(live: Live) -> None:
    """By an operator; by a reader it goes on."""
    run = live.launch("terminated")
    worker = live.worker("terminated")
    refused = live.ask(TERMINATE, [run], actor=READER)
    assert "TerminateRunSuccess" not in json.dumps(refused)
    assert not _is_dead(worker)
    answer = live.ask(TERMINATE, [run])
    (ended,) = answer["data"]["terminateRuns"]["terminateRunResults"]
    assert ended["__typename"] == "TerminateRunSuccess"
    live.until(lambda: _is_dead(worker))
    live.until(lambda: live.runs()[run] == "CANCELED")
    assert live.attempts(run) == {"CANCELED"}


def test_a_drain_lets_finish_what_runs_and_nothing_starts(live: Live) -> None:
    """A backfill that was asked for before, one asked for while it drains: both wait. A run that is
    launched meanwhile is refused; the one that runs goes on, is named when the time is over, and
    when it has ended the drain says that it is empty. After it, what waited goes on."""
    run = live.launch("draining")
    live.worker("draining")
    before = live.backfill("before")
    drained = live.alice.ro("admin", "drain", "plane", "--limit", "3", "--wait", *_WHY)
    assert drained.code == 9, drained.err
    assert run in drained.out
    assert "its time is over" in drained.out
    after = live.backfill("after")
    waiting = [
        *live.until(lambda: live.runs(dagster__backfill=before)),
        *live.until(lambda: live.runs(dagster__backfill=after)),
    ]
    late = live.launch("late")
    assert live.runs()[late] == "CANCELED"
    live.go_on("draining")
    again = live.alice.ro("admin", "drain", "plane", "--limit", "600", "--wait", *_WHY)
    assert again.code == 0, again.err
    assert "plane is drained: nothing runs there" in again.out
    assert live.runs()[run] == "SUCCESS"
    assert {status for key, status in live.runs().items() if key in waiting} == {"QUEUED"}
    assert not list((live.deployment.root / "control").glob("late.*"))
    assert live.alice.ro("admin", "resume", "plane", *_WHY).code == 0
    live.until(lambda: {live.runs()[key] for key in waiting} == {"SUCCESS"})
