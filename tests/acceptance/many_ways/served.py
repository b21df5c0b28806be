"""The deployment with everything up that Dagster runs in production: two code servers, the
webserver and the daemon, each a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.product import ROOT, Deployment, stop

LOCATIONS = {"main": "definitions", "elsewhere": "elsewhere"}
MODULES = "tests.acceptance.many_ways"
_SHIPPED_QUEUE = "    max_concurrent_runs: 4\n"
_QUEUE = """\
    max_concurrent_runs: 6
    dequeue_interval_seconds: 1
    dequeue_use_threads: true
    dequeue_num_workers: 6
"""
_RETRIES = "run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}\n"
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Served:
    """The deployment while it is up."""

    deployment: Deployment
    url: str
    logs: Path

    def ask(self, query: str, **variables: Any) -> Any:
        """One GraphQL request's one answer, which must be no error."""
        answer = self.post("graphql", {"query": query, "variables": variables})
        assert "errors" not in answer, answer
        [found] = answer["data"].values()
        assert "Error" not in str(found.get("__typename")), found
        return found

    def post(self, path: str, body: Any) -> Any:
        """A POST of JSON to the webserver, and the JSON that it answers."""
        request = urllib.request.Request(
            f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def until(
        self,
        what: Callable[[], Any],
        *,
        seconds: float = PATIENCE_SECONDS,
        every_seconds: float = 0.5,
    ) -> None:
        """Wait for something; then fail with what the processes said."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.said()
            time.sleep(every_seconds)

    def said(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"--- {file.name}\n{file.read_text()[-3000:]}" for file in self.logs.glob("*.log")
        )


def deployment_of(folder: Path) -> Deployment:
    """A deployment of ``many_ways``: its dagster.yaml, its workspace.yaml, and no state yet."""
    root, home = folder / "deployment", folder / "home"
    root.mkdir(parents=True)
    home.mkdir()
    (folder / "logs").mkdir()
    shipped = (ROOT / "dagster.yaml").read_text()
    assert shipped.count(_SHIPPED_QUEUE) == 1
    (root / "dagster.yaml").write_text(shipped.replace(_SHIPPED_QUEUE, _QUEUE) + _RETRIES)
    servers = [
        {"grpc_server": {"host": "127.0.0.1", "port": _free_port(), "location_name": name}}
        for name in LOCATIONS
    ]
    (root / "workspace.yaml").write_text(json.dumps({"load_from": servers}))
    (home / "obstacle").touch()
    return Deployment(
        root,
        home,
        {
            "RO_ROOT": str(root),
            "RO_DEFINITIONS_MODULE": f"{MODULES}.definitions",
            "MANY_WAYS_COUNT": str(home / "delivered"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        },
    )


@contextmanager
def serving(deployment: Deployment, logs: Path) -> Iterator[Served]:
    """Code servers, webserver and daemon, until the block ends."""
    workspace = deployment.root / "workspace.yaml"
    port = _free_port()
    served = Served(deployment, f"http://127.0.0.1:{port}", logs)
    with ExitStack() as stack:

        def start(name: str, *command: object) -> None:
            process = deployment.start(*command, log=logs / f"{name}.log")
            stack.callback(stop, process)

        servers = json.loads(workspace.read_text())["load_from"]
        for server in servers:
            name = server["grpc_server"]["location_name"]
            start(
                name,
                *("dagster", "api", "grpc", "-h", "127.0.0.1", "-p", server["grpc_server"]["port"]),
                *("-m", f"{MODULES}.{LOCATIONS[name]}", "--location-name", name),
            )
        ports = [item["grpc_server"]["port"] for item in servers]
        served.until(lambda: all(map(_listens, ports)), seconds=60)
        start(
            "webserver",
            *("dagster-webserver", "-w", workspace, "-h", "127.0.0.1", "-p", port),
        )
        start("daemon", "dagster-daemon", "run", "-w", workspace)
        served.until(lambda: _answers(served.url), seconds=60)
        yield served


@dataclass(frozen=True)
class Script:
    """One of this folder's modules, running as a script."""

    process: subprocess.Popen[bytes]
    log: Path

    def finish(self) -> None:
        """Wait for its end. It must succeed, or what it said is the failure."""
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        assert code == 0, self.log.read_text()[-5000:]


def step(deployment: Deployment, module: str, *args: str) -> Script:
    """Start one of this folder's modules as a script."""
    log = deployment.home.parent / "logs" / f"{module}-{Path(args[0]).stem}.log"
    command = (sys.executable, "-m", f"{MODULES}.{module}", *args)
    return Script(deployment.start(*command, log=log), log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
