"""How long a launch takes, through a real webserver: Dagster's own queue, and ours before it."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from tests.acceptance.product import (
    Deployment,
    launch_sums,
    small_deployment,
    small_manifest,
)
from tests.browser.chromium import free_port, webserver

COORDINATOR = """run_coordinator:
  module: ro_platform.orchestration.coordinator
  class: GovernedRunCoordinator
  config:
    max_concurrent_runs: 4
"""


@dataclass(frozen=True)
class Launches:
    """Median milliseconds of one launchRun, with that many partitions on record in Dagster."""

    partitions: int
    stock_ms: float
    admitted_ms: float
    refused_ms: float


def measured_launches(counts: list[int], rounds: int) -> list[Launches]:
    """Launches of the small deployment's consumer, as the number of partitions grows."""
    results = []
    with tempfile.TemporaryDirectory(prefix="ro-bench-launch-") as name:
        folder = Path(name)
        governed = small_deployment(folder)
        good, bad = (_run(governed, folder, count) for count in (3, 20))
        stock = Deployment(folder / "stock", governed.home)
        _copy_without_coordinator(governed, stock)
        for count in counts:
            _add_partitions(governed, count)
            with (
                webserver(governed, free_port(), folder / f"governed-{count}") as ours,
                webserver(stock, free_port(), folder / f"stock-{count}") as theirs,
            ):
                taken: dict[str, list[float]] = {"stock": [], "admitted": [], "refused": []}
                for number in range(rounds + 2):
                    for what, url, manifest in (
                        ("stock", theirs, good),
                        ("admitted", ours, good),
                        ("refused", ours, bad),
                    ):
                        begun = perf_counter()
                        status = launch_sums(url, manifest)["status"]
                        if number >= 2:  # the first ones load the workspace
                            taken[what].append((perf_counter() - begun) * 1000)
                        assert status == ("CANCELED" if what == "refused" else "QUEUED")
            medians = {what: statistics.median(values) for what, values in taken.items()}
            results.append(
                Launches(count, medians["stock"], medians["admitted"], medians["refused"])
            )
    return results


def _run(deployment: Deployment, folder: Path, count: int) -> str:
    answer = deployment.ro("run", small_manifest(folder, count=count), "--json")
    return str(answer.json()["manifest_fingerprint"])


def _copy_without_coordinator(governed: Deployment, stock: Deployment) -> None:
    stock.root.mkdir()
    for path in governed.root.iterdir():
        if path.is_file():
            (stock.root / path.name).write_bytes(path.read_bytes())
    config = (governed.root / "dagster.yaml").read_text()
    assert COORDINATOR in config
    (stock.root / "dagster.yaml").write_text(
        config.replace(COORDINATOR, "concurrency: {runs: {max_concurrent_runs: 4}}\n")
    )


def _add_partitions(deployment: Deployment, count: int) -> None:
    """Partitions straight into Dagster's table, as registering so many manifests leaves them."""
    (database,) = deployment.home.glob("dagster/**/index.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT OR IGNORE INTO dynamic_partitions (partitions_def_name, partition)"
            " VALUES ('manifests', ?)",
            [(sha256(b"%d" % n).hexdigest(),) for n in range(count)],
        )
