"""Dagster's own storage, as dagster.yaml names it, with the attempt recorder inside.

Dagster's tables stay a convenience that may be wiped; what happened is in the ledger. The embedded
mode keeps them, the logs and scratch files below ``RO_HOME/dagster``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

_BASE_DIR = {"base_dir": Field(StringSource, is_required=False)}


def _plane() -> Plane:
    return shared_plane(Settings.load())


def _base_dir(configured: str | None) -> str:
    folder = Path(configured) if configured else Settings.load().dagster_state
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


class RecordingSqliteEventLog(SqliteEventLogStorage):
    """Stores an event as Dagster does, then records what it means for attempts."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._recorder = AttemptRecorder(_plane)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store and record one event. Raises if either cannot be done."""
        super().store_event(event)
        self._recorder.observe(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store and record events in their order."""
        for event in events:
            self.store_event(event)


class RecordingSqliteStorage(DagsterSqliteStorage):
    """``storage: {custom: ...}``: Dagster's SQLite storage, recording attempts."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = RecordingSqliteEventLog(self._event_log_storage._base_dir)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir`` may be left out: the embedded default is below ``RO_HOME``."""
        return _BASE_DIR

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "RecordingSqliteStorage":
        """Called by Dagster with what dagster.yaml says."""
        return cls(_base_dir(config_value.get("base_dir")), inst_data)


class HomeComputeLogManager(LocalComputeLogManager):
    """``compute_logs``: the output of steps, kept below ``RO_HOME``."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir`` may be left out."""
        return _BASE_DIR

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "HomeComputeLogManager":
        """Called by Dagster with what dagster.yaml says."""
        base = Path(_base_dir(config_value.get("base_dir"))) / "compute_logs"
        return cls(str(base), inst_data=inst_data)


class HomeArtifactStorage(LocalArtifactStorage):
    """``local_artifact_storage``: Dagster's scratch files, kept below ``RO_HOME``.

    Governed assets never use it: their bytes are in the artifact store.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir`` may be left out."""
        return _BASE_DIR

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "HomeArtifactStorage":
        """Called by Dagster with what dagster.yaml says."""
        return cls(_base_dir(config_value.get("base_dir")), inst_data)
