"""Operators killed with -9 inside Dagster's own tables: one backfill, one end, one outcome.

``cancel_run`` and ``replay_request`` change what is not the plane's: Dagster's runs, events,
partitions and backfills. Each is begun in a process of its own over real storages in SQLite, and
killed before every statement and commit of either database, and after the last. Another process
then reconciles, and asks again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ro_platform.admin.administration import Administration
from ro_platform.admin.intents import admin_request
from ro_platform.contracts import AdminActionType, AdminRequest, JobStatus, JsonObject
from ro_platform.orchestration.operations import DagsterOperations
from ro_platform.testing import ephemeral_plane
from tests.acceptance.product import ROOT
from tests.integration.crash_points.cells import in_child
from tests.integration.crash_points.publication import Pipe
from tests.integration.crash_points.statements import watched_connection
from tests.integration.killed_world import events
from tests.orchestration.launch_world import World

CANCEL, REPLAY = AdminActionType.CANCEL_RUN, AdminActionType.REPLAY_REQUEST
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
Asked = Callable[[Administration, World], object]


@dataclass
class Trap:
    """Counts the writes to both databases, and dies just before one of them."""

    at: int = -1
    crossed: list[str] = field(default_factory=list)
    _uncommitted: bool = False

    def cross(self, what: str) -> None:
        """Before something durable changes."""
        if len(self.crossed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.crossed.append(what)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """From here on this process is watched, for good: it is a forked one."""
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._commit)
        connect = partial(sqlite3.connect, factory=watched_connection(self._ledgers))
        with mock.patch.object(sqlite3, "connect", connect):
            yield

    def _statement(self, *args: Any) -> None:
        sql = str(args[2]).strip()
        if sql.startswith(_WRITES):
            self.cross(f"dagster: {' '.join(sql.split()[:3])}")
            self._uncommitted = True

    def _commit(self, _connection: Any) -> None:
        if self._uncommitted:
            self.cross("dagster: commit")
        self._uncommitted = False

    def _ledgers(self, call: str, _what: str, act: Callable[[], Any], **_: Any) -> Any:
        self.cross(f"ledger: {call}")
        return act()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment with a run that succeeded, and one that waits. Made once, by a process."""
    home = tmp_path_factory.mktemp("operators") / "home"

    def work(_pipe: Pipe) -> None:
        with _deployment(home) as (_, world):
            (home / "workspace.yaml").write_text((ROOT / "workspace.yaml").read_text())
            assert world.execute(world.governed.register()).success
            world.created(world.governed.register(seed=2))

    assert in_child(work)[0] == 0
    return home


def test_killed_at_any_write_a_replay_is_one_backfill(template: Path, tmp_path: Path) -> None:
    """Over the manifest that was planned, whoever completes it; and one outcome that names it."""

    def check(administration: Administration, world: World) -> None:
        (backfill,) = world.instance.get_backfills()
        (done,) = events(administration, "done")
        assert (done.after or {})["backfill_id"] == backfill.backfill_id == done.admin_event_id
        (run,) = (one for one in world.instance.get_runs() if one.is_finished)
        assert list(backfill.partition_names or ()) == [run.tags["dagster/partition"]]

    crossed = _killed_everywhere(template, tmp_path, _replay, check)
    assert {"dagster: INSERT INTO bulk_actions", "dagster: commit"} <= set(crossed)


def test_killed_at_any_write_a_cancelled_run_ends_once(template: Path, tmp_path: Path) -> None:
    """In Dagster, in the one attempt of each of its steps, and in one outcome; Dagster's own log
    may say it again, where the kill was between its event and its row."""

    def check(administration: Administration, world: World) -> None:
        assert len(events(administration, "done")) == 1
        (run,) = (one for one in world.instance.get_runs() if not one.is_success)
        assert run.status is dg.DagsterRunStatus.CANCELED
        steps = world.plane.attempts.of_dagster_run(run.run_id).values()
        assert {tuple(item.status for item in step) for step in steps} == {(JobStatus.CANCELED,)}

    crossed = _killed_everywhere(template, tmp_path, _cancel, check)
    assert {"dagster: UPDATE runs SET", "dagster: INSERT INTO event_logs"} <= set(crossed)


def _replay(administration: Administration, _world: World) -> object:
    asked: JsonObject = {"workload": "test", "purpose": "an audit", "basis": "recorded"}
    return _perform(administration, admin_request(REPLAY, reason="why", parameters=asked))


def _cancel(administration: Administration, world: World) -> object:
    (run,) = (one for one in world.instance.get_runs() if not one.is_success)
    if run.is_finished and not events(administration, "intended"):
        raise AssertionError("it was cancelled, and nobody is on record who did")
    asked: JsonObject = {"dagster_run_id": run.run_id}
    request = admin_request(CANCEL, reason="why", parameters=asked)
    return _perform(administration, request)


def _perform(administration: Administration, request: AdminRequest) -> object:
    actor = administration.dependencies.access.single_user
    return administration.service.perform(request, actor=actor, key="k")


def _killed_everywhere(
    template: Path, folder: Path, act: Asked, check: Callable[[Administration, World], None]
) -> list[str]:
    """Kill a copy at each of its writes, and check it in another process; what they are."""
    trap = Trap()
    said = _in_copy(template, folder / "undisturbed", act, trap)
    assert said is not None
    for number in range(len(said) + 1):
        copy = folder / f"{number}"
        assert (_in_copy(template, copy, act, Trap(number)) is None) == (number < len(said))

        def work(_pipe: Pipe, copy: Path = copy) -> None:
            with _deployment(copy) as (administration, world):
                _reconciled(administration)
                act(administration, world)
                _reconciled(administration)
                check(administration, world)
                administration.dependencies.ledger.verify()

        assert in_child(work)[0] == 0, f"killed at {number}: {said[number:][:1]}"
        shutil.rmtree(copy)
    return said


def _in_copy(template: Path, copy: Path, act: Asked, trap: Trap) -> list[str] | None:
    """Do it in a process over a copy; the writes that it crossed, or None if it was killed."""
    shutil.copytree(template, copy)

    def work(pipe: Pipe) -> None:
        with _deployment(copy) as (administration, world), trap.armed():
            act(administration, world)
            pipe.say(crossed=trap.crossed)

    code, said = in_child(work)
    assert code in (0, -signal.SIGKILL)
    return list(said.last("crossed")) if code == 0 else None


def _reconciled(administration: Administration) -> None:
    actor = administration.dependencies.access.single_user
    assert [item.error for item in administration.reconcile(actor=actor) if item.error] == []
    assert list(administration.reconcile(actor=actor)) == []


@contextmanager
def _deployment(home: Path) -> Iterator[tuple[Administration, World]]:
    with ephemeral_plane(home) as governed:
        operations = DagsterOperations(governed.settings, governed.plane, governed.instance)
        yield governed.plane.administration.over(operations), World(governed)
