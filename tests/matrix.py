"""The result of ``make matrix`` as a row of ``docs/reference/test-matrix.md``.

``python -m tests.matrix commit`` answers the commit that is tested, and refuses changes beside it;
``record COMMIT SEED EFFORT JUNIT.XML`` adds the row.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "test-matrix.md"


@dataclass(frozen=True)
class Result:
    """What a run of the tests came to: how many tests, and how long it took in minutes."""

    passed: int
    failed: int
    skipped: int
    minutes: float


def result_of(junit: Path) -> Result:
    """The counts in pytest's JUnit file. A run that was broken off has none, and is refused."""
    suites = list(ET.parse(junit).getroot().iter("testsuite"))
    if not suites or not any(int(suite.get("tests", "0")) for suite in suites):
        raise SystemExit(f"{junit} tells of no test")
    tests, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return Result(tests - failed - skipped, failed, skipped, seconds / 60)


def row(commit: str, seed: str, effort: str, result: Result) -> str:
    """The row of the page."""
    counts = f"{result.passed:,} | {result.failed} | {result.skipped}"
    return f"| `{commit[:12]}` | {seed} | {effort} | {counts} | {result.minutes:.0f} |"


def commit_of(tree: Path) -> str:
    """The commit that is checked out there, without changes of tracked files beside the page."""
    changed = _git(tree, "status", "--porcelain", "--untracked-files=no")
    if [line for line in changed.splitlines() if not line.endswith(PAGE.name)]:
        raise SystemExit("make matrix puts a commit on record: commit what is changed first")
    return _git(tree, "rev-parse", "HEAD")


def _git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main(words: list[str]) -> None:
    """The two commands."""
    if words == ["commit"]:
        print(commit_of(ROOT))
        return
    command, commit, seed, effort, junit = words
    if command != "record":
        raise SystemExit(__doc__)
    added = row(commit, seed, effort, result_of(Path(junit)))
    PAGE.write_text(f"{PAGE.read_text().rstrip()}\n{added}\n")
    print(added)


if __name__ == "__main__":
    main(sys.argv[1:])
