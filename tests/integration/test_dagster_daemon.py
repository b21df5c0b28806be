"""`dagster dev` on governed code: inbox, GraphQL launches and backfills, each leaving evidence.

One webserver and daemon serve two code locations: this repository's, and the small deployment,
whose steps run in processes of their own.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import (
    BACKFILL,
    LAUNCH,
    ROOT,
    TUTORIAL,
    Deployment,
    small_deployment,
    small_manifest,
    stop,
)

PATIENCE_SECONDS = 150
WORKSPACE = """
load_from:
  - python_module: {{module_name: definitions, working_directory: {root}, location_name: reference}}
  - python_module: {{module_name: definitions, working_directory: {small}, location_name: small}}
"""


@dataclass(frozen=True)
class Served:
    """A deployment with its webserver and daemon up, and the manifests it was given."""

    deployment: Deployment
    url: str
    manifests: dict[str, str]

    def ask(self, query: str, **variables: Any) -> Any:
        """One GraphQL request's data."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def ended(self, fingerprint: str, units: int) -> bool:
        """Whether so many units of work under a manifest have succeeded."""
        return len(_succeeded(self.deployment, fingerprint)) == units


def _attempts(deployment: Deployment, fingerprint: str) -> list[dict[str, Any]]:
    return [
        entry
        for entry in deployment.entries()
        if entry["kind"] == "attempt_transition"
        and entry["body"]["manifest_fingerprint"] == fingerprint
    ]


def _succeeded(deployment: Deployment, fingerprint: str) -> dict[str, dict[str, Any]]:
    """The last transition of each unit that succeeded."""
    return {
        entry["body"]["unit"]: entry
        for entry in _attempts(deployment, fingerprint)
        if entry["body"]["status"] == "SUCCEEDED"
    }


def _until(what: Callable[[], Any], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, log.read_text()[-5000:]
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`dagster dev` with three manifests on their way, each by another road, all to their end."""
    folder = tmp_path_factory.mktemp("daemon")
    small = small_deployment(folder)
    manifests = _register(small, folder)
    inbox = _fill_inbox(small, folder)
    deployment = small.with_environment(RO_MANIFEST_INBOX=str(inbox), RO_ROOT=str(small.root))
    workspace, log, port = folder / "workspace.yaml", folder / "log", _free_port()
    workspace.write_text(WORKSPACE.format(root=ROOT, small=small.root))
    url = f"http://127.0.0.1:{port}"
    process = deployment.start(
        *("dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", port), log=log
    )
    try:
        _until(lambda: _answers(url), log)
        manifests["inbox"] = small.ro(
            "manifest", "fingerprint", inbox / "generated.yaml"
        ).out.strip()
        serving = Served(deployment, url, manifests)
        _launch(serving)
        _until(
            lambda: (
                serving.ended(manifests["launched"], 4)
                and serving.ended(manifests["backfilled"], 4)
                and serving.ended(manifests["inbox"], 18)
            ),
            log,
        )
        yield serving
    finally:
        stop(process)


def _register(small: Deployment, folder: Path) -> dict[str, str]:
    found = {}
    for name, count in (("launched", 3), ("backfilled", 4)):
        answer = small.ro("manifest", "register", small_manifest(folder, count=count), "--json")
        found[name] = str(answer.json()["manifest_fingerprint"])
    return found


def _fill_inbox(small: Deployment, folder: Path) -> Path:
    """A good manifest and a bad one; configs of what comes by inbox are published beforehand."""
    for name in ("purchases_admission", "purchases_gates"):
        file = TUTORIAL / "configs" / f"{name}.yaml"
        assert small.ro("config", "publish", name, file, "--reason", "for the inbox").code == 0
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / "bad.yaml").write_text("kind: [")
    (inbox / "generated.yaml").write_text((TUTORIAL / "purchases-generated.yaml").read_text())
    return inbox


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _launch(serving: Served) -> None:
    """Start one manifest by launchRun, and one by a backfill of its assets."""
    selector = {"repositoryLocationName": "small", "repositoryName": "__repository__"}
    tag = {"key": "dagster/partition", "value": serving.manifests["launched"]}
    launched = serving.ask(
        LAUNCH,
        parameters={
            "selector": {**selector, "jobName": "adding"},
            "runConfigData": {},
            "executionMetadata": {"tags": [tag]},
        },
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    backfill = serving.ask(
        BACKFILL,
        parameters={
            "assetSelection": [{"path": ["numbers"]}, {"path": ["sums"]}],
            "partitionNames": [serving.manifests["backfilled"]],
            "title": "again",
        },
    )["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill


@pytest.mark.parametrize("road", ["launched", "backfilled"])
def test_every_road_leaves_attempts(served: Served, road: str) -> None:
    """GraphQL's launchRun and a backfill: each unit queued, running, succeeded, with digests."""
    found = _succeeded(served.deployment, served.manifests[road])
    assert sorted(found) == ["numbers", "numbers#few_enough", "sums", "sums#not_negative"]
    made = found["numbers"]["body"]["outputs"]
    assert found["sums"]["body"]["inputs"] == made
    assert found["numbers#few_enough"]["body"]["inputs"] == made
    assert len(made[0]["artifact"]["digest"]) == 64
    statuses = [
        entry["body"]["status"]
        for entry in _attempts(served.deployment, served.manifests[road])
        if entry["body"]["unit"] == "sums"
    ]
    assert statuses == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_steps_in_processes_of_their_own_are_governed(served: Served) -> None:
    """The default, multiprocess executor: each gate's PASS is on record for what was consumed."""
    fingerprint = served.manifests["launched"]
    passed = {
        entry["body"]["subject_digest"]
        for entry in served.deployment.entries()
        if entry["kind"] == "gate_receipt" and entry["body"]["status"] == "PASS"
    }
    for unit in ("numbers", "sums"):
        made = _succeeded(served.deployment, fingerprint)[unit]["body"]["outputs"]
        assert {item["artifact"]["digest"] for item in made} <= passed
    run = _succeeded(served.deployment, fingerprint)["sums"]["correlation_ids"]["dagster_run_id"]
    events = served.ask(
        "query Steps($run: ID!) { runOrError(runId: $run) {"
        " ... on Run { status stepStats { stepKey status } } } }",
        run=run,
    )["runOrError"]
    assert events["status"] == "SUCCESS"
    assert {item["status"] for item in events["stepStats"]} == {"SUCCESS"}


def test_the_inbox_registers_and_launches_once(served: Served) -> None:
    """A manifest in the folder is one run: registered by the inbox's actor, and finished."""
    fingerprint = served.manifests["inbox"]
    registered = [
        entry
        for entry in served.deployment.entries()
        if entry["kind"] == "run_registered"
        and entry["body"]["manifest_fingerprint"] == fingerprint
    ]
    assert [entry["actor"] for entry in registered] == ["SYSTEM::manifest-inbox"]
    runs = {
        entry["correlation_ids"]["dagster_run_id"]
        for entry in _attempts(served.deployment, fingerprint)
    }
    assert len(runs) == 1


def test_a_bad_manifest_in_the_inbox_stops_no_other(served: Served) -> None:
    """It stays where it is, and the sensor's ticks go on."""
    assert (Path(served.deployment.environment["RO_MANIFEST_INBOX"]) / "bad.yaml").exists()
    ticks = served.ask(
        "query Ticks($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {"
        " ... on Sensor { sensorState { status ticks(limit: 5) { status runIds } } } } }",
        selector={
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "sensorName": "manifest_inbox",
        },
    )["sensorOrError"]["sensorState"]
    assert ticks["status"] == "RUNNING"
    assert "FAILURE" not in {tick["status"] for tick in ticks["ticks"]}
    assert sum(len(tick["runIds"]) for tick in ticks["ticks"]) == 1


def test_the_nightly_verification_is_on(served: Served) -> None:
    """The schedule that verifies store and ledger runs without being switched on by hand."""
    schedule = served.ask(
        "query Schedule($selector: ScheduleSelector!) {"
        " scheduleOrError(scheduleSelector: $selector) {"
        " ... on Schedule { cronSchedule scheduleState { status } } } }",
        selector={
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "scheduleName": "nightly_verification",
        },
    )["scheduleOrError"]
    assert schedule["scheduleState"]["status"] == "RUNNING"


def test_the_evidence_verifies(served: Served) -> None:
    """After runs side by side in many processes, ledger and store are whole."""
    assert served.deployment.ro("ledger", "verify").code == 0
    assert served.deployment.ro("artifact", "verify", "--all", "--full").code == 0
