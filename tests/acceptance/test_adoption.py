"""The how-to for those who have a Dagster project, followed to the letter in an empty folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from ro_platform.config.settings import settings_in_force
from ro_platform.contracts import JobStatus
from ro_platform.testing import EphemeralPlane, ephemeral_plane
from tests.acceptance.product import BIN, ROOT

PAGE = ROOT / "docs" / "how-to" / "make-checks-binding.md"
BLOCK = re.compile(
    r"^(?:[^\n]*`(?P<name>[\w\-]+\.[a-z]+)`[^\n`]*\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
VARYING = re.compile(
    r"\b[0-9a-f]{64}\b|\b[0-9a-f]{8}-[0-9a-f\-]{27}\b|\b[0-9a-f]{8}\b|\b[0-9a-f]{12}\b"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+\.\d+s|\d+\.\d KiB"
)


@dataclass(frozen=True)
class Block:
    """One fenced block of the page: a file by name, or a console."""

    name: str | None
    kind: str
    text: str


def blocks(page: Path = PAGE) -> list[Block]:
    """The page's blocks, in order."""
    return [
        Block(found["name"], found["kind"], found["text"])
        for found in BLOCK.finditer(page.read_text())
    ]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console, and the lines it is said to answer."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *answer = part.splitlines()
        yield command, answer


def masked(line: str) -> str:
    """A line without what differs each time: digests, ids, times, sizes of Parquet files."""
    return VARYING.sub("#", line).rstrip()


class Shell:
    """A shell in the project's folder, as its owner has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exports: list[str] = []

    def run(self, command: str) -> list[str]:
        """What a command answers, line by line."""
        if command.startswith("export "):
            self.exports.append(command)
            return []
        env = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": os.environ["HOME"],
            "COLUMNS": "200",
            "DAGSTER_HOME": str(self.folder),
        }
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self.exports, command])],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return [line for line in done.stdout.splitlines() if "━" not in line]  # progress


def agrees(said: list[str], answered: list[str]) -> bool:
    """Whether the page's lines are the answer's, where ``...`` stands for any lines."""
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line == "..." else re.escape(masked(line)) + r"\n" for line in said
    )
    return re.fullmatch(pattern, "".join(f"{masked(line)}\n" for line in answered)) is not None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a Dagster home of its own."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


def test_the_page_does_what_it_says(project: Path) -> None:
    """Each file is written and each command run in order; each answers what the page shows."""
    shell, ran = Shell(project), 0
    for block in blocks():
        if block.kind == "console":
            for command, said in commands(block.text):
                answered = shell.run(command)
                assert agrees(said, answered), "\n".join([f"$ {command}", *answered])
                ran += 1
        elif block.name is not None:
            (project / block.name).write_text(block.text)
            if block.name == "four-lines.diff":
                shell.run("rm -rf storage history schedules .logs_queue")  # the stock instance's
                assert shell.run("git apply four-lines.diff") == []
    assert ran >= 8


@pytest.fixture
def adopted(tmp_path: Path) -> dg.Definitions:
    """The project at the end of the page, loaded."""
    shell = Shell(tmp_path)
    for block in blocks():
        if block.name is not None:
            (tmp_path / block.name).write_text(block.text)
            if block.kind == "diff":
                assert shell.run(f"git apply {block.name}") == []
    spec = importlib.util.spec_from_file_location("adopted", tmp_path / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    defs: dg.Definitions = module.defs
    return defs


def tick(defs: dg.Definitions, sensor: str, plane: EphemeralPlane) -> dg.SensorResult:
    """One look of a sensor, as the daemon has it."""
    context = dg.build_sensor_context(
        instance=plane.instance,
        repository_def=defs.get_repository_def(),
        resources={"plane": (defs.resources or {})["plane"]},
    )
    result = defs.resolve_sensor_def(sensor)(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_plane_of_an_adopter_looks_after_itself(
    adopted: dg.Definitions, tmp_path: Path
) -> None:
    """A manifest in the inbox is registered and launched, and passes its gates; the attempts of a
    run that vanished are ended."""
    job = adopted.resolve_job_def("shop")
    with ephemeral_plane(tmp_path / "home") as plane:
        inbox = tmp_path / "inbox"
        inbox.mkdir()
        for name in ("corrected.yaml", "corrected.csv"):
            shutil.copy(tmp_path / name, inbox)
        plane.publish("limits", {"customers": 2})
        with settings_in_force(replace(plane.settings, manifest_inbox=inbox)):
            (request,) = tick(adopted, "manifest_inbox", plane).run_requests or ()
        fingerprint = str(request.partition_key)
        assert request.job_name == "shop"
        done = job.execute_in_process(instance=plane.instance, partition_key=fingerprint)
        assert done.success

        tags = {"dagster/partition": fingerprint}
        vanished = plane.instance.create_run_for_job(job, tags=tags).run_id
        plane.instance.delete_run(vanished)
        tick(adopted, "attempt_reconciliation", plane)
        attempts = plane.plane.attempts.of_dagster_run(vanished).values()
        assert {item.status for step in attempts for item in step} == {JobStatus.LOST}


def test_it_takes_the_number_of_lines_that_the_page_says() -> None:
    """Four lines of Python: two decorators exchanged, an import, and the call of govern."""
    (diff,) = [block.text for block in blocks() if block.name == "four-lines.diff"]
    added = [line for line in diff.splitlines() if re.match(r"\+(?!\+\+ )\S", line)]
    removed = [line for line in diff.splitlines() if re.match(r"-(?!-- )\S", line)]
    assert (len(added), len(removed)) == (4, 2)
    assert "It takes **four lines** of Python" in PAGE.read_text()


def test_the_project_it_starts_from_is_plain_dagster() -> None:
    """Three assets, two blocking checks, and nothing of this library."""
    plain = next(block.text for block in blocks() if block.name == "definitions.py")
    assert plain.count("@dg.asset\n") == 3
    assert plain.count("@dg.asset_check(") == plain.count("blocking=True") == 2
    assert "ro_platform" not in plain
