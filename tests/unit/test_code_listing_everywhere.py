"""A listing is the same in every process, whatever hash seed, folder or version of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.code_world import CHECKS, FEATURES, RULES, Program

ROOT = Path(__file__).parents[2]
EVERYTHING = Program("plain", dict.fromkeys(sorted(FEATURES), 3))
RECORDED = "931bb1f030292f0136c824164c62a2700bae85701f7e818a56fbb1bbc571e564"
"""The digest that Python 3.11 gave: rules on record rest on it, so no release may change it."""

WALK = """
import hashlib, json, sys, types

# A bare interpreter has none of the packages that write RFC 8785; for ASCII this is the same.
for name, content in {
    "ro_platform.kernel.canonical": {
        "canonical_bytes": lambda value: json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    },
    "ro_platform.kernel.digest": {"sha256_hex": lambda data: hashlib.sha256(data).hexdigest()},
}.items():
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)
from ro_platform.kernel.code.listing import listing_of
import CHECKS

print(listing_of({"check": CHECKS.check}, home="CHECKS").digest)
""".replace("CHECKS", CHECKS)


def pythons() -> list[str]:
    """This interpreter, and those of later versions that are installed here."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable]
    for version in ("3.12", "3.13"):
        here = shutil.which(f"python{version}") if not pyenv.is_dir() else None
        below = sorted(pyenv.glob(f"{version}.*/bin/python"))
        found += [here] if here else [str(path) for path in below[-1:]]
    return found


def digest_in(folder: Path, python: str, *, seed: str = "0") -> str:
    """The digest of the program of all features, walked by an interpreter of its own."""
    folder.mkdir(parents=True)
    for name, text in EVERYTHING.texts().items():
        (folder / f"{name}.py").write_text(text)
    environment = {
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [python, "-c", WALK],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("python", pythons())
def test_every_version_of_python_gives_the_recorded_digest(tmp_path: Path, python: str) -> None:
    """Every feature of the grammar at once, on each version that is installed here."""
    assert digest_in(tmp_path / "here", python) == RECORDED


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_neither_hash_seed_nor_folder_changes_it(tmp_path: Path, seed: str) -> None:
    """Sets are ordered by what they hold, and no path is part of a listing."""
    folder = tmp_path / seed / "further" / "down"
    assert digest_in(folder, sys.executable, seed=seed) == RECORDED


def test_the_two_modules_are_the_ones_that_are_walked() -> None:
    """The recorded program has everything that the grammar knows."""
    assert set(EVERYTHING.texts()) == {CHECKS, RULES}
    assert set(EVERYTHING.numbers) == set(FEATURES)
