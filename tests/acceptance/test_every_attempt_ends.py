"""Whatever dies, every attempt ends in the ledger, once, and none is missing.

One deployment goes through the whole matrix: a webserver, a daemon and their code servers, whose
processes are killed one after another, and in the end all at once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.product import LAUNCH, ROOT, Deployment, small_deployment, small_manifest

pytestmark = pytest.mark.timeout(900)  # one scene of some 100 seconds, and of more under load

HERE = Path(__file__).with_name("crashing_deployment")
PATIENCE_SECONDS = 150
ENDS = {"SUCCEEDED", "FAILED", "CANCELED", "LOST", "REFUSED"}
# What a test cannot wait for: the rest is the file that this repository ships.
QUICK = {
    "poll_interval_seconds: 10": "poll_interval_seconds: 1",
    "start_timeout_seconds: 120": "start_timeout_seconds: 45",
    "cancel_timeout_seconds: 60": "cancel_timeout_seconds: 5",
    "max_concurrent_runs: 4": "max_concurrent_runs: 10\n    dequeue_interval_seconds: 1\n"
    "    tag_concurrency_limits: [{key: test/hold, limit: 0}]",
}
WORKSPACE = """
load_from:
  - python_module: {{module_name: definitions, working_directory: {root}, location_name: main}}
  - python_module:
      {{module_name: definitions, working_directory: {root}/fragile, location_name: fragile}}
"""
RERUN = """
mutation Rerun($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """
mutation Stop($run: String!) { terminateRun(runId: $run) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
DELETE = """
mutation Delete($run: String!) { deleteRun(runId: $run) {
  __typename ... on PythonError { message } } }"""
WIPE = """
mutation Wipe { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["work"]}}]) {
  __typename ... on PythonError { message } } }"""


@dataclass
class Scene:
    """The deployment under fire: its processes, and the Dagster run of each part by name."""

    deployment: Deployment
    fingerprint: str
    log: Path
    port: int
    runs: dict[str, str] = field(default_factory=dict)
    executing: list[str] = field(default_factory=list)

    @property
    def control(self) -> Path:
        """Where the asset says who is at work, and is told to go on."""
        return self.deployment.root / "control"

    def start(self, *command: object) -> subprocess.Popen[bytes]:
        """A process of Dagster's."""
        return self.deployment.start(*command, log=self.log)

    def daemon(self) -> subprocess.Popen[bytes]:
        """A daemon, with code servers of its own."""
        return self.start("dagster-daemon", "run", "-w", self.deployment.root / "workspace.yaml")

    def webserver(self) -> subprocess.Popen[bytes]:
        """A webserver that answers."""
        workspace = self.deployment.root / "workspace.yaml"
        process = self.start("dagster-webserver", "-w", workspace, "-p", self.port)
        self.until(self._answers)
        return process

    def until(self, what: Callable[[], Any]) -> None:
        """Wait for it, or show the log."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < deadline, self.log.read_text()[-6000:]
            time.sleep(0.1)

    def ask(self, query: str, **variables: Any) -> Any:
        """The one answer of a GraphQL request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        (value,) = answer["data"].values()
        assert "Failure" not in value["__typename"], value
        assert "Error" not in value["__typename"], value
        return value

    def launch(self, name: str, how: str = "wait", job: str = "one", **tags: str) -> None:
        """Launch a run, known by that name."""
        location = "fragile" if job == "broken" else "main"
        all_tags = {
            "test/name": name,
            "test/how": how,
            "dagster/partition": self.fingerprint,
            **{key.replace("__", "/"): value for key, value in tags.items()},
        }
        launched = self.ask(
            LAUNCH,
            parameters={
                "selector": {
                    "repositoryLocationName": location,
                    "repositoryName": "__repository__",
                    "jobName": job,
                },
                "runConfigData": {},
                "executionMetadata": {
                    "tags": [{"key": key, "value": value} for key, value in all_tags.items()]
                },
            },
        )
        self.runs[name] = launched["run"]["runId"]

    def at_work(self, name: str) -> int:
        """The process that executes a waiting asset, once there is one."""
        self.until(lambda: list(self.control.glob(f"{name}.[0-9]*")))
        return int(next(self.control.glob(f"{name}.[0-9]*")).suffix[1:])

    def go(self, name: str) -> None:
        """Let a waiting asset come to its end."""
        (self.control / f"{name}.go").touch()

    def attempts(self, name: str) -> dict[str, list[str]]:
        """The newest statuses of each unit's attempts in a run, as far as they have come."""
        found: dict[str, dict[str, str]] = {}
        for entry in self._moves():
            if entry["correlation_ids"]["dagster_run_id"] == self.runs.get(name):
                body = entry["body"]
                found.setdefault(body["unit"], {})[body["attempt_id"]] = body["status"]
        return {unit: list(statuses.values()) for unit, statuses in found.items()}

    def ended(self, name: str) -> bool:
        """Whether a run has attempts and all have ended."""
        statuses = {status for unit in self.attempts(name).values() for status in unit}
        return bool(statuses) and statuses <= ENDS

    def processes(self) -> list[psutil.Process]:
        """Every process that lives in this deployment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("RO_HOME") == str(self.deployment.home):
                    found.append(process)
        return found

    def kill_everything(self) -> None:
        """As if the machine had gone down."""
        while left := self.processes():
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=10)

    def _moves(self) -> list[dict[str, Any]]:
        try:
            entries = self.deployment.entries()
        except sqlite3.OperationalError:
            return []
        return [entry for entry in entries if entry["kind"] == "attempt_transition"]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


def _deployment(folder: Path) -> Deployment:
    root = folder / "deployment"
    (root / "control").mkdir(parents=True)
    (root / "fragile").mkdir()
    for name in ("definitions.py", "fragile/definitions.py"):
        (root / name).write_text((HERE / name).read_text())
    text = (ROOT / "dagster.yaml").read_text()
    for shipped, quick in QUICK.items():
        assert shipped in text
        text = text.replace(shipped, quick)
    (root / "dagster.yaml").write_text(text)
    (root / "workspace.yaml").write_text(WORKSPACE.format(root=root))
    return Deployment(root, folder / "home", {"RO_ROOT": str(root)})


def _manifest(deployment: Deployment) -> str:
    file = deployment.root / "manifest.json"
    manifest = {
        "kind": "ro.run_manifest.v0",
        "workload": "one",
        "parameters": {"count": 1},
        "code": {"version": "1"},
    }
    file.write_text(json.dumps(manifest))
    answer = deployment.ro("manifest", "register", file, "--json")
    assert answer.code == 0, answer.err
    return str(answer.json()["manifest_fingerprint"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The deployment after everything has happened to it, with a daemon that looked again."""
    folder = tmp_path_factory.mktemp("crashing")
    deployment = _deployment(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    scene = Scene(deployment, _manifest(deployment), folder / "log", port)
    try:
        first_daemon = scene.daemon()
        webserver = scene.webserver()
        _one_after_another(scene)
        _without_a_daemon(scene, first_daemon, webserver)
        _all_at_once(scene)
        yield scene
    finally:
        scene.kill_everything()


def _one_after_another(scene: Scene) -> None:
    """With everything up: what ends by itself, is stopped, or loses the process at work."""
    scene.launch("success", "run")
    scene.launch("flaky", "flaky")
    scene.launch("worker", dagster__max_retries="1")
    scene.launch("step", job="many")
    scene.launch("parent", job="many")
    scene.launch("cancel")
    scene.launch("deleted")
    scene.launch("held", test__hold="1")
    scene.launch("held_deleted", test__hold="1")
    scene.ask(TERMINATE, run=scene.runs["held"])
    scene.ask(DELETE, run=scene.runs["held_deleted"])

    os.kill(scene.at_work("worker"), signal.SIGKILL)
    scene.go("worker")  # its retry does not wait
    os.kill(scene.at_work("step"), signal.SIGKILL)
    step = psutil.Process(scene.at_work("parent"))
    parent = step.parent()
    assert parent is not None
    parent.kill()
    step.wait(timeout=10)  # it does not outlive its parent
    scene.at_work("cancel")
    scene.executing = [_code_server_says(scene, name) for name in ("cancel", "success")]
    scene.ask(TERMINATE, run=scene.runs["cancel"])
    scene.at_work("deleted")
    scene.ask(DELETE, run=scene.runs["deleted"])
    for name in ("success", "flaky", "worker", "step", "parent", "cancel", "held"):
        scene.until(partial(scene.ended, name))
    scene.until(lambda: scene.ended("deleted") and scene.ended("held_deleted"))
    scene.go("deleted")  # too late: what is lost publishes nothing
    scene.go("step")
    rerun = scene.ask(
        RERUN, parameters={"parentRunId": scene.runs["step"], "strategy": "ALL_STEPS"}
    )
    scene.runs["again"] = rerun["run"]["runId"]
    scene.until(lambda: scene.ended("again") and _retry_of(scene, "worker"))
    scene.runs["retried"] = str(_retry_of(scene, "worker"))
    scene.until(lambda: scene.ended("retried"))
    scene.ask(WIPE)


def _code_server_says(scene: Scene, name: str) -> str:
    """What the launcher would go by if nobody had signed on for a run."""
    asking = (
        "import sys, dagster as dg\n"
        "from ro_platform.dagster_private.running import is_executing, was_on_this_host\n"
        "run = dg.DagsterInstance.get().get_run_by_id(sys.argv[1])\n"
        "print(is_executing(run), was_on_this_host(run))"
    )
    return scene.deployment.run(sys.executable, "-c", asking, scene.runs[name]).out.strip()


def _without_a_daemon(
    scene: Scene, daemon: subprocess.Popen[bytes], webserver: subprocess.Popen[bytes]
) -> None:
    """The daemon dies, then the webserver in the middle of a launch; a run goes on all the same,
    and a code location breaks while its run waits."""
    scene.launch("orphan")
    scene.at_work("orphan")
    daemon.kill()
    daemon.wait()
    scene.launch("broken", "run", job="broken")
    scene.launch("waiting")
    (scene.deployment.root / "fragile" / "definitions.py").write_text(
        "raise RuntimeError('broken')"
    )
    scene.go("orphan")
    scene.until(lambda: scene.ended("orphan"))
    before = set(_dagster_runs(scene))
    launching = threading.Thread(target=_launch_and_hear_nothing, args=(scene,))
    launching.start()
    scene.until(lambda: set(_dagster_runs(scene)) - before)
    webserver.kill()
    webserver.wait()
    launching.join()
    (scene.runs["half_launched"],) = set(_dagster_runs(scene)) - before


def _all_at_once(scene: Scene) -> None:
    """A daemon comes back, finds what waits and what broke; then the machine goes down."""
    scene.daemon()
    scene.at_work("waiting")
    scene.until(lambda: scene.ended("broken"))
    scene.kill_everything()
    assert not scene.ended("waiting")
    scene.daemon()
    scene.until(lambda: scene.ended("waiting"))
    scene.go("half_launched")
    if scene.attempts("half_launched"):
        scene.until(lambda: scene.ended("half_launched"))


def _launch_and_hear_nothing(scene: Scene) -> None:
    with suppress(OSError):
        scene.launch("half_launched", "run")


def _dagster_runs(scene: Scene) -> dict[str, dict[str, Any]]:
    """Every run that Dagster has on record: status and tags, read past Dagster."""
    (database,) = scene.deployment.home.glob("dagster/**/runs.db")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT run_id, status FROM runs").fetchall()
        tags = connection.execute("SELECT run_id, key, value FROM run_tags").fetchall()
    runs: dict[str, dict[str, Any]] = {run: {"status": status} for run, status in found}
    for run, key, value in tags:
        if run in runs:
            runs[run][key] = value
    return runs


def _retry_of(scene: Scene, name: str) -> str | None:
    parent = scene.runs[name]
    runs = _dagster_runs(scene).items()
    found = (run for run, facts in runs if facts.get("dagster/parent_run_id") == parent)
    return next(found, None)


EXPECTED = {
    "success": {"SUCCEEDED"},
    "flaky": {"FAILED", "SUCCEEDED"},
    "worker": {"LOST"},
    "retried": {"SUCCEEDED"},
    "step": {"FAILED"},
    "parent": {"LOST"},
    "again": {"SUCCEEDED"},
    "cancel": {"CANCELED"},
    "held": {"CANCELED"},
    "held_deleted": {"LOST"},
    "deleted": {"LOST"},
    "orphan": {"SUCCEEDED"},
    "waiting": {"LOST"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_attempt_ends_as_what_became_of_it(scene: Scene, name: str) -> None:
    """Each way to end, to be stopped and to die."""
    assert set(scene.attempts(name)["work"]) <= EXPECTED[name]
    if name in ("worker", "waiting"):
        assert scene.attempts(name)["after"] == ["CANCELED"]


def test_a_location_that_does_not_load_leaves_a_canceled_attempt(scene: Scene) -> None:
    """Its run was queued when it broke, and failed at its launch."""
    assert scene.attempts("broken") == {"fragile": ["CANCELED"]}


def test_every_op_retry_is_an_attempt(scene: Scene) -> None:
    """One that failed and one that succeeded, in one run."""
    assert scene.attempts("flaky")["work"] == ["FAILED", "SUCCEEDED"]


def test_no_attempt_is_open_missing_or_ended_twice(scene: Scene) -> None:
    """Reconciled by hand as well, twice: the second time there is nothing left to write."""
    ro = scene.deployment.ro
    assert ro("attempts", "reconcile").code == 0
    size = len(scene.deployment.entries())
    again = ro("attempts", "reconcile", "--json").json()
    assert (again["ended"], again["open"]) == ([], [])
    assert ro("attempts", "list", "--open", "--json").json() == []
    assert len(scene.deployment.entries()) == size

    moves = scene._moves()
    ends = [item["body"]["attempt_id"] for item in moves if item["body"]["status"] in ENDS]
    assert sorted(ends) == sorted({item["body"]["attempt_id"] for item in moves})
    recorded = {item["correlation_ids"]["dagster_run_id"] for item in moves}
    planned = {run for run in _dagster_runs(scene) if _planned(scene, run)}
    assert planned <= recorded
    kinds = [item["kind"] for item in scene.deployment.entries()]
    assert kinds.count("run_sealed") == kinds.count("run_reopened") + 1
    assert kinds[-1] == "run_sealed"
    assert len(planned) >= len(EXPECTED) - 2  # two were deleted
    assert ro("ledger", "verify").code == 0


def _planned(scene: Scene, run: str) -> bool:
    (index,) = scene.deployment.home.glob("dagster/**/index.db")
    folder = index.parent
    file = folder / f"{run}.db"
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        sql = "SELECT count(*) FROM event_logs WHERE dagster_event_type LIKE '%PLANNED'"
        return bool(database.execute(sql).fetchone()[0])


def test_where_nothing_inside_could_speak_the_sensor_did(scene: Scene) -> None:
    """What was deleted in Dagster was ended by reconciliation, with the reason."""
    ends = [
        item
        for item in scene._moves()
        if item["correlation_ids"]["dagster_run_id"] == scene.runs["deleted"]
        and item["body"]["status"] == "LOST"
    ]
    assert {item["actor"] for item in ends} == {"SYSTEM::reconciliation"}
    assert {item["body"]["error_code"] for item in ends} == {"RO_ATTEMPT_LOST"}
    assert scene.runs["deleted"] in ends[0]["body"]["error"]


def test_a_code_server_knows_whom_it_executes(scene: Scene) -> None:
    """Asked about a run at work, and about one that is over."""
    assert scene.executing == ["True True", "False True"]


def test_history_outlives_dagsters_own(scene: Scene) -> None:
    """Asset wiped, runs deleted: their attempts are all here, and can be shown."""
    assert set(scene.runs.values()) - set(_dagster_runs(scene)) == {
        scene.runs["deleted"],
        scene.runs["held_deleted"],
    }
    listed = scene.deployment.ro(
        "attempts", "list", "--run", scene.fingerprint, "--all", "--json"
    ).json()
    of_deleted = [
        item
        for item in listed
        if item["correlation_ids"]["dagster_run_id"] == scene.runs["deleted"]
        and item["unit"] == "work"
    ]
    shown = scene.deployment.ro("attempts", "show", of_deleted[0]["attempt_id"], "--json").json()
    statuses = [entry["body"]["status"] for entry in shown["transitions"]]
    assert statuses == ["QUEUED", "RUNNING", "LOST"]


def test_without_a_daemon_a_killed_run_is_reconciled_by_hand(tmp_path: Path) -> None:
    """`ro run` is killed: a dry run says so, the real one ends it and tells Dagster, once."""
    small, manifest = small_deployment(tmp_path), small_manifest(tmp_path / "manifests")
    process = small.start("ro", "run", manifest)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(entry["body"].get("status") == "RUNNING" for entry in _entries(small)):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    size = len(small.entries())

    said = small.ro("attempts", "reconcile", "--dry-run", "--json").json()
    assert len(small.entries()) == size
    done = small.ro("attempts", "reconcile", "--json").json()
    assert done["ended"] == said["ended"]
    assert {item["status"] for item in done["ended"]} <= {"LOST", "CANCELED"}
    assert all("its worker is gone" in item["why"] for item in done["ended"])
    size = len(small.entries())
    again = small.ro("attempts", "reconcile", "--json").json()
    assert (again["ended"], again["open"], len(small.entries())) == ([], [], size)
    assert {item["status"] for item in done["ended"]} == {"LOST", "CANCELED"}


DIES_BEFORE_ITS_SEAL = """
import os, signal, sys
from ro_platform.cli.main import ro
from ro_platform.runs.seals import RunSeals

RunSeals.seal = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
ro(["run", sys.argv[1]])
"""


def test_a_run_killed_between_its_last_end_and_its_seal_is_sealed_by_hand(tmp_path: Path) -> None:
    """SIGKILL where the seal would be written: every attempt has ended, reconciliation seals the
    run, once, and the seal counts all of it."""
    small, manifest = small_deployment(tmp_path), small_manifest(tmp_path / "manifests")
    killed = small.run(sys.executable, "-c", DIES_BEFORE_ITS_SEAL, manifest)
    assert killed.code == -signal.SIGKILL
    assert small.ro("attempts", "list", "--open", "--json").json() == []
    assert "run_sealed" not in {entry["kind"] for entry in small.entries()}

    size = len(small.entries())
    said = small.ro("attempts", "reconcile", "--dry-run", "--json").json()
    assert (said["ended"], len(said["sealed"]), len(small.entries())) == ([], 1, size)
    done = small.ro("attempts", "reconcile", "--json").json()
    assert (done["ended"], done["sealed"]) == ([], said["sealed"])
    sealed = [entry for entry in small.entries() if entry["kind"] == "run_sealed"]
    of_run = [entry for entry in small.entries() if entry["correlation_ids"].get("run_id")]
    assert [entry["body"]["count"] for entry in sealed] == [len(of_run) - 1]
    size = len(small.entries())
    again = small.ro("attempts", "reconcile", "--json").json()
    assert (again["sealed"], len(small.entries())) == ([], size)


def _entries(deployment: Deployment) -> list[dict[str, Any]]:
    try:
        return deployment.entries()
    except sqlite3.OperationalError:
        return []
