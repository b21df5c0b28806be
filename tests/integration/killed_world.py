"""Administration on disk, for processes that are killed: SQLite, a store in a folder, and an
orchestrator that keeps in files what it was told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ro_platform.admin.administration import Administration
from ro_platform.admin.orchestrator import ReplayLaunch, RunUnderWay
from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType, AdminEvent, AdminRequest, EntryKind
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from tests.unit.admin_world import ADMIN, CASES, OPS, AdminWorld, people
from tests.unit.small_world import SmallWorld

RUN = RunUnderWay("run-1", "w", ("source",), OPS, True)


@dataclass(frozen=True)
class FiledOrchestrator:
    """One run under way. Each cancellation and each launch is a file, made once."""

    folder: Path

    def running(self) -> Sequence[RunUnderWay]:
        """The run, until it is cancelled."""
        return [] if (self.folder / f"canceled-{RUN.dagster_run_id}").exists() else [RUN]

    def cancel(self, dagster_run_id: str, words: str) -> None:
        """See :class:`Orchestrator`."""
        self._file(f"canceled-{dagster_run_id}", words)

    def launched(self, replay_id: str) -> str | None:
        """See :class:`Orchestrator`."""
        is_there = (self.folder / f"launched-{replay_id}").exists()
        return f"backfill-{replay_id[:8]}" if is_there else None

    def launch_replay(self, launch: ReplayLaunch) -> str:
        """See :class:`Orchestrator`."""
        self._file(f"launched-{launch.replay_id}", " ".join(launch.fingerprints))
        return f"backfill-{launch.replay_id[:8]}"

    def done(self) -> list[str]:
        """What it did."""
        return sorted(path.name for path in self.folder.iterdir())

    def _file(self, name: str, words: str) -> None:
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            made = os.open(str(self.folder / name), flags)
        except FileExistsError:
            return
        os.write(made, words.encode())
        os.close(made)


class WorldOnDisk(AdminWorld):
    """The world of the administration's unit tests, made once in a folder."""

    def __init__(self, home: Path) -> None:
        settings = settings_at(home)
        plane = Plane.open(settings)
        SmallWorld.__init__(self, plane=plane)
        self.made_one = self.made("source")
        self.made_two = self.made("report", self.made_one)
        plane.tokens.issue(ADMIN, lifetime=timedelta(days=1), reason="a test", actor=settings.actor)
        plane.policies.publish_first(people(), reason="a test", actor=settings.actor)
        (home / "orchestrator").mkdir()

    def requests(self) -> dict[AdminActionType, AdminRequest]:
        """Every action, as somebody who may would ask for it."""
        return {kind: ask(self) for kind, (ask, _) in CASES.items()}


def settings_at(home: Path) -> Settings:
    """Those of the plane in that folder."""
    return Settings.load({"RO_ROOT": str(home), "RO_HOME": str(home)}, cwd=home)


@contextmanager
def administration_at(home: Path) -> Iterator[Administration]:
    """Opened anew, as a process opens it that has just begun."""
    plane = Plane.open(settings_at(home))
    try:
        yield plane.administration.over(FiledOrchestrator(home / "orchestrator"))
    finally:
        plane.ledger.close()


def facts(home: Path) -> dict[str, Any]:
    """What is so: whatever any of the actions can change, without times and places."""
    with administration_at(home) as administration:
        dependencies = administration.dependencies
        versions = [item.version for item in dependencies.configs.list()]
        return {
            "paused": [(item.target, item.draining) for item in administration.pauses.standing()],
            "channels": [(item.name, item.digest) for item in administration.channels.all()],
            "retention": administration.retentions.standing(),
            "configs": [(item.config_name, item.digest) for item in versions],
            "revoked": _count(administration, EntryKind.PASS_REVOKED),
            "blocked": _count(administration, EntryKind.ARTIFACT_BLOCKED),
            "erased": _count(administration, EntryKind.ARTIFACT_ERASED),
            "orchestrated": FiledOrchestrator(home / "orchestrator").done(),
            "blobs": sum(1 for path in home.glob("store/blobs/**/*") if path.is_file()),
        }


def events(administration: Administration, *results: str) -> list[AdminEvent]:
    """The service's own events with one of these results, oldest first."""
    found = [
        body_of(entry, AdminEvent)
        for entry in administration.dependencies.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    ]
    return [event for event in found if event.key and event.result in results]


def _count(administration: Administration, kind: EntryKind) -> int:
    return sum(1 for _ in administration.dependencies.ledger.scan(kind=kind))
