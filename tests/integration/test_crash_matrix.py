"""The crash matrix: whatever dies or fails at whichever write boundary, the record holds.

Never a PASS without bytes, never an acknowledged entry lost, never an attempt that stays open.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from ro_platform.artifacts.backends.filesystem import FSYNC_SINGLY
from ro_platform.contracts import JobStatus
from ro_platform.errors import error_for
from tests.effort import times
from tests.integration.crash_points.cells import Finding, artifact, job_at
from tests.integration.crash_points.disk import ShortDisk
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.matrix import Matrix, in_place, in_two, play
from tests.integration.crash_points.plants import (
    entry_before_receipt,
    names_not_durable,
    nobody_ends_attempts,
    told_before_commit,
)
from tests.integration.crash_points.rounds import Rounds
from tests.integration.crash_points.table import PAGE, for_page
from tests.servers import CARELESS, PostgresServer, postgres_server

pytestmark = pytest.mark.timeout(600)  # all of it takes a minute, and minutes under load

S = JobStatus
SEED = int(os.environ.get("RO_CRASH_SEED", "20300102"))
ON_LEDGER = {"BEGIN", "INSERT entry", "INSERT mentions", "COMMIT"}
ON_STORE = {"open", "write", "fsync", "link", "unlink", "mkdir"}
STEPS = {
    "register",
    "declare the gate",
    "queue the attempt",
    "start the attempt",
    "put the artifact",
    "bind and record it",
    "record the PASS",
    "end the attempt",
    "seal the run",
}
SHORT_DISKS = [0, 1, 100, 400, 1000, 4096, 4097, *range(5000, 120_000, 5077), 300_000, 1_000_000]
"""Bytes. Objects have some hundred, the large one a million, SQLite's log grows by pages to some
hundred thousand: each of these limits tears another write."""


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: a killed process needs no disk to wait for."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ro-crash-", dir=place) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that survives what is killed here: its clients."""
    with postgres_server(CARELESS) as server:
        yield server


@pytest.fixture(scope="module")
def embedded(memory: Path) -> Matrix:
    """The matrix over SQLite and a folder."""
    return play(memory / "embedded", _in_its_folder, only=lambda _: True)


@pytest.fixture(scope="module")
def served(memory: Path, server: PostgresServer) -> Matrix:
    """The matrix over PostgreSQL, as far as the ledger is concerned."""
    return play(
        memory / "served", partial(_empty_ledger, server), only=lambda one: one.what == "ledger"
    )


@pytest.fixture(params=["embedded", "served"])
def matrix(request: pytest.FixtureRequest) -> Matrix:
    """Both of them."""
    found: Matrix = request.getfixturevalue(request.param)
    return found


def _in_its_folder(_: int) -> str:
    return ""


def _empty_ledger(server: PostgresServer, process: int) -> str:
    name = f"crash_{process}"
    if not server.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        server.execute(f"CREATE DATABASE {name}")
    server.execute("DROP SCHEMA IF EXISTS ro_ledger CASCADE", database=name)
    return server.url(name)


def test_every_boundary_of_a_publication_is_met_by_every_fault(
    embedded: Matrix, served: Matrix
) -> None:
    """Both halves of the plane are crossed, in every step; whatever can be torn is."""
    met = embedded.findings
    assert {cell.boundary.step for cell in met} == STEPS
    assert {cell.boundary.call for cell in met} >= ON_STORE | ON_LEDGER
    assert {cell.boundary.call for cell in served.findings} >= {"BEGIN", "INSERT entry", "COMMIT"}
    assert {cell.fault for cell in met} == {cell.fault for cell in served.findings} | {
        Fault.FULL_TORN
    }
    assert {cell.boundary.call for cell in met if cell.fault is Fault.FULL_TORN} == {"write"}


def test_nothing_that_dies_or_fails_breaks_the_record(matrix: Matrix) -> None:
    """In no cell a PASS without bytes, an acknowledged entry lost, half an object, an attempt that
    stays open, a run that stays unsealed, or a second try that fails."""
    assert matrix.broken == {}


def test_the_second_try_gives_the_same_artifact(matrix: Matrix, memory: Path) -> None:
    """In every cell the digest is that of a store that nothing happened to."""
    expected = job_at(memory, artifact(memory / "expected")).expected_digest()
    assert {found.digest for found in matrix.well.values()} == {expected}


def test_every_attempt_ends_as_it_should(matrix: Matrix) -> None:
    """LOST if it was at work, CANCELED if it never began, FAILED if it could say so; and the last
    one SUCCEEDED."""
    allowed = {(S.SUCCEEDED,), (S.SUCCEEDED, S.SUCCEEDED)}
    allowed |= {(first, S.SUCCEEDED) for first in (S.LOST, S.CANCELED, S.FAILED)}
    assert {found.ends for found in matrix.well.values()} == allowed


def test_what_fails_has_a_stable_code(matrix: Matrix) -> None:
    """A full disk is not writable, or the outcome is unknown; a lost answer is never a success
    that is reported as none, but for tidying up, which goes on."""
    for cell, found in matrix.well.items():
        if cell.fault.kills:
            assert found.code == "", cell
        elif found.code:
            assert error_for(found.code) is not None, cell
            assert found.code in {
                "RO_STORE_NOT_WRITABLE",
                "RO_OUTCOME_UNKNOWN",
                "RO_BACKEND_UNAVAILABLE",
            }, cell
        else:
            assert cell.boundary.call in {"unlink", "rmdir", "link", "mkdir", "open", "BEGIN"}, cell


def test_many_files_that_are_made_durable_together_are_whole_or_absent(memory: Path) -> None:
    """So is the group that syncfs makes durable before it is linked, and after."""
    members = {f"{number}.txt": f"file {number}".encode() for number in range(FSYNC_SINGLY + 1)}
    group = play(
        memory / "group", _in_its_folder, only=lambda one: one.call == "syncfs", members=members
    )
    assert group.broken == {}
    assert len({cell.at for cell in group.findings}) == 2


@pytest.mark.parametrize("kills", [True, False], ids=["killed for it", "refused"])
def test_a_disk_that_ends_tears_writes_and_breaks_nothing(memory: Path, kills: bool) -> None:
    """The kernel tears the write that crosses the limit, in the store or in SQLite's log."""
    files = artifact(memory / "short" / "files")
    disks = [ShortDisk(limit, kills) for limit in SHORT_DISKS]
    work = partial(_on_short_disk, memory / f"short-{kills}", files)
    found = dict(zip(SHORT_DISKS, in_two(work, disks), strict=True))
    assert {limit: text for limit, text in found.items() if isinstance(text, str)} == {}
    assert len({it.left for it in found.values() if not isinstance(it, str)}) >= 4


def _on_short_disk(folder: Path, files: Path, disk: ShortDisk) -> Finding | str:
    return in_place(folder, _in_its_folder, files, lambda _: disk)


@pytest.mark.parametrize(("ledger", "rounds"), [("sqlite", times(80)), ("postgres", times(20))])
def test_real_kills_at_random_times_leave_a_plane_that_holds(
    memory: Path, request: pytest.FixtureRequest, ledger: str, rounds: int
) -> None:
    """Three processes at once, each killed at its own time, round after round on one plane."""
    url = ""
    if ledger == "postgres":
        url = _empty_ledger(request.getfixturevalue("server"), 0)
    print(f"RO_CRASH_SEED={SEED}")  # shown when it fails
    folder = memory / f"rounds-{ledger}"
    played = Rounds(folder / "home", folder / "files", SEED, url)
    toll = played.play(rounds, workers=3)
    assert toll.killed > rounds, toll
    assert toll.lost > rounds // 5, toll
    assert played.verify() > 10 * rounds


@pytest.mark.parametrize(
    ("plant", "step", "fault", "found"),
    [
        (entry_before_receipt, "record the PASS", Fault.KILLED_AFTER, "ReceiptUnverifiableError"),
        (told_before_commit, "queue the attempt", Fault.KILLED_BEFORE, "NotFoundError"),
        (names_not_durable, "end the attempt", Fault.POWER_LOST, "ArtifactNotFoundError"),
        (nobody_ends_attempts, "start the attempt", Fault.KILLED_BEFORE, "AssertionError"),
    ],
)
def test_the_matrix_finds_what_is_planted(
    memory: Path,
    plant: Callable[[], AbstractContextManager[object]],
    step: str,
    fault: Fault,
    found: str,
) -> None:
    """A plane that is wrong in one place breaks the record in some cell of that step."""
    with plant():
        matrix = play(
            memory / plant.__name__,
            _in_its_folder,
            only=lambda one: (one.step, one.what) == (step, "ledger"),
        )
    by_fault = [it for cell, it in matrix.findings.items() if cell.fault is fault]
    assert any(isinstance(it, str) and it.startswith(found) for it in by_fault)


def test_the_table(embedded: Matrix, served: Matrix) -> None:
    """The reference shows exactly what was found now."""
    text = for_page(embedded, served)
    if os.environ.get("RO_WRITE_TABLE"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
