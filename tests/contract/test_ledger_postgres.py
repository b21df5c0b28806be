"""PostgreSQL: what its guards refuse, what verification finds, and what a lost server leaves."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ro_platform.config.settings import Settings
from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import (
    BackendUnavailableError,
    InvalidInputError,
    LedgerCorruptError,
    OutcomeUnknownError,
    RunOperateError,
    SettingsError,
    StoreNotWritableError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.merkle import leaf_hash
from ro_platform.ledger.backends.base import Between, Selection
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.postgres_address import postgres_address
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.plane import Plane
from tests.servers import Databases, PostgresServer, TcpProxy, require

BY_BYTES = (
    "UPDATE ro_ledger.entry SET entry = convert_to(replace(convert_from(entry, 'UTF8'), '{}', '{}')"
    ", 'UTF8')"
)
ZEROS = "decode(repeat('00', 32), 'hex')"
COPY = (
    "INSERT INTO ro_ledger.entry SELECT {}, entry, leaf, kind, 'x', {}, NULL, NULL "
    "FROM ro_ledger.entry WHERE seq = 7"
)
UNGUARDED = "SET session_replication_role = replica"


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


class Place:
    """One database of the server, and every ledger that a test opened in it."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        self._opened: list[PostgresLedgerBackend] = []

    def backend(self, url: str = "", **options: Any) -> PostgresLedgerBackend:
        """A new backend, by the database's own URL or another."""
        self._opened.append(PostgresLedgerBackend(url or self.url(), **options))
        return self._opened[-1]

    def ledger(self, url: str = "", **options: Any) -> Ledger:
        """A ledger over a new backend."""
        return Ledger(self.backend(url, **options), ManualClock())

    def url(self, port: int | None = None) -> str:
        """The database by TCP, through another port if one is given."""
        return self.server.url(self.database, port=port)

    def execute(self, *statements: str) -> list[Any]:
        """What a superuser does there."""
        return self.server.execute(*statements, database=self.database)

    def tamper(self, *statements: str) -> None:
        """What a superuser does there in a session without triggers."""
        self.execute(UNGUARDED, *statements)

    def close(self) -> None:
        """Disconnect every ledger."""
        for backend in self._opened:
            backend.close()


@pytest.fixture
def empty(postgres: PostgresServer, postgres_databases: Databases) -> Iterator[Place]:
    """A database without a ledger."""
    place = Place(postgres, postgres_databases.take())
    yield place
    place.close()
    postgres_databases.give_back(place.database)


@pytest.fixture
def place(empty: Place) -> Place:
    """A ledger with 40 entries, number 5 under the key ``five``."""
    ledger = empty.ledger()
    ledger.append_many([draft(n, key="five" if n == 5 else None) for n in range(40)])
    return empty


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ro_ledger.entry SET subject = 'x' WHERE seq = 3",
        "UPDATE ro_ledger.entry SET seq = 99 WHERE seq = 39",
        "DELETE FROM ro_ledger.entry WHERE seq = 39",
        "DELETE FROM ro_ledger.entry",
        "TRUNCATE ro_ledger.entry",
        COPY.format(3, "NULL"),
        COPY.format(40, "'five'"),
        COPY.format(41, "NULL"),
        COPY.format(-1, "NULL"),
        f"{COPY.format(3, 'NULL')} ON CONFLICT (seq) DO UPDATE SET subject = 'x'",
        f"{COPY.format(40, 'NULL')} UNION ALL {COPY.format(42, 'NULL')[27:]}",
        "MERGE INTO ro_ledger.entry USING (SELECT 7 AS n) s ON seq = n WHEN MATCHED THEN DELETE",
        f"UPDATE ro_ledger.node SET hash = {ZEROS}",
        "DELETE FROM ro_ledger.node",
        "TRUNCATE ro_ledger.node",
        f"INSERT INTO ro_ledger.node VALUES (4, 0, {ZEROS})",
        "UPDATE ro_ledger.mention SET name = 'x' WHERE seq = 7",
        "DELETE FROM ro_ledger.mention WHERE seq = 7",
        "TRUNCATE ro_ledger.mention",
        "INSERT INTO ro_ledger.mention VALUES ('all', 7)",
        "UPDATE ro_ledger.ledger_schema SET version = 1",
        "DELETE FROM ro_ledger.ledger_schema",
        "TRUNCATE ro_ledger.ledger_schema",
    ],
)
def test_the_database_refuses_every_change_of_what_is_recorded(
    place: Place, statement: str
) -> None:
    """UPDATE, DELETE, TRUNCATE, MERGE, upsert and gaps fail for a superuser; nothing changes."""
    with pytest.raises(psycopg2.IntegrityError):
        place.execute(statement)
    assert place.ledger().verify().size == 40


# --- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([BY_BYTES.format('"number":7', '"number":8') + " WHERE seq = 7"], "Entry 7 .*leaf hash"),
        ([f"UPDATE ro_ledger.entry SET leaf = {ZEROS} WHERE seq = 7"], "Entry 7 .*leaf hash"),
        (["UPDATE ro_ledger.entry SET kind = 'admin_event' WHERE seq = 7"], "Entry 7 .*kind"),
        (["UPDATE ro_ledger.entry SET subject = 'x' WHERE seq = 7"], "Entry 7 .*column subject"),
        (["UPDATE ro_ledger.entry SET key = NULL WHERE seq = 5"], "Entry 5 .*column key"),
        (["UPDATE ro_ledger.entry SET run_id = NULL WHERE seq = 7"], "Entry 7 .*column run_id"),
        (["DELETE FROM ro_ledger.entry WHERE seq = 7"], "Entry 7 is missing"),
        (["DELETE FROM ro_ledger.entry WHERE seq >= 30"], "Entry 30 is missing"),
        (
            [
                "UPDATE ro_ledger.entry SET seq = 1000 WHERE seq = 7",
                "UPDATE ro_ledger.entry SET seq = 7 WHERE seq = 9",
                "UPDATE ro_ledger.entry SET seq = 9 WHERE seq = 1000",
            ],
            "Entry 7 .*say that it is entry 9",
        ),
        ([COPY.format(40, "NULL")], "Entry 40 .*say that it is entry 7"),
        ([f"UPDATE ro_ledger.node SET hash = {ZEROS} WHERE position = 1"], "Entries 16 to 31"),
        (["DELETE FROM ro_ledger.node WHERE position = 0"], "Entries 0 to 15"),
        ([f"INSERT INTO ro_ledger.node VALUES (4, 2, {ZEROS})"], "Entry 40 is missing: nodes"),
        (["DELETE FROM ro_ledger.mention WHERE name = 'name-7'"], "Entry 7 cannot be found by"),
        (["INSERT INTO ro_ledger.mention VALUES ('x', 7)"], "Entry 7 is found by 'x', which"),
        (["UPDATE ro_ledger.mention SET name = 'x' WHERE name = 'name-7'"], "Entry 7 cannot be"),
        (["UPDATE ro_ledger.mention SET seq = 6 WHERE name = 'name-7'"], "Entry 6 is found by"),
        (["INSERT INTO ro_ledger.mention VALUES ('x', 99)"], "81 mentions are stored where 80"),
        (["TRUNCATE ro_ledger.entry, ro_ledger.node"], "80 mentions are stored where 0"),
    ],
)  # fmt: skip
def test_verification_names_what_was_altered(
    place: Place, statements: list[str], said: str
) -> None:
    """Edited, removed, inserted or reordered rows, columns, mentions and nodes."""
    place.tamper(*statements)
    with pytest.raises(LedgerCorruptError, match=f"(?s){said}"):
        place.ledger().verify()


FUNCTION = "CREATE OR REPLACE FUNCTION ro_ledger.refuse() RETURNS trigger LANGUAGE plpgsql"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TRIGGER {} ON ro_ledger.entry", "trigger entry_append_only is missing"),
        ("ALTER TABLE ro_ledger.entry DISABLE TRIGGER {}", "trigger entry_append_only was changed"),
        ("ALTER TABLE ro_ledger.entry ENABLE ALWAYS TRIGGER {}", "entry_append_only was changed"),
        (f"{FUNCTION} AS 'BEGIN RETURN NULL; END'", r"function ro_ledger.refuse\(\) was changed"),
        (f"{FUNCTION} SECURITY DEFINER AS 'BEGIN END'", r"ro_ledger.refuse\(\) was changed"),
        ("DROP INDEX ro_ledger.entry_key", "index entry_key is missing"),
        ("DROP INDEX ro_ledger.mention_seq", "index mention_seq is missing"),
        ("ALTER TABLE ro_ledger.node DROP CONSTRAINT node_pkey", "constraint node_pkey is missing"),
        ("ALTER TABLE ro_ledger.entry DROP CONSTRAINT entry_leaf_check", "entry_leaf_check is mis"),
        ("ALTER TABLE ro_ledger.entry ALTER leaf DROP NOT NULL", "column entry.leaf was changed"),
        ("ALTER TABLE ro_ledger.entry ADD more text", "column entry.more was added"),
        ("ALTER TABLE ro_ledger.entry ALTER key TYPE text COLLATE \"POSIX\"", "entry.key was chan"),
        ("ALTER TABLE ro_ledger.entry SET UNLOGGED", "table entry was changed"),
        ("ALTER TABLE ro_ledger.entry ENABLE ROW LEVEL SECURITY", "table entry was changed"),
        ("CREATE TABLE public.child () INHERITS (ro_ledger.entry)", "table entry was changed"),
        ("CREATE RULE quiet AS ON INSERT TO ro_ledger.node DO INSTEAD NOTHING", "rule node.quiet"),
        ("CREATE TABLE ro_ledger.more (x int)", "table more was added"),
        ("CREATE VIEW ro_ledger.more AS SELECT 1", "relation more was added"),
        ("DROP TABLE ro_ledger.mention", "table mention is missing"),
    ],
)  # fmt: skip
def test_a_changed_guard_is_corruption(place: Place, statement: str, said: str) -> None:
    """Though every entry is right: triggers, functions, indexes, constraints, tables, rules."""
    place.execute(statement.format("entry_append_only"))
    with pytest.raises(LedgerCorruptError, match=f"guards are not in order.*{said}"):
        place.ledger().verify()
    place.execute("DROP TABLE IF EXISTS public.child")


def test_an_edit_with_its_leaf_hash_made_to_fit_is_betrayed_by_the_nodes(place: Place) -> None:
    """Verification finds the node that no longer fits; no proof of the entry can be made."""
    ledger = place.ledger()
    data = canonical_bytes(ledger.get(7).model_copy(update={"actor": "HUMAN::eve"}))
    place.tamper(
        f"UPDATE ro_ledger.entry SET entry = '\\x{data.hex()}', leaf = '\\x{leaf_hash(data).hex()}'"
        " WHERE seq = 7"
    )
    with pytest.raises(LedgerCorruptError, match="Entries 0 to 15"):
        ledger.verify()
    with pytest.raises(LedgerCorruptError, match="do not prove entry 7"):
        ledger.inclusion_proof(7)


def test_a_tail_cut_off_with_its_nodes_is_found_by_who_saw_more(place: Place) -> None:
    """Against a kept size and root, and by a process that appended to it before."""
    ledger = place.ledger()
    ledger.append(draft(40))
    kept = (41, ledger.root())
    place.tamper(
        "DELETE FROM ro_ledger.entry WHERE seq >= 16",
        "DELETE FROM ro_ledger.node WHERE position >= 1",
        "DELETE FROM ro_ledger.mention WHERE seq >= 16",
    )
    assert place.ledger().verify().size == 16
    with pytest.raises(LedgerCorruptError, match="entry 16 is missing"):
        ledger.verify(against=kept)
    with pytest.raises(LedgerCorruptError, match="no longer holds entry 40"):
        ledger.append(draft(41))
    assert ledger.size() == 16


@pytest.mark.parametrize(
    "read",
    [
        lambda ledger: ledger.get(5),
        lambda ledger: ledger.find("five"),
        lambda ledger: ledger.latest(draft(5).kind, draft(5).subject),
        lambda ledger: ledger.latest_of([(draft(5).kind, draft(5).subject)]),
        lambda ledger: list(ledger.scan()),
        lambda ledger: list(ledger.scan(mention="name-5")),
        lambda ledger: ledger.append(draft(5, key="five")),
    ],
)
def test_no_read_hands_out_an_edited_entry(place: Place, read: Callable[[Ledger], object]) -> None:
    """Every way to an entry checks it first."""
    place.tamper("UPDATE ro_ledger.entry SET dagster_run_id = 'x' WHERE seq IN (5, 25)")
    with pytest.raises(LedgerCorruptError):
        read(place.ledger())


def test_a_name_finds_only_entries_that_mention_it(place: Place) -> None:
    """A mention that was added does not make an entry answer for it."""
    place.tamper("INSERT INTO ro_ledger.mention VALUES ('x', 7)")
    with pytest.raises(LedgerCorruptError, match="Entry 7 was found by 'x'"):
        list(place.ledger().scan(mention="x"))


# --- how it is asked ------------------------------------------------------------------------------


class ExplainingBackend(PostgresLedgerBackend):
    """Collects the plan of every query instead of answering it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.plans: list[str] = []

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        steps = super()._query(f"EXPLAIN {sql}", values)
        self.plans.append("\n".join(step for (step,) in steps))
        return []


@pytest.mark.parametrize("analyzed", [False, True])
def test_every_question_is_answered_from_the_index_made_for_it(
    empty: Place, analyzed: bool
) -> None:
    """With the planner's statistics and without: no walk over all entries, and only the entries of
    a subject are sorted."""
    ledger = empty.ledger()
    ledger.append_many([draft(n, subject=f"subject-{n % 700}", key=f"{n}") for n in range(3500)])
    if analyzed:
        empty.execute("ANALYZE")
    backend = ExplainingBackend(empty.url())
    with closing(backend):
        for selection, index in (
            (Selection(mention="all"), "mention_pkey"),
            (Selection(mention="name-3", newest_first=True), "mention_pkey"),
            (Selection(mention="all", run_id="a" * 32, kind="x"), "mention_pkey"),
            (Selection(subject="subject-3"), "entry_subject"),
            (Selection(subject="nobody", run_id="a" * 32, newest_first=True), "entry_subject"),
            (Selection(subject="subject-3", kind="run_registered"), "entry_subject"),
            (Selection(kind="run_registered"), "entry_kind"),
            (Selection(run_id="b" * 32), "entry_run_id"),
            (Selection(dagster_run_id="dagster-2", kind="x"), "entry_dagster_run_id"),
        ):
            backend.page(selection, 500)
            assert f" {index} " in backend.plans[-1], backend.plans[-1]
            assert ("Sort" in backend.plans[-1]) == (
                selection.subject is not None and selection.kind is None
            ), backend.plans[-1]
        backend.latest_of([("run_registered", "subject-1")] * 5)
        backend.latest("run_registered", "subject-1")
        between = Between("subject-1", "subject-9")
        backend.latest_of([("run_registered", between), ("run_registered", "subject-1")])
        assert "Sort" not in backend.plans[-1], backend.plans[-1]
        backend.by_keys(["1", "2"])
        backend.mentions(0, 10)
        for plan, index in zip(
            backend.plans[-5:],
            ("entry_subject", "entry_subject", "entry_subject", "entry_key", "mention_seq"),
            strict=True,
        ):
            assert index in plan, plan
    assert not [plan for plan in backend.plans if "Seq Scan" in plan]


def test_the_writer_waits_for_the_disk_whatever_the_servers_default(place: Place) -> None:
    """The server's own default would lose what was acknowledged."""
    assert place.execute("SHOW synchronous_commit") == [("off",)]
    session = place.backend()._writer.get()
    assert session.run("SHOW synchronous_commit").fetchall() == [("on",)]


def test_text_that_postgresql_cannot_hold_is_refused_as_input(place: Place) -> None:
    """NUL and lone surrogates, in every question; the connection goes on."""
    ledger = place.ledger()
    for text in ("a\0b", "\ud800"):
        for ask in (
            lambda text=text: ledger.find(text),
            lambda text=text: ledger.latest(EntryKind.ADMIN_EVENT, text),
            lambda text=text: ledger.latest_of([(EntryKind.ADMIN_EVENT, text)]),
            lambda text=text: list(ledger.scan(mention=text)),
        ):
            with pytest.raises(InvalidInputError):
                ask()
    assert ledger.size() == 40


# --- places that do not serve ---------------------------------------------------------------------


def test_reading_creates_nothing(empty: Place) -> None:
    """No schema, no table."""
    ledger = empty.ledger()
    assert (ledger.size(), ledger.verify().size, list(ledger.scan())) == (0, 0, [])
    assert empty.execute("SELECT to_regnamespace('ro_ledger')") == [(None,)]
    empty.ledger().append(draft(0))
    assert ledger.size() == 1


def test_a_schema_made_beforehand_is_filled(empty: Place) -> None:
    """As an administrator makes it for a role that may not create schemas."""
    empty.execute("CREATE SCHEMA ro_ledger")
    assert empty.ledger().size() == 0
    assert empty.ledger().append(draft(0)).seq == 0
    assert empty.ledger().verify().size == 1


def test_it_shares_a_database_and_trusts_nothing_else_in_it(place: Place) -> None:
    """Tables and functions of the same names elsewhere are not looked at."""
    place.execute(
        "CREATE TABLE public.entry (seq int)",
        "CREATE FUNCTION public.octet_length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 0'",
        "CREATE FUNCTION public.max(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
    )
    try:
        assert place.ledger().append(draft(40)).seq == 40
        assert place.ledger().verify().size == 41
    finally:
        place.execute(
            "DROP TABLE public.entry",
            "DROP FUNCTION public.octet_length(bytea)",
            "DROP FUNCTION public.max(bigint)",
        )


@pytest.mark.parametrize("spoil", ["later", "foreign", "encoding"])
def test_another_schema_is_refused_and_left_alone(place: Place, spoil: str) -> None:
    """Somebody else's ro_ledger, a later version, and a database that cannot hold every text."""
    url = place.url()
    if spoil == "later":
        place.tamper("INSERT INTO ro_ledger.ledger_schema VALUES (9)")
    elif spoil == "foreign":
        place.execute("DROP TABLE ro_ledger.ledger_schema")
    else:
        place.execute("DROP DATABASE IF EXISTS latin")
        place.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        url = place.server.url("latin")
    before = place.execute("SELECT oid FROM pg_class ORDER BY oid")
    ledger = place.ledger(url)
    if spoil == "encoding":
        assert ledger.size() == 0
    else:
        with pytest.raises(SettingsError):
            ledger.size()
    with pytest.raises((SettingsError, LedgerCorruptError)):
        ledger.append(draft(0))
    assert place.execute("SELECT oid FROM pg_class ORDER BY oid") == before


def test_a_dropped_ledger_reads_as_empty_and_is_not_begun_again_by_who_saw_it(
    place: Place,
) -> None:
    """Reading notices; an append by a process that saw more refuses, and records nothing."""
    ledger = place.ledger()
    ledger.append(draft(40))
    assert ledger.size() == 41
    place.execute("DROP SCHEMA ro_ledger CASCADE")
    assert ledger.size() == 0
    with pytest.raises(LedgerCorruptError, match="no longer holds entry 40"):
        ledger.append(draft(41))
    assert ledger.size() == 0


def test_a_role_that_may_only_read_reads(place: Place) -> None:
    """Its appends are refused as not writable; without any right the ledger is unavailable."""
    place.execute(
        "DROP ROLE IF EXISTS auditor",
        "CREATE ROLE auditor LOGIN",
        "GRANT USAGE ON SCHEMA ro_ledger TO auditor",
        "GRANT SELECT ON ALL TABLES IN SCHEMA ro_ledger TO auditor",
    )
    ledger = place.ledger(place.url().replace("postgres@", "auditor@"))
    try:
        assert ledger.verify().size == 40
        with pytest.raises(StoreNotWritableError):
            ledger.append(draft(40))
        place.execute("REVOKE SELECT ON ro_ledger.entry FROM auditor")
        with pytest.raises(BackendUnavailableError, match="cannot be read"):
            ledger.size()
    finally:
        place.execute("DROP OWNED BY auditor", "DROP ROLE auditor")


def test_a_standby_is_not_writable(place: Place) -> None:
    """A server that only reads says so; readers go on."""
    place.execute(f"ALTER DATABASE {place.database} SET transaction_read_only = on")
    try:
        ledger = place.ledger()
        assert ledger.append(draft(40)).seq == 40
        session = place.backend()._reader.get()
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            session.run("INSERT INTO ro_ledger.mention VALUES ('x', 1)")
    finally:
        place.execute(f"ALTER DATABASE {place.database} RESET ALL")


def test_a_writer_that_cannot_get_its_turn_says_so(place: Place) -> None:
    """Another writer that never ends is an unavailable backend; readers go on; later it works."""
    ledger = place.ledger(busy_timeout_seconds=0.05)
    with place.backend().transaction():
        with pytest.raises(BackendUnavailableError, match="lock timeout"):
            ledger.append(draft(40))
        assert ledger.size() == 40
    assert ledger.append(draft(40)).seq == 40


def test_waiting_can_be_interrupted(place: Place) -> None:
    """Ctrl-C ends a wait for one's turn at once, and the ledger is as usable as before."""
    ledger = place.ledger()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with place.backend().transaction():
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                ledger.append(draft(40))
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert ledger.append(draft(40)).seq == 40


# --- connections that are lost --------------------------------------------------------------------

TERMINATE = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_connection_lost_while_idle_is_opened_again_unnoticed(place: Place) -> None:
    """As after a restart of the server: no call of the next ones fails."""
    ledger = place.ledger()
    ledger.append(draft(40))
    for ask in (ledger.size, ledger.verify, lambda: ledger.append(draft(41))):
        assert ledger.size() >= 41
        place.execute(TERMINATE)
        ask()
    assert ledger.verify().size == 42


def test_a_connection_lost_in_a_transaction_records_nothing(place: Place) -> None:
    """Known to be so, and the next call works."""
    ledger = place.ledger()

    def losing(reader: LedgerReader) -> list[EntryDraft]:
        place.execute(TERMINATE)
        assert reader.size() == 40
        return [draft(40)]

    with pytest.raises(BackendUnavailableError, match="does not answer"):
        ledger.append_with(losing)
    assert ledger.append(draft(40)).seq == 40


def test_a_transaction_goes_on_over_no_other_connection(place: Place) -> None:
    """Whoever swallows the loss does not have the rest committed without its lock."""
    ledger = place.ledger()

    def swallowing(reader: LedgerReader) -> list[EntryDraft]:
        place.execute(TERMINATE)
        with pytest.raises(BackendUnavailableError):
            reader.size()
        return [draft(40)]

    with pytest.raises(BackendUnavailableError):
        ledger.append_with(swallowing)
    assert ledger.size() == 40


def test_a_transaction_inside_another_is_refused(place: Place) -> None:
    """PostgreSQL would only warn, and the inner commit would end the outer's turn."""
    backend = place.backend()
    with backend.transaction() as outer:
        with pytest.raises(InvalidInputError, match="inside another"), backend.transaction():
            pass
        assert outer.tip().size == 40
    assert Ledger(backend, ManualClock()).append(draft(40)).seq == 40


def test_a_writer_that_stalls_in_its_turn_loses_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever, and what it then sends is not recorded."""
    stalled = "ro_platform.ledger.backends.postgres_connection._STALLED_WRITER_SECONDS"
    monkeypatch.setattr(stalled, 0.1)
    ledger = place.ledger()

    def stalling(reader: LedgerReader) -> list[EntryDraft]:
        assert place.ledger().append(draft(40)).seq == 40
        return [draft(41)]

    with pytest.raises(BackendUnavailableError, match="idle-in-transaction"):
        ledger.append_with(stalling)
    assert ledger.append(draft(41)).seq == 41


def test_a_missing_server_skips_its_tests_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both say what to install."""
    said = "no-such-server is not here: install the Debian package some-package"
    monkeypatch.delenv("RO_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=said):
        require("no-such-server", "some-package")
    monkeypatch.setenv("RO_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match=said):
        require("no-such-server", "some-package")


@contextmanager
def proxied(place: Place, **options: Any) -> Iterator[tuple[TcpProxy, Ledger]]:
    """A ledger whose every byte goes through a proxy."""
    with TcpProxy(place.server.port) as proxy:
        yield proxy, place.ledger(place.url(proxy.port), **options)


@pytest.mark.parametrize(("fault", "recorded"), [("reply", True), ("request", False)])
def test_a_connection_lost_at_the_commit_leaves_the_outcome_open(
    place: Place, fault: str, recorded: bool
) -> None:
    """Said as such, whether it was committed or not; the same key again is one entry."""
    with proxied(place) as (proxy, ledger):
        ledger.append(draft(40))
        proxy.lose(fault, at=b"COMMIT\0")
        with pytest.raises(OutcomeUnknownError, match="while it committed"):
            ledger.append_many([draft(41, key="k"), draft(42)])
        assert place.ledger().size() == (43 if recorded else 41)
        assert ledger.append(draft(41, key="k")).seq == 41
        assert ledger.verify().size == (43 if recorded else 42)


@pytest.mark.parametrize("at", [b"BEGIN", b"INSERT", b"SELECT seq"])
def test_a_connection_lost_before_the_commit_is_unavailable(place: Place, at: bytes) -> None:
    """Nothing was done, whether the request or the reply was lost; later it works."""
    for fault in ("request", "reply"):
        with proxied(place) as (proxy, ledger):
            proxy.lose(fault, at=at, times=2)
            with pytest.raises(BackendUnavailableError):
                ledger.append(draft(40, key="k"))
        assert place.ledger().size() == 40


def test_a_server_that_falls_silent_is_lost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call waits for ever: not a read, not a write; a commit without an answer is open."""
    monkeypatch.setattr("ro_platform.ledger.backends.postgres_connection._GRACE_SECONDS", 0.1)
    for at, error in (
        (b"SELECT seq", BackendUnavailableError),
        (b"take_turn", BackendUnavailableError),
        (b"COMMIT\0", OutcomeUnknownError),
    ):
        with proxied(place, busy_timeout_seconds=0.1) as (proxy, ledger):
            proxy.lose("silence", at=at)
            with pytest.raises(error, match="silent"):
                ledger.append(draft(40))
    assert place.ledger().append(draft(40)).seq == 40


def test_threads_share_one_ledger_while_connections_are_lost(place: Place) -> None:
    """Each append of each thread is there once, however often it had to be repeated."""
    ledger = place.ledger()

    def work(thread: int) -> None:
        for number in range(25):
            for _ in range(100):
                try:
                    ledger.append(draft(number, key=f"{thread}/{number}"))
                    break
                except (BackendUnavailableError, OutcomeUnknownError):
                    continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        place.execute(TERMINATE)
        threads[0].join(0.02)
    keys = [entry.key for entry in ledger.scan(start=40)]
    assert sorted(str(key) for key in keys) == sorted(
        f"{thread}/{number}" for thread, number in itertools.product(range(4), range(25))
    )
    assert ledger.verify().size == 140


# --- the setting ----------------------------------------------------------------------------------


def test_a_plane_opens_its_ledger_by_the_urls_scheme(empty: Place, tmp_path: Path) -> None:
    """``postgresql://`` and ``postgres://``, over TCP and over a socket; nothing is created."""
    urls = [empty.url(), empty.server.socket_url(empty.database)]
    for url in [*urls, empty.url().replace("postgresql:", "postgres:")]:
        plane = Plane.open(Settings.load({"RO_LEDGER_URL": url, "RO_ROOT": str(tmp_path)}))
        assert plane.ledger.size() == 0
        plane.ledger.close()
    assert empty.execute("SELECT to_regnamespace('ro_ledger')") == [(None,)]


def test_a_url_is_taken_apart_as_it_is_meant() -> None:
    """Escapes are undone; options that are known are handed on."""
    address = postgres_address("postgresql://us%40er:p%2Fa%3As@[::1]:54/d%20b?sslmode=require")
    assert address.parameters == {
        "host": "::1", "port": "54", "dbname": "d b", "user": "us@er", "password": "p/a:s",
        "sslmode": "require",
    }  # fmt: skip
    assert address.shown == "postgresql://::1:54/d b"
    assert postgres_address("postgres:///db?host=/run/pg").parameters == {
        "host": "/run/pg", "dbname": "db",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush/hush@host/db",
        "postgresql://me:hush#hush@host/db",
        "postgresql://me:hush?hush@host/db",
        "postgresql://me:hush@host:hush/db",
        "postgresql://me:hush@host",
        "postgresql://me:hush@host/",
        "postgresql://me:hush@host/db/hush",
        "postgresql://me:hush@host/db?options=hush",
        "postgresql://me:hush@host/db?password=hush",
        "postgresql://me:hush@[host/db",
        "postgresql://me:hush%00@host/db",
        "mysql://me:hush@host/db",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_being_quoted(url: str) -> None:
    """Named by its setting; nothing of what may be a password is shown."""
    with pytest.raises(SettingsError, match="RO_LEDGER_URL") as refused:
        PostgresLedgerBackend(url)
    assert "hush" not in f"{refused.value!r} {refused.value} {refused.value.diagnostics()}"


@pytest.mark.parametrize("trouble", ["port", "database", "password", "host"])
def test_a_place_that_is_not_there_is_unavailable_and_no_secret_is_told(
    postgres: PostgresServer, trouble: str
) -> None:
    """No server, no such database, a wrong password, no such host: said without the password."""
    place = f"127.0.0.1:{postgres.port}"
    if trouble == "password":
        postgres.execute("DROP ROLE IF EXISTS locked", "CREATE ROLE locked LOGIN PASSWORD 'other'")
    url = {
        "port": "postgresql://me:hush@127.0.0.1:1/db",
        "database": f"postgresql://postgres:hush@{place}/hush_not_there",
        "password": f"postgresql://locked:hush@{place}/postgres",
        "host": "postgresql://me:hush@no-such-host.invalid/db",
    }[trouble]
    backend = PostgresLedgerBackend(url)
    ledger = Ledger(backend, ManualClock())
    for use in (ledger.size, ledger.verify, lambda: ledger.append(draft(0))):
        with pytest.raises(BackendUnavailableError) as failed:
            use()
        shown = f"{failed.value!r} {failed.value} {failed.value.diagnostics()} {backend.address!r}"
        assert "hush" not in shown.replace("hush_not_there", "")
        assert isinstance(failed.value, RunOperateError)
        assert failed.value.__cause__ is None
