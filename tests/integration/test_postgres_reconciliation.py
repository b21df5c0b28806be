"""Reconciliation where ledger and Dagster's storage are databases of one PostgreSQL server: a
killed worker, and what commits late with an id lower than what was seen."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest

from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind, JobStatus
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.reader import LedgerReader
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.orchestration.instances import recording_instance
from ro_platform.orchestration.reconcile import DagsterRecords
from ro_platform.plane import shared_plane
from ro_platform.runs.reconciliation import Reconciliation
from ro_platform.testing import EphemeralPlane
from tests.acceptance.product import Deployment, small_deployment, small_manifest
from tests.servers import PostgresServer, postgres_server

S = JobStatus
PATIENCE_SECONDS = 120
LEDGER, DAGSTER = "ledger", "dagster"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server with a database for each."""
    with postgres_server() as running:
        running.execute(f"CREATE DATABASE {LEDGER}")
        running.execute(f"CREATE DATABASE {DAGSTER}")
        yield running


def urls(server: PostgresServer) -> dict[str, str]:
    """The settings that name them."""
    return {"RO_LEDGER_URL": server.url(LEDGER), "RO_DAGSTER_URL": server.url(DAGSTER)}


# --- a worker is killed ---------------------------------------------------------------------------


def entries(server: PostgresServer) -> list[dict[str, Any]]:
    """The ledger, read past the product; empty before there is one."""
    try:
        rows = server.execute("SELECT entry FROM ro_ledger.entry ORDER BY seq", database=LEDGER)
    except psycopg2.Error:
        return []
    return [json.loads(bytes(row[0])) for row in rows]


def test_a_worker_killed_by_sigkill_is_reconciled_by_the_command(
    server: PostgresServer, tmp_path: Path
) -> None:
    """The first asset hangs, `ro run` is killed: RUNNING is LOST, QUEUED is CANCELED, Dagster's run
    has failed and the run is sealed; the second time there is nothing to write."""
    small = small_deployment(tmp_path)
    small = Deployment(small.root, small.home, urls(server))
    os.mkfifo(small.root / "outside.txt")  # the asset reads it, and nobody ever writes
    process = small.start("ro", "run", small_manifest(tmp_path / "manifests"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(entry["body"].get("status") == "RUNNING" for entry in entries(server)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert small.ro("attempts", "reconcile", "--json").json()["ended"] == []
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    said = small.ro("attempts", "reconcile", "--dry-run", "--json").json()
    done = small.ro("attempts", "reconcile", "--json").json()
    assert done["ended"] == said["ended"]
    assert done["sealed"] == said["sealed"] == [done["ended"][0]["manifest_fingerprint"]]
    assert {item["unit"]: item["status"] for item in done["ended"]} == {
        "numbers": "LOST",
        "numbers#few_enough": "CANCELED",
        "sums": "CANCELED",
        "sums#not_negative": "CANCELED",
    }
    assert server.execute("SELECT status FROM runs", database=DAGSTER) == [("FAILURE",)]
    size = len(entries(server))
    assert [entry["kind"] for entry in entries(server)].count("run_sealed") == 1
    again = small.ro("attempts", "reconcile", "--json").json()
    assert (again["ended"], again["open"], again["sealed"]) == ([], [], [])
    assert len(entries(server)) == size
    assert small.ro("ledger", "verify").code == 0


# --- ids that commit out of order -----------------------------------------------------------------


@dg.asset(partitions_def=MANIFESTS)
def made() -> dict[str, int]:
    return {}


DEFS = govern(dg.Definitions(assets=[made], jobs=[dg.define_asset_job("j", selection="*")]))


@pytest.fixture
def governed(server: PostgresServer, tmp_path: Path) -> Iterator[EphemeralPlane]:
    """A plane and a Dagster instance over the two databases, in this process."""
    given = {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home"), **urls(server)}
    settings = Settings.load(given, cwd=tmp_path)
    with ExitStack() as stack:
        stack.enter_context(settings_in_force(settings))
        instance = stack.enter_context(recording_instance(settings.dagster_state))
        plane = shared_plane(settings)
        stack.callback(plane.ledger.close)
        yield EphemeralPlane(settings, plane, instance)


def started(governed: EphemeralPlane, number: int) -> dg.DagsterRun:
    """A run of a manifest of its own, at work in its only step."""
    tags = {"dagster/partition": governed.register(parameters={"n": number})}
    run = governed.instance.create_run_for_job(DEFS.resolve_job_def("j"), tags=tags)
    for kind, step in (("PIPELINE_START", None), ("STEP_START", "made")):
        event = dg.DagsterEvent(kind, "j", step_key=step, message=kind)
        governed.instance.report_dagster_event(event, run_id=run.run_id)
    return run


def reconciliation(governed: EphemeralPlane) -> Reconciliation:
    plane, records = governed.plane, DagsterRecords(governed.instance)
    return Reconciliation(plane.ledger, records, plane.clock, actor="SYSTEM::reconciliation")


def newest_event(server: PostgresServer) -> int:
    """The highest id that a reader of Dagster's event log sees."""
    ((found,),) = server.execute("SELECT max(id) FROM event_logs", database=DAGSTER)
    return int(found)


END = """
INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key)
SELECT run_id, event, 'PIPELINE_FAILURE', timestamp, NULL FROM event_logs WHERE run_id = %s LIMIT 1
RETURNING id
"""


def test_an_end_that_commits_late_with_a_lower_id_is_seen_by_the_next_pass(
    server: PostgresServer, governed: EphemeralPlane
) -> None:
    """Two transactions end a run each. The one with the higher event id commits, a pass sees it;
    then the other commits, and the pass from where the last one came to ends its attempts, too."""
    slow, quick = started(governed, 1), started(governed, 2)
    passes = reconciliation(governed)
    with closing(psycopg2.connect(server.url(DAGSTER))) as late, late.cursor() as cursor:
        cursor.execute(END, [slow.run_id])
        ((low,),) = cursor.fetchall()
        cursor.execute("UPDATE runs SET status = 'FAILURE' WHERE run_id = %s", [slow.run_id])
        governed.instance.delete_run(quick.run_id)
        other = started(governed, 3)
        assert newest_event(server) > low
        first = passes.run()
        assert {item.item.dagster_run_id for item in first.ended} == {quick.run_id}
        assert {item.dagster_run_id for item in first.open} == {slow.run_id, other.run_id}
        late.commit()
    second = passes.run(first.mark)
    assert [(item.item.dagster_run_id, item.status) for item in second.ended] == [
        (slow.run_id, S.LOST)
    ]
    assert second.sealed == (slow.tags["dagster/partition"],)
    governed.instance.report_run_failed(other)
    assert passes.run(second.mark).mark.runs == ()


def test_the_ledgers_own_numbers_commit_in_order(governed: EphemeralPlane) -> None:
    """While an appender that took its turn first holds its transaction open, a later one waits, and
    a pass in between sees neither; from its mark the next pass sees both."""
    plane, fingerprints = governed.plane, [governed.register(parameters={"n": n}) for n in (8, 9)]
    holds, let_go, order = threading.Event(), threading.Event(), []
    passes = reconciliation(governed)

    def first() -> None:
        def build(_: LedgerReader) -> Sequence[EntryDraft]:
            holds.set()
            assert let_go.wait(PATIENCE_SECONDS)
            return [draft]

        draft = EntryDraft(EntryKind.ADMIN_EVENT, "slow", "SYSTEM::test", {})
        order.append(plane.ledger.append_with(build)[0].seq)
        plane.attempts.begin(fingerprints[0], "x", step_key="x", dagster_run_id="gone-1")

    def second() -> None:
        plane.attempts.begin(fingerprints[1], "x", step_key="x", dagster_run_id="gone-2")
        order.append(plane.ledger.size() - 1)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert holds.wait(PATIENCE_SECONDS)
    size = plane.ledger.size()
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive(), "a later appender overtook an open transaction"
    between = passes.run()
    assert (between.ended, between.mark.start) == ((), size)
    let_go.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert order[0] == size
    after = passes.run(between.mark)
    assert {item.item.dagster_run_id for item in after.ended} == {"gone-1", "gone-2"}
    assert sorted(after.sealed) == sorted(fingerprints)
    assert [entry.seq for entry in plane.ledger.scan()] == list(range(plane.ledger.size()))
