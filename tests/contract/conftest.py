"""One PostgreSQL server for all contract tests, and a database of their own for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import CARELESS, Databases, PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server. What it loses when the machine crashes, no test asks for."""
    with postgres_server(CARELESS) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> Databases:
    """Its databases, each used again once it was given back."""
    return Databases(postgres)
