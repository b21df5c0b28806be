"""A code location whose jobs bring config of every kind, and the ways to execute one of them."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from pydantic import Field

from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.orchestration.execution import GovernedRun
from ro_platform.runs.manifest import ManifestFile
from ro_platform.testing import EphemeralPlane

REPOSITORY = Path(__file__).resolve().parents[2]
QUIET = {"loggers": {"json": {"config": {"log_level": "CRITICAL"}}}}
computed: list[str] = []
"""The assets that computed something: what no refusal may add to."""


class Limit(dg.Config):
    """What an asset takes by config."""

    limit: int = 10
    labels: dict[str, str] = Field(default={"a": "b"})


class Source(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource of the user's own."""

    start: int = 0


@dg.asset
def orders(config: Limit, source: Source) -> list[int]:
    """What depends on both."""
    computed.append("orders")
    return [*range(source.start, config.limit), len(config.labels)]


@gate(asset=orders)
def any_order(orders: list[int]) -> dg.AssetCheckResult:
    """Its gate."""
    return dg.AssetCheckResult(passed=len(orders) > 0)


@dg.op
def take(context: dg.OpExecutionContext, orders: list[int], config: Limit) -> list[int]:
    """A step inside a graph, with a config of its own."""
    computed.append("taken")
    return list(orders)[: config.limit]


@dg.graph_asset
def taken(orders: list[int]) -> list[int]:
    """An asset of more than one step."""
    return take(orders)  # type: ignore[no-any-return]


@dg.success_hook
def applaud(context: dg.HookContext) -> None:
    """A hook: it sees what was done."""


def by_manifest(fingerprint: str) -> dict[str, Any]:
    """Another config for another manifest."""
    return {
        "ops": {"orders": {"config": {"limit": 3 + len(fingerprint) + int(fingerprint[0], 16)}}}
    }


def limited(limit: Any) -> dict[str, Any]:
    """A config of `orders`."""
    return {"ops": {"orders": {"config": {"limit": limit}}}}


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mapping": {"config": limited(3)},
    "run_config": {"config": dg.RunConfig(ops={"orders": Limit(limit=4)})},
    "partitioned": {
        "config": dg.PartitionedConfig(MANIFESTS, run_config_for_partition_key_fn=by_manifest)
    },
    "resource": {"config": {"resources": {"source": {"config": {"start": 5}}}}},
    "nested": {"config": {"ops": {"taken": {"ops": {"take": {"config": {"limit": 1}}}}}}},
    "logging": {"config": {"loggers": {"json": {"config": {"log_level": "CRITICAL"}}}}},
    "executing": {
        "config": {"execution": {"config": {"retries": {"disabled": {}}}}},
        "executor_def": dg.in_process_executor,
    },
    "hooked": {"hooks": {applaud}},
    "automatic": {
        "automation_condition": dg.AutomationCondition.all_job_root_assets_match(
            dg.AutomationCondition.on_missing()
        )
    },
}
"""What `define_asset_job` is given, by the job's name."""

defs = govern(
    dg.Definitions(
        assets=[orders, taken],
        asset_checks=[any_order],
        resources={"source": Source()},
        loggers={"json": dg.json_console_logger},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job(name, selection="*", **more) for name, more in FORMS.items()],
    )
)


@dg.definitions
def lazy() -> dg.Definitions:
    """The same as a code location that is loaded when it is asked for."""
    return defs


def given_to(job: str, fingerprint: str) -> dict[str, Any]:
    """The config that the UI, a backfill or a schedule gives a run of a job for a partition."""
    partitioned = defs.resolve_job_def(job).partitioned_config
    assert partitioned is not None
    return dict(partitioned.get_run_config_for_partition_key(fingerprint))


def in_process(governed: EphemeralPlane, job: str, fingerprint: str, config: Any) -> None:
    """As `dagster job execute` and a test do; without a config, by the job's own."""
    defs.resolve_job_def(job).execute_in_process(
        instance=governed.instance,
        partition_key=fingerprint,
        run_config=config,
        raise_on_error=False,
    )


def by_worker(governed: EphemeralPlane, job: str, fingerprint: str, config: Any) -> None:
    """As a run is launched for the UI, a backfill, a sensor or a schedule."""
    definition = defs.resolve_job_def(job)
    run = governed.instance.create_run_for_job(
        definition,
        run_config=given_to(job, fingerprint) if config is None else config,
        tags={"dagster/partition": fingerprint},
    )
    executed = definition.with_executor_def(dg.in_process_executor)
    execute_run(InMemoryJob(executed), run, governed.instance)


def by_ro_run(governed: EphemeralPlane, job: str, fingerprint: str, config: Any) -> None:
    """As `ro run` does, which takes no config."""
    assert config is None
    manifest = governed.plane.runs.manifest(fingerprint)
    file = ManifestFile(manifest, manifest_fingerprint(manifest), folder=governed.settings.home)
    shutil.copy(REPOSITORY / "dagster.yaml", governed.settings.root)
    settings = replace(governed.settings, definitions_module=__name__)
    with patch.dict(os.environ):  # it sets DAGSTER_HOME, and takes one that is set
        os.environ.pop("DAGSTER_HOME", None)
        outcome = GovernedRun.prepare(settings, file, replay=False).execute()
    assert outcome.error is None, outcome.error


def materialized(governed: EphemeralPlane, job: str, fingerprint: str, config: Any) -> None:
    """As a script does, past every job."""
    everything: list[Any] = [*(defs.assets or ()), *(defs.asset_checks or ())]
    dg.materialize(
        everything,
        instance=governed.instance,
        partition_key=fingerprint,
        run_config=config,
        resources=defs.resources,
        raise_on_error=False,
    )


WAYS: dict[str, Callable[[EphemeralPlane, str, str, Any], None]] = {
    "in_process": in_process,
    "by_worker": by_worker,
    "by_ro_run": by_ro_run,
    "materialized": materialized,
}


@contextmanager
def counting() -> Iterator[list[str]]:
    """What computes within it."""
    computed.clear()
    yield computed
    computed.clear()
