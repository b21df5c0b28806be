"""A ledger as an older release left it becomes one of this release, and stays the same ledger."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ro_platform.cli.ledger import command
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import (
    BackendUnavailableError,
    LedgerCorruptError,
    LedgerOutdatedError,
    SettingsError,
)
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import LedgerBackend, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.backends.sqlite_file import APPLICATION_ID
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.migrations import Migration, migrate_postgres, migrate_sqlite
from ro_platform.plane import shared_plane
from tests.servers import Databases

SCHEMAS = Path(__file__).with_name("ledgers")
ENTRIES = 40
NEWEST = 2
MOST_STATEMENTS = 30


def draft(number: int, **changes: Any) -> EntryDraft:
    """A fact that every release could record."""
    body = {"number": number}
    given: dict[str, Any] = {"key": f"key-{number}"} | changes
    return EntryDraft(EntryKind.ADMIN_EVENT, f"subject-{number % 3}", "SYSTEM::test", body, **given)


class Place:
    """Where a ledger of version 1 lies, on either engine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")
        self.path = Path(url.removeprefix("sqlite://"))
        self._opened: list[LedgerBackend] = []

    def ledger(self) -> Ledger:
        """By a new backend of this release."""
        backend: LedgerBackend = (
            SqliteLedgerBackend(self.path) if self.is_sqlite else PostgresLedgerBackend(self.url)
        )
        self._opened.append(backend)
        return Ledger(backend, ManualClock())

    def migrate(self, **options: Any) -> Migration:
        """As ``ro ledger migrate`` does."""
        if self.is_sqlite:
            return migrate_sqlite(self.path, **options)
        return migrate_postgres(self.url, **options)

    def execute(self, *statements: str, values: Sequence[Any] = ()) -> list[Any]:
        """By a client of the database; ``?`` is a value, ``@`` stands before a table's name."""
        connection: Any = (
            sqlite3.connect(self.path) if self.is_sqlite else psycopg2.connect(self.url)
        )
        with closing(connection):
            cursor = connection.cursor()
            found: list[Any] = []
            for statement in statements:
                sql = statement.replace("@", "" if self.is_sqlite else "ro_ledger.")
                cursor.execute(sql.replace("?", "?" if self.is_sqlite else "%s"), values)
                found = cursor.fetchall() if cursor.description else []
            connection.commit()
        return found

    def stored(self) -> list[Any]:
        """Every entry and node, byte by byte."""
        entries = self.execute("SELECT * FROM @entry ORDER BY seq")
        nodes = self.execute("SELECT * FROM @node ORDER BY level, position")
        return [
            [bytes(x) if isinstance(x, memoryview) else x for x in row] for row in entries + nodes
        ]

    def versions(self) -> list[int]:
        """What the ledger says of itself."""
        return [row[0] for row in self.execute("SELECT version FROM @ledger_schema ORDER BY 1")]

    def build(self) -> bytes:
        """Make it as the first release did, with 40 entries; answers their root."""
        model = MemoryLedgerBackend()
        ledger = Ledger(model, ManualClock())
        ledger.append_many([draft(number) for number in range(ENTRIES)])
        if self.is_sqlite:
            self.execute(f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA journal_mode = WAL")
            with closing(sqlite3.connect(self.path)) as connection:
                connection.executescript(SCHEMAS.joinpath("version_1.sqlite.sql").read_text())
        else:
            self.execute(
                SCHEMAS.joinpath("version_1.postgresql.sql").read_text().replace("%", "%%")
            )
        for row in model.page(Selection(), ENTRIES):
            self.execute("INSERT INTO @entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values=row)
        for position, node in enumerate(model.hashes(4, 0, ENTRIES)):
            self.execute("INSERT INTO @node VALUES (4, ?, ?)", values=(position, node))
        return ledger.root()

    def close(self) -> None:
        """Disconnect every ledger."""
        for backend in self._opened:
            backend.close()


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place without a ledger."""
    if request.param == "sqlite":
        place = Place(f"sqlite://{tmp_path / 'ledger.sqlite'}")
        yield place
        place.close()
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    name = databases.take()
    place = Place(databases.server.url(name))
    yield place
    place.close()
    databases.give_back(name)


@pytest.fixture
def old(empty: Place) -> tuple[Place, bytes]:
    """A ledger of version 1, and its root."""
    return empty, empty.build()


Old = tuple[Place, bytes]


def test_an_older_ledger_is_neither_read_nor_written_and_the_error_says_what_to_run(
    old: Old,
) -> None:
    """Reading, appending, verifying: refused alike, and nothing in it changes."""
    place, _ = old
    before = place.stored()
    ledger = place.ledger()
    for use in (
        ledger.size,
        ledger.verify,
        lambda: ledger.append(draft(99)),
        lambda: ledger.get(1),
    ):
        with pytest.raises(
            LedgerOutdatedError, match=r"version 1, .* with 2.*Run `ro ledger migrate`"
        ):
            use()
    assert place.stored() == before
    assert place.versions() == [1]


def test_a_migrated_ledger_is_the_same_ledger(old: Old) -> None:
    """Each entry and node is there byte by byte, under the same root; then it is as good as new:
    verified with its guards, appended to, found by what is mentioned, and refusing changes."""
    place, root = old
    before = place.stored()
    assert place.migrate() == Migration(1, NEWEST)
    assert (place.stored(), place.versions()) == (before, [1, NEWEST])
    ledger = place.ledger()
    assert (ledger.verify().root, ledger.size()) == (root, ENTRIES)
    assert ledger.append(draft(7)).seq == 7
    assert ledger.append(draft(ENTRIES, mentions=("name",))).seq == ENTRIES
    assert [entry.seq for entry in ledger.scan(mention="name")] == [ENTRIES]
    assert ledger.verify(against=(ENTRIES, root)).size == ENTRIES + 1
    for table in ("entry", "node", "mention", "ledger_schema"):
        with pytest.raises((sqlite3.IntegrityError, psycopg2.IntegrityError), match="append-only"):
            place.execute(f"DELETE FROM @{table}")
    assert place.migrate() == Migration(NEWEST, NEWEST)
    assert place.versions() == [1, NEWEST]


def test_a_place_without_a_ledger_has_nothing_to_migrate(empty: Place) -> None:
    """And gets nothing."""
    assert empty.migrate() == Migration(None, NEWEST)
    assert empty.ledger().size() == 0
    assert not empty.is_sqlite or not empty.path.exists()


def test_to_check_changes_nothing(old: Old) -> None:
    """It says from where to where the way would lead."""
    place, _ = old
    assert place.migrate(check_only=True) == Migration(1, NEWEST)
    assert place.versions() == [1]


@pytest.mark.parametrize(
    ("in_sqlite", "in_postgres"),
    [
        ("DROP TRIGGER entry_no_update", "DROP TRIGGER entry_next ON ro_ledger.entry"),
        ("DROP INDEX entry_kind", "DROP INDEX ro_ledger.entry_kind"),
        ("CREATE TABLE more (x)", "CREATE TABLE ro_ledger.more (x int)"),
    ],
)  # fmt: skip
def test_an_older_ledger_whose_guards_were_changed_is_evidence(
    old: Old, in_sqlite: str, in_postgres: str
) -> None:
    """It is not migrated: what is found says what, and everything is left as it is."""
    place, _ = old
    place.execute(in_sqlite if place.is_sqlite else in_postgres)
    before = place.stored()
    with pytest.raises(
        LedgerCorruptError, match=r"not what its schema version says: .*(entry|more)"
    ):
        place.migrate()
    assert (place.stored(), place.versions()) == (before, [1])


@pytest.mark.parametrize("version", [0, NEWEST + 1])
def test_a_version_that_this_release_does_not_know_is_left_alone(old: Old, version: int) -> None:
    """Neither migrated nor used."""
    place, _ = old
    guard = (
        ["DROP TRIGGER schema_no_delete"]
        if place.is_sqlite
        else ["DROP TRIGGER schema_append_only ON ro_ledger.ledger_schema"]
    )
    place.execute(
        *guard, "DELETE FROM @ledger_schema", f"INSERT INTO @ledger_schema VALUES ({version})"
    )
    for use in (place.migrate, place.ledger().size, lambda: place.ledger().append(draft(0))):
        with pytest.raises(
            SettingsError, match=f"version {version}, and this release knows 1 to 2"
        ):
            use()
    assert place.versions() == [version]


def test_a_process_that_goes_on_after_a_newer_release_migrated_it_does_not_write(
    empty: Place,
) -> None:
    """Its open connection is asked for the version again in every transaction."""
    ledger = empty.ledger()
    ledger.append(draft(0))
    empty.execute(f"INSERT INTO @ledger_schema VALUES ({NEWEST + 1})")
    with pytest.raises(SettingsError, match="version 3"):
        ledger.append(draft(1))


# --- processes ------------------------------------------------------------------------------------


def _killed_at(place: Place, statement: int) -> None:
    """Migrate, and die by SIGKILL when that statement is about to be sent."""
    left = [statement]

    def count(*_: object, **__: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    place.migrate()


def _in_child(work: Callable[..., None], *words: Any) -> int:
    child = multiprocessing.get_context("fork").Process(target=work, args=words)
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode


def test_a_migration_killed_at_any_statement_leaves_one_version_whole(old: Old) -> None:
    """The old one, until the commit; and the next migration carries it out."""
    place, root = old
    before, kills = place.stored(), 0
    for statement in range(MOST_STATEMENTS):
        ended = _in_child(_killed_at, place, statement)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        assert (place.stored(), place.versions()) == (before, [1])
        kills += 1
    assert kills >= 3
    assert place.versions() == [1, NEWEST]
    assert place.ledger().verify().root == root


def _migrate_together(place: Place, ready: Any, answers: Any) -> None:
    ready.wait()
    answers.put(place.migrate())


def test_of_several_migrating_at_once_one_does_it(old: Old) -> None:
    """The others wait, and find it done."""
    place, root = old
    context: Any = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(4), context.Queue()
    children = [
        context.Process(target=_migrate_together, args=(place, ready, answers)) for _ in range(4)
    ]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
    assert {migration.after for migration in found} == {NEWEST}
    assert place.versions() == [1, NEWEST]
    assert place.ledger().verify().root == root


def test_a_migration_waits_for_the_writer_of_the_moment(old: Old) -> None:
    """And gives up with nothing changed if that one never ends."""
    place, _ = old
    begin = (
        "BEGIN IMMEDIATE"
        if place.is_sqlite
        else "LOCK TABLE ro_ledger.ledger_schema IN EXCLUSIVE MODE"
    )
    connection: Any = (
        sqlite3.connect(place.path, isolation_level=None)
        if place.is_sqlite
        else psycopg2.connect(place.url)
    )
    with closing(connection):
        connection.cursor().execute(begin)
        with pytest.raises(BackendUnavailableError, match="lock"):
            place.migrate(busy_timeout_seconds=0.1)
    assert place.versions() == [1]
    assert place.migrate() == Migration(1, NEWEST)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_checks_and_migrates(old: Old, tmp_path: Path) -> None:
    """`--check` fails with the code and changes nothing; then it is done once, on record."""
    place, _ = old
    settings = Settings.load({"RO_LEDGER_URL": place.url, "RO_ROOT": str(tmp_path)})
    with settings_in_force(settings):
        checked = CliRunner().invoke(command, ["migrate", "--check", "--json"])
        assert (checked.exit_code, place.versions()) == (3, [1])
        assert "RO_LEDGER_OUTDATED" in checked.output
        done = [
            json.loads(CliRunner().invoke(command, ["migrate", "--json"]).stdout) for _ in range(2)
        ]
        assert done == [
            {"before": 1, "after": NEWEST, "migrated": True, "seq": ENTRIES},
            {"before": NEWEST, "after": NEWEST, "migrated": False, "seq": None},
        ]
        log = shared_plane(settings).ledger
        event = log.get(ENTRIES)
        assert (event.subject, event.actor) == (f"ledger-schema/{NEWEST}", settings.actor)
        assert event.body["action_type"] == "migrate_ledger"
        assert event.body["before"] == {"schema_version": 1}
        assert event.body["reason"] == "a new release"
        assert log.size() == ENTRIES + 1
        assert CliRunner().invoke(command, ["migrate", "--check"]).exit_code == 0
