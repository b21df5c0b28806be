"""One deployment, served by the gateway, with everybody's tokens; and what is looked at before and
after each attempt: the ledger, the store, and every table of Dagster."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import AdminEvent, BoundRef, EntryKind, LedgerEntry, RunManifest
from ro_platform.contracts.access import AccessRefused
from ro_platform.contracts.manifest import CodeRef
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.kernel.signing import create_key_file
from ro_platform.ledger.entry import body_of
from ro_platform.orchestration.instances import Instance, open_instance
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.web.operations.routes import operations
from ro_platform.web.serving import OpenGateway, gateway
from tests.acceptance.product import ROOT
from tests.acceptance.who_may.people import ENVIRONMENT, HANDS, PEOPLE, WORKLOAD, policy
from tests.integration.web_world import free_port, running
from tests.unit.small_world import SmallWorld

HERE = Path(__file__).parent
WORKSPACE = """
load_from:
  - python_file: {relative_path: definitions.py, location_name: small}
"""
_BESIDE_TABLES = (".db-wal", ".db-shm", ".db-journal", ".lock", ".pyc")


class Making(SmallWorld):
    """Makes artifacts of the workload, past Dagster."""

    def register(self, version: str) -> str:
        """A manifest of the workload."""
        manifest = RunManifest(
            kind="ro.run_manifest.v0", workload=WORKLOAD, code=CodeRef(version=version)
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor="SYSTEM::test")
        return file.fingerprint


@dataclass
class World:
    """The deployment. ``tokens`` are by actor; ``refusals`` say who was refused what."""

    settings: Settings
    plane: Plane
    opened: OpenGateway
    instance: Instance
    port: int
    tokens: Mapping[str, str]
    fingerprint: str
    making: Making
    numbers: Iterator[int]
    dumps: dict[Path, tuple[int, str]] = field(default_factory=dict)
    digests: dict[Path, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    refusals: set[tuple[str | None, str]] = field(default_factory=set)
    watched: dict[Path, sqlite3.Connection] = field(default_factory=dict)

    @cached_property
    def client(self) -> httpx.Client:
        """A client without a token of its own."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def graphql(self, actor: str, query: str, variables: Mapping[str, Any]) -> httpx.Response:
        """One request of somebody's."""
        headers = {"Authorization": f"Bearer {self.tokens[actor]}"}
        body = {"query": query, "variables": dict(variables)}
        return self.client.post("/graphql", json=body, headers=headers)

    def form(self, actor: str, address: str, fields: Mapping[str, str]) -> httpx.Response:
        """A form of the operations pages, sent by somebody."""
        headers = {"Authorization": f"Bearer {self.tokens[actor]}"}
        return self.client.post(f"/operations{address}", data=dict(fields), headers=headers)

    def ro(self, actor: str, *words: str) -> tuple[int, Any]:
        """A command of somebody's with their token: its exit code, and what it says as JSON."""
        own = replace(self.settings, token=self.tokens[actor])
        with settings_in_force(own):
            answer = CliRunner().invoke(ro, [*words, "--json"])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.output
        return answer.exit_code, json.loads(answer.stdout)

    def new_artifact(self) -> BoundRef:
        """Bytes of the workload with a PASS, which nobody did anything about yet."""
        return self.making.made(f"thing{next(self.numbers)}")

    def recorded(self, start: int) -> list[LedgerEntry]:
        """What came onto the ledger since it had that size."""
        return list(self.plane.ledger.scan(start=start))

    def state(self) -> dict[str, str]:
        """Everything that a refusal must leave alone: the bytes of every file of the deployment,
        and of its databases what is in them; but not the ledger, which is read by entries."""
        found = {}
        for path in self.settings.root.rglob("*"):
            if path.suffix == ".db":
                found[str(path)] = self._dumped(path)
            elif not path.name.startswith("ledger.sqlite") and path.suffix not in _BESIDE_TABLES:
                about = path.stat()
                if S_ISREG(about.st_mode):
                    found[str(path)] = self._digest(path, about)
        return found

    def _digest(self, path: Path, about: os.stat_result) -> str:
        """A digest of a file's bytes; computed again only when the file was changed in any way."""
        changed = (about.st_ino, about.st_size, about.st_ctime_ns)
        if self.digests.get(path, ((), ""))[0] != changed:
            self.digests[path] = (changed, sha256(path.read_bytes()).hexdigest())
        return self.digests[path][1]

    def _dumped(self, path: Path) -> str:
        """A digest of a database's content; computed again only when somebody wrote to it."""
        if path not in self.watched:
            uri = f"file:{path}?mode=ro"
            self.watched[path] = sqlite3.connect(uri, uri=True, isolation_level=None)
        watched = self.watched[path]
        (version,) = watched.execute("PRAGMA data_version").fetchone()
        if self.dumps.get(path, (None, ""))[0] != version:
            text = "\n".join(watched.iterdump())
            self.dumps[path] = (version, sha256(text.encode()).hexdigest())
        return self.dumps[path][1]


def refusal_in(entry: LedgerEntry) -> tuple[str | None, str]:
    """Who was refused what, as that entry says, which records nothing else."""
    if entry.kind is EntryKind.ACCESS_REFUSED:
        body = body_of(entry, AccessRefused)
        return body.actor, body.operation
    assert entry.kind is EntryKind.ADMIN_EVENT, entry
    event = body_of(entry, AdminEvent)
    assert event.result == "refused", entry
    return event.actor, event.action_type.value


@contextmanager
def served_world(folder: Path) -> Iterator[World]:
    """The deployment in a folder, served until the block ends."""
    port = free_port()
    shutil.copy(HERE / "definitions.py", folder)
    shutil.copy(ROOT / "dagster.yaml", folder)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    environment = {
        "RO_ROOT": str(folder),
        "RO_HOME": str(folder / ".ro"),
        "RO_UI_URL": f"http://127.0.0.1:{port}",
        "RO_ENVIRONMENT": ENVIRONMENT,
        "RO_TOKEN": "",
        "DAGSTER_HOME": str(folder),
    }
    settings = Settings.load(environment, cwd=folder)
    with pytest.MonkeyPatch.context() as patched, settings_in_force(settings):
        for name, value in environment.items():
            patched.setenv(name, value)
        yield from _served(settings, port)


def _served(settings: Settings, port: int) -> Iterator[World]:
    plane = shared_plane(settings)
    with (
        open_instance(settings) as instance,
        gateway(settings, port=port, instance=instance, operations=operations) as opened,
        running(opened, port),
    ):
        making = Making(plane=plane)
        manifest = plane.runs.manifest(making.fingerprint)
        file = ManifestFile(manifest, making.fingerprint, folder=settings.root)
        register_manifest(plane, instance, file, workloads=[WORKLOAD], actor=settings.actor)
        tokens = _everybody(plane, settings.actor)
        world = World(
            settings=settings,
            plane=plane,
            opened=opened,
            instance=instance,
            port=port,
            tokens=tokens,
            fingerprint=making.fingerprint,
            making=making,
            numbers=iter(range(10_000)),
        )
        world.new_artifact()
        create_key_file(settings.signing_key, settings.ledger_origin)
        yield world
        for connection in world.watched.values():
            with closing(connection):
                pass


def _everybody(plane: Plane, user: str) -> dict[str, str]:
    content = policy()
    actors = dict.fromkeys([*(binding.actor for binding in content.bindings), HANDS])
    assert {one.actor for one in PEOPLE} <= actors.keys()
    tokens = {
        actor: plane.tokens.issue(
            actor, lifetime=timedelta(days=1), reason="a test", actor=user
        ).text
        for actor in actors
    }
    plane.policies.publish_first(content, reason="a test", actor=user)
    return tokens
