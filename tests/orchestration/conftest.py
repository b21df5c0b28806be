"""A real plane and a real Dagster instance for each test, in a folder that goes away."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.contracts import JobAttemptRecord
from ro_platform.dagster_private.definitions import subset_of
from ro_platform.orchestration import govern
from ro_platform.testing import EphemeralPlane, ephemeral_plane

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


@pytest.fixture
def governed(tmp_path: Path) -> Iterator[EphemeralPlane]:
    """A plane, and the Dagster instance that records into it."""
    with ephemeral_plane(tmp_path / "home") as plane:
        yield plane


@pytest.fixture
def materialize(governed: EphemeralPlane) -> Materialize:
    """Execute assets and checks for one manifest, in this process, as a run of their own.

    ``selection`` takes what Dagster takes; left out, everything runs.
    """

    def run(
        definitions: Sequence[Any],
        fingerprint: str | None,
        selection: Any = None,
        instance: dg.DagsterInstance | None = None,
    ) -> dg.ExecuteInProcessResult:
        checks = [item for item in definitions if isinstance(item, dg.AssetChecksDefinition)]
        assets = [item for item in definitions if not isinstance(item, dg.AssetChecksDefinition)]
        bound = govern(dg.Definitions(assets=assets, asset_checks=checks))
        return dg.materialize(
            definitions,
            selection=selection,
            instance=instance or governed.instance,
            partition_key=fingerprint,
            resources={"scratch": dg.mem_io_manager, **(bound.resources or {})},
            raise_on_error=False,
            run_config=QUIET,
        )

    return run


@pytest.fixture
def attempts(governed: EphemeralPlane) -> Attempts:
    """The newest attempt of each unit of work under a manifest."""

    def newest(fingerprint: str) -> dict[str, JobAttemptRecord]:
        return {item.unit: item for item in governed.plane.attempts.of_run(fingerprint)}

    return newest


@pytest.fixture
def judge(governed: EphemeralPlane) -> Materialize:
    """Evaluate only the checks, of assets that were materialized before (or were not)."""

    def run(definitions: Sequence[Any], fingerprint: str) -> dg.ExecuteInProcessResult:
        checks = [item for item in definitions if isinstance(item, dg.AssetChecksDefinition)]
        assets = [item for item in definitions if not isinstance(item, dg.AssetChecksDefinition)]
        everything = dg.define_asset_job("everything", selection="*")
        bound = govern(dg.Definitions(assets=assets, asset_checks=checks, jobs=[everything]))
        job = subset_of(
            bound.resolve_job_def("everything"), [], [key for c in checks for key in c.check_keys]
        )
        return job.execute_in_process(
            instance=governed.instance,
            partition_key=fingerprint,
            raise_on_error=False,
            run_config=QUIET,
        )

    return run
