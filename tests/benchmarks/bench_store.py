"""The artifact store against cp, Dagster's FilesystemIOManager, DVC and the hashes alone.

Everything is measured in one run on one disk and given as ratios, since the machine differs each
time. Nothing is dropped from the page cache: reads come from memory, for the store and for its
peers alike, which is the hardest case for a verified read. "Durable" writes have reached the disk
when the clock stops; Dagster and DVC do not wait for it, and their rows say so. What the check of
tables takes is processor time, against the same put with the check switched off.

Run it by ``make bench``, or ``python tests/benchmarks/bench_store.py --quick``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ro_platform.artifacts import frame_objects, frames
from ro_platform.artifacts import tables as parquet
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import encode
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import BoundRef
from ro_platform.kernel.digest import blake3_hex, sha256_hex

OCTETS = "application/octet-stream"


@dataclass
class Row:
    """One way of doing one thing: the median time, the rate, and the ratio to its reference."""

    what: str
    seconds: float
    rate: str
    ratio: float | None = None
    against: str = ""
    aim: float | None = None


class Bench:
    """The rows measured so far. A ratio is the reference's time over this one's: 1 is equal."""

    def __init__(self, folder: Path, repeats: int) -> None:
        self.folder, self.repeats = folder, repeats
        self.rows: list[Row] = []
        self.times: dict[str, float] = {}

    def measure(
        self, *ways: tuple[str, Callable[[int], object]], amount: str, reads: bool = False
    ) -> None:
        """Time each way several times, in turn and in a turning order, so that none is favoured.

        Writes give their median, since the disk is part of them. Reads from memory give their best
        of twice as many, since all that can disturb them is other work.
        """
        taken: dict[str, list[float]] = {what: [] for what, _ in ways}
        for repeat in range(self.repeats * (1 + reads)):
            turn = repeat % len(ways)
            for what, run in (*ways[turn:], *ways[:turn]):
                os.sync()
                begin = time.perf_counter()
                run(repeat)
                taken[what].append(time.perf_counter() - begin)
        for what, times in taken.items():
            self.times[what] = min(times) if reads else statistics.median(times)
            number, unit = amount.split()
            rate = f"{float(number) / self.times[what]:,.0f} {unit}/s"
            self.rows.append(Row(what, self.times[what], rate))

    def compare(self, what: str, against: str, aim: float | None = None) -> None:
        """Note the ratio of one row to another, which may be the slower of several (a|b)."""
        slower = max(against.split("|"), key=self.times.__getitem__)
        ratio = self.times[slower] / self.times[what]
        self.rows.append(Row(what, self.times[what], "", ratio, slower, aim))


def large(bench: Bench, mib: int) -> None:
    """Put and get of one artifact of that many MiB."""
    data = os.urandom(1 << 20) * mib
    source = bench.folder / "source"
    source.write_bytes(data)
    amount = f"{mib} MiB"
    refs: dict[int, BoundRef] = {}

    def put(repeat: int) -> None:
        store = ArtifactStore(FilesystemBackend(bench.folder / f"store-{repeat}"))
        refs[0] = store.put_bytes(data, media_type=OCTETS)

    def put_file(repeat: int) -> None:
        ArtifactStore(FilesystemBackend(bench.folder / f"files-{repeat}")).put_file(source)

    dagster = DagsterFiles(bench.folder / "dagster")
    bench.measure(
        ("SHA-256 alone", lambda _: sha256_hex(data)),
        ("BLAKE3 alone", lambda _: blake3_hex(data)),
        ("large: cp + fsync", lambda repeat: cp_fsync(source, bench.folder / f"cp{repeat}")),
        ("large: FilesystemIOManager write (not durable)", lambda n: dagster.write("large", data)),
        ("large: put file (durable)", put_file),
        ("large: put bytes (durable)", put),
        amount=amount,
    )
    store = ArtifactStore(FilesystemBackend(bench.folder / "store-0"))
    ref = refs[0]
    blob = Path(FilesystemBackend(bench.folder / "store-0").path(ref.ref))
    out = bench.folder / "out"

    def fresh_copy(copy: Callable[[], object]) -> Callable[[int], None]:
        def run(_: int) -> None:
            copy()
            out.unlink()

        return run

    bench.measure(
        ("large: unverified read", lambda _: blob.read_bytes()),
        ("large: verified read", lambda _: store.read(ref)),
        ("large: FilesystemIOManager read", lambda _: dagster.read("large")),
        ("large: unverified copy", fresh_copy(lambda: shutil.copyfile(blob, out))),
        ("large: verified copy_to", fresh_copy(lambda: store.copy_to(ref, out))),
        ("large: verify in place", lambda _: store.verify(ref)),
        amount=amount,
        reads=True,
    )
    for put_way in ("large: put file (durable)", "large: put bytes (durable)"):
        bench.compare(put_way, "large: cp + fsync|SHA-256 alone", 0.8)
    bench.compare("large: put bytes (durable)", "large: FilesystemIOManager write (not durable)")
    bench.compare("large: verified read", "large: unverified read", 0.9)
    bench.compare("large: verified read", "large: FilesystemIOManager read")
    bench.compare("large: verified copy_to", "large: unverified copy", 0.9)


def small(bench: Bench, count: int, dvc: Path | None) -> None:
    """Put and get of many artifacts of 4 KiB: singly, and as one tree."""
    folder = bench.folder / "many"
    folder.mkdir()
    data = [os.urandom(4096) for _ in range(count)]
    for number, item in enumerate(data):
        (folder / f"{number:05}").write_bytes(item)
    amount = f"{count} files"
    singles = ArtifactStore(FilesystemBackend(bench.folder / "singles-0"))
    trees = ArtifactStore(FilesystemBackend(bench.folder / "trees-0"))
    refs: list[BoundRef] = []
    tree: list[BoundRef] = []

    def put_singles(repeat: int) -> None:
        store = ArtifactStore(FilesystemBackend(bench.folder / f"singles-{repeat}"))
        refs[:] = [store.put_bytes(item, media_type=OCTETS) for item in data]

    def put_tree(repeat: int) -> None:
        store = ArtifactStore(FilesystemBackend(bench.folder / f"trees-{repeat}"))
        tree[:] = [store.put_tree(folder)]

    def cp_singles(repeat: int) -> None:
        target = bench.folder / f"cps-{repeat}"
        target.mkdir()
        for number in range(count):
            cp_fsync(folder / f"{number:05}", target / f"{number:05}")

    dagster = DagsterFiles(bench.folder / "dagster")
    ways: list[tuple[str, Callable[[int], object]]] = [
        ("small: cp + fsync, each", cp_singles),
        ("small: single puts (durable)", put_singles),
        ("small: one tree (durable)", put_tree),
        (
            "small: FilesystemIOManager write (not durable)",
            lambda _: dagster.write_all(data),
        ),
    ]
    if dvc is not None:
        project = DvcProject(dvc, bench.folder / "dvc", folder)
        ways.append(("small: DVC add of the folder (not durable)", project.add))
    bench.measure(*ways, amount=amount)
    paths = [str(bench.folder / "singles-0" / ref.ref) for ref in refs]
    out = bench.folder / "tree-out"

    def copied(copy: Callable[[], object]) -> Callable[[int], None]:
        def run(_: int) -> None:
            copy()
            shutil.rmtree(out)

        return run

    bench.measure(
        ("small: unverified reads, bare system calls", lambda _: [read_plain(p) for p in paths]),
        ("small: Path.read_bytes", lambda _: [Path(p).read_bytes() for p in paths]),
        ("small: BLAKE3 alone", lambda _: [blake3_hex(item) for item in data]),
        (
            "small: unverified reads through the backend",
            lambda _: [read_backend(singles, ref) for ref in refs],
        ),
        ("small: verified reads", lambda _: [singles.read(ref) for ref in refs]),
        (
            "small: FilesystemIOManager reads",
            lambda _: [dagster.read(f"s{number}") for number in range(count)],
        ),
        ("small: unverified copy of the folder", copied(lambda: shutil.copytree(folder, out))),
        ("small: verified copy_to of the tree", copied(lambda: trees.copy_to(tree[0], out))),
        amount=amount,
        reads=True,
    )
    bench.compare("small: single puts (durable)", "small: cp + fsync, each", 0.8)
    bench.compare("small: single puts (durable)", "small: FilesystemIOManager write (not durable)")
    if dvc is not None:
        name = "small: DVC add of the folder (not durable)"
        bench.compare("small: single puts (durable)", name, 1.0)
        bench.compare("small: one tree (durable)", name, 1.0)
    bench.compare("small: verified reads", "small: unverified reads through the backend", 0.9)
    bench.compare("small: verified reads", "small: Path.read_bytes", 0.9)
    bench.compare("small: verified reads", "small: FilesystemIOManager reads")
    bench.compare(
        "small: verified copy_to of the tree", "small: unverified copy of the folder", 0.9
    )


def tables(bench: Bench, rows: int) -> None:
    """What the check of values takes of a put: processor time, with the check and without."""
    shared = BenchTables(rows)
    for name, frame in shared.frames().items():
        way, bare = f"table: {name}, put", f"table: {name}, put without the check"
        taken: dict[str, list[float]] = {way: [], bare: []}
        for _ in range(bench.repeats * 2):
            taken[way].append(put_seconds(frame))
            with unchecked():
                taken[bare].append(put_seconds(frame))
        for what, times in taken.items():
            bench.times[what] = min(times)
            bench.rows.append(Row(what, min(times), f"{rows / min(times):,.0f} rows/s"))
        bench.compare(way, bare, 0.97 if name == "typed" else 0.5)


class BenchTables:
    """Frames of that many rows: typed columns, and objects of one kind each."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def frames(self) -> dict[str, pd.DataFrame]:
        """By what their columns hold."""
        numbers, day = range(self._rows), date(2020, 1, 1)
        typed = pd.DataFrame(
            {
                "whole": np.arange(self._rows) * 2_654_435_761 % 2**32,
                "float": np.sqrt(np.arange(self._rows)),
                "text": pd.Series([f"t{n % 997}" for n in numbers]),
                "moment": pd.date_range("2020", periods=self._rows, freq="s"),
                "nullable": pd.Series(np.arange(self._rows) % 99).astype("Int64"),
            }
        )
        objects: dict[str, list[Any]] = {
            "text": [f"t{n % 4999}" for n in numbers],
            "whole numbers": list(numbers),
            "days": [day + timedelta(n % 999) for n in numbers],
            "decimals": [Decimal(n % 9999).scaleb(-2) for n in numbers],
            "lists": [[n, n + 1] for n in numbers],
            "dicts": [{"b": "x", "a": n} for n in numbers],
        }
        columns = {
            name: pd.DataFrame({"c": pd.Series(values, dtype=object)})
            for name, values in objects.items()
        }
        kinds = pd.Categorical([f"t{n % 997}" for n in numbers])
        return {"typed": typed, **columns, "categories": pd.DataFrame({"c": kinds})}


def put_seconds(frame: pd.DataFrame) -> float:
    """The processor time of one put into memory."""
    store = ArtifactStore(MemoryBackend())
    begin = time.process_time()
    encode(store, frame)
    return time.process_time() - begin


@contextmanager
def unchecked() -> Iterator[None]:
    """What is compared is taken for the same."""
    with (
        mock.patch.object(frame_objects, "_first_change", return_value=None),
        mock.patch.object(frames, "_check_values", return_value=None),
        mock.patch.object(parquet, "_check_values", return_value=None),
    ):
        yield


class DagsterFiles:
    """Dagster's own IO manager for local files (pickle, no digest, no fsync).

    Its contexts are made bare and share one silent logger: what a run of Dagster adds around them
    is not counted against it.
    """

    def __init__(self, folder: Path) -> None:
        resource = dg.FilesystemIOManager(base_dir=str(folder))
        self._manager = resource.create_io_manager(None)  # type: ignore[arg-type]  # unused there
        made = dg.build_output_context(asset_key=dg.AssetKey("made"), resources={})
        with made:
            self._log, self._resources = made.log, made.resources
        self._log.setLevel(logging.WARNING)

    def write(self, key: str, data: bytes) -> None:
        """Store under the asset key."""
        self._manager.handle_output(self._output(key), data)

    def read(self, key: str) -> object:
        """Load what is under the asset key."""
        context = dg.InputContext(
            name="value",
            asset_key=dg.AssetKey(key),
            upstream_output=self._output(key),
            log_manager=self._log,
            resources=self._resources,
            dagster_type=dg.Any,
        )
        return self._manager.load_input(context)

    def write_all(self, data: list[bytes]) -> None:
        """Store each under a key of its own."""
        for number, item in enumerate(data):
            self.write(f"s{number}", item)

    def _output(self, key: str) -> dg.OutputContext:
        return dg.OutputContext(
            step_key="none",
            name="result",
            asset_key=dg.AssetKey(key),
            log_manager=self._log,
            resources=self._resources,
            dagster_type=dg.Any,
        )


class DvcProject:
    """DVC in a fresh project without Git; its cache is emptied before each ``add``."""

    def __init__(self, executable: Path, folder: Path, source: Path) -> None:
        self._dvc, self._folder = executable, folder
        folder.mkdir()
        self._run("init", "--no-scm", "-q")
        self._run("config", "core.analytics", "false")
        shutil.copytree(source, folder / "many")

    def add(self, repeat: int) -> None:
        """Add the folder; includes the start of its process."""
        shutil.rmtree(self._folder / ".dvc" / "cache", ignore_errors=True)
        shutil.rmtree(self._folder / ".dvc" / "tmp", ignore_errors=True)
        self._run("add", "-q", "many")

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._dvc, *arguments], cwd=self._folder, check=True)


def cp_fsync(source: Path, target: Path) -> None:
    """Copy as ``cp`` does, then wait for the file and its name to reach the disk."""
    shutil.copyfile(source, target)
    for path in (target, target.parent):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def read_plain(path: str) -> bytes:
    """A file's bytes, the shortest way there is."""
    descriptor = os.open(path, os.O_RDONLY)
    data = os.read(descriptor, 8192)
    os.close(descriptor)
    return data


def read_backend(store: ArtifactStore, ref: BoundRef) -> bytes:
    """A blob's bytes through the port, unchecked."""
    return store.backend.read(ref.ref, ref.size_bytes + 1)


def report(bench: Bench, dvc: Path | None) -> None:
    """Print the times, then the ratios with their aims."""
    console = Console(width=140)
    times, ratios = Table("what", "seconds", "rate"), Table("what", "against", "ratio", "aim")
    for row in bench.rows:
        if row.ratio is None:
            times.add_row(row.what, f"{row.seconds:.3f}", row.rate)
        else:
            aim = f">= {row.aim}" if row.aim else ""
            ratios.add_row(row.what, row.against, f"{row.ratio:.2f}", aim)
    console.print(times, ratios)
    console.print("Nothing was dropped from the page cache. Writes: the median. Reads: the best.")
    if dvc is None:
        console.print("DVC was not measured: pass --dvc PATH_TO_ITS_EXECUTABLE.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="64 MiB and 500 files, twice")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--dvc", type=Path, help="DVC's executable, from an environment of its own")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder), repeats=2 if options.quick else 3)
        large(bench, 64 if options.quick else 1024)
        small(bench, 500 if options.quick else 10_000, options.dvc)
        tables(bench, 100_000 if options.quick else 400_000)
    if options.json:
        sys.stdout.write(json.dumps([asdict(row) for row in bench.rows], indent=2) + "\n")
    else:
        report(bench, options.dvc)


if __name__ == "__main__":
    main()
