"""The table, played once: the deployment is served, brought into every state, and entered by every
way at once. What is left behind is gathered while Dagster still answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.many_ways.cells import FAMILIES, UNMADE, Cell, cells
from tests.acceptance.many_ways.counting import delivered
from tests.acceptance.many_ways.evidence import ENDED, RUNS, Attempts, Evidence, bound_in
from tests.acceptance.many_ways.served import Served, deployment_of, serving, step
from tests.acceptance.many_ways.ways import SENSOR, START_SENSOR, STOP_SENSOR, Start, sensor
from tests.acceptance.product import Deployment

_OVER = {"SUCCESS", "FAILURE", "CANCELED"}
FORGE_CHECK = """
mutation($it: ReportAssetCheckEvaluationsParams!) {
  reportAssetCheckEvaluations(eventParams: $it) { __typename ... on PythonError { message } } }"""
FORGE_MATERIALIZATION = """
mutation($it: ReportRunlessAssetEventsParams!) {
  reportRunlessAssetEvents(eventParams: $it) { __typename ... on PythonError { message } } }"""
CHECKS = """
query($asset: AssetKeyInput!, $name: String!, $limit: Int!) {
  assetCheckExecutions(assetKey: $asset, checkName: $name, limit: $limit) {
    __typename runId status evaluation { success partition targetMaterialization { runId } } } }"""
BACKFILL_STATUS = """
query($it: String!) { partitionBackfillOrError(backfillId: $it) {
  __typename ... on PartitionBackfill { status } } }"""


@dataclass(frozen=True)
class Played:
    """The table's evidence, and what Dagster itself believed of the states it was lied to about."""

    evidence: Evidence
    checks: dict[str, list[dict[str, Any]]]
    backfills: dict[str, str]
    seconds: dict[str, float]


def play(folder: Path, clock: Callable[[], float]) -> Played:
    """All of it; a few minutes."""
    begun = clock()
    marks: dict[str, float] = {}

    def mark(name: str) -> None:
        marks[name] = round(clock() - begun, 1)
        print(marks, flush=True)

    deployment = deployment_of(folder)
    registering = step(deployment, "states", "register")
    with serving(deployment, folder / "logs") as served:
        registering.finish()
        mark("served")
        names = json.loads((deployment.home / "manifests.json").read_text())
        start = Start(served, names)
        _set_up(start, mark)
        entries = len(deployment.entries())
        counted = (deployment.home / "delivered").stat().st_size
        scripts = start.all()
        mark("started")
        for script in scripts:
            script.finish()
        mark("commands ended")
        served.until(lambda: all_over(start, entries), every_seconds=2)
        mark("cells ended")
        runs = _runs(served)
        evidence = Evidence(
            attempts=Attempts.of(deployment.entries(), after=entries),
            runs=runs,
            bound=bound_in(deployment),
            delivered=delivered(deployment.home / "delivered", after=counted),
            fingerprints=names,
            run_of_cell=start.runs,
            drafts=_drafts(deployment),
            said={path.stem: path.read_text() for path in served.logs.glob("draft-*.out")},
        )
        checks = {
            asset: _checks(served, asset) for asset in (f"{name}/source" for name in FAMILIES)
        }
        return Played(evidence, checks, start.backfills, marks)


def _set_up(start: Start, mark: Callable[[str], None]) -> None:
    """Every state, but the race, which begins with the consumers."""
    served, deployment = start.served, start.served.deployment
    # The automation's first look: what is made after it is news.
    served.ask(START_SENSOR, it=sensor("automation"))
    start.launch_parents()
    sources = [f"{family}/source" for family in FAMILIES]
    start.backfills["lost"] = start.backfill(sources, [start.fingerprints["lost"]])
    served.until(lambda: _looked(served))
    for _ in range(2):
        served.until(lambda: _stopped(served))
        time.sleep(1)
    mark("looked")
    step(deployment, "states", "put").finish()
    mark("put")
    served.until(lambda: _backfill_over(start, "lost"))
    served.until(lambda: set(_statuses(served)) <= _OVER)
    mark("prepared")
    for asset in (*sources, "main/outside"):
        forge(served, asset, start.fingerprints["forged"])
    for asset in sources:
        for name in UNMADE:
            _report(served, asset, start.fingerprints[name])
    step(deployment, "states", "arm").finish()
    (deployment.home / "obstacle").unlink()


def forge(served: Served, asset: str, fingerprint: str) -> None:
    """Say PASS through each door that Dagster has for it, with the partition and without.

    Of one partition Dagster keeps one such word, and fails at the second.
    """
    _report(served, asset, fingerprint)
    said = {"check_name": "good", "passed": True, "severity": "ERROR"}
    served.post(f"report_asset_check/{asset}", said)
    evaluation = {
        "assetKey": {"path": asset.split("/")},
        "checkName": "good",
        "passed": True,
        "partitionKeys": [fingerprint],
    }
    served.ask(FORGE_CHECK, it=evaluation)


def _report(served: Served, asset: str, fingerprint: str) -> None:
    """Say that an asset was materialized, over REST and by GraphQL."""
    said = {"partition": fingerprint, "data_version": "forged"}
    served.post(f"report_asset_materialization/{asset}", said)
    event = {
        "eventType": "ASSET_MATERIALIZATION",
        "assetKey": {"path": asset.split("/")},
        "partitionKeys": [fingerprint],
    }
    served.ask(FORGE_MATERIALIZATION, it=event)


def all_over(start: Start, entries: int) -> bool:
    """Whether each cell's consumer has an attempt that ended, and no run goes on."""
    return not unfinished(start, entries) and set(_statuses(start.served)) <= _OVER


def unfinished(start: Start, entries: int) -> list[Cell]:
    """The cells of which nothing has ended yet."""
    attempts = Attempts.of(start.served.deployment.entries(), after=entries)

    def ended(cell: Cell) -> bool:
        fingerprint = start.fingerprints[cell.manifest]
        found = attempts.of_unit(cell.consumer, fingerprint, start.runs.get(cell))
        return any(moves[-1]["body"]["status"] in ENDED for moves in found.values())

    return [cell for cell in cells() if not cell.is_draft and not ended(cell)]


def _drafts(deployment: Deployment) -> dict[str, Deployment]:
    """Every draft by its name, to be looked into as a deployment is."""
    return {
        folder.name: Deployment(deployment.root, folder)
        for folder in (deployment.home / "drafts").iterdir()
    }


def _automation(served: Served) -> Any:
    return served.ask(SENSOR, it=sensor("automation"))["sensorState"]


def _looked(served: Served) -> bool:
    return any(tick["status"] in ("SUCCESS", "SKIPPED") for tick in _automation(served)["ticks"])


def _stopped(served: Served) -> bool:
    """Stop the automation; True once it is stopped and no look of it is under way, since one that
    began before it was stopped ends by writing that it runs."""
    state = _automation(served)
    if state["status"] == "RUNNING":
        served.ask(STOP_SENSOR, it=state["id"])
        return False
    return all(tick["status"] != "STARTED" for tick in state["ticks"])


def _backfill_over(start: Start, name: str) -> bool:
    backfill = start.served.ask(BACKFILL_STATUS, it=start.backfills[name])
    return backfill["status"] not in ("REQUESTED", "CANCELING", "FAILING")


def _statuses(served: Served) -> list[str]:
    query = "query { runsOrError { __typename ... on Runs { results { status } } } }"
    return [run["status"] for run in served.ask(query)["results"]]


def _runs(served: Served) -> dict[str, dict[str, Any]]:
    return {run["runId"]: run for run in served.ask(RUNS, limit=2000)["results"]}


def _checks(served: Served, asset: str) -> list[dict[str, Any]]:
    """Dagster's own table of what the check said."""
    request = {"asset": {"path": asset.split("/")}, "name": "good", "limit": 200}
    answer = served.post("graphql", {"query": CHECKS, "variables": request})
    assert "errors" not in answer, answer
    executions: list[dict[str, Any]] = answer["data"]["assetCheckExecutions"]
    return executions
