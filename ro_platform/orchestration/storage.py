"""Dagster's own storage, as dagster.yaml names it, with the attempt recorder inside.

Dagster's tables stay a convenience that may be wiped; what happened is in the ledger. The embedded
mode keeps them, the logs and scratch files below ``RO_HOME/dagster``.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg

from ro_platform.config.settings import Settings
from ro_platform.orchestration.dagster_private import (
    ConfigurableClassData,
    DagsterSqliteStorage,
    Field,
    LocalArtifactStorage,
    LocalComputeLogManager,
    SqliteEventLogStorage,
    StringSource,
)
from ro_platform.orchestration.recorder import AttemptRecorder
from ro_platform.plane import Plane, shared_plane


def _plane() -> Plane:
    return shared_plane(Settings.load())


@contextmanager
def _one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Hold other processes off. A process that dies lets go."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class RecordingSqliteEventLog(SqliteEventLogStorage):
    """Stores an event as Dagster does, then records what it means for attempts."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._recorder = AttemptRecorder(_plane)

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add those that are not there. Dagster looks and then inserts: one process at a time."""
        with _one_process_at_a_time(Path(self._base_dir)):
            super().add_dynamic_partitions(partitions_def_name, partition_keys)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store and record one event. Raises if either cannot be done."""
        super().store_event(event)
        self._recorder.observe(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store and record events in their order."""
        for event in events:
            self.store_event(event)


class _BelowHome:
    """A part of the Dagster instance that keeps its files below ``RO_HOME`` unless told otherwise.

    It stands before Dagster's own class in each class below, whose constructor takes a folder.
    """

    folder: ClassVar[str] = ""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir`` may be left out of dagster.yaml."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        """Called by Dagster with what dagster.yaml says."""
        configured = config_value.get("base_dir")
        base = Path(configured) if configured else Settings.load().dagster_state
        base.mkdir(parents=True, exist_ok=True)
        build: Callable[..., Any] = cls
        with _one_process_at_a_time(base):  # Dagster creates its tables without a lock
            return build(str(base / cls.folder), inst_data=inst_data)


class RecordingSqliteStorage(_BelowHome, DagsterSqliteStorage):
    """``storage: {custom: ...}``: Dagster's SQLite storage, recording attempts."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = RecordingSqliteEventLog(self._event_log_storage._base_dir)


class HomeComputeLogManager(_BelowHome, LocalComputeLogManager):
    """``compute_logs``: the output of steps."""

    folder = "compute_logs"


class HomeArtifactStorage(_BelowHome, LocalArtifactStorage):
    """``local_artifact_storage``: Dagster's scratch files.

    Governed assets never use it: their bytes are in the artifact store.
    """
