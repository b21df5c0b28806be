"""Every way in, started: by GraphQL as the UI does it, by the daemon, by commands and scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.many_ways.cells import (
    PRUNED,
    STATES,
    Cell,
    cells_of,
    ranges,
)
from tests.acceptance.many_ways.served import MODULES, Script, Served, step

REPOSITORY = "__repository__"
SCRIPTED = ("retried", "follower", "twins", "drawn", "sketched", "guest", "scripted")
_AT_ONCE = 4

LAUNCH = """
mutation($it: ExecutionParams!) { launchRun(executionParams: $it) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
REEXECUTE = """
mutation($it: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $it) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """
mutation($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
START_SENSOR = """
mutation($it: SensorSelector!) { startSensor(sensorSelector: $it) {
  __typename ... on Sensor { id } ... on PythonError { message } } }"""
STOP_SENSOR = """
mutation($it: String!) { stopSensor(id: $it) { __typename ... on PythonError { message } } }"""
SENSOR = """
query($it: SensorSelector!) { sensorOrError(sensorSelector: $it) {
  __typename ... on Sensor { sensorState { id status ticks { status cursor } } } } }"""
START_SCHEDULE = """
mutation($it: ScheduleSelector!) { startSchedule(scheduleSelector: $it) {
  __typename ... on PythonError { message } } }"""


@dataclass
class Start:
    """Starts consumers, and remembers which run is which cell's where Dagster says so."""

    served: Served
    fingerprints: dict[str, str]
    parents: dict[str, str] = field(default_factory=dict)
    runs: dict[Cell, str] = field(default_factory=dict)
    backfills: dict[str, str] = field(default_factory=dict)

    def launch(self, cell: Cell, **selection: Any) -> str:
        """``launchRun`` of the cell's job, or of a selection of assets; the run's id."""
        selector = {
            "repositoryLocationName": "elsewhere" if cell.way.name == "abroad" else "main",
            "repositoryName": REPOSITORY,
            "jobName": cell.job,
            **selection,
        }
        tags = [{"key": "dagster/partition", "value": self.fingerprints[cell.manifest]}]
        params = {
            "selector": selector,
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": tags},
        }
        return str(self.served.ask(LAUNCH, it=params)["run"]["runId"])

    def launch_parents(self) -> None:
        """One run for each manifest that is executed again; each fails before its consumer."""
        asked = {cell.manifest: cell for way in ("again", "resumed") for cell in cells_of(way)}
        self.parents = dict(zip(asked, _each(self.launch, asked.values()), strict=True))

    def reexecute(self, cell: Cell) -> str:
        """``launchRunReexecution`` of the parent run, as the UI's buttons do it."""
        strategy = {"again": "ALL_STEPS", "resumed": "FROM_FAILURE"}[cell.way.name]
        params = {"parentRunId": self.parents[cell.manifest], "strategy": strategy}
        return str(self.served.ask(REEXECUTE, it=params)["run"]["runId"])

    def backfill(self, assets: Iterable[str], fingerprints: list[str]) -> str:
        """An asset backfill, as the UI starts it."""
        params = {
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
            "partitionNames": fingerprints,
        }
        return str(self.served.ask(BACKFILL, it=params)["backfillId"])

    def all(self) -> list[Script]:
        """Start every cell; answers the scripts and commands that are under way."""
        self._ask_daemon()
        self._backfills()
        scripts = [self._commands(), step(self.served.deployment, "scripts", *SCRIPTED)]
        self._by_graphql()
        return scripts

    def _ask_daemon(self) -> None:
        """Tell the sensor and the schedules what to ask for, and switch them on."""
        asked: dict[str, list[str]] = {}
        for way in ("sensed", "scheduled"):
            for cell in cells_of(way):
                fingerprint = self.fingerprints[cell.manifest]
                asked.setdefault(cell.job, []).append(fingerprint)
        (self.served.deployment.home / "requests.json").write_text(json.dumps(asked))
        for name in ("automation", "sensed"):
            self.served.ask(START_SENSOR, it=sensor(name))
        for family in ("main", PRUNED):
            selector = {**_REPOSITORY, "scheduleName": f"{family}_scheduled_schedule"}
            self.served.ask(START_SCHEDULE, it=selector)

    def _backfills(self) -> None:
        """One backfill for each consumer, whatever the number of manifests."""
        by_consumer: dict[str, list[str]] = {}
        for cell in cells_of("spread"):
            by_consumer.setdefault(cell.consumer, []).append(self.fingerprints[cell.manifest])
        order = list(self.fingerprints.values())
        for state in STATES:
            first, last = (order.index(self.fingerprints[name]) for name in ranges(state))
            family = PRUNED if state.name == "shrank" else "main"
            chosen = by_consumer.setdefault(f"{family}/ranged", [])
            chosen += [key for key in order[first : last + 1] if key not in chosen]
        for consumer, chosen in by_consumer.items():
            self.backfills[consumer] = self.backfill([consumer], chosen)

    def _by_graphql(self) -> None:
        launched = [cell for way in ("launched", "outspread", "abroad") for cell in cells_of(way)]
        again = [cell for way in ("again", "resumed") for cell in cells_of(way)]
        selected = cells_of("selected")
        self.runs.update(zip(again, _each(self.reexecute, again), strict=True))
        self.runs.update(zip(launched, _each(self.launch, launched), strict=True))
        self.runs.update(zip(selected, _each(self._launch_assets, selected), strict=True))

    def _launch_assets(self, cell: Cell) -> str:
        asset = {"path": cell.consumer.split("/")}
        return self.launch(
            cell, jobName="__ASSET_JOB", assetSelection=[asset], assetCheckSelection=[]
        )

    def _commands(self) -> Script:
        """The command line, one process for each command; one backfill for each job."""
        by_job: dict[str, list[str]] = {}
        for cell in cells_of("backfilled"):
            by_job.setdefault(cell.job, []).append(self.fingerprints[cell.manifest])
        commands = []
        for job, keys in by_job.items():
            chosen = ["-j", job, "--partitions", ",".join(keys), "--noprompt"]
            argv = ["dagster", "job", "backfill", *chosen, *self._workspace()]
            commands.append((f"backfilled-{job}", argv))
        for way in ("submitted", "materialized", "inside", "ran", "draft"):
            commands += [(f"{way}-{cell.manifest}", self._argv(cell)) for cell in cells_of(way)]
        file, logs = self.served.deployment.home / "commands.json", self.served.logs
        file.write_text(
            json.dumps([{"argv": argv, "log": str(logs / f"{n}.out")} for n, argv in commands])
        )
        return step(self.served.deployment, "forked", str(file))

    def _argv(self, cell: Cell) -> list[str]:
        """The command that starts a cell."""
        key = self.fingerprints[cell.manifest]
        module = ["-m", f"{MODULES}.definitions"]
        job = ["-j", cell.job, "--tags", json.dumps({"dagster/partition": key})]
        match cell.way.name:
            case "submitted":
                return ["dagster", "job", "launch", *job, *self._workspace()]
            case "inside":
                return ["dagster", "job", "execute", *job, *module]
            case "materialized":
                chosen = ["--select", f"key:{cell.consumer}", "--partition", key]
                return ["dagster", "asset", "materialize", *module, *chosen]
            case _:
                file = self.served.deployment.home / "manifests" / f"{cell.manifest}.json"
                drafted = ["--draft", "--draft-name", cell.manifest] if cell.is_draft else []
                return ["ro", "run", str(file), *drafted]

    def _workspace(self) -> list[str]:
        file = str(self.served.deployment.root / "workspace.yaml")
        return ["-w", file, "-l", "main", "-r", REPOSITORY]


_REPOSITORY = {"repositoryLocationName": "main", "repositoryName": REPOSITORY}


def sensor(name: str) -> dict[str, str]:
    """The selector of a sensor."""
    return {**_REPOSITORY, "sensorName": name}


def _each(what: Callable[[Cell], str], of: Iterable[Cell]) -> list[str]:
    """Several requests at a time, as several people would make them."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(what, of))
