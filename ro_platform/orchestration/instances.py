"""Dagster instances that record attempts: the deployment's own, and one in a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings, use_dagster_home
from ro_platform.orchestration.storage import RecordingStorage
from ro_platform.orchestration.storage_recording import RecordingEventLog

Instance = dg.DagsterInstance


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance that the deployment's dagster.yaml describes."""
    home = use_dagster_home(settings)
    if not (home / "dagster.yaml").is_file():
        raise errors.SettingsError(
            f"{home} has no dagster.yaml.",
            next_step="Run from the deployment's folder, or set DAGSTER_HOME to it.",
        )
    instance = dg.DagsterInstance.get()
    if not isinstance(instance.event_log_storage, RecordingEventLog):
        raise errors.SettingsError(
            f"{home / 'dagster.yaml'} names a storage that does not record attempts.",
            next_step=f"Set storage: custom: module {RecordingStorage.__module__}, "
            f"class {RecordingStorage.__name__}.",
        )
    return instance


@contextmanager
def recording_instance(folder: Path) -> Iterator[Instance]:
    """A Dagster instance that keeps everything in ``folder`` and records attempts.

    Where the settings name a database for Dagster, its runs and events are in there instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    storage = {
        "module": RecordingStorage.__module__,
        "class": RecordingStorage.__name__,
        "config": {} if Settings.load().dagster_url else {"base_dir": str(folder)},
    }
    overrides = {"storage": {"custom": storage}, "telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(folder), overrides=overrides) as instance:
        yield instance
