"""The rooms of the house: each rule about who may use whom holds, and each can fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("ro_platform", "assets", "resources", "sensors")

# (who, what it may not import): one for each step of the house, and each wall beside it.
OFFENCES = [
    ("ro_platform.errors", "ro_platform.contracts"),
    ("ro_platform.contracts", "ro_platform.kernel"),
    ("ro_platform.kernel", "ro_platform.artifacts"),
    ("ro_platform.kernel", "ro_platform.ledger"),
    ("ro_platform.artifacts", "ro_platform.ledger"),
    ("ro_platform.ledger", "ro_platform.artifacts"),
    ("ro_platform.artifacts", "ro_platform.gates"),
    ("ro_platform.ledger", "ro_platform.config"),
    ("ro_platform.gates", "ro_platform.config"),
    ("ro_platform.config", "ro_platform.gates"),
    ("ro_platform.gates", "ro_platform.runs"),
    ("ro_platform.gates", "ro_platform.engine_formats"),
    ("ro_platform.gates", "ro_platform.checkpoints"),
    ("ro_platform.config", "ro_platform.checkpoints"),
    ("ro_platform.checkpoints", "ro_platform.engine_formats"),
    ("ro_platform.checkpoints", "dagster_aws"),
    ("ro_platform.engine_formats", "ro_platform.runs"),
    ("ro_platform.engine_formats", "dagster"),
    ("ro_platform.runs", "ro_platform.plane"),
    ("ro_platform.plane", "ro_platform.orchestration"),
    ("ro_platform.plane", "ro_platform.dagster_private"),
    ("ro_platform.dagster_private", "ro_platform.orchestration"),
    ("ro_platform.dagster_private", "ro_platform.web"),
    ("ro_platform.orchestration", "ro_platform.cli"),
    ("ro_platform.orchestration", "ro_platform.testing"),
    ("ro_platform.orchestration", "ro_platform.web"),
    ("ro_platform.web", "ro_platform.cli"),
    ("ro_platform.web", "dagster_webserver"),
    ("ro_platform.web", "dagster"),
    ("ro_platform.cli", "ro_platform.testing"),
    ("ro_platform.testing", "ro_platform.cli"),
    ("ro_platform.kernel", "dagster"),
    ("ro_platform.artifacts", "dagster"),
    ("ro_platform.ledger", "dagster"),
    ("ro_platform.gates", "dagster"),
    ("ro_platform.config", "dagster_aws"),
    ("ro_platform.runs", "dagster"),
    ("ro_platform.plane", "dagster"),
    ("ro_platform.cli", "dagster"),
    ("ro_platform.cli", "ro_platform.dagster_private"),
    ("ro_platform.testing", "dagster_postgres"),
    ("ro_platform.orchestration", "assets"),
    ("ro_platform.runs", "resources"),
    ("ro_platform.cli", "sensors"),
    ("ro_platform.cli", "definitions"),
    ("resources", "assets"),
    ("resources", "sensors"),
    ("assets", "sensors"),
    ("sensors", "assets"),
    ("assets", "definitions"),
]


def check_layers(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the packages in that folder."""
    linter = Path(sys.executable).with_name("lint-imports")
    command = [str(linter), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copy_of(repository: Path, folder: Path) -> Path:
    """The packages and the rules, where they can be spoilt."""
    shutil.copy(repository / "pyproject.toml", folder)
    shutil.copy(repository / "definitions.py", folder)
    for name in PACKAGES:
        shutil.copytree(repository / name, folder / name)
    return folder


def offend(folder: Path, module: str, imported: str) -> None:
    """Add the import to the module, or to a new module of the package."""
    place = folder / module.replace(".", "/")
    if place.is_dir():
        place /= f"offends_with_{imported.replace('.', '_')}.py"
    else:
        place = place.with_suffix(".py")
    with place.open("a") as text:
        text.write(f"\nimport {imported}\n")


@pytest.fixture(scope="module")
def verdict(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy in which every offence is committed."""
    folder = copy_of(repository, tmp_path_factory.mktemp("house"))
    for module, imported in OFFENCES:
        offend(folder, module, imported)
    done = check_layers(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_the_layers_hold(repository: Path) -> None:
    """The code as it stands breaks no rule."""
    done = check_layers(repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("module", "imported"), OFFENCES, ids=lambda name: str(name))
def test_each_rule_can_fail(verdict: str, module: str, imported: str) -> None:
    """An import against the arrows is found and named."""
    found = rf"{re.escape(module)}(\.offends_with_\w+)? ->\s+{re.escape(imported)}\b"
    assert re.search(found, verdict), verdict


def test_a_new_room_needs_a_place(repository: Path, tmp_path: Path) -> None:
    """A package that the rules do not name breaks them, so no room is built outside the house."""
    folder = copy_of(repository, tmp_path)
    folder.joinpath("ro_platform/annexe.py").write_text('"""A room that nobody planned."""\n')
    done = check_layers(folder)
    assert done.returncode == 1
    assert "annexe" in done.stdout


@pytest.mark.parametrize("module", ["ro_platform.plane", "ro_platform.cli.main"])
def test_importing_it_loads_no_orchestrator(module: str) -> None:
    """The plane and the command line come up without Dagster, so they work while it is down."""
    program = (
        f"import {module}, sys; "
        "print(sorted(name for name in sys.modules if name.split('.')[0].startswith('dagster')))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
