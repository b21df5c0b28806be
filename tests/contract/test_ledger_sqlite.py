"""The SQLite file: what its guards refuse, what verification finds, and where it cannot be."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ro_platform.cli.ledger import command
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import (
    BackendUnavailableError,
    LedgerCorruptError,
    SettingsError,
    StoreNotWritableError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.merkle import leaf_hash
from ro_platform.ledger.backends.base import Selection
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from tests.unit.other_user import as_somebody_else, put, readable_folder

GUARDS = (
    "entry_no_update",
    "entry_no_delete",
    "node_no_update",
    "node_no_delete",
    "mention_no_update",
    "mention_no_delete",
    "schema_no_update",
    "schema_no_delete",
    "entry_in_order",
    "node_once",
    "mention_once",
)

COPY = "INTO entry SELECT {}, entry, leaf, kind, 'x', {}, NULL, NULL FROM entry WHERE seq = 7"
BY_BYTES = "UPDATE entry SET entry = CAST(replace(CAST(entry AS TEXT), '{}', '{}') AS BLOB)"


def draft(number: int, **changes: Any) -> EntryDraft:
    """The fact of that number: four kinds, five subjects, a name of its own and one for all."""
    given: dict[str, Any] = {
        "kind": list(EntryKind)[number % 4],
        "subject": f"subject-{number % 5}",
        "actor": "SYSTEM::test",
        "body": {"number": number},
        "correlation_ids": CorrelationIds(run_id="a" * 32, dagster_run_id="dagster-1"),
        "mentions": ("all", f"name-{number}"),
    }
    return EntryDraft(**(given | changes))


def drafts(count: int) -> list[EntryDraft]:
    """The first facts."""
    return [draft(number) for number in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger file with 40 entries, number 5 under the key ``five``, and nobody connected."""
    path = tmp_path / "ledger.sqlite"
    ledger = at(path)
    ledger.append_many([draft(n, key="five" if n == 5 else None) for n in range(40)])
    ledger.close()
    return path


def at(path: Path, **options: Any) -> Ledger:
    """The ledger in that file."""
    return Ledger(SqliteLedgerBackend(path, **options), ManualClock())


def tamper(path: Path, *statements: str, unguarded: bool = True) -> None:
    """What an administrator with the plain sqlite3 shell would do; puts the triggers back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA ignore_check_constraints = {unguarded:d}")
        guards = dict(
            connection.execute("SELECT name, sql FROM sqlite_schema WHERE type='trigger'")
        )
        assert set(guards) == set(GUARDS)
        for name in guards if unguarded else ():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for sql in guards.values() if unguarded else ():
            connection.execute(sql)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET subject = 'x' WHERE seq = 3",
        "UPDATE entry SET seq = 99 WHERE seq = 39",
        "DELETE FROM entry WHERE seq = 39",
        "DELETE FROM entry",
        f"INSERT OR REPLACE {COPY.format(3, 'NULL')}",
        f"INSERT OR REPLACE {COPY.format(40, repr('five'))}",
        f"INSERT {COPY.format(41, 'NULL')}",
        f"INSERT {COPY.format(-1, 'NULL')}",
        "INSERT INTO entry (seq, entry, leaf, kind, subject) VALUES (40, 'text', x'00', 'k', 's')",
        f"INSERT {COPY.format(3, 'NULL')} ON CONFLICT (seq) DO UPDATE SET subject = 'x'",
        "UPDATE node SET hash = zeroblob(32)",
        "DELETE FROM node",
        "INSERT OR REPLACE INTO node VALUES (4, 0, zeroblob(32))",
        "UPDATE mention SET name = 'x' WHERE seq = 7",
        "DELETE FROM mention WHERE seq = 7",
        "INSERT OR REPLACE INTO mention VALUES ('all', 7)",
        "UPDATE ledger_schema SET version = 2",
        "DELETE FROM ledger_schema",
    ],
)
def test_the_database_refuses_every_change_of_what_is_recorded(path: Path, statement: str) -> None:
    """UPDATE, DELETE, REPLACE, upsert and gaps fail for any client, and nothing changes."""
    with pytest.raises(sqlite3.IntegrityError):
        tamper(path, statement, unguarded=False)
    assert at(path).verify().size == 40


# --- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([BY_BYTES.format('"number":7', '"number":8') + " WHERE seq = 7"], "Entry 7 .*leaf hash"),
        ([BY_BYTES.format("2000-01", "1999-01") + " WHERE seq = 7"], "Entry 7 .*leaf hash"),
        ([BY_BYTES.format("SYSTEM::test", "HUMAN::eve") + " WHERE seq = 7"], "Entry 7 .*leaf"),
        (["UPDATE entry SET leaf = zeroblob(32) WHERE seq = 7"], "Entry 7 .*leaf hash"),
        (["UPDATE entry SET kind = 'admin_event' WHERE seq = 7"], "Entry 7 .*column kind"),
        (["UPDATE entry SET subject = 'x' WHERE seq = 7"], "Entry 7 .*column subject"),
        (["UPDATE entry SET key = 'x' WHERE seq = 7"], "Entry 7 .*column key"),
        (["UPDATE entry SET key = NULL WHERE seq = 5"], "Entry 5 .*column key"),
        (["UPDATE entry SET run_id = NULL WHERE seq = 7"], "Entry 7 .*column run_id"),
        (["UPDATE entry SET dagster_run_id = 'x' WHERE seq = 7"], "Entry 7 .*dagster_run_id"),
        (["DELETE FROM entry WHERE seq = 7"], "Entry 7 is missing"),
        (["DELETE FROM entry WHERE seq = 0"], "Entry 0 is missing"),
        (["DELETE FROM entry WHERE seq < 20"], "Entry 0 is missing"),
        (["DELETE FROM entry WHERE seq >= 30"], "Entry 30 is missing"),
        (
            [
                "DELETE FROM entry WHERE seq = 7",
                "UPDATE entry SET seq = -seq WHERE seq > 7",
                "UPDATE entry SET seq = -seq - 1 WHERE seq < 0",
            ],
            "Entry 7 .*say that it is entry 8",
        ),
        (
            [
                "UPDATE entry SET seq = 1000 WHERE seq = 7",
                "UPDATE entry SET seq = 7 WHERE seq = 9",
                "UPDATE entry SET seq = 9 WHERE seq = 1000",
            ],
            "Entry 7 .*say that it is entry 9",
        ),
        (
            [f"INSERT {COPY.format(40, 'NULL')}"],
            "Entry 40 .*say that it is entry 7",
        ),
        ([f"INSERT {COPY.format(-1, 'NULL')}"], "41 entries are stored where 40"),
        (["UPDATE node SET hash = zeroblob(32) WHERE position = 1"], "Entries 16 to 31"),
        (["DELETE FROM node WHERE position = 0"], "Entries 0 to 15"),
        (["INSERT INTO node VALUES (4, 2, zeroblob(32))"], "Entry 40 is missing: nodes of level 4"),
        (["INSERT INTO node VALUES (8, 0, zeroblob(32))"], "Entry 40 is missing: nodes of level 8"),
        (["INSERT INTO node VALUES (5, 0, zeroblob(32))"], "Entry 40 is missing: nodes of level 5"),
        (["DELETE FROM mention WHERE name = 'name-7'"], "Entry 7 cannot be found by 'name-7'"),
        (["INSERT INTO mention VALUES ('x', 7)"], "Entry 7 is found by 'x', which it does not"),
        (["UPDATE mention SET name = 'x' WHERE name = 'name-7'"], "Entry 7 cannot be found"),
        (["UPDATE mention SET seq = 8 WHERE name = 'name-7'"], "Entry 7 cannot be found"),
        (["UPDATE mention SET seq = 6 WHERE name = 'name-7'"], "Entry 6 is found by 'name-7'"),
        (["UPDATE mention SET seq = 99 WHERE name = 'name-7'"], "Entry 7 cannot be found"),
        (["INSERT INTO mention VALUES ('x', 99)"], "81 mentions are stored where 80 belong"),
        (["INSERT INTO mention VALUES ('x', -1)"], "81 mentions are stored where 80 belong"),
        (["DROP INDEX mention_seq"], "index mention_seq is missing"),
        (["DROP INDEX entry_key"], "index entry_key is missing"),
        (
            ["DROP INDEX entry_key", "CREATE INDEX entry_key ON entry (key)"],
            "index entry_key was changed",
        ),
        (["CREATE TABLE more (x)"], "table more was added"),
    ],
)  # fmt: skip
def test_verification_names_what_was_altered(path: Path, statements: list[str], said: str) -> None:
    """Edited, removed, inserted or reordered rows, columns, nodes and guards: found and named."""
    tamper(path, *statements)
    with pytest.raises(LedgerCorruptError, match=f"(?s){said}"):
        at(path).verify()


@pytest.mark.parametrize("guard", GUARDS)
def test_a_dropped_trigger_is_corruption(path: Path, guard: str) -> None:
    """A ledger whose guards were taken away does not verify, though every entry is right."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TRIGGER {guard}")
    with pytest.raises(LedgerCorruptError, match=f"trigger {guard} is missing"):
        at(path).verify()


def rewrite(path: Path, seq: int, data: bytes) -> None:
    """Replace an entry's bytes and make its leaf hash fit."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute(
            "UPDATE entry SET entry = ?, leaf = ? WHERE seq = ?", (data, leaf_hash(data), seq)
        )
        connection.execute(
            "CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry\n"
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


def test_an_edit_with_its_leaf_hash_made_to_fit_is_betrayed_by_the_nodes(path: Path) -> None:
    """Verification finds the node that no longer fits; no proof of the entry can be made."""
    entry = at(path).get(7)
    rewrite(path, 7, canonical_bytes(entry.model_copy(update={"actor": "HUMAN::eve"})))
    with pytest.raises(LedgerCorruptError, match="Entries 0 to 15"):
        at(path).verify()
    with pytest.raises(LedgerCorruptError, match="do not prove entry 7"):
        at(path).inclusion_proof(7)


def test_an_edit_under_no_node_yet_is_found_against_a_kept_root(path: Path) -> None:
    """The last entries are held only by the root: with a kept one the edit is found."""
    kept, entry = (40, at(path).root()), at(path).get(39)
    rewrite(path, 39, canonical_bytes(entry.model_copy(update={"actor": "HUMAN::eve"})))
    assert at(path).verify().root != kept[1]
    with pytest.raises(LedgerCorruptError, match="first 40 entries"):
        at(path).verify(against=kept)


@pytest.mark.parametrize("spoil", [lambda data: data + b" ", lambda data: b"[]", lambda data: b"{"])
def test_bytes_that_are_no_canonical_entry_are_found(
    path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """White space, another document, no JSON: not an entry, even with a fitting leaf hash."""
    rewrite(path, 39, spoil(canonical_bytes(at(path).get(39))))
    with pytest.raises(LedgerCorruptError, match=r"Entry 39 .*(canonical|not a ledger entry)"):
        at(path).verify()


def test_a_tail_cut_off_with_its_nodes_is_found_by_who_saw_more(path: Path) -> None:
    """Against a kept size and root, and by a process that appended to it before."""
    ledger = at(path)
    ledger.append(draft(40))
    kept = (41, ledger.root())
    tamper(
        path,
        "DELETE FROM entry WHERE seq >= 16",
        "DELETE FROM node WHERE position >= 1",
        "DELETE FROM mention WHERE seq >= 16",
    )
    assert at(path).verify().size == 16
    with pytest.raises(LedgerCorruptError, match="entry 16 is missing"):
        at(path).verify(against=kept)
    with pytest.raises(LedgerCorruptError, match="no longer holds entry 40"):
        ledger.append(draft(41))
    assert at(path).size() == 16


@pytest.mark.parametrize(
    "read",
    [
        lambda ledger: ledger.get(5),
        lambda ledger: ledger.find("five"),
        lambda ledger: ledger.latest(draft(5).kind, draft(5).subject),
        lambda ledger: list(ledger.scan()),
        lambda ledger: ledger.inclusion_proof(5),
        lambda ledger: ledger.append(draft(5, key="five")),
    ],
)
@pytest.mark.parametrize(
    "edit",
    [
        BY_BYTES.format('"number":', '"n":') + " WHERE seq IN (5, 25)",
        "UPDATE entry SET dagster_run_id = 'x' WHERE seq IN (5, 25)",
    ],
)
def test_no_read_hands_out_an_edited_entry(
    path: Path, read: Callable[[Ledger], object], edit: str
) -> None:
    """Every way to an entry checks it first."""
    tamper(path, edit)
    with pytest.raises(LedgerCorruptError):
        read(at(path))


def test_a_found_key_must_be_the_entrys_own(path: Path) -> None:
    """A key moved to another row does not make that row answer for it."""
    tamper(
        path,
        "UPDATE entry SET key = NULL WHERE seq = 5",
        "UPDATE entry SET key = 'five' WHERE seq = 6",
    )
    with pytest.raises(LedgerCorruptError, match="Entry 6 "):
        at(path).find("five")


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        ("INSERT INTO mention VALUES ('x', 7)", "x"),
        ("UPDATE mention SET name = 'x' WHERE name = 'name-7'", "x"),
        ("UPDATE mention SET seq = 8 WHERE name = 'name-7'", "name-7"),
    ],
)
def test_a_name_finds_only_entries_that_mention_it(path: Path, edit: str, name: str) -> None:
    """A mention added, renamed or moved does not make an entry answer for it."""
    tamper(path, edit)
    with pytest.raises(LedgerCorruptError, match=f"Entry [78] was found by '{name}'"):
        list(at(path).scan(mention=name))


def test_a_page_by_name_costs_what_it_returns(path: Path) -> None:
    """SQLite reads it in order from the mention's own index: nothing is listed or sorted."""
    backend = SqliteLedgerBackend(path)
    asked: list[str] = []
    reader = backend._reader.get()
    assert reader is not None
    reader.set_trace_callback(asked.append)
    for selection in (
        Selection(mention="all"),
        Selection(mention="all", newest_first=True, kind="admin_event", subject="subject-0"),
    ):
        backend.page(selection, 5)
    reader.set_trace_callback(None)
    plans = [
        [step for *_, step in reader.execute(f"EXPLAIN QUERY PLAN {sql}")]
        for sql in asked
        if "FROM mention" in sql
    ]
    assert plans == [
        [
            "SEARCH mention USING PRIMARY KEY (name=? AND seq>? AND seq<?)",
            "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)",
        ]
    ] * len(plans)
    assert len(plans) == 2


def test_missing_nodes_are_reported_by_roots_and_proofs(path: Path) -> None:
    """A hash that is not there is corruption, not another root."""
    tamper(path, "DELETE FROM node")
    for ask in (at(path).root, lambda: at(path).inclusion_proof(39)):
        with pytest.raises(LedgerCorruptError, match="missing"):
            ask()


# --- places that do not serve ---------------------------------------------------------------------


def test_reading_creates_nothing(tmp_path: Path) -> None:
    """Not the file, not its folder."""
    ledger = at(tmp_path / "new" / "ledger.sqlite")
    assert (ledger.size(), ledger.verify().size, list(ledger.scan())) == (0, 0, [])
    assert list(tmp_path.iterdir()) == []
    ledger.append(draft(0))
    assert {file.name.split("-")[0] for file in (tmp_path / "new").iterdir()} == {"ledger.sqlite"}


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look at" * 9])
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    """Reading and appending both refuse, and the file keeps its bytes."""
    path = tmp_path / "file"
    path.write_bytes(content)
    for use in (lambda: at(path).size(), lambda: at(path).append(draft(0))):
        with pytest.raises(SettingsError):
            use()
    assert path.read_bytes() == content


def test_a_folder_and_another_schema_are_refused(tmp_path: Path, path: Path) -> None:
    """A folder, somebody else's database, and a ledger of a later version are not opened."""
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE entry (seq)")
    tamper(path, "UPDATE ledger_schema SET version = 3")
    for place in (tmp_path, other, path):
        with pytest.raises(SettingsError):
            at(place).size()
        with pytest.raises(SettingsError):
            at(place).append(draft(0))


def test_damaged_pages_are_corruption(path: Path) -> None:
    """Bytes overwritten inside the file are found by verification."""
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096 * 6)
    with pytest.raises(LedgerCorruptError):
        at(path).verify()


def test_a_writer_that_cannot_get_its_turn_says_so(path: Path) -> None:
    """Another writer that never ends is an unavailable backend; readers go on; later it works."""
    ledger = at(path, busy_timeout_seconds=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailableError, match="does not answer"):
            ledger.append(draft(40))
        assert ledger.size() == 40
        other.execute("ROLLBACK")
    assert ledger.append(draft(40)).seq == 40


def test_a_full_disk_records_nothing(path: Path) -> None:
    """When the file cannot grow, the batch fails whole, and the ledger still verifies."""
    backend = SqliteLedgerBackend(path)
    with backend.transaction():
        pass
    connection = backend._writer.get()
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    ledger = Ledger(backend, ManualClock())
    with pytest.raises(StoreNotWritableError, match="full"):
        ledger.append_many(drafts(2000))
    assert ledger.verify().size == 40
    connection.execute("PRAGMA max_page_count = 1000000")
    assert ledger.append(draft(40)).seq == 40


def test_a_folder_that_cannot_be_made_is_not_writable(tmp_path: Path) -> None:
    """A file where a folder should be: nothing can be created, and the error says so."""
    (tmp_path / "file").write_bytes(b"")
    ledger = at(tmp_path / "file" / "ledger.sqlite")
    assert ledger.size() == 0
    with pytest.raises(StoreNotWritableError):
        ledger.append(draft(0))


def test_a_replaced_file_is_not_written_through_an_old_handle(path: Path) -> None:
    """After the file was removed, an append does not vanish into the deleted one."""
    ledger = at(path)
    ledger.append(draft(40))
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(LedgerCorruptError, match="no longer holds entry 40"):
        ledger.append(draft(41))
    assert ledger.size() == 0


def test_a_read_only_connection_is_read_and_not_written(path: Path) -> None:
    """Where SQLite says read-only, entries are still served and appends are refused as such."""
    backend = SqliteLedgerBackend(path)
    writer, reader = backend._writer.get(), backend._reader.get()
    assert writer is not None
    assert reader is not None
    writer.execute("PRAGMA query_only = ON")
    ledger = Ledger(backend, ManualClock())
    assert ledger.size() == 40
    with pytest.raises(StoreNotWritableError):
        ledger.append(draft(40))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO node VALUES (4, 9, zeroblob(32))")


# --- where nothing may be written -----------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where others read."""
    with readable_folder() as found:
        yield found


def test_a_copy_in_a_folder_that_may_not_be_written_is_read_and_verified(
    path: Path, folder: Path
) -> None:
    """By somebody else: every entry, by its index and in order, under the same root; nothing is
    appended, and nothing is left beside it."""
    own, copy = at(path).verify(), put(folder, path)
    with as_somebody_else():
        with pytest.raises(sqlite3.OperationalError):
            sqlite3.connect(f"file:{copy}?mode=ro", uri=True).execute("SELECT * FROM entry")
        ledger = at(copy)
        assert (ledger.verify().size, ledger.verify().root) == (40, own.root)
        assert [entry.seq for entry in ledger.scan(mention="name-7")] == [7]
        assert len(list(ledger.scan())) == 40
        with pytest.raises(StoreNotWritableError):
            ledger.append(draft(40))
    assert list(folder.iterdir()) == [copy]


def test_damage_of_such_a_copy_is_found(path: Path, folder: Path) -> None:
    """It is read as it is, and not excused."""
    tamper(path, BY_BYTES.format('"number":7', '"number":8') + " WHERE seq = 7")
    copy = put(folder, path)
    with as_somebody_else(), pytest.raises(LedgerCorruptError):
        at(copy).verify()


def test_a_copy_whose_log_lies_beside_it_is_not_read_without_the_log(
    path: Path, folder: Path
) -> None:
    """Entries would be missing that nobody removed: it is said what is wanted. With the index that
    SQLite needs beside it, it is read whole."""
    writer = at(path)
    writer.append(draft(40))
    wal, shm = (path.with_name(f"{path.name}-{name}") for name in ("wal", "shm"))
    copy = put(folder, path, wal)
    with as_somebody_else(), pytest.raises(BackendUnavailableError, match="cannot be opened") as it:
        at(copy).size()
    assert "beside it" in it.value.next_step
    put(folder, path, wal, shm)
    with as_somebody_else():
        assert at(copy).size() == 41


def test_who_reads_a_copy_goes_on_with_what_is_there_now(path: Path, folder: Path) -> None:
    """Replaced, or written to by its owner: no page of what was there before is believed."""
    copy = put(folder, path)
    reader = at(copy)
    with as_somebody_else():
        assert reader.size() == 40
    writer = at(path)
    writer.append(draft(40))
    writer.close()
    put(folder, path)
    with as_somebody_else():
        assert reader.size() == 41
    folder.chmod(0o755)
    copy.chmod(0o644)
    owner = at(copy)
    owner.append(draft(41))  # its log is beside it now, and what it says counts
    with as_somebody_else():
        assert reader.size() == 42
    owner.close()
    reader.close()


def test_a_copy_that_is_changed_while_it_is_asked_is_not_called_damaged(
    path: Path, folder: Path
) -> None:
    """What was read then is not believed, whatever it looked like; asked again, it is as it is."""
    copy = put(folder, path)
    backend = SqliteLedgerBackend(copy)
    with as_somebody_else():
        assert Ledger(backend, ManualClock()).size() == 40

    def meanwhile() -> None:
        with backend._reader.asking():
            os.utime(copy)
            raise sqlite3.DatabaseError("malformed")

    with pytest.raises(BackendUnavailableError, match="was changed while it was read"):
        meanwhile()
    with as_somebody_else():
        assert Ledger(backend, ManualClock()).size() == 40


@pytest.mark.parametrize("jobs", [1, 2])
def test_anybody_verifies_a_copy_with_the_command(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """Without a home, a key, a token or a folder to write in: size and root, against what was kept;
    also in several processes."""
    words = ["verify", "--json", "--jobs", str(jobs)]
    with settings_in_force(Settings.load({"RO_LEDGER_URL": f"sqlite://{path}"}, cwd=folder)):
        own = json.loads(CliRunner().invoke(command, words).stdout)  # and all is imported now
    copy = put(folder, path)
    env = {"RO_ROOT": str(folder), "RO_LEDGER_URL": f"sqlite://{copy}"}
    monkeypatch.chdir(folder)
    with as_somebody_else(), settings_in_force(Settings.load(env, cwd=folder)):
        answer = CliRunner().invoke(command, [*words, "--against", f"40:{own['root']}"])
        longer = CliRunner().invoke(command, [*words, "--against", f"41:{own['root']}"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert (told["size"], told["root"]) == (40, own["root"])
    assert longer.exit_code == 6, longer.output
    assert list(folder.iterdir()) == [copy]
