"""What a command asks for, it asks for whatever the ledger is kept in.

The table of all commands by everybody (``tests/unit/test_every_command_asks.py``) is tried on
SQLite. Here a part of it is tried on PostgreSQL: of each way to ask one command at least, and those
that read the ledger in a way of their own; by nobody, a revoked token, somebody without a role,
with one elsewhere, a reader and an admin.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Databases
from tests.unit.test_every_command_asks import (
    ELSEWHERE,
    NO_ROLE,
    NOBODY,
    REVOKED,
    House,
    require_as_declared,
    seen,
)

ROWS = (
    *("ledger log", "ledger prove", "ledger verify", "ledger archive", "ledger checkpoints"),
    *("artifact list", "artifact show", "artifact get", "artifact verify", "manifest list"),
    *("gate list", "gate receipts", "config list", "config show", "attempts list", "trace"),
    *("directive list", "directive show", "directive approve", "admin events", "admin pause"),
    *("token list", "token issue", "token revoke", "access show"),
)
SAME = ("artifact verify", "directive approve", "directive execute", "token revoke")


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, postgres_databases: Databases
) -> Iterator[House]:
    """The same house, its ledger in PostgreSQL."""
    url = postgres_databases.server.url(postgres_databases.take())
    found = House(tmp_path_factory.mktemp("house"), RO_LEDGER_URL=url)
    yield found
    found.plane.ledger.close()
    assert not list(found.folder.rglob("ledger.sqlite")), "nothing was asked of a file"


@pytest.mark.parametrize("name", ROWS)
def test_a_command_asks_on_postgresql_too(house: House, name: str) -> None:
    """Done for whom it is declared; who is refused sees the same of what is there and what is
    not, and is on record."""
    people = (NOBODY, REVOKED, NO_ROLE, ELSEWHERE, "reader", "admin")
    require_as_declared(house, name, people)


@pytest.mark.parametrize("name", SAME)
def test_permission_is_asked_first_on_postgresql_too(house: House, name: str) -> None:
    """Byte for byte the same of what is there and of what is not."""
    lines = [house.line(name, values) for values in (house.there, house.missing)]
    answers = [house.ask(NO_ROLE, line) for line in lines]
    assert {answer.code for answer in answers} == {"RO_ACCESS_DENIED"}, answers
    assert seen(answers[0], house.there) == seen(answers[1], house.missing)
