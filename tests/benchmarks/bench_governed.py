"""What governing costs: the same graph on the plane and on stock Dagster, in process.

A chain of five assets with seven blocking checks, materialized for one partition after another:
guard, digests, receipts and ledger on one side; Dagster's FilesystemIOManager and its own local
instance on the other. Rounds alternate, medians count, and only the ratios are worth comparing
between machines. ``python tests/benchmarks/bench_governed.py [--quick] [--json]``
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from inspect import Parameter, Signature
from pathlib import Path
from time import perf_counter
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.testing import ephemeral_plane

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CHAIN = ("one", "two", "three", "four", "five")
TWO_CHECKS = ("two", "four")
WORK_BYTES = 128 << 20

Compute = Callable[[pd.DataFrame | None], pd.DataFrame]
Round = Callable[[int], float]


@dataclass(frozen=True)
class Case:
    """One kind of asset: what each of the five computes, and how large what it returns is."""

    name: str
    compute: Compute


@dataclass(frozen=True)
class Result:
    """Medians in seconds for the whole chain, over ``rounds`` rounds of each side."""

    case: str
    rounds: int
    stock_seconds: float
    governed_seconds: float
    ratio: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit 0 whatever the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--case", action="append", help="only this case; may be repeated")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    cases = [case for case in CASES if not options.case or case.name in options.case]
    results = [measure(case, rounds=3 if options.quick else 9) for case in cases]
    if options.json:
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    else:
        Console().print(as_table(results))
    return 0


def trivial(_: pd.DataFrame | None) -> pd.DataFrame:
    """Nothing to do, and a small table: shows the fixed cost alone."""
    return pd.DataFrame({"x": range(100)})


def work(table: pd.DataFrame | None) -> pd.DataFrame:
    """About 200 ms of computing (hashing), and a small table."""
    digest = hashlib.sha512(bytes(WORK_BYTES)).digest()
    return pd.DataFrame({"x": list(digest)})


def purchases(table: pd.DataFrame | None) -> pd.DataFrame:
    """A table of 20 MB as workloads have it: who bought how many, when, for how much."""
    if table is not None:
        return table.sort_values("amount", ignore_index=True, kind="stable")
    chance, rows = np.random.default_rng(7), 625_000
    return pd.DataFrame(
        {
            "customer": chance.integers(0, 25_000, rows),
            "date": pd.Timestamp("1997-01-01")
            + pd.to_timedelta(chance.integers(0, 540, rows), unit="D"),
            "quantity": chance.integers(1, 20, rows),
            "amount": chance.integers(100, 20_000, rows) / 100,
        }
    )


def noise(table: pd.DataFrame | None) -> pd.DataFrame:
    """20 MB of random numbers, which no compression makes smaller: the worst case."""
    if table is not None:
        return table.sort_values("c0", ignore_index=True)
    chance = np.random.default_rng(7)
    return pd.DataFrame({f"c{number}": chance.random(500_000) for number in range(5)})


CASES = (
    Case("trivial", trivial),
    Case("200 ms of work", work),
    Case("20 MB of purchases", purchases),
    Case("20 MB of noise", noise),
)


def measure(case: Case, rounds: int) -> Result:
    """Both sides in turn, each round for a partition of its own; the first round is not counted."""
    with stock(case) as stock_round, governed(case) as governed_round:
        times: dict[str, list[float]] = {"stock": [], "governed": []}
        for number in range(rounds + 1):
            sides = [("stock", stock_round), ("governed", governed_round)]
            for name, run in sides if number % 2 else reversed(sides):
                times[name].append(run(number))
    middle = {name: statistics.median(values[1:]) for name, values in times.items()}
    return Result(
        case=case.name,
        rounds=rounds,
        stock_seconds=round(middle["stock"], 4),
        governed_seconds=round(middle["governed"], 4),
        ratio=round(middle["governed"] / middle["stock"], 3),
    )


@contextmanager
def governed(case: Case) -> Iterator[Round]:
    """The chain on a plane with a store, a ledger and a recording Dagster instance."""
    definitions = govern(dg.Definitions(**graph(case, gate)))
    with ephemeral_plane() as plane:

        def run(number: int) -> float:
            fingerprint = plane.register("chain", parameters={"round": number})
            return timed(definitions, plane.instance, fingerprint)

        yield run


@contextmanager
def stock(case: Case) -> Iterator[Round]:
    """The same chain as Dagster comes: pickles in files, checks in its own tables."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="stock-"))
        quiet = {"telemetry": {"enabled": False}}
        instance = stack.enter_context(dg.DagsterInstance.local_temp(folder, overrides=quiet))
        keeper = dg.FilesystemIOManager(base_dir=str(Path(folder) / "assets"))
        definitions = dg.Definitions(
            **graph(case, blocking_check), resources={"io_manager": keeper}
        )

        def run(number: int) -> float:
            key = f"{number:064x}"
            instance.add_dynamic_partitions("manifests", [key])
            return timed(definitions, instance, key)

        yield run


def timed(definitions: dg.Definitions, instance: dg.DagsterInstance, partition: str) -> float:
    """Seconds to materialize the chain with its checks for one partition."""
    job = definitions.resolve_job_def("chain")
    start = perf_counter()
    job.execute_in_process(instance=instance, partition_key=partition, run_config=QUIET)
    return perf_counter() - start


def blocking_check(*, asset: str, name: str) -> Callable[[Any], Any]:
    """Dagster's own form of a gate."""
    return dg.asset_check(asset=asset, name=name, blocking=True, partitions_def=MANIFESTS)


def graph(case: Case, check: Callable[..., Any]) -> dict[str, Any]:
    """Five assets in a row, each with one check or two that read it, and their job."""
    assets, checks = [], []
    for before, name in zip((None, *CHAIN), CHAIN, strict=False):
        assets.append(link(case, name, before))
        checks += [
            check(asset=name, name=f"{name}_ok_{number}")(judge_of(name))
            for number in range(2 if name in TWO_CHECKS else 1)
        ]
    job = dg.define_asset_job("chain", selection="*")
    return {"assets": assets, "asset_checks": checks, "jobs": [job]}


def link(case: Case, name: str, before: str | None) -> dg.AssetsDefinition:
    """One asset of the chain."""
    if before is None:

        def first() -> pd.DataFrame:
            return case.compute(None)

        return dg.asset(name=name, partitions_def=MANIFESTS)(first)

    def following(table: pd.DataFrame) -> pd.DataFrame:
        return case.compute(table)

    ins = {"table": dg.AssetIn(before)}
    return dg.asset(name=name, partitions_def=MANIFESTS, ins=ins)(following)


def judge_of(name: str) -> Any:
    """A check that looks at the whole table of that asset."""

    def judge(**inputs: pd.DataFrame) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(inputs[name].notna().to_numpy().all()))

    # A check's input is the parameter that has the asset's name.
    parameter = Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=pd.DataFrame)
    judge.__annotations__ = {name: pd.DataFrame, "return": dg.AssetCheckResult}
    vars(judge)["__signature__"] = Signature([parameter])
    return judge


def as_table(results: Sequence[Result]) -> Table:
    """The figures for people."""
    table = Table(title="A chain of 5 assets with 7 checks, in process")
    for heading in ("each asset", "stock Dagster", "governed", "ratio"):
        table.add_column(heading, justify="left" if heading == "each asset" else "right")
    for result in results:
        table.add_row(
            result.case,
            f"{result.stock_seconds:.3f} s",
            f"{result.governed_seconds:.3f} s",
            f"{result.ratio:.2f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
