"""Grants and pauses under a real daemon: attackers in Dagster's database, and restarts.

One story, told once by the fixture. Under a policy and while the workload is paused: alice's launch
and her replay wait in the queue, beside rows that nobody launched. The daemon runs, is killed with
-9, and runs again; then the pause ends.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import (
    AdminActionType,
    AdminRequest,
    EntryKind,
    Role,
)
from ro_platform.orchestration.launches import ACTOR, GRANT
from ro_platform.orchestration.operations import DagsterOperations, ReplayProof
from ro_platform.orchestration.storage_recording import RecordingRuns
from ro_platform.plane import Plane, shared_plane
from tests.acceptance.product import Answer, Deployment, small_deployment, small_manifest, stop
from tests.integration.people import published_roles

PATIENCE_SECONDS = 120
BOSS, SECOND = "HUMAN::boss", "HUMAN::second"
ALICE, DAEMON = "HUMAN::alice", "SYSTEM::dagster-daemon"
_Status = dg.DagsterRunStatus


@dataclass(frozen=True)
class Story:
    """What came of it: the runs by name, answers of commands, and the looks in between."""

    plane: Plane
    runs: dict[str, dg.DagsterRun]
    answers: dict[str, Answer]
    fingerprints: dict[str, str]
    while_paused: dict[str, _Status]
    after_kill: dict[str, _Status]
    pauses_after_kill: list[str]
    proofs: list[ReplayProof]
    log: str

    def refused(self, run: str) -> str:
        """The code under which the launch of a run is on record as refused."""
        source = f"dagster_run/{self.runs[run].run_id}"
        found = [
            entry.body["code"]
            for entry in self.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
            if entry.body["source"] == source
        ]
        assert len(found) == 1
        return str(found[0])

    def started(self, run: str) -> int:
        """How many steps of a run ever began."""
        steps = self.plane.attempts.of_dagster_run(self.runs[run].run_id).values()
        waiting = ("QUEUED", "REFUSED", "CANCELED")
        return len([item for step in steps for item in step if item.status not in waiting])


def _until(what: Callable[[], Any], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.3)


def _found(plane: Plane) -> dict[str, str]:
    """A policy with an admin, a second person, alice and the daemon; each one's token."""
    roles = {BOSS: Role.ADMIN, SECOND: Role.APPROVER, ALICE: Role.OPERATOR, DAEMON: Role.OPERATOR}
    return published_roles(plane, roles)


def _perform(plane: Plane, kind: AdminActionType, **parameters: Any) -> Any:
    request = AdminRequest(action_type=kind, reason="a test", parameters=parameters)
    return plane.admin.perform(request, actor=ALICE, key=plane.admin.key_for(request))


class _Attacker:
    """Whoever can write into Dagster's database."""

    def __init__(self, instance: dg.DagsterInstance, genuine: dg.DagsterRun, state: Path) -> None:
        self._instance, self._genuine, self._state = instance, genuine, state

    def row(self, **tags: str) -> dg.DagsterRun:
        """A QUEUED run like alice's, under these tags."""
        own = {"dagster/partition": self._genuine.tags["dagster/partition"], **tags}
        run = self._like(own)
        past_ours: Any = super(RecordingRuns, self._instance.run_storage)
        past_ours.add_run(run)
        return run

    def edited(self, old: str, new: str) -> dg.DagsterRun:
        """A run that alice did launch, whose row is changed while it waits."""
        run = self._instance.run_storage.add_run(self._like(dict(self._genuine.tags)))
        (database,) = self._state.rglob("runs.db")
        with closing(sqlite3.connect(database)) as connection, connection:
            changed = connection.execute(
                "UPDATE runs SET run_body = replace(run_body, ?, ?) WHERE run_id = ?",
                (old, new, run.run_id),
            ).rowcount
        assert changed == 1
        return run

    def _like(self, tags: dict[str, str]) -> dg.DagsterRun:
        own = ("run_config", "remote_job_origin", "job_code_origin", "job_snapshot_id")
        facts = {name: getattr(self._genuine, name) for name in own}
        return dg.DagsterRun(
            job_name=self._genuine.job_name,
            execution_plan_snapshot_id=self._genuine.execution_plan_snapshot_id,
            status=_Status.QUEUED,
            tags=tags,
            **facts,
        )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Told to its end."""
    folder = tmp_path_factory.mktemp("grants")
    small = small_deployment(folder)
    settings = Settings.load(
        {"RO_ROOT": str(small.root), "RO_HOME": str(small.home)}, cwd=small.root
    )
    with settings_in_force(settings):
        plane = shared_plane(settings)
        tokens = _found(plane)
        alice = small.with_environment(RO_TOKEN=tokens[ALICE])
        fingerprints, answers = _before_the_daemon(small, alice, folder)
    with (
        settings_in_force(replace(settings, token=tokens[ALICE])) as hers,
        dg.DagsterInstance.from_config(str(small.root)) as instance,
    ):
        plane = shared_plane(hers)
        (genuine,) = instance.get_runs(dg.RunsFilter(statuses=[_Status.QUEUED]))
        attacker = _Attacker(instance, genuine, hers.dagster_state)
        runs = {
            "alice's": genuine,
            "copied": attacker.row(**{key: genuine.tags[key] for key in (ACTOR, GRANT)}),
            "without": attacker.row(),
            "edited": attacker.edited(
                f'"dagster/partition": "{fingerprints["launched"]}"',
                f'"dagster/partition": "{fingerprints["replayed"]}"',
            ),
        }
        _perform(plane, AdminActionType.PAUSE, target="workload/adding")
        operations = DagsterOperations(hers, plane, instance)
        service = plane.administration.over(operations).service
        asked = AdminRequest(
            action_type=AdminActionType.REPLAY_REQUEST,
            reason="a test",
            parameters={
                "manifests": [fingerprints["replayed"]],
                "purpose": "to prove it",
                "basis": "recorded",
            },
        )
        replay = service.perform(asked, actor=ALICE, key="replay").event_id
        assert replay is not None
        yield _with_the_daemon(
            small.with_environment(RO_TOKEN=tokens[DAEMON]),
            Story(plane, runs, answers, fingerprints, {}, {}, [], [], ""),
            operations,
            instance,
            replay,
            folder / "log",
        )


def _before_the_daemon(
    small: Deployment, alice: Deployment, folder: Path
) -> tuple[dict[str, str], dict[str, Answer]]:
    """`ro run` of one manifest by alice; launches of another by nobody, and by her."""
    ran = alice.ro("run", small_manifest(folder, count=2), "--json")
    assert ran.code == 0, ran.err
    fingerprints = {"replayed": str(ran.json()["manifest_fingerprint"])}
    registered = alice.ro("manifest", "register", small_manifest(folder, count=3), "--json")
    assert registered.code == 0, registered.err
    fingerprints["launched"] = str(registered.json()["manifest_fingerprint"])
    tag = f'{{"dagster/partition": "{fingerprints["launched"]}"}}'
    launch = ("job", "launch", "-w", "workspace.yaml", "-j", "adding", "--tags", tag)
    by_hand = ("asset", "materialize", "--select", "*", "-m", "definitions")
    partition = ("--partition", fingerprints["launched"])
    with ThreadPoolExecutor(3) as pool:
        asked = {
            "nobody launches": pool.submit(small.dagster, *launch),
            "nobody materializes": pool.submit(small.dagster, *by_hand, *partition),
            "alice launches": pool.submit(alice.dagster, *launch),
        }
        return fingerprints, {name: answer.result() for name, answer in asked.items()}


def _with_the_daemon(
    small: Deployment,
    story: Story,
    operations: DagsterOperations,
    instance: dg.DagsterInstance,
    replay: str,
    log: Path,
) -> Story:
    def statuses() -> dict[str, _Status]:
        found = {name: instance.get_run_by_id(run.run_id) for name, run in story.runs.items()}
        return {name: run.status for name, run in found.items() if run is not None}

    def replayed() -> dg.DagsterRun | None:
        found = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": replay}))
        return found[0] if found else None

    daemon = small.start("dagster-daemon", "run", "-w", "workspace.yaml", log=log)
    try:
        # Rows without the tag of a workload leave the queue at once; the edited one is held with
        # what is genuine.
        _until(lambda: statuses()["without"] is _Status.CANCELED, log)
        _until(lambda: statuses()["copied"] is _Status.CANCELED, log)
        _until(lambda: (run := replayed()) is not None and run.status is _Status.QUEUED, log)
        waiting = replayed()
        assert waiting is not None
        story.runs["replay"] = waiting
        story.while_paused.update(statuses())
    finally:
        daemon.kill()
        stop(daemon)
    daemon = small.start("dagster-daemon", "run", "-w", "workspace.yaml", log=log)
    try:
        beats = log.read_text().count("Dagster daemon")
        _until(lambda: log.read_text().count("Dagster daemon") >= beats, log)
        time.sleep(6)  # more than one look at the queue
        story.after_kill.update(statuses())
        story.pauses_after_kill.extend(pause.target for pause in story.plane.pauses.standing())
        _perform(story.plane, AdminActionType.RESUME, target="workload/adding")
        _until(lambda: all(status.name in _ENDED for status in statuses().values()), log)
    finally:
        stop(daemon)
    for name, run in list(story.runs.items()):
        story.runs[name] = instance.get_run_by_id(run.run_id) or run
    story.proofs.extend(operations.proofs(replay))
    return replace(story, log=log.read_text())


_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def test_who_has_no_token_starts_nothing(story: Story) -> None:
    """`dagster job launch` ends CANCELED, `dagster asset materialize` fails; both say why, both are
    recorded, and nothing was computed by either."""
    launched = story.answers["nobody launches"]
    assert "RO_NOT_AUTHENTICATED" in story.answers["nobody materializes"].err
    assert story.answers["nobody materializes"].code != 0
    assert story.answers["alice launches"].code == 0
    codes = [e.body["code"] for e in story.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)]
    assert codes.count("RO_NOT_AUTHENTICATED") == 2, launched.err


@pytest.mark.parametrize("row", ["copied", "without", "edited"])
def test_a_row_in_the_database_starts_nothing(story: Story, row: str) -> None:
    """A copied grant, none, and a row changed while it waited: CANCELED by the daemon, with the
    words, before a worker is started; on record."""
    assert story.runs[row].status is _Status.CANCELED
    assert story.refused(row) in ("RO_GRANT_REFUSED", "RO_NOT_AUTHENTICATED")
    assert story.runs[row].tags["ro/refused"] == story.refused(row)
    assert story.started(row) == 0


@pytest.mark.parametrize("run", ["alice's", "replay"])
def test_what_waits_goes_on_after_the_pause(story: Story, run: str) -> None:
    """It is queued while the pause stands, also after the daemon was killed and started again, and
    succeeds afterwards, in alice's name."""
    assert story.while_paused["alice's"] is _Status.QUEUED
    assert story.after_kill[run] is _Status.QUEUED
    assert story.pauses_after_kill == ["workload/adding"]
    assert story.runs[run].status is _Status.SUCCESS, story.log[-6000:]
    assert story.runs[run].tags[ACTOR] == ALICE
    assert story.started(run) == 4


def test_the_replay_proves_identical_bytes(story: Story) -> None:
    """Everything was made again, and is what was recorded."""
    (proof,) = story.proofs
    assert proof.manifest_fingerprint == story.fingerprints["replayed"]
    assert (proof.result, proof.unit) == ("identical", None)
