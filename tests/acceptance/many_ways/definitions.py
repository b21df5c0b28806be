"""The code location ``main``: all families, a job for each way in, a sensor, schedules, automation.

``requests.json`` below ``RO_HOME`` says for which manifests sensor and schedules start what; each
answers once. The code that set the states up had one gate more for ``pruned/source``.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform.orchestration import MANIFESTS, govern
from tests.acceptance.many_ways.cells import FAMILIES, PRUNED, WAYS
from tests.acceptance.many_ways.counting import count_deliveries
from tests.acceptance.many_ways.interloper import Interloper
from tests.acceptance.many_ways.shapes import (
    fine,
    guest,
    origin,
    producer,
    reader,
    readers,
)

count_deliveries()

RESOURCES = {"interloper": Interloper(), "in_memory": dg.mem_io_manager}
_AUTOMATED: dict[str, dg.AutomationCondition[Any]] = {
    "eager": dg.AutomationCondition.eager(),
    "conditioned": dg.AutomationCondition.any_deps_updated().since_last_handled()
    & dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress(),
}
_EXECUTORS = {"inside": dg.in_process_executor, "outspread": dg.multiprocess_executor}


def _automated(family: str, name: str) -> dg.AssetsDefinition:
    return reader(family, name, condition=_AUTOMATED[name])


def _jobs(family: str) -> Iterator[Any]:
    """One job for each way that a job can be started by, over its consumer."""
    for way in WAYS:
        if way.family != "main" or way.name in ("abroad", "resumed", "draft"):
            continue
        if (way.name, family) == ("guest", PRUNED):
            continue
        keys = [dg.AssetKey([family, name]) for name in (way.consumer, way.twin) if name]
        if way.name == "again":
            keys.append(dg.AssetKey([family, "obstacle"]))
        yield dg.define_asset_job(
            f"{family}_{way.consumer}",
            selection=dg.AssetSelection.assets(*keys),
            partitions_def=MANIFESTS,
            executor_def=_EXECUTORS.get(way.name),
        )


def _requests(way: str) -> Iterator[dg.RunRequest]:
    """What is asked for in this way, the first time that it is looked for."""
    home = Path(os.environ["RO_HOME"])
    asked, answered = home / "requests.json", home / f"answered-{way}"
    if not asked.exists() or answered.exists():
        return
    answered.touch()
    for fingerprint in json.loads(asked.read_text())[way]:
        job = None if way.endswith("scheduled") else way
        yield dg.RunRequest(run_key=f"{way}/{fingerprint}", job_name=job, partition_key=fingerprint)


def _sensor(jobs: dict[str, Any]) -> dg.SensorDefinition:
    ways = [name for name in jobs if name.endswith("_sensed")]

    @dg.sensor(jobs=[jobs[name] for name in ways], minimum_interval_seconds=1)
    def sensed() -> Iterator[dg.RunRequest]:
        for way in ways:
            yield from _requests(way)

    return sensed


def _schedule(name: str, job: Any) -> dg.ScheduleDefinition:
    @dg.schedule(job=job, cron_schedule="* * * * *", name=f"{name}_schedule")
    def scheduled() -> list[dg.RunRequest]:
        return list(_requests(name))

    return scheduled


def build(*, rule: str = "2", more_gates: bool = False) -> dg.Definitions:
    """The code location, in the version that has these gates."""
    assets: list[Any] = [origin, *guest("main")]
    for family in (*FAMILIES, PRUNED):
        assets += producer(family, rule=rule, more_gates=more_gates and family == PRUNED)
    for family in ("main", PRUNED):
        assets += readers(family)
    for name in _AUTOMATED:
        assets += [_automated(name, name), _automated(PRUNED, name)]
    checks = [fine, *(item for item in assets if isinstance(item, dg.AssetChecksDefinition))]
    jobs = {job.name: job for family in ("main", PRUNED) for job in _jobs(family)}
    automation = dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.all(), minimum_interval_seconds=1
    )
    return govern(
        dg.Definitions(
            assets=[item for item in assets if not isinstance(item, dg.AssetChecksDefinition)],
            asset_checks=checks,
            jobs=list(jobs.values()),
            sensors=[_sensor(jobs), automation],
            schedules=[
                _schedule(name, job) for name, job in jobs.items() if name.endswith("_scheduled")
            ],
            resources=RESOURCES,
            executor=dg.in_process_executor,
        )
    )


defs = build()
