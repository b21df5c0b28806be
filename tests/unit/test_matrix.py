"""The result of a whole run is put on record as it was, with the commit that it is of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.matrix import PAGE, Result, commit_of, result_of, row

JUNIT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="{tests}" failures="2"
errors="1" skipped="3" time="90.0"/></testsuites>"""


def test_failures_and_errors_are_counted_as_failed(tmp_path: Path) -> None:
    """What did not pass is in no other count."""
    file = tmp_path / "junit.xml"
    file.write_text(JUNIT.format(tests=20))
    assert result_of(file) == Result(passed=14, failed=3, skipped=3, minutes=1.5)


def test_a_run_without_tests_is_no_result(tmp_path: Path) -> None:
    """A run that was broken off is not put on record as one without a failure."""
    file = tmp_path / "junit.xml"
    file.write_text(JUNIT.format(tests=0))
    with pytest.raises(SystemExit, match="no test"):
        result_of(file)


def test_only_a_commit_is_put_on_record(tmp_path: Path) -> None:
    """A tree with changes is refused; the page itself may be changed by the run before."""

    def git(*words: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("code.py", PAGE.name):
        tmp_path.joinpath(name).write_text("1\n")
    git("add", ".")
    git("commit", "-m", "first")
    commit = commit_of(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    tmp_path.joinpath(PAGE.name).write_text("2\n")
    assert commit_of(tmp_path) == commit
    tmp_path.joinpath("code.py").write_text("2\n")
    with pytest.raises(SystemExit, match="commit what is changed"):
        commit_of(tmp_path)


def test_every_row_of_the_page_is_one_that_is_written(tmp_path: Path) -> None:
    """Commit, seed, effort, counts and minutes, and nothing by hand."""
    pattern = r"\| `[0-9a-f]{12}` \| \d+ \| \d+ \| [\d,]+ \| \d+ \| \d+ \| \d+ \|"
    assert re.fullmatch(pattern, row("0" * 40, "7", "3", Result(1234, 0, 1, 2.5)))
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert [line for line in rows if not re.fullmatch(pattern, line)] == []


def test_no_number_of_examples_escapes_the_effort() -> None:
    """``max_examples`` is written with ``times``, wherever it stands."""
    files = (PAGE.parents[2] / "tests").rglob("*.py")
    bare = re.compile(r"max_examples=\d")
    assert [path.name for path in files if bare.search(path.read_text())] == []
