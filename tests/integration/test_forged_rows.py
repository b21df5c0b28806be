"""Rows written by SQL into Dagster's run storage, SQLite's and PostgreSQL's: no step of them runs.

A worker is started for a row as Dagster's launcher does, with the token of whoever; and the
launcher itself is told to launch it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._grpc.types import ExecuteRunArgs

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind, Role
from ro_platform.dagster_private.launches import LaunchRunContext
from ro_platform.plane import Plane, shared_plane
from tests.acceptance.product import Deployment, small_deployment, small_manifest
from tests.integration.people import published_roles
from tests.servers import postgres_server

ALICE, DAEMON = "HUMAN::alice", "SYSTEM::dagster-daemon"
COPIED = "00000000-0000-4000-8000-000000000001"
BARE = "00000000-0000-4000-8000-000000000002"
QUEUED = "00000000-0000-4000-8000-000000000003"
_Status = dg.DagsterRunStatus
_COLUMNS = "snapshot_id, pipeline_name, mode, create_timestamp, update_timestamp"
INSERT = (
    f"INSERT INTO runs (run_id, status, run_body, {_COLUMNS}) "
    "SELECT '{new}', '{status}', "
    "replace(replace(replace(run_body, run_id, '{new}'), '\"QUEUED\"', '\"{status}\"'), "
    f"'{{old}}', '{{by}}'), {_COLUMNS} FROM runs WHERE run_id = '{{run_id}}'"
)


@dataclass(frozen=True)
class Forged:
    """A deployment with forged rows beside alice's genuine one."""

    small: Deployment
    settings: Settings
    tokens: dict[str, str]
    genuine: dg.DagsterRun

    @contextmanager
    def process_of(self, holder: str) -> Iterator[tuple[Plane, dg.DagsterInstance]]:
        """Its plane and its Dagster, as a process with that token sees them."""
        token = self.tokens[holder]
        with (
            settings_in_force(replace(self.settings, token=token)) as settings,
            dg.DagsterInstance.from_config(str(self.small.root)) as instance,
        ):
            yield shared_plane(settings), instance


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def forged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Forged]:
    """Three rows: a copy with alice's tags to be executed, one whose tags are another's, and one
    that is queued."""
    folder = tmp_path_factory.mktemp(f"forged-{request.param}")
    small = small_deployment(folder)
    if request.param == "sqlite":
        yield _forged(small, folder, _sqlite(small))
        return
    with postgres_server() as server:
        server.execute("CREATE DATABASE dagster")
        url = server.url("dagster")
        yield _forged(
            small.with_environment(RO_DAGSTER_URL=url),
            folder,
            lambda statement: server.execute(statement, database="dagster"),
        )


def _sqlite(small: Deployment) -> Callable[[str], object]:
    def execute(statement: str) -> None:
        (database,) = (small.home / "dagster").rglob("runs.db")
        with closing(sqlite3.connect(database)) as connection, connection:
            assert connection.execute(statement).rowcount == 1

    return execute


def _forged(small: Deployment, folder: Path, execute: Callable[[str], object]) -> Forged:
    environment = {
        "RO_ROOT": str(small.root),
        "RO_HOME": str(small.home),
        **small.environment,
    }
    settings = Settings.load(environment, cwd=small.root)
    with settings_in_force(settings):
        tokens = _policy(shared_plane(settings))
    alice = small.with_environment(RO_TOKEN=tokens[ALICE])
    registered = alice.ro("manifest", "register", small_manifest(folder), "--json")
    assert registered.code == 0, registered.err
    tags = f'{{"dagster/partition": "{registered.json()["manifest_fingerprint"]}"}}'
    launched = alice.dagster(
        "job", "launch", "-w", "workspace.yaml", "-j", "adding", "--tags", tags
    )
    assert launched.code == 0, launched.err
    with settings_in_force(settings), dg.DagsterInstance.from_config(str(small.root)) as instance:
        (genuine,) = instance.get_runs()
        for new, status, old, by in (
            (COPIED, "NOT_STARTED", "no such words", ""),
            (BARE, "NOT_STARTED", ALICE, DAEMON),
            (QUEUED, "QUEUED", "no such words", ""),
        ):
            execute(INSERT.format(new=new, status=status, run_id=genuine.run_id, old=old, by=by))
        assert instance.get_runs_count() == 4
    return Forged(small, settings, tokens, genuine)


def _policy(plane: Plane) -> dict[str, str]:
    roles = {
        "HUMAN::boss": Role.ADMIN,
        "HUMAN::second": Role.APPROVER,
        ALICE: Role.OPERATOR,
        DAEMON: Role.OPERATOR,
    }
    return published_roles(plane, roles)


@pytest.mark.parametrize("row", [COPIED, BARE])
def test_a_worker_computes_nothing_of_a_forged_row(forged: Forged, row: str) -> None:
    """Not even one that has the daemon's token: the run fails at its first step, on record."""
    with forged.process_of(DAEMON) as (plane, instance):
        assert forged.genuine.job_code_origin is not None
        asked = dg.serialize_value(
            ExecuteRunArgs(forged.genuine.job_code_origin, row, instance.get_ref())
        )
        held = forged.small.with_environment(RO_TOKEN=forged.tokens[DAEMON])
        answer = held.dagster("api", "execute_run", asked)
        run = instance.get_run_by_id(row)
        assert run is not None
        assert run.status is _Status.FAILURE, answer.err[-3000:]
        assert "RO_GRANT_REFUSED" in answer.out + answer.err
        assert _refusals(plane, row) == ["RO_GRANT_REFUSED"]
        _nothing_was_made(forged, plane, row)


def test_the_launcher_starts_no_worker_for_a_queued_row(forged: Forged) -> None:
    """What the daemon takes out of the queue is cancelled instead, on record."""
    with forged.process_of(DAEMON) as (plane, instance):
        run = instance.get_run_by_id(QUEUED)
        assert run is not None
        instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
        ended = instance.get_run_by_id(QUEUED)
        assert ended is not None
        assert (ended.status, ended.tags["ro/refused"]) == (_Status.CANCELED, "RO_GRANT_REFUSED")
        assert _refusals(plane, QUEUED) == ["RO_GRANT_REFUSED"]
        _nothing_was_made(forged, plane, QUEUED)


def test_the_genuine_one_is_executed(forged: Forged) -> None:
    """Its worker needs no token: the grant that it was launched on is its own."""
    with forged.process_of(DAEMON) as (plane, instance):
        run = instance.get_run_by_id(forged.genuine.run_id)
        assert run is not None
        assert run.job_code_origin is not None
        instance.handle_run_event(
            run.run_id,
            dg.DagsterEvent(event_type_value="PIPELINE_STARTING", job_name=run.job_name),
            plane.clock(),
        )
        args = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref())
        answer = forged.small.dagster("api", "execute_run", dg.serialize_value(args))
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status is _Status.SUCCESS, answer.err[-3000:]


def _refusals(plane: Plane, row: str) -> list[str]:
    return [
        str(entry.body["code"])
        for entry in plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
        if entry.body["source"] == f"dagster_run/{row}"
    ]


def _nothing_was_made(forged: Forged, plane: Plane, row: str) -> None:
    assert plane.attempts.of_dagster_run(row) == {}
    fingerprint = forged.genuine.tags["dagster/partition"]
    assert plane.store.binding("numbers", fingerprint) is None
