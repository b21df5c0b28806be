"""The product as others meet it: its commands as processes, its files, its ledger as a database.

Nothing here imports the library: what a test claims about the product, it sees from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TUTORIAL = ROOT / "docs" / "tutorial"
SMALL = Path(__file__).with_name("small_deployment")
TIMEOUT_SECONDS = 120
LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId status } } ... on PythonError { message }
  }
}"""
BACKFILL = """
mutation Backfill($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its standard output, which is one JSON document and nothing else."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Deployment:
    """One deployment: the folder it is run from, where it keeps its state, its environment."""

    root: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The folder of the artifact store."""
        return self.home / "store"

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.home / "ledger.sqlite"

    def env(self) -> dict[str, str]:
        """A clean environment: nothing of the tester's own reaches the product."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "DAGSTER_HOME": str(self.root),
            "RO_HOME": str(self.home),
            "COLUMNS": "100",
            **self.environment,
        }

    def ro(self, *args: object, **options: Any) -> Answer:
        """``ro`` with these arguments, to its end."""
        return self.run(BIN / "ro", *args, **options)

    def dagster(self, *args: object, **options: Any) -> Answer:
        """``dagster`` with these arguments, to its end."""
        return self.run(BIN / "dagster", *args, **options)

    def run(self, *command: object, cwd: Path | None = None) -> Answer:
        """Any command in this deployment's environment, to its end."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or self.root,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *args: object, log: Path | None = None) -> subprocess.Popen[bytes]:
        """A command in a process group of its own, running."""
        output = log.open("ab") if log else subprocess.DEVNULL
        return subprocess.Popen(
            [str(BIN / str(args[0])), *map(str, args[1:])],
            cwd=self.root,
            env=self.env(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def copied_to(self, home: Path) -> Deployment:
        """The same deployment over a copy of its state, to tamper with."""
        shutil.copytree(self.home, home)
        return Deployment(self.root, home, self.environment)

    def with_environment(self, **more: str) -> Deployment:
        """The same deployment with more environment variables."""
        return Deployment(self.root, self.home, {**self.environment, **more})

    def entries(self) -> list[dict[str, Any]]:
        """Every entry of the ledger, read past the product."""
        if not self.ledger.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT entry FROM entry ORDER BY seq").fetchall()
        return [json.loads(row[0]) for row in found]

    def blobs(self) -> Iterator[Path]:
        """The files of the store that hold bytes under their digest."""
        yield from (path for path in self.store.glob("blobs/sha256/**/*") if path.is_file())

    def evidence(self) -> dict[str, str]:
        """Digests of everything that must not change: each stored file, each row of the ledger."""
        found = {
            str(path.relative_to(self.home)): sha256(path.read_bytes()).hexdigest()
            for path in self.store.rglob("*")
            if path.is_file()
        }
        if self.ledger.exists():
            with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as database:
                dump = "\n".join(database.iterdump())
            found["ledger.sqlite"] = sha256(dump.encode()).hexdigest()
        return found


def small_deployment(folder: Path) -> Deployment:
    """A copy of the small deployment, under the dagster.yaml that this repository ships."""
    root = folder / "deployment"
    root.mkdir(parents=True)
    shutil.copy(SMALL / "definitions.py", root)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    return Deployment(root, folder / "home")


def small_manifest(folder: Path, *, count: int = 5, most: int = 10, version: int = 1) -> Path:
    """A manifest for the small deployment, with its config beside it; answers its file."""
    limits = {"most": most}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"limits-{most}.json").write_text(json.dumps(limits))
    manifest = {
        "kind": "ro.run_manifest.v0",
        "workload": "adding",
        "seed": 7,
        "parameters": {"count": count},
        "config_versions": [
            {
                "config_name": "limits",
                "config_version": version,
                "digest": sha256(plain_canonical(limits)).hexdigest(),
                "ref": f"limits-{most}.json",
            }
        ],
        "code": {"version": "1"},
    }
    file = folder / f"adding-{count}-{most}.json"
    file.write_text(json.dumps(manifest, indent=2))
    return file


def launch_sums(url: str, fingerprint: str) -> dict[str, Any]:
    """The small deployment's consumer alone, launched as the UI does it; its run and status."""
    parameters = {
        "selector": {
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "jobName": "adding",
            "assetSelection": [{"path": ["sums"]}],
            "assetCheckSelection": [],
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": fingerprint}]},
    }
    body = json.dumps({"query": LAUNCH, "variables": {"parameters": parameters}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    run: dict[str, Any] = answer["data"]["launchRun"]["run"]
    return run


def plain_canonical(value: Any) -> bytes:
    """RFC 8785 of a value of ASCII keys, strings and integers, by Python's own json alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group that this test started, whatever it does about it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait(timeout=10)
    try:
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived their parent
    except ProcessLookupError:
        return
