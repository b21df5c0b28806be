"""The bans: hidden time, chance, settings and pickle are lint errors, and stay so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BANNED = [
    "import datetime\nx = datetime.datetime.now(datetime.UTC)",
    "from datetime import datetime, UTC\nx = datetime.now(UTC)",
    "import datetime\nx = datetime.date.today()",
    "import time\nx = time.time()",
    "from time import time\nx = time()",
    "import uuid\nx = uuid.uuid4()",
    "from uuid import uuid1\nx = uuid1()",
    "import random",
    "from random import choice",
    "import os\nx = os.environ['HOME']",
    "import os\nx = os.getenv('HOME')",
    "from os import environ",
    "import pickle",
    "from pickle import loads",
    "import pyarrow.parquet as pq\nx = pq.read_table('x')",
    "import pyarrow.dataset as ds",
]


def faults(repository: Path, path: str, source: str) -> set[str]:
    """The rules that ruff finds broken in that source, were it at that path."""
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "check", "--output-format=json", f"--stdin-filename={path}", "-"]
    done = subprocess.run(
        command, cwd=repository, input=source, capture_output=True, text=True, check=False
    )
    return {fault["code"] for fault in json.loads(done.stdout)}


@pytest.mark.parametrize("source", BANNED)
@pytest.mark.parametrize("path", ["ro_platform/runs/offence.py", "assets/offence.py"])
def test_a_ban_is_a_lint_error(repository: Path, path: str, source: str) -> None:
    """What would hide time, chance or a setting in a run is found by the linter."""
    assert "TID251" in faults(repository, path, source)


@pytest.mark.parametrize(
    ("owner", "source"),
    [
        ("ro_platform/kernel/clock.py", BANNED[0]),
        ("ro_platform/config/settings.py", BANNED[9]),
    ],
)
def test_each_ban_has_one_owner(repository: Path, owner: str, source: str) -> None:
    """The clock's module may ask for the time, the settings' module for the environment."""
    assert (repository / owner).is_file()
    assert "TID251" not in faults(repository, owner, source)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def f(x):\n    return x", "ANN001"),
        ("def f() -> None:\n    print(1)", "T201"),
        ("import subprocess\nsubprocess.run('x', shell=True)", "S602"),
        ("try:\n    f()\nexcept Exception:\n    pass", "BLE001"),
        ("from . import x", "TID252"),
        ("def f() -> None:\n    pass", "D103"),
    ],
)
def test_the_other_house_rules_are_on(repository: Path, source: str, code: str) -> None:
    """Annotations, docstrings, no print, no shell, no blind except, no relative imports."""
    assert code in faults(repository, "ro_platform/runs/offence.py", source)
