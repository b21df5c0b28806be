"""The wheel: what `pip install` gives others is the library alone, complete and typed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

NEEDED = ("pyproject.toml", "README.md", "LICENSE", "definitions.py")
PACKAGES = ("ro_platform", "assets", "resources", "sensors")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        shutil.copy(repository / name, folder)
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(repository / name, folder / name, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--no-index", "-w", "dist", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.joinpath("dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_only_the_library(wheel: zipfile.ZipFile) -> None:
    """Nothing of this deployment, its tests or its documents is installed with the library."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ro_platform"}


def test_the_wheel_holds_the_whole_library(wheel: zipfile.ZipFile, repository: Path) -> None:
    """Every module and data file of the library is in the wheel, and the mark of its types."""
    files = {
        str(path.relative_to(repository))
        for path in (repository / "ro_platform").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(wheel.namelist())
    assert "ro_platform/py.typed" in files


def test_the_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    """Installed, it brings the licence's text and the `ro` command."""
    texts = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "Apache License" in wheel.read(texts["licenses/LICENSE"]).decode()
    commands = wheel.read(texts["entry_points.txt"]).decode()
    assert re.search(r"^ro = ro_platform\.cli\.main:main$", commands, re.MULTILINE)
    assert "License-Expression: Apache-2.0" in wheel.read(texts["METADATA"]).decode()
