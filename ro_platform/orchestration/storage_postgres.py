"""Dagster's own storage in PostgreSQL, by dagster-postgres, with the attempt recorder inside.

Imported only where ``RO_DAGSTER_URL`` names such a database.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import DagsterPostgresException, create_pg_connection
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ro_platform import errors
from ro_platform.dagster_private.running import ConfigurableClassData, engine_of, exchange_parts
from ro_platform.ledger.backends.postgres_address import PostgresAddress, postgres_address
from ro_platform.orchestration.storage_recording import RecordingEventLog, RecordingRuns

SETTING = "RO_DAGSTER_URL"
_CREATORS_LOCK = 0x524F4453
"""``RODS``: an advisory lock, since there are no tables yet that two creators could lock."""


class _Reconnecting:
    """The webserver keeps connections open; one that the server let go of is opened again unnoticed
    instead of failing whatever was asked first. It stands before one of Dagster's own classes."""

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Called by Dagster in a webserver."""
        optimize: Callable[..., None] = super().optimize_for_webserver  # type: ignore[misc]
        optimize(
            statement_timeout=statement_timeout,
            pool_recycle=pool_recycle,
            max_overflow=max_overflow,
        )
        engine = engine_of(self)
        dialect = engine.dialect

        def require_alive(connection: Any, *_: object) -> None:
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error:
                raise DisconnectionError from None

        sqlalchemy.event.listen(engine, "checkout", require_alive)


class RecordingPostgresEventLog(_Reconnecting, RecordingEventLog, PostgresEventLogStorage):
    """Dagster's, which adds partitions without a race by itself."""


class _Runs(_Reconnecting, RecordingRuns, PostgresRunStorage):
    pass


class _Schedules(_Reconnecting, PostgresScheduleStorage):
    pass


class RecordingPostgresStorage(DagsterPostgresStorage):
    """Dagster's runs, events and ticks in the database that ``RO_DAGSTER_URL`` names."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        address = postgres_address(url, setting=SETTING)
        driver_url = _driver_url(address)
        with _one_creator_at_a_time(driver_url, address):
            super().__init__(driver_url, inst_data=inst_data)
        # The tables are there now.
        exchange_parts(
            self,
            runs=_Runs(driver_url, should_autocreate_tables=False),
            events=RecordingPostgresEventLog(driver_url, should_autocreate_tables=False),
            schedules=_Schedules(driver_url, should_autocreate_tables=False),
        )


def _driver_url(address: PostgresAddress) -> str:
    """The URL as SQLAlchemy reads it, by the driver that is installed, whatever its default."""
    given = dict(address.parameters)
    port = given.pop("port", None)
    url = sqlalchemy.URL.create(
        "postgresql+psycopg2",
        username=given.pop("user", None),
        password=given.pop("password", None),
        host=given.pop("host", None) if not given.get("host", "").startswith("/") else None,
        port=int(port) if port else None,
        database=given.pop("dbname"),
        query=given,
    )
    return url.render_as_string(hide_password=False)


@contextmanager
def _one_creator_at_a_time(url: str, address: PostgresAddress) -> Iterator[None]:
    """Hold other processes off while tables are made; one that dies lets go.

    Raises :class:`BackendUnavailableError` where the database cannot be reached, after retrying for
    some seconds as Dagster does.
    """
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with create_pg_connection(engine) as connection:
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(_CREATORS_LOCK)))
            yield
    except (SQLAlchemyError, DagsterPostgresException) as error:
        cause = error.__cause__ or error
        said = str(getattr(cause, "orig", None) or cause)
        raise errors.BackendUnavailableError(
            f"Dagster's storage {address.shown} does not answer: "
            f"{address.without_secrets(' '.join(said.split()).rstrip('.'))}.",
            next_step=f"Try again; see that the server runs and that {SETTING} and its "
            "credentials are right.",
            storage=address.shown,
        ) from None
