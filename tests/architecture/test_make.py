"""The way in: `make` explains itself, and set-up refuses what cannot work in clear words."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

TARGETS = ["setup", "run", "ui", "test", "browser", "lint", "validate", "schema", "bench", "lock"]
TARGETS += ["clean"]


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make there."""
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, check=False)


def test_make_alone_lists_the_targets(repository: Path) -> None:
    """`make` prints every target with what it does, and does nothing else."""
    done = make(repository)
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(TARGETS) <= set(listed)
    phony = set(re.findall(r"^\.PHONY: (\S+)$", repository.joinpath("Makefile").read_text(), re.M))
    assert set(listed) == phony


def test_an_old_python_is_refused(repository: Path, tmp_path: Path) -> None:
    """Set-up with an interpreter that is too old says which one is needed, and builds nothing."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path)
    shutil.copytree(repository / "requirements", tmp_path / "requirements")
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(tmp_path, "setup", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.11 or later is needed" in done.stderr
    assert "make setup PYTHON=" in done.stderr
    assert not tmp_path.joinpath(".venv").exists()


def test_clean_keeps_what_runs_recorded(repository: Path, tmp_path: Path) -> None:
    """`make clean` removes what can be built again, and nothing of the recorded state."""
    shutil.copy(repository / "Makefile", tmp_path)
    kept = [".ro/store/blob", ".ro/store/__pycache__/blob", "pyproject.toml", "assets/a.py"]
    built = [".venv/bin/python", "build/lib/a", "assets/__pycache__/a.pyc", ".mypy_cache/a"]
    for name in kept + built:
        tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(name).write_text("x")
    assert make(tmp_path, "clean").returncode == 0
    assert [name for name in kept if not tmp_path.joinpath(name).exists()] == []
    assert [name for name in built if tmp_path.joinpath(name).exists()] == []


def test_ci_calls_the_test_command_of_the_readme(repository: Path) -> None:
    """What the README tells a reader to run is what CI runs, last, and CI reads no input."""
    script = repository.joinpath(".ci/run").read_text()
    assert repository.joinpath(".ci/run").stat().st_mode & 0o111
    assert "make test" in repository.joinpath("README.md").read_text()
    assert script.rstrip().endswith("make test")
    assert "set -euo pipefail" in script


def test_no_folder_of_tests_is_left_out(repository: Path) -> None:
    """`make test` names each folder that holds tests, but the browser's, once."""
    found = {path.parent for path in (repository / "tests").rglob("test_*.py")}
    folders = {path.relative_to(repository).as_posix() for path in found} - {"tests/browser"}
    text = (repository / "Makefile").read_text()
    (named,) = re.findall(r"^TESTS := (.*)$", text, re.MULTILINE)
    assert sorted(named.split()) == sorted(folders)
