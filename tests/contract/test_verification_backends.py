"""Each backend that outlives its process can be verified by several, which open it themselves."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.verification import Kept, Verification, verify
from tests.servers import Databases

SIZE = 100


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerBackend]:
    """One ledger of a hundred entries."""
    if request.param == "sqlite":
        opened: LedgerBackend = SqliteLedgerBackend(tmp_path / "ledger.sqlite")
        yield _filled(opened)
        opened.close()
        return
    databases: Databases = request.getfixturevalue("postgres_databases")
    name = databases.take()
    opened = PostgresLedgerBackend(databases.server.socket_url(name))
    yield _filled(opened)
    opened.close()
    databases.give_back(name)


def _filled(backend: LedgerBackend) -> LedgerBackend:
    Ledger(backend, ManualClock()).append_many(
        [
            EntryDraft(EntryKind.ADMIN_EVENT, f"s-{n}", "SYSTEM::test", {}, mentions=(f"m-{n}",))
            for n in range(SIZE)
        ]
    )
    return backend


def test_several_processes_open_it_and_agree(backend: LedgerBackend) -> None:
    """The root is that of one process, and so is every root on the way."""
    ledger = Ledger(backend, ManualClock())
    kept = [Kept(size, ledger.root(size)) for size in range(0, SIZE + 1, 9)]
    found = verify(backend, None, kept, jobs=2, segment_level=3)
    assert found == verify(backend) == Verification(SIZE, ledger.root())


def test_what_opens_it_again_can_be_sent_to_another_process(backend: LedgerBackend) -> None:
    """It is plain data: no connection, lock or file handle goes with it."""
    reopen = backend.reopener()
    assert reopen is not None
    again = pickle.loads(pickle.dumps(reopen))()
    assert again.tip() == backend.tip()
    again.close()


def test_a_ledger_in_memory_cannot_be_opened_elsewhere() -> None:
    """So it says that, instead of opening an empty one."""
    assert MemoryLedgerBackend().reopener() is None
