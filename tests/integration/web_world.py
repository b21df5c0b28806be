"""The gateway over a real deployment: real webserver, real code server, real HTTP on a free
port."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import AccessPolicy, EntryKind, RunManifest
from ro_platform.contracts.manifest import CodeRef
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.orchestration.instances import Instance, open_instance
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.web.serving import OpenGateway, OperationsPage, config_of, gateway

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "tests" / "acceptance" / "small_deployment" / "definitions.py"
PROXY_SECRET = "a-secret-that-the-proxy-and-the-face-share"
ROLES: dict[str, list[dict[str, Any]]] = {
    "HUMAN::reader": [{"role": "reader"}],
    "HUMAN::operator": [{"role": "operator"}],
    "HUMAN::deployer": [{"role": "deployer"}],
    "HUMAN::narrow": [
        {"role": "reader"},
        {"role": "operator", "scope": {"workload": "adding"}},
    ],
    "HUMAN::elsewhere": [
        {"role": "reader"},
        {"role": "operator", "scope": {"workload": "another"}},
    ],
    "HUMAN::admin": [{"role": "admin"}],
    "HUMAN::approver": [{"role": "approver"}],
    "HUMAN::auditor": [{"role": "auditor"}],
}
DAGSTER = """
storage:
  custom: {module: ro_platform.orchestration.storage, class: RecordingStorage, config: {}}
compute_logs: {module: ro_platform.orchestration.storage, class: HomeComputeLogManager, config: {}}
local_artifact_storage:
  {module: ro_platform.orchestration.storage, class: HomeArtifactStorage, config: {}}
run_coordinator: {module: noting_coordinator, class: NotingCoordinator, config: {}}
telemetry: {enabled: false}
nux: {enabled: false}
"""
WORKSPACE = """
load_from:
  - python_file: {relative_path: definitions.py, location_name: small}
"""
NOTING = '''
"""A coordinator that notes whose request it serves, and queues nothing."""
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from ro_platform.access.identity import current_actor
from ro_platform.config.settings import Settings


class NotingCoordinator(QueuedRunCoordinator):
    def submit_run(self, context):
        with (Settings.load().root / "submitted").open("a") as file:
            file.write(f"{context.dagster_run.run_id} {current_actor()}\\n")
        return context.dagster_run
'''
LAUNCH = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId tags { key value } } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}"""


@dataclass
class World:
    """A served deployment. ``tokens`` are by actor."""

    settings: Settings
    plane: Plane
    opened: OpenGateway
    port: int
    tokens: dict[str, str]
    token_ids: dict[str, str]
    fingerprint: str
    instance: Instance

    @property
    def root(self) -> Path:
        """The deployment's folder."""
        return self.settings.root

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, actor: str | None = None, **options: Any) -> httpx.Client:
        """An API client, with that actor's bearer token or none."""
        headers = dict(options.pop("headers", {}))
        if actor:
            headers["Authorization"] = f"Bearer {self.tokens[actor]}"
        return httpx.Client(base_url=self.address, headers=headers, timeout=60, **options)

    def graphql(
        self, actor: str | None, query: str, variables: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """One GraphQL request of that actor."""
        with self.client(actor) as client:
            return client.post(
                "/graphql", json={"query": query, "variables": dict(variables or {})}
            )

    def browser(self, actor: str) -> httpx.Client:
        """A client that signed in by its page and has a session's cookie."""
        client = self.client(headers={"Origin": self.address})
        page = client.get("/signin").text
        answer = client.post(
            "/signin", data={"form_token": form_token(page), "token": self.tokens[actor]}
        )
        assert answer.status_code == 303, answer.text
        return client

    def launch_params(self, **tags: str) -> dict[str, Any]:
        """What launches the small workload for the registered manifest."""
        said = {"dagster/partition": self.fingerprint, **tags}
        return {
            "selector": {
                "repositoryLocationName": "small",
                "repositoryName": "__repository__",
                "jobName": "adding",
            },
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in said.items()]},
        }

    def refusals(self) -> list[dict[str, Any]]:
        """What is on record as refused, oldest first."""
        self.opened.close()
        return [dict(e.body) for e in self.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)]

    def submitted(self) -> list[tuple[str, str]]:
        """The runs that reached the coordinator, and whose request it saw."""
        file = self.root / "submitted"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]


def form_token(page: str) -> str:
    """The token in the form of a page."""
    return page.split('name="form_token" value="')[1].split('"')[0]


@contextmanager
def served_world(
    folder: Path,
    *,
    policy: bool = True,
    web: Mapping[str, str] | None = None,
    operations: OperationsPage | None = None,
    more: str = "",
) -> Iterator[World]:
    """A deployment in a folder, served until the block ends. ``more`` is added to its
    definitions."""
    port = free_port()
    _write(folder, more)
    environment = {
        "RO_ROOT": str(folder),
        "RO_HOME": str(folder / ".ro"),
        "RO_UI_URL": f"http://127.0.0.1:{port}",
        **(web or {}),
    }
    settings = Settings.load(environment, cwd=folder)
    sys.path.insert(0, str(folder))
    try:
        with settings_in_force(settings):
            yield from _served(settings, port, policy, operations)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("noting_coordinator", None)


def _served(
    settings: Settings, port: int, policy: bool, operations: OperationsPage | None
) -> Iterator[World]:
    plane = shared_plane(settings)
    tokens, token_ids = published_people(plane, settings.actor) if policy else ({}, {})
    with (
        open_instance(settings) as instance,
        gateway(settings, port=port, instance=instance, operations=operations) as opened,
    ):
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="adding",
            parameters={"count": 3},
            code=CodeRef(version="test"),
        )
        print_ = manifest_fingerprint(manifest)
        file = ManifestFile(manifest, print_, folder=settings.root)
        register_manifest(plane, instance, file, workloads=["adding"], actor=settings.actor)
        world = World(settings, plane, opened, port, tokens, token_ids, print_, instance)
        with running(opened, port):
            yield world


@contextmanager
def running(opened: OpenGateway, port: int) -> Iterator[None]:
    """A gateway on a port of this machine, as the command serves it, in a thread of this
    process."""
    server = uvicorn.Server(config_of(opened, "127.0.0.1", port))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)


def published_people(plane: Plane, single_user: str) -> tuple[dict[str, str], dict[str, str]]:
    """End the single-user mode: tokens and their ids by actor, and the policy over them."""
    issued = {
        actor: plane.tokens.issue(
            actor, lifetime=timedelta(days=1), reason="for a test", actor=single_user
        )
        for actor in (*ROLES, "HUMAN::nobody", "HUMAN::leaving")
    }
    bindings = [
        {"actor": actor, **role}
        for actor, roles in {**ROLES, "HUMAN::leaving": [{"role": "reader"}]}.items()
        for role in roles
    ]
    policy = AccessPolicy.from_json(
        json.dumps({"kind": "ro.access_policy.v0", "bindings": bindings})
    )
    plane.policies.publish_first(policy, reason="for a test", actor=single_user)
    texts = {actor: token.text for actor, token in issued.items()}
    return texts, {actor: token.token_id for actor, token in issued.items()}


def _write(folder: Path, more: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(SMALL.read_text() + more)
    (folder / "dagster.yaml").write_text(DAGSTER)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    (folder / "noting_coordinator.py").write_text(NOTING)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
