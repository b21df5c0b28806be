"""What the architecture tests look at: the repository's own files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def repository_files(repository: Path) -> list[Path]:
    """Every file that is, or is about to be, under version control (what git does not ignore)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=repository, capture_output=True, check=True).stdout
    paths = {repository / name for name in listed.decode().split("\0") if name}
    return sorted(path for path in paths if path.is_file())


@pytest.fixture(scope="session")
def library_modules(repository: Path) -> list[Path]:
    """Every module of the library."""
    return sorted((repository / "ro_platform").rglob("*.py"))
