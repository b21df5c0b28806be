"""Dagster's own storage on SQLite and on PostgreSQL: what both of ours add, and what stays."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import AssetObservationData, StepMaterializationData
from dagster_postgres import PostgresEventLogStorage

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.errors import BackendUnavailableError, SettingsError
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.orchestration.instances import recording_instance
from ro_platform.orchestration.storage import RecordingSqliteStorage, RecordingStorage
from ro_platform.orchestration.storage_recording import RecordingEventLog
from ro_platform.plane import shared_plane
from ro_platform.testing import EphemeralPlane
from tests.servers import Databases

KEYS = [f"{number:064x}" for number in range(50)]
PROCESSES = 6


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a deployment whose Dagster storage is on one engine or the other."""
    given = {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}
    if request.param == "sqlite":
        yield Settings.load(given)
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    name = databases.take()
    yield Settings.load(given | {"RO_DAGSTER_URL": databases.server.url(name)})
    databases.server.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", database=name)
    databases.give_back(name)


@contextmanager
def opened(settings: Settings) -> Iterator[EphemeralPlane]:
    """A plane and a Dagster instance by these settings."""
    with ExitStack() as stack:
        stack.enter_context(settings_in_force(settings))
        instance = stack.enter_context(recording_instance(settings.dagster_state))
        yield EphemeralPlane(settings, shared_plane(settings), instance)


@pytest.fixture
def governed(settings: Settings) -> Iterator[EphemeralPlane]:
    """The same, for one test."""
    with opened(settings) as plane:
        yield plane


@dg.asset(partitions_def=MANIFESTS)
def numbers() -> list[int]:
    """A governed asset."""
    return [1, 2, 3]


@dg.asset(partitions_def=MANIFESTS)
def sums(numbers: list[int]) -> int:
    """And its consumer."""
    return sum(numbers)


def materialize(plane: EphemeralPlane) -> tuple[str, dg.ExecuteInProcessResult]:
    """Both assets for a new manifest, in this process."""
    fingerprint = plane.register()
    bound = govern(dg.Definitions(assets=[numbers, sums]))
    result = dg.materialize(
        [numbers, sums],
        instance=plane.instance,
        partition_key=fingerprint,
        resources=dict(bound.resources or {}),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    return fingerprint, result


def test_the_settings_choose_the_engine(settings: Settings, governed: EphemeralPlane) -> None:
    """And on either, runs and events of an execution are in Dagster's own tables."""
    _, result = materialize(governed)
    instance = governed.instance
    assert isinstance(instance.event_log_storage, RecordingEventLog)
    assert isinstance(instance.event_log_storage, PostgresEventLogStorage) == bool(
        settings.dagster_url
    )
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.SUCCESS
    latest = instance.get_latest_materialization_event(dg.AssetKey("sums"))
    assert latest is not None
    assert latest.run_id == result.run_id
    assert bool(settings.dagster_url) != (settings.dagster_state / "history").exists()


def test_an_execution_leaves_each_attempt_once(governed: EphemeralPlane) -> None:
    """One transition of each kind for each unit, however the events were stored."""
    fingerprint, result = materialize(governed)
    found = [
        (entry.body["unit"], entry.body["status"])
        for entry in governed.plane.ledger.scan(dagster_run_id=result.run_id)
        if entry.body.get("manifest_fingerprint") == fingerprint and "status" in entry.body
    ]
    for unit in ("numbers", "sums"):
        statuses = [status for name, status in found if name == unit]
        assert statuses == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_each_event_of_a_batch_is_stored_and_recorded_once(
    governed: EphemeralPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one kind, which PostgreSQL's storage writes its own way, and mixed ones."""
    log = governed.instance.event_log_storage
    assert isinstance(log, RecordingEventLog)
    recorded: list[dg.EventLogEntry] = []
    record = log._recorder.record

    def watched(event: dg.EventLogEntry, store: Any) -> Any:
        recorded.append(event)
        return record(event, store)

    monkeypatch.setattr(log._recorder, "record", watched)
    run = governed.instance.create_run_for_job(
        dg.Definitions(assets=[numbers]).resolve_implicit_global_asset_job_def(),
        tags={"dagster/partition": governed.register()},
    )
    recorded.clear()
    before = len(log.get_logs_for_run(run.run_id))
    materialized = [_materialization(run.run_id, f"k{number}") for number in range(3)]
    log.store_event_batch(materialized)
    mixed = [_materialization(run.run_id, "k9"), _observation(run.run_id)]
    log.store_event_batch(mixed)
    assert [id(event) for event in recorded] == [id(event) for event in materialized + mixed]
    assert len(log.get_logs_for_run(run.run_id)) - before == 5
    partitions = governed.instance.get_materialized_partitions(dg.AssetKey("numbers"))
    assert partitions == {"k0", "k1", "k2", "k9"}


def _materialization(run_id: str, partition: str) -> dg.EventLogEntry:
    data = dg.AssetMaterialization("numbers", partition=partition)
    return _entry(
        run_id,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(data),
    )


def _observation(run_id: str) -> dg.EventLogEntry:
    data = dg.AssetObservation("numbers")
    return _entry(
        run_id,
        dg.DagsterEventType.ASSET_OBSERVATION,
        AssetObservationData(data),
    )


def _entry(run_id: str, kind: dg.DagsterEventType, data: Any) -> dg.EventLogEntry:
    event = dg.DagsterEvent(kind.value, "numbers_job", step_key="numbers", event_specific_data=data)
    build: Any = dg.EventLogEntry  # which has no types
    entry: dg.EventLogEntry = build(None, 10, "", run_id, 1.0, "numbers", "numbers_job", event)
    return entry


def _add_all(settings: Settings, ready: Any) -> None:
    with opened(settings) as plane:
        ready.wait()
        for key in KEYS:
            plane.instance.add_dynamic_partitions("manifests", [key])
        plane.instance.add_dynamic_partitions("manifests", KEYS)


def test_processes_create_the_tables_and_add_the_same_partitions_at_once(
    settings: Settings,
) -> None:
    """No one fails, and each key is there once: from the very first opening on."""
    context: Any = multiprocessing.get_context("fork")
    ready = context.Barrier(PROCESSES)
    children = [context.Process(target=_add_all, args=(settings, ready)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * PROCESSES
    with opened(settings) as plane:
        assert sorted(plane.instance.get_dynamic_partitions("manifests")) == KEYS


# --- PostgreSQL only ------------------------------------------------------------------------------


def _configured(url: str, **config: Any) -> Any:
    with settings_in_force(Settings.load({"RO_ROOT": "/nowhere", "RO_DAGSTER_URL": url})):
        return RecordingStorage.from_config_value(None, config)


def test_a_socket_and_a_name_with_signs_in_it_are_reached(
    postgres_databases: Databases,
) -> None:
    """As the ledger's URLs are; the driver is named, whatever SQLAlchemy's default."""
    server, name = postgres_databases.server, "odd name@%"
    server.execute(f'CREATE DATABASE "{name}"')
    quoted = "odd%20name%40%25"
    for url in (server.url(quoted), server.socket_url(quoted)):
        storage = _configured(url)
        assert storage.postgres_url.startswith("postgresql+psycopg2://")
        assert storage.run_storage.get_runs_count() == 0


@pytest.mark.parametrize(
    "url", ["sqlite:///x", "mysql://me:hush@host/db", "postgresql://me:hush/x@host/db"]
)
def test_a_url_that_cannot_be_meant_is_refused_by_its_setting(url: str) -> None:
    """Without quoting what may be a password."""
    with pytest.raises(SettingsError, match="RO_DAGSTER_URL is not the address") as refused:
        _configured(url)
    assert "hush" not in f"{refused.value} {refused.value.diagnostics()}"


def test_connections_that_a_webserver_keeps_are_opened_again_unnoticed(
    postgres_databases: Databases,
) -> None:
    """After a restart of the server no storage fails the next thing that it is asked."""
    name = postgres_databases.take()
    storage = _configured(postgres_databases.server.url(name))
    parts = (storage.run_storage, storage.event_log_storage, storage.schedule_storage)
    for part in parts:
        part.optimize_for_webserver(statement_timeout=5000, pool_recycle=-1, max_overflow=2)
    for _ in range(2):
        assert storage.run_storage.get_runs_count() == 0
        assert storage.event_log_storage.get_dynamic_partitions("manifests") == []
        assert list(storage.schedule_storage.all_instigator_state()) == []
        ended = postgres_databases.server.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            f"WHERE datname = '{name}'"
        )
        assert ended == [(3,)]


def test_a_folder_and_a_database_contradict_each_other() -> None:
    """dagster.yaml's base_dir beside RO_DAGSTER_URL."""
    with pytest.raises(SettingsError, match="names a database, and dagster"):
        _configured("postgresql://host/db", base_dir="/srv")
    with (
        settings_in_force(Settings.load({"RO_DAGSTER_URL": "postgresql://host/db"})),
        pytest.raises(SettingsError, match="Name the class RecordingStorage"),
    ):
        RecordingSqliteStorage.from_config_value(None, {})


def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Said after the retries, with the place and what to look at."""
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)
    with pytest.raises(BackendUnavailableError, match=":1/db does not answer") as failed:
        _configured("postgresql://me:hush@127.0.0.1:1/db")
    assert "hush" not in f"{failed.value} {failed.value.diagnostics()}"
