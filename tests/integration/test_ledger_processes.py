"""The ledger between processes: races, kills in mid-append, forks, a crashed server. All real."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import system_clock
from ro_platform.kernel.merkle import EMPTY_ROOT
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from tests.servers import CARELESS, Databases, postgres_server

WRITERS, APPENDS = 8, 25
KILLS = 24
ROOT = Path(__file__).parents[2]

KILLED_WRITER = """
import sys
from ro_platform.contracts.ledger import EntryKind
from ro_platform.ledger.entry import EntryDraft
from tests.integration.test_ledger_processes import opened

ledger, number = opened(sys.argv[1]), 0
while True:
    size = 1 + number % 7
    batch = [
        EntryDraft(EntryKind.ADMIN_EVENT, "kill", "SYSTEM::test", {}, key, mentions=("m",))
        for key in (f"{sys.argv[2]}/{n}" for n in range(number, number + size))
    ]
    for entry in ledger.append_many(batch):
        print(entry.key, entry.seq)
    sys.stdout.flush()
    number += size
"""


def opened(place: str) -> Ledger:
    """The ledger at that path or URL, on the system's clock."""
    backend: LedgerBackend
    if place.startswith("postgresql:"):
        backend = PostgresLedgerBackend(place)
    else:
        backend = SqliteLedgerBackend(Path(place))
    return Ledger(backend, system_clock)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    """Databases of one server that these tests share."""
    with postgres_server(CARELESS) as server:
        yield Databases(server)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger can be that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    databases: Databases = request.getfixturevalue("databases")
    return databases.server.url(databases.take())


def killed_writer(place: str, name: str) -> subprocess.Popen[str]:
    """A process that appends batches until it is killed, and prints what was acknowledged."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, place, name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def fact(subject: str, number: int) -> EntryDraft:
    """One fact of one writer."""
    return EntryDraft(
        EntryKind.ADMIN_EVENT, subject, "SYSTEM::test", {"n": number}, key=f"{subject}/{number}"
    )


def _append_in_process(place: str, writer: int, ready: threading.Barrier) -> None:
    ledger = opened(place)
    ready.wait()
    for number in range(APPENDS):
        ledger.append(fact(f"writer-{writer}", number))
        ledger.append_many([fact(f"writer-{writer}-batch", 3 * number + n) for n in range(3)])
        ledger.append_with(_next_number)
        ledger.append(fact("shared", number))


def _next_number(reader: LedgerReader) -> list[EntryDraft]:
    latest = reader.latest(EntryKind.CONFIG_PUBLISHED, "config")
    number = 1 + (int(str(latest.body["version"])) if latest else 0)
    body = {"version": number}
    return [EntryDraft(EntryKind.CONFIG_PUBLISHED, "config", "SYSTEM::test", body)]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_eight_processes_lose_nothing_and_leave_no_gap(place: str, method: str) -> None:
    """From its creation on: no entry lost or doubled, no number twice, none refused."""
    context: Any = multiprocessing.get_context(method)
    ready = context.Barrier(WRITERS)
    writers = [
        context.Process(target=_append_in_process, args=(place, number, ready))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS

    ledger = opened(place)
    assert ledger.verify().size == WRITERS * APPENDS * 5 + APPENDS
    for writer_number in range(WRITERS):
        for subject, count in (("", APPENDS), ("-batch", 3 * APPENDS)):
            own = ledger.scan(subject=f"writer-{writer_number}{subject}")
            assert [entry.body["n"] for entry in own] == list(range(count))
    assert sorted(str(entry.key) for entry in ledger.scan(subject="shared")) == sorted(
        f"shared/{number}" for number in range(APPENDS)
    )
    numbers = [entry.body["version"] for entry in ledger.scan(subject="config")]
    assert numbers == list(range(1, WRITERS * APPENDS + 1))


RUNS = 3


def _next_of_run(run: str, mark: str) -> Callable[[LedgerReader], list[EntryDraft]]:
    """Two facts of one run: the next number, and one that is found by the run's name."""

    def decide(reader: LedgerReader) -> list[EntryDraft]:
        latest = reader.latest(EntryKind.CONFIG_PUBLISHED, run)
        number = 1 + (int(str(latest.body["n"])) if latest else 0)
        ids = CorrelationIds(run_id=run)
        return [
            EntryDraft(EntryKind.CONFIG_PUBLISHED, run, "SYSTEM::test", {"n": number}, None, ids),
            EntryDraft(
                EntryKind.ADMIN_EVENT, mark, "SYSTEM::test", {"n": number}, None, ids, (run,)
            ),
        ]

    return decide


def _append_over_runs(place: str, writer: int, ready: threading.Barrier) -> None:
    ledger = opened(place)
    ready.wait()
    for number in range(APPENDS):
        if writer % 2:
            ledger.append_many([fact(f"writer-{writer}", 2 * number + n) for n in range(2)])
        else:
            # Each writer goes through the runs in an order of its own.
            run = f"{(writer + number * (1 + writer // 2)) % RUNS:032x}"
            ledger.append_with(_next_of_run(run, f"writer-{writer}"))


def _read_until(place: str, stop: Event, ready: threading.Barrier) -> None:
    """Whatever is read meanwhile is consistent: no gap, and each run's two facts together."""
    ledger = opened(place)
    ready.wait()
    while not stop.is_set():
        size = ledger.size()
        assert [entry.seq for entry in ledger.scan(end=size)] == list(range(size))
        run = f"{0:032x}"
        mentioning = {entry.seq for entry in ledger.scan(mention=run)}
        numbers = [entry.seq for entry in ledger.scan(subject=run, end=size)]
        assert {seq + 1 for seq in numbers} <= mentioning


def _verify_until(place: str, stop: Event, ready: threading.Barrier) -> None:
    ledger, kept = opened(place), (0, EMPTY_ROOT)
    ready.wait()
    while not stop.is_set():
        verified = ledger.verify(against=kept)
        assert verified.size >= kept[0]
        kept = (verified.size, verified.root)


def test_eight_writers_over_several_runs_and_readers_and_a_verifier_at_once(place: str) -> None:
    """Nobody waits for ever, nobody is refused, nothing is lost or torn, and what was verified in
    the middle of it is part of what is there at the end."""
    context: Any = multiprocessing.get_context("fork")
    ready, stop = context.Barrier(WRITERS + 3), context.Event()
    writers = [
        context.Process(target=_append_over_runs, args=(place, number, ready))
        for number in range(WRITERS)
    ]
    others = [
        context.Process(target=work, args=(place, stop, ready))
        for work in (_read_until, _read_until, _verify_until)
    ]
    for process in writers + others:
        process.start()
    for writer in writers:
        writer.join(120)
    stop.set()
    for other in others:
        other.join(60)
    assert [process.exitcode for process in writers + others] == [0] * (WRITERS + 3)
    ledger = opened(place)
    assert ledger.verify().size == WRITERS * APPENDS * 2
    for run in (f"{number:032x}" for number in range(RUNS)):
        numbers = [entry.body["n"] for entry in ledger.scan(subject=run)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert [entry.body["n"] for entry in ledger.scan(mention=run)] == numbers
    for writer_number in range(1, WRITERS, 2):
        own = [entry.body["n"] for entry in ledger.scan(subject=f"writer-{writer_number}")]
        assert own == list(range(2 * APPENDS))


def test_what_was_acknowledged_survives_every_kill(place: str) -> None:
    """SIGKILL in the middle of appending, again and again: all that was returned is there."""
    acknowledged: dict[str, int] = {}
    for kill in range(KILLS):
        with killed_writer(place, f"round-{kill}") as writer:
            assert writer.stdout is not None
            # The first lines say that it is at work; how far it gets then varies with the round.
            lines = [writer.stdout.readline() for _ in range(1 + 5 * kill)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        whole = [line.split() for line in lines if line.endswith("\n")]
        assert whole
        acknowledged |= {key: int(seq) for key, seq in whole}
    ledger = opened(place)
    stored = {entry.key: entry.seq for entry in ledger.scan()}
    assert {key: stored.get(key) for key in acknowledged} == acknowledged
    assert ledger.verify().size == len(stored)
    assert ledger.append(fact("after", 0)).seq == len(stored)


def test_a_batch_is_there_whole_or_not_at_all_after_a_kill(place: str) -> None:
    """The keys of each round are 0, 1, 2 … up to the end of some batch: none was torn."""
    with killed_writer(place, "torn") as writer:
        assert writer.stdout is not None
        for _ in range(50):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    keys = [entry.key for entry in opened(place).scan()]
    ends, end = set(), 0
    while end <= len(keys):
        ends.add(end)
        end += 1 + end % 7
    assert keys == [f"torn/{number}" for number in range(len(keys))]
    assert len(keys) in ends


def test_a_fork_while_other_threads_append_disturbs_neither_side(place: str) -> None:
    """Parent and children go on with the same ledger object after a fork, and nobody hangs."""
    ledger = opened(place)
    ledger.append(fact("first", 0))
    stop = threading.Event()

    def keep_appending() -> None:
        number = 0
        while not stop.is_set():
            ledger.append(fact("thread", number))
            number += 1

    thread = threading.Thread(target=keep_appending)
    thread.start()
    try:
        for child in range(10):
            _in_forked_child(ledger, child)
    finally:
        stop.set()
        thread.join()
    children = [entry.subject for entry in ledger.scan() if entry.subject.startswith("child-")]
    assert children == [f"child-{child}" for child in range(10) for _ in range(3)]
    assert ledger.verify().size == ledger.size()


def _in_forked_child(ledger: Ledger, child: int) -> None:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            for number in range(3):
                ledger.append(fact(f"child-{child}", number))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_reader_in_another_process_sees_what_was_committed(place: str) -> None:
    """A read-only look while the writer has the file open, entry by entry."""
    ledger, other = opened(place), opened(place)
    for number in range(5):
        ledger.append(fact("a", number))
        assert other.size() == number + 1
        assert other.root() == ledger.root()
        other.append(fact("b", number)) if number == 4 else None
    script = (
        "import sys; from tests.integration.test_ledger_processes import opened;"
        "print(opened(sys.argv[1]).verify().root.hex())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, place], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == ledger.root().hex()


def test_what_was_acknowledged_survives_a_crash_of_the_server() -> None:
    """Though the server's own default would not have waited for the disk; and its clients go on."""
    with postgres_server() as server:
        ledger = opened(server.url())
        for crash in range(3):
            with killed_writer(server.url(), f"crash-{crash}") as writer:
                assert writer.stdout is not None
                lines = [writer.stdout.readline() for _ in range(30)]
                server.stop("immediate")
                lines += writer.stdout.readlines()
                assert writer.wait() == 1
            server.start()
            acknowledged = {line.split()[0] for line in lines if line.endswith("\n")}
            stored = {entry.key for entry in ledger.scan(mention="m")}
            assert acknowledged <= stored
            assert len(acknowledged) >= 30
        assert ledger.verify().size == ledger.size()
        ledger.close()


def test_a_writer_killed_in_its_turn_does_not_keep_it(databases: Databases) -> None:
    """The server takes the lock back with the connection: the next writer goes on at once."""
    place = databases.server.url(databases.take())
    ledger = opened(place)
    ledger.append(fact("first", 0))
    script = (
        "import sys, time; from tests.integration.test_ledger_processes import opened;"
        "opened(sys.argv[1]).append_with(lambda reader: (print(flush=True), time.sleep(600)))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, place], stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    assert ledger.append(fact("second", 0)).seq == 1
