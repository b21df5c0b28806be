"""A whole deployment on one PostgreSQL server: the ledger as a role that may only read and append,
Dagster's storage in a database beside it, and real processes: `ro`, a webserver, a daemon, workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import (
    BACKFILL,
    LAUNCH,
    Deployment,
    small_deployment,
    small_manifest,
    stop,
)
from tests.servers import PostgresServer, TcpProxy, free_port, postgres_server

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 200
UNITS = ["numbers", "numbers#few_enough", "sums", "sums#not_negative"]
LEDGER, DAGSTER = "ledger", "dagster"
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"

APPENDING = """
import sys
from ro_platform.errors import BackendUnavailableError, OutcomeUnknownError
from ro_platform.kernel.clock import system_clock
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.contracts.ledger import EntryKind

url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(PostgresLedgerBackend(url), system_clock)
for number in range(count):
    draft = EntryDraft(
        EntryKind.ADMIN_EVENT, name, "SYSTEM::test", {"n": number}, key=f"{name}/{number}"
    )
    while True:
        try:
            print(number, ledger.append(draft).seq, flush=True)
            break
        except (BackendUnavailableError, OutcomeUnknownError) as error:
            print("again", error.code, flush=True)
"""


@dataclass(frozen=True)
class PostgresDeployment(Deployment):
    """The small deployment, whose ledger others read by SQL."""

    server: PostgresServer = field(kw_only=True)

    def entries(self) -> list[dict[str, Any]]:
        """Every entry of the ledger, read past the product."""
        rows = self.server.execute(
            "SELECT entry FROM ro_ledger.entry ORDER BY seq", database=LEDGER
        )
        return [json.loads(bytes(row[0])) for row in rows]

    def attempts(self, fingerprint: str) -> list[dict[str, Any]]:
        """Every transition of an attempt under a manifest."""
        return [
            entry
            for entry in self.entries()
            if entry["kind"] == "attempt_transition"
            and entry["body"]["manifest_fingerprint"] == fingerprint
        ]

    def succeeded(self, fingerprint: str) -> list[str]:
        """The units of work that succeeded under a manifest."""
        found = self.attempts(fingerprint)
        return sorted(e["body"]["unit"] for e in found if e["body"]["status"] == "SUCCEEDED")

    def register(self, manifest: Path) -> str:
        """By the command; answers the fingerprint."""
        answer = self.ro("manifest", "register", manifest, "--json")
        assert answer.code == 0, answer.err
        return str(answer.json()["manifest_fingerprint"])


@dataclass(frozen=True)
class Served:
    """The deployment with its webserver and daemon up."""

    deployment: PostgresDeployment
    url: str
    log: Path

    def ask(self, query: str, **variables: Any) -> Any:
        """One GraphQL request's data."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, fingerprint: str, *assets: str) -> str:
        """One run of these assets or of everything, through the coordinator; answers Dagster's id
        of it."""
        selector: dict[str, Any] = {
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "jobName": "adding",
        }
        if assets:
            chosen = [{"path": [asset]} for asset in assets]
            selector |= {"assetSelection": chosen, "assetCheckSelection": []}
        answer = self.ask(
            LAUNCH,
            parameters={
                "selector": selector,
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": fingerprint}]},
            },
        )["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def run(self, dagster_run_id: str) -> dict[str, Any]:
        """What Dagster says about a run."""
        found: dict[str, Any] = self.ask(RUN, id=dagster_run_id)["runOrError"]
        return found

    def until(self, what: Callable[[], Any]) -> None:
        """Wait, but not for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < deadline, self.log.read_text()[-5000:]
            time.sleep(0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that survives its own crash: with fsync."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="module")
def deployment(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> PostgresDeployment:
    """As an operator sets it up: two databases, two roles, and one grant."""
    folder = tmp_path_factory.mktemp("postgres")
    server.execute("CREATE ROLE app LOGIN", f"CREATE DATABASE {LEDGER}")
    server.execute(f"CREATE DATABASE {DAGSTER} OWNER app")
    small = small_deployment(folder)
    owner = small.with_environment(RO_LEDGER_URL=server.url(LEDGER))
    granted = owner.ro("ledger", "grant", "app", "--reason", "the deployment's own role")
    assert granted.code == 0, granted.err
    urls = {
        name: server.url(database).replace("postgres@", "app@")
        for name, database in (("RO_LEDGER_URL", LEDGER), ("RO_DAGSTER_URL", DAGSTER))
    }
    return PostgresDeployment(small.root, small.home, urls, server=server)


@pytest.fixture(scope="module")
def served(deployment: PostgresDeployment) -> Iterator[Served]:
    """`dagster dev`: webserver, daemon and code server."""
    port, log = free_port(), deployment.home.parent / "log"
    serving = Served(deployment, f"http://127.0.0.1:{port}", log)
    process = deployment.start("dagster", "dev", "-h", "127.0.0.1", "-p", port, log=log)
    try:
        serving.until(lambda: _answers(serving.url))
        yield serving
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_a_run_by_the_command(deployment: PostgresDeployment) -> None:
    """`ro run` to its end, its attempts in the ledger, its run in Dagster's database; nothing of
    either in a file."""
    manifest = small_manifest(deployment.home.parent, count=5)
    facts = deployment.ro("run", manifest, "--json").json()
    assert all(asset["stands"] for asset in facts["assets"])
    assert deployment.succeeded(str(facts["manifest_fingerprint"])) == UNITS
    runs = deployment.server.execute("SELECT status FROM runs", database=DAGSTER)
    assert {status for (status,) in runs} == {"SUCCESS"}
    assert list(deployment.home.rglob("*.sqlite")) == []
    assert list(deployment.home.rglob("*.db")) == []


def test_a_launch_by_the_ui(served: Served) -> None:
    """Through the coordinator, the daemon and a worker: every unit once."""
    fingerprint = served.deployment.register(small_manifest(served.deployment.home.parent, count=3))
    run = served.launch(fingerprint)
    served.until(lambda: served.run(run)["status"] == "SUCCESS")
    assert served.deployment.succeeded(fingerprint) == UNITS
    ids = {
        entry["correlation_ids"]["dagster_run_id"]
        for entry in served.deployment.attempts(fingerprint)
    }
    assert ids == {run}


def test_a_launch_that_a_gate_refuses(served: Served) -> None:
    """A FAIL stops the consumer in the same run; a later launch of it is refused before a worker
    starts, and leaves an attempt with the code."""
    fingerprint = served.deployment.register(
        small_manifest(served.deployment.home.parent, count=11)
    )
    run = served.launch(fingerprint)
    served.until(lambda: served.run(run)["status"] in ("FAILURE", "SUCCESS"))
    assert served.run(run)["status"] == "FAILURE"
    assert "sums" not in served.deployment.succeeded(fingerprint)
    refused = served.launch(fingerprint, "sums")
    served.until(lambda: served.run(refused)["status"] in ("CANCELED", "FAILURE", "SUCCESS"))
    assert served.run(refused)["status"] == "CANCELED"
    (last,) = [
        entry["body"]
        for entry in served.deployment.attempts(fingerprint)
        if entry["correlation_ids"]["dagster_run_id"] == refused
        and entry["body"]["status"] == "REFUSED"
    ][-1:]
    assert (last["unit"], last["error_code"]) == ("sums", "RO_GATE_FAILED")


def test_a_backfill_in_three_workers_at_once(served: Served) -> None:
    """Three manifests, a run each, side by side: every unit of each once, and no gap between."""
    folder = served.deployment.home.parent
    fingerprints = [
        served.deployment.register(small_manifest(folder, count=count)) for count in (4, 6, 7)
    ]
    answer = served.ask(
        BACKFILL,
        parameters={
            "assetSelection": [{"path": ["numbers"]}, {"path": ["sums"]}],
            "partitionNames": fingerprints,
            "title": "three",
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    served.until(lambda: all(served.deployment.succeeded(item) == UNITS for item in fingerprints))
    runs = {
        str(entry["correlation_ids"]["dagster_run_id"])
        for item in fingerprints
        for entry in served.deployment.attempts(item)
    }
    assert len(runs) == 3
    served.until(lambda: all(served.run(run)["status"] == "SUCCESS" for run in runs))
    spans = [served.run(run) for run in runs]
    assert max(span["startTime"] for span in spans) < min(span["endTime"] for span in spans)


def test_the_evidence_verifies(deployment: PostgresDeployment) -> None:
    """By the same role: the ledger with its guards, and every artifact."""
    assert deployment.ro("ledger", "verify").code == 0
    assert deployment.ro("artifact", "verify", "--all").code == 0
    seqs = [entry["seq"] for entry in deployment.entries()]
    assert seqs == list(range(len(seqs)))


# --- the server goes away -------------------------------------------------------------------------


def _appending(url: str, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPENDING, url, name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_server_that_crashes_in_the_middle_of_appends_loses_no_acknowledged_entry(
    deployment: PostgresDeployment,
) -> None:
    """Immediate shutdowns, one after another: who goes on with the same keys has each entry once,
    where it was first acknowledged."""
    url, size, count = deployment.environment["RO_LEDGER_URL"], len(deployment.entries()), 120
    writers = [_appending(url, f"crash-{number}", count) for number in range(3)]
    lines: list[list[str]] = [[] for _ in writers]
    readers = [
        threading.Thread(target=_collect, args=(writer, found))
        for writer, found in zip(writers, lines, strict=True)
    ]
    for reader in readers:
        reader.start()
    crashes = 0
    while crashes < 3:
        begun = sum(map(len, lines))
        while sum(map(len, lines)) < begun + 20 and any(w.poll() is None for w in writers):
            time.sleep(0.01)
        deployment.server.stop("immediate")
        time.sleep(0.2)
        deployment.server.start()
        crashes += 1
    for reader, writer in zip(readers, writers, strict=True):
        reader.join(120)
        assert writer.wait(120) == 0
    stored = {entry.get("key"): entry["seq"] for entry in deployment.entries()}
    for number, found in enumerate(lines):
        said = dict(line.split() for line in found if not line.startswith("again"))
        assert len(said) == count
        assert {
            f"crash-{number}/{n}": int(seq) for n, seq in said.items()
        }.items() <= stored.items()
    assert any(line.startswith("again") for found in lines for line in found)
    assert len(deployment.entries()) == size + 3 * count
    assert deployment.ro("ledger", "verify").code == 0


def _collect(writer: subprocess.Popen[str], lines: list[str]) -> None:
    assert writer.stdout is not None
    lines.extend(iter(writer.stdout.readline, ""))


def test_a_reply_lost_after_the_commit_is_recognised_and_not_doubled(
    deployment: PostgresDeployment,
) -> None:
    """The outcome is unknown, the same key is sent again, and there is one entry."""
    with TcpProxy(deployment.server.port) as proxy:
        url = deployment.environment["RO_LEDGER_URL"]
        proxied = url.replace(f":{deployment.server.port}/", f":{proxy.port}/")
        proxy.lose("reply", at=b"COMMIT\0", times=2)
        size = len(deployment.entries())
        with _appending(proxied, "lost", 3) as writer:
            out, _ = writer.communicate(timeout=60)
    said = out.splitlines()
    assert said.count("again RO_OUTCOME_UNKNOWN") == 2
    assert [line.split()[0] for line in said if line[0].isdigit()] == ["0", "1", "2"]
    assert len(deployment.entries()) == size + 3
    assert deployment.ro("ledger", "verify").code == 0


def test_the_deployment_goes_on_after_the_crashes(served: Served) -> None:
    """Webserver, daemon and workers reconnect: a launch runs to its end, and all verifies."""
    fingerprint = served.deployment.register(small_manifest(served.deployment.home.parent, count=8))
    run = served.launch(fingerprint)
    served.until(lambda: served.run(run)["status"] == "SUCCESS")
    assert served.deployment.succeeded(fingerprint) == UNITS
    assert served.deployment.ro("ledger", "verify").code == 0
    assert served.deployment.ro("artifact", "verify", "--all").code == 0
