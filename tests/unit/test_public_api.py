"""What the library promises by name: each is there, is explained, and works as it is shown."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ro_platform

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/public-api.md"
HEAVY = ("dagster", "importlib.metadata", "pandas", "pyarrow", "pydantic", "sqlalchemy")
NAMES = sorted(set(ro_platform.__all__) - {"__version__"})
HOMES: dict[str, str] = ro_platform._HOMES


def test_importing_the_library_loads_nothing_heavy() -> None:
    """Not Dagster, not pandas, nor what only the version needs: a name is imported when it is
    asked for."""
    asked = f"import sys, ro_platform; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_the_one_of_its_home(name: str) -> None:
    """And it is explained there."""
    found = getattr(ro_platform, name)
    assert found is getattr(importlib.import_module(HOMES[name]), name)
    assert inspect.getdoc(found)
    assert name in dir(ro_platform)


def test_a_type_checker_sees_the_same_names() -> None:
    """What is imported for type checkers alone is the table of homes."""
    tree = ast.parse(Path(ro_platform.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == HOMES
    assert sorted(HOMES) == NAMES


def test_the_version_is_the_distributions() -> None:
    """One number, in pyproject.toml."""
    assert ro_platform.__version__ == metadata.version("ro-platform")


def test_what_is_not_public_is_not_there() -> None:
    """A name that does not exist is an AttributeError, as of any module; a submodule is found."""
    with pytest.raises(AttributeError, match="no attribute 'Guard'"):
        ro_platform.Guard  # noqa: B018
    assert importlib.import_module("ro_platform.errors") is ro_platform.errors


@pytest.mark.parametrize("name", ["ro_platform", *sorted({*HOMES.values()})])
def test_the_examples_are_true(name: str) -> None:
    """What a public docstring shows is executed."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"MANIFESTS"}))
def test_every_public_name_has_an_example(name: str) -> None:
    """In the docstring that ``help`` prints."""
    assert ">>> " in (getattr(ro_platform, name).__doc__ or "")


def test_the_page_names_what_is_public() -> None:
    """Every public name once, no other, each with its home."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert rows == HOMES


def test_what_dagster_yaml_names_is_promised() -> None:
    """The classes that this deployment's dagster.yaml names are on the page, and are there."""
    text = PAGE.read_text()
    given = (ROOT / "dagster.yaml").read_text()
    named = re.findall(r"module: (ro_platform[\w.]+)\s+class: (\w+)", given)
    assert named
    for module, name in named:
        assert inspect.isclass(getattr(importlib.import_module(module), name))
        assert f"`{module}.{name}`" in text
