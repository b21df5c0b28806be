"""Dagster's own storage, as dagster.yaml names it, with the attempt recorder inside.

Dagster's tables stay a convenience that may be wiped; what happened is in the ledger. They are in
the PostgreSQL database that ``RO_DAGSTER_URL`` names; without it, in SQLite files below
``RO_HOME/dagster``, where logs and scratch files always are.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.dagster_private.launches import (
    SqliteRunStorage,
    runs_folder,
)
from ro_platform.dagster_private.running import (
    ConfigurableClassData,
    DagsterSqliteStorage,
    Field,
    LocalArtifactStorage,
    LocalComputeLogManager,
    SqliteEventLogStorage,
    StringSource,
    events_folder,
    exchange_parts,
)
from ro_platform.orchestration.storage_recording import RecordingEventLog, RecordingRuns


@contextmanager
def _one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Hold other processes off. A process that dies lets go."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class RecordingSqliteRuns(RecordingRuns, SqliteRunStorage):
    """Dagster's, in its own folder."""


class RecordingSqliteEventLog(RecordingEventLog, SqliteEventLogStorage):
    """Dagster's, in which processes add partitions one at a time."""

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add those that are not there. Dagster looks and then inserts: one process at a time."""
        with _one_process_at_a_time(events_folder(self)):
            super().add_dynamic_partitions(partitions_def_name, partition_keys)


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
    """Dagster's SQLite storage, recording attempts."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        exchange_parts(
            self,
            runs=RecordingSqliteRuns.from_local(runs_folder(base_dir)),
            events=RecordingSqliteEventLog(str(events_folder(self.event_log_storage))),
        )

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        """Called by Dagster. Raises :class:`SettingsError` if ``RO_DAGSTER_URL`` says otherwise."""
        if Settings.load().dagster_url:
            raise errors.SettingsError(
                "RO_DAGSTER_URL names a database, and dagster.yaml a folder for the same storage.",
                next_step="Name the class RecordingStorage without base_dir in dagster.yaml, or "
                "unset RO_DAGSTER_URL.",
            )
        return super().from_config_value(inst_data, config_value)


class RecordingStorage(RecordingSqliteStorage):
    """What dagster.yaml names: the storage that the settings choose, recording attempts."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        """Called by Dagster: PostgreSQL if ``RO_DAGSTER_URL`` is set, else SQLite."""
        url = Settings.load().dagster_url
        if not url or config_value.get("base_dir"):
            return super().from_config_value(inst_data, config_value)
        # Imported where it is used: only a deployment with such a database needs its driver.
        from ro_platform.orchestration.storage_postgres import RecordingPostgresStorage

        return RecordingPostgresStorage(url, inst_data=inst_data)


class HomeComputeLogManager(_BelowHome, LocalComputeLogManager):
    """``compute_logs``: the output of steps."""

    folder = "compute_logs"


class HomeArtifactStorage(_BelowHome, LocalArtifactStorage):
    """``local_artifact_storage``: Dagster's scratch files.

    Governed assets never use it: their bytes are in the artifact store.
    """
