"""PostgreSQL itself keeps a role that may only read and append from doing anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from ro_platform.cli.ledger import command
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import InvalidInputError, StoreNotWritableError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.postgres_tables import grant_append_only
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.migrations import migrate_postgres
from ro_platform.ledger.reader import LedgerReader
from tests.servers import Databases, PostgresServer

ROLE = 'App "one"; role'
QUOTED = '"App ""one""; role"'


def draft(number: int) -> EntryDraft:
    """A fact with a name that finds it."""
    kind, body = EntryKind.ADMIN_EVENT, {"number": number}
    key = f"key-{number}"
    return EntryDraft(kind, f"subject-{number % 3}", "SYSTEM::test", body, key, mentions=("name",))


class Roles:
    """One database, its owner ``owner`` and the role that is granted."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server, self.database = server, database
        self.owner = server.url(database).replace("postgres@", "owner@")
        self.url = server.url(database).replace("postgres@", "App%20%22one%22%3B%20role@")
        self.opened: list[PostgresLedgerBackend] = []

    def ledger(self, url: str = "") -> Ledger:
        """As the role, or by another URL."""
        self.opened.append(PostgresLedgerBackend(url or self.url))
        return Ledger(self.opened[-1], ManualClock())

    def execute(self, *statements: str) -> None:
        """As a superuser."""
        self.server.execute(*statements, database=self.database)


@pytest.fixture
def roles(postgres: PostgresServer, postgres_databases: Databases) -> Iterator[Roles]:
    """Two roles without rights, one of whom may create schemas; no ledger yet."""
    place = Roles(postgres, postgres_databases.take())
    place.execute(
        f"CREATE ROLE {QUOTED} LOGIN",
        "CREATE ROLE owner LOGIN",
        f"GRANT CREATE ON DATABASE {place.database} TO owner",
    )
    yield place
    for backend in place.opened:
        backend.close()
    place.execute("DROP SCHEMA IF EXISTS ro_ledger CASCADE")
    place.execute(f"DROP OWNED BY owner, {QUOTED}", f"DROP ROLE owner, {QUOTED}")
    postgres_databases.give_back(place.database)


@pytest.fixture
def granted(roles: Roles) -> Roles:
    """The owner made the ledger by granting, and the role appended 20 entries."""
    grant_append_only(roles.owner, ROLE)
    roles.ledger().append_many([draft(number) for number in range(20)])
    return roles


def _decide(reader: LedgerReader) -> list[EntryDraft]:
    return [draft(reader.size())]


def test_the_role_appends_reads_proves_and_verifies(granted: Roles) -> None:
    """The whole of what a deployment does, from opening to verification with the guards."""
    ledger = granted.ledger()
    assert ledger.append(draft(20)).seq == 20
    assert [entry.seq for entry in ledger.append_with(_decide)] == [21]
    assert ledger.append(draft(3)).seq == 3
    assert ledger.get(5).body == {"number": 5}
    found = ledger.find("key-7")
    assert found is not None
    assert found.seq == 7
    assert len(list(ledger.scan(mention="name"))) == 22
    assert ledger.inclusion_proof(9).root == ledger.root().hex()
    assert ledger.verify().size == 22


TABLES = ("entry", "node", "mention", "ledger_schema")
REFUSED = [
    *(f"UPDATE ro_ledger.{table} SET {column} = {column}" for table, column in (
        ("entry", "subject"), ("node", "level"), ("mention", "name"), ("ledger_schema", "version"),
    )),
    *(f"DELETE FROM ro_ledger.{table}" for table in TABLES),
    *(f"TRUNCATE ro_ledger.{table}" for table in TABLES),
    *(f"DROP TABLE ro_ledger.{table}" for table in TABLES),
    *(f"ALTER TABLE ro_ledger.{table} DISABLE TRIGGER ALL" for table in TABLES),
    *(f"ALTER TABLE ro_ledger.{table} ADD more int" for table in TABLES),
    *(f"LOCK TABLE ro_ledger.{table} IN EXCLUSIVE MODE" for table in TABLES),
    "MERGE INTO ro_ledger.entry USING (SELECT 7 AS n) s ON seq = n WHEN MATCHED THEN DELETE",
    (
        "INSERT INTO ro_ledger.mention VALUES ('name', 7) ON CONFLICT (name, seq) "
        "DO UPDATE SET seq = 8"
    ),
    "INSERT INTO ro_ledger.ledger_schema VALUES (9)",
    "SELECT seq FROM ro_ledger.entry FOR UPDATE",
    "DROP TRIGGER entry_append_only ON ro_ledger.entry",
    (
        "CREATE TRIGGER t BEFORE INSERT ON ro_ledger.entry FOR EACH ROW "
        "EXECUTE FUNCTION ro_ledger.refuse()"
    ),
    "CREATE RULE r AS ON INSERT TO ro_ledger.entry DO INSTEAD NOTHING",
    "CREATE INDEX more ON ro_ledger.entry (kind)",
    "CREATE TABLE ro_ledger.more (x int)",
    "CREATE OR REPLACE FUNCTION ro_ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION ro_ledger.take_turn()",
    "ALTER FUNCTION ro_ledger.take_turn() RENAME TO other",
    "DROP SCHEMA ro_ledger CASCADE",
    "ALTER SCHEMA ro_ledger RENAME TO other",
    "SET session_replication_role = replica",
    "GRANT UPDATE ON ro_ledger.entry TO PUBLIC",
    "SET ROLE owner",
]  # fmt: skip


def test_the_server_refuses_the_role_every_change(granted: Roles) -> None:
    """For want of a right, before any trigger is asked; afterwards nothing is different."""
    root = granted.ledger().root()
    with closing(psycopg2.connect(granted.url)) as connection:
        for statement in REFUSED:
            with connection.cursor() as cursor:
                if statement.startswith("GRANT"):
                    # Without the grant option PostgreSQL warns, and grants nothing.
                    cursor.execute(statement)
                    connection.commit()
                    continue
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)
                connection.rollback()
    found = granted.server.execute(
        "SELECT has_table_privilege('public', 'ro_ledger.entry', 'UPDATE')",
        database=granted.database,
    )
    assert found == [(False,)]
    assert granted.ledger().verify().root == root


def test_without_the_grant_a_role_does_not_even_take_a_turn(roles: Roles) -> None:
    """Everyone else is refused by the schema, and by the function should they see the schema."""
    roles.ledger(roles.owner).append(draft(0))
    with pytest.raises(StoreNotWritableError, match="permission denied for schema"):
        roles.ledger().append(draft(1))
    roles.execute(f"GRANT USAGE ON SCHEMA ro_ledger TO {QUOTED}")
    with pytest.raises(StoreNotWritableError, match="permission denied for function"):
        roles.ledger().append(draft(1))


def test_granting_takes_what_was_granted_before(roles: Roles) -> None:
    """Also rights on a single column; granting twice is granting once."""
    grant_append_only(roles.owner, ROLE)
    roles.execute(
        f"GRANT ALL ON ALL TABLES IN SCHEMA ro_ledger TO {QUOTED}",
        f"GRANT UPDATE (subject) ON ro_ledger.entry TO {QUOTED}",
        f"GRANT CREATE ON SCHEMA ro_ledger TO {QUOTED}",
    )
    grant_append_only(roles.owner, ROLE)
    roles.ledger().append(draft(0))
    with closing(psycopg2.connect(roles.url)) as connection, connection.cursor() as cursor:
        for statement in ("UPDATE ro_ledger.entry SET subject = 'x'", "TRUNCATE ro_ledger.node"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            connection.rollback()


@pytest.mark.parametrize(
    ("role", "before", "said"),
    [
        ("nobody", "SELECT 1", "does not exist"),
        ("postgres", "SELECT 1", "is a superuser"),
        ("owner", "SELECT 1", "owns the ledger"),
        (ROLE, f"GRANT owner TO {QUOTED}", "member of who does"),
        (ROLE, "GRANT DELETE ON ro_ledger.entry TO PUBLIC", "could still change"),
    ],
)
def test_a_role_that_could_do_more_all_the_same_is_refused(
    roles: Roles, role: str, before: str, said: str
) -> None:
    """What cannot be kept from it is said, and nothing is granted."""
    roles.ledger(roles.owner).append(draft(0))
    roles.execute(before)
    with pytest.raises(InvalidInputError, match=f"{said}.*Nothing was granted"):
        grant_append_only(roles.owner, role)
    if said == "could still change":
        with pytest.raises(StoreNotWritableError, match="permission denied"):
            roles.ledger().append(draft(1))


def test_the_role_does_not_migrate(granted: Roles) -> None:
    """There is nothing to do, so it is told so; else it would lack the right."""
    assert migrate_postgres(granted.url).before == 2


def test_the_command_grants_and_records_it(roles: Roles, tmp_path: Path) -> None:
    """Who, to whom, why; a ledger in a file knows no roles."""
    settings = Settings.load({"RO_LEDGER_URL": roles.owner, "RO_ROOT": str(tmp_path)})
    words = ["grant", ROLE, "--reason", "the deployment's own", "--json"]
    with settings_in_force(settings):
        for number in range(2):
            answer = CliRunner().invoke(command, words)
            assert answer.exit_code == 0, answer.output
            assert json.loads(answer.stdout)["seq"] == number
    (first, _) = roles.ledger().scan(kind=EntryKind.ADMIN_EVENT)
    assert (first.body["action_type"], first.subject) == ("grant_ledger", f"ledger-role/{ROLE}")
    assert first.body["reason"] == "the deployment's own"
    assert first.actor == settings.actor
    with settings_in_force(Settings.load({"RO_ROOT": str(tmp_path)})):
        assert CliRunner().invoke(command, words).exit_code == 3
