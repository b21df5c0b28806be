"""No PASS, no read: every way to start a consumer, against every state of what it reads.

Each cell is executed for real, by the UI's mutations, the daemon, commands and scripts, on one
deployment with two code locations. A refusing state has one manifest for all ways in.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.acceptance.many_ways.cells import (
    NO_CELL,
    STATES,
    WAYS,
    Cell,
    beside,
    cells,
    content,
)
from tests.acceptance.many_ways.evidence import (
    STARTED,
    Evidence,
    digest_of,
    kinds_of,
    materialized_by,
    tags_of,
    words_of,
)
from tests.acceptance.many_ways.play import Played, play
from tests.acceptance.many_ways.table import PAGE, for_page, for_terminal

pytestmark = pytest.mark.timeout(1200)

PASSING = [cell for cell in cells() if cell.state.code is None]
REFUSING = [cell for cell in cells() if cell.state.code is not None]
AT_ADMISSION = [cell for cell in REFUSING if cell.status == "REFUSED"]
AT_THE_READ = [cell for cell in REFUSING if cell.status == "FAILED"]
DRAFTS = [cell for cell in cells() if cell.is_draft]
RUN = [cell for cell in REFUSING if not cell.is_draft]
"""Those of which the governed Dagster has a run."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The table, played once."""
    return play(tmp_path_factory.mktemp("many") / "ways", time.monotonic)


@pytest.fixture(scope="module")
def evidence(played: Played) -> Evidence:
    """What every cell left behind."""
    return played.evidence


def test_every_cell_has_been_executed(evidence: Evidence) -> None:
    """Each consumer has exactly one attempt; the cells that cannot exist are few, and named."""
    assert {str(cell): len(evidence.attempts_of(cell)) for cell in cells()} == {
        str(cell): 1 for cell in cells()
    }
    assert len(cells()) == len(WAYS) * len(STATES) - len(NO_CELL)
    assert len(NO_CELL) <= 3
    assert all(NO_CELL.values())


def test_no_refusing_cell_is_given_a_byte(evidence: Evidence) -> None:
    """Zero bytes of the producer leave the store, whoever asks."""
    given = {str(cell): evidence.bytes_of(cell) for cell in REFUSING}
    assert {cell: size for cell, size in given.items() if size} == {}


def test_every_passing_cell_reads_and_publishes(evidence: Evidence) -> None:
    """The same ways in deliver the whole artifact under a PASS, and the consumer is bound."""
    assert [str(cell) for cell in PASSING if evidence.bytes_of(cell) < 1000] == []
    assert [str(cell) for cell in PASSING if not evidence.is_bound(cell)] == []
    assert {evidence.end_of(cell)["status"] for cell in PASSING} == {"SUCCEEDED"}


def test_every_refusal_is_on_record_under_its_code(evidence: Evidence) -> None:
    """REFUSED where admission sees it, FAILED where the read refuses; never to be retried."""

    def found(cell: Cell) -> tuple[str, str | None, bool | None]:
        end = evidence.end_of(cell)
        return end["status"], end.get("error_code"), end.get("retryable")

    expected = {str(cell): (cell.status, cell.state.code, False) for cell in REFUSING}
    assert {str(cell): found(cell) for cell in REFUSING} == expected


def test_the_words_of_a_refusal_are_in_the_runs_log(evidence: Evidence) -> None:
    """Whoever opens the run in the UI reads the code, and what to do next."""
    silent = [
        str(cell) for cell in RUN if f"{cell.state.code}: " not in words_of(evidence.run(cell))
    ]
    assert silent == []


def test_a_refused_consumer_leaves_nothing(evidence: Evidence) -> None:
    """No binding in the store, no twin's either, and no materialization in Dagster."""
    assert [str(cell) for cell in REFUSING if evidence.is_bound(cell)] == []
    made = {str(cell): materialized_by(evidence.run(cell)) for cell in RUN}
    consumers = {str(cell): set(cell.consumers) for cell in RUN}
    assert [cell for cell in made if made[cell] & consumers[cell]] == []


def test_admission_refuses_before_a_worker_is_paid_for(evidence: Evidence) -> None:
    """Such a run is CANCELED, tagged with code and gate, and no process of its own began."""
    for cell in AT_ADMISSION:
        run = evidence.run(cell)
        tags = tags_of(run)
        assert run["status"] == "CANCELED", cell
        assert tags["ro/refused"].startswith("RO_"), cell
        assert tags["ro/refused_by"], cell
        assert kinds_of(run) & STARTED == set(), cell
        if cell.way.name != "ranged":  # there, the first of many refusals
            assert tags["ro/refused"] == cell.state.code


def test_the_read_refuses_what_admission_cannot_see(evidence: Evidence) -> None:
    """There a worker ran, and its run is a FAILURE; nothing is tagged as refused by admission."""
    runs = {str(cell): evidence.run(cell) for cell in AT_THE_READ if not cell.is_draft}
    assert {cell: run["status"] for cell, run in runs.items() if run["status"] != "FAILURE"} == {}
    assert [cell for cell, run in runs.items() if "ro/refused" in tags_of(run)] == []
    assert [cell for cell, run in runs.items() if "STEP_START" not in kinds_of(run)] == []


def test_no_refused_run_is_retried(evidence: Evidence) -> None:
    """Run retries are on, and no run was started by them, nor any step a second time."""
    retried = [
        run["runId"] for run in evidence.runs.values() if "dagster/retry_number" in tags_of(run)
    ]
    assert retried == []
    steps = [cell for cell in REFUSING if cell.way.name == "retried"]
    again = {"STEP_UP_FOR_RETRY", "STEP_RESTARTED"}
    assert [str(cell) for cell in steps if kinds_of(evidence.run(cell)) & again] == []
    assert len(steps) == len(STATES) - 1


def test_a_draft_leaves_nothing_where_it_reads(evidence: Evidence) -> None:
    """Passing or refused, it tells the code and that it is a draft; of a manifest of its own the
    governed record has no attempt, no binding and no run of the consumer."""
    for cell in DRAFTS:
        said = evidence.said[f"draft-{cell.manifest}"]
        assert "DRAFT" in said, cell
        assert cell.state.code is None or f"{cell.state.code} " in said, cell
    mine = [cell for cell in DRAFTS if cell.manifest.endswith("-draft")]
    for cell in mine:
        key = evidence.fingerprints[cell.manifest]
        assert evidence.attempts.of_unit(cell.consumer, key) == {}
        assert (cell.consumer, key) not in evidence.bound
    assert {cell.state.name for cell in mine} == {"pass", "race"}


def test_a_backfills_refused_partitions_stop_no_good_one(evidence: Evidence) -> None:
    """By UI and by command: of one backfill, the good partition is bound, all others refused."""
    for name in ("spread", "backfilled"):
        mine = [cell for cell in cells() if cell.way.name == name and cell.family == "main"]
        backfills = {tags_of(evidence.run(cell))["dagster/backfill"] for cell in mine}
        assert len(backfills) == 1
        ends = {evidence.end_of(cell)["status"] for cell in mine}
        assert ends == {"SUCCEEDED", "REFUSED", "FAILED"}


def test_a_range_with_a_bad_partition_makes_nothing(evidence: Evidence) -> None:
    """A single run over good and bad partitions binds neither; refused at admission, it is not
    given the good one's bytes either."""
    good = {name: evidence.fingerprints[beside(name)] for name in ("seen", "altered", "gone")}
    assert [name for name, key in good.items() if ("main/ranged", key) in evidence.bound] == []
    assert digest_of(content("main/source", good["seen"], 1)) not in evidence.delivered


def test_dagster_believed_the_forged_pass(played: Played) -> None:
    """Its own tables say that the check passed for that partition: they are no authority here."""
    forged = played.evidence.fingerprints["forged"]
    for checks in played.checks.values():
        said = [check["evaluation"] for check in checks if check["evaluation"]]
        assert [item["success"] for item in said if item["partition"] == forged] == [True]


def test_dagster_lost_the_partition_of_a_fail(played: Played) -> None:
    """In a backfill under an explicit policy, it keeps the FAIL without its partition."""
    runs = {
        run["runId"]
        for run in played.evidence.runs.values()
        if tags_of(run).get("dagster/backfill") == played.backfills["lost"]
    }
    for checks in played.checks.values():
        mine = [item for item in checks if item["runId"] in runs]
        said = [item["evaluation"] for item in mine if item["evaluation"]]
        assert [(item["success"], item["partition"]) for item in said] == [(False, None)]


def test_the_table(evidence: Evidence, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """It is printed, and the reference shows exactly what was found now."""
    text = for_terminal(evidence)
    with capsys.disabled():
        print(f"\n{text}\n{played.seconds}")
    assert max(map(len, text.splitlines())) <= 160
    if os.environ.get("RO_WRITE_TABLE"):
        PAGE.write_text(for_page(evidence))
    assert PAGE.read_text() == for_page(evidence)
