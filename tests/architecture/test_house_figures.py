"""The library's figures are counted right; no star imports, and no module that only forwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.house_figures import (
    Figures,
    figures,
    import_statements,
    modules_used,
    name_of,
)

KNOWN_CIRCLES = [("ro_platform.cli.draft", "ro_platform.cli.run")]
"""Circles that are still to be broken; none is added."""


def has_star(tree: ast.Module) -> bool:
    """Whether a module imports all that another names."""
    return any(alias.name == "*" for node in import_statements(tree) for alias in node.names)


def only_forwards(tree: ast.Module) -> bool:
    """Whether a module imports from others and has nothing of its own but ``__all__``."""
    body = [node for node in tree.body if not _is_text(node) and not _is_all(node)]
    return bool(body) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_all(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [ast.unparse(target) for target in targets] == ["__all__"]


def test_no_star_imports(library_modules: list[Path]) -> None:
    """Where a name comes from can be read where it is imported."""
    assert [path for path in library_modules if has_star(ast.parse(path.read_text()))] == []


def test_no_module_only_forwards(library_modules: list[Path]) -> None:
    """What is imported is imported from where it is defined, or from a package's public names."""
    modules = [path for path in library_modules if path.name != "__init__.py"]
    assert [path for path in modules if only_forwards(ast.parse(path.read_text()))] == []
    assert len(modules) > 100


@pytest.mark.parametrize(
    ("source", "star", "forwards"),
    [
        ("from a import *", True, True),
        ("def f():\n    import b\nfrom a import *", True, False),
        ('"""Text."""\nfrom a import b\nimport c\n__all__ = ["b", "c"]', False, True),
        ("from a import b\n\ndef f() -> b: ...", False, False),
        ("from a import b\nOTHER = b", False, False),
        ('"""Only text."""', False, False),
    ],
)
def test_each_of_these_rules_can_fail(source: str, star: bool, forwards: bool) -> None:
    """A star anywhere is found, and a module that is nothing but the names of others."""
    tree = ast.parse(source)
    assert (has_star(tree), only_forwards(tree)) == (star, forwards)


def without_types(tree: ast.Module) -> ast.Module:
    """A module without what it imports for its annotations alone."""
    kept = [node for node in tree.body if "TYPE_CHECKING" not in _condition(node)]
    return ast.Module(kept, [])


def _condition(node: ast.stmt) -> str:
    return ast.unparse(node.test) if isinstance(node, ast.If) else ""


def circles(folder: Path) -> list[tuple[str, ...]]:
    """The groups of modules that import each other, also within functions or through others."""
    paths = {name_of(path, folder): path for path in (folder / "ro_platform").rglob("*.py")}
    uses = {
        name: modules_used(without_types(ast.parse(path.read_text())), set(paths)) - {name}
        for name, path in paths.items()
    }
    reach = {name: _reached(name, uses) for name in uses}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in uses
        if name in reach[name]
    }
    return sorted(groups)


def _reached(name: str, uses: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = uses[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_no_modules_import_each_other(repository: Path) -> None:
    """A module is understood from those below it: also an import within a function makes no
    circle."""
    assert circles(repository) == KNOWN_CIRCLES


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Also through a third module, and where one of the imports is within a function; an import
    for annotations makes none."""
    folder = tmp_path / "ro_platform"
    folder.mkdir()
    typed = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ro_platform import first\n"
    )
    for name, text in {
        "first": "from ro_platform import second",
        "second": "def f():\n    from ro_platform.third import g",
        "third": "import ro_platform.first",
        "fourth": "from ro_platform import fifth",
        "fifth": typed,
    }.items():
        folder.joinpath(f"{name}.py").write_text(text)
    assert circles(tmp_path) == [tuple(f"ro_platform.{n}" for n in ("first", "second", "third"))]


def test_the_figures_are_counted_right(tmp_path: Path) -> None:
    """Statements of several lines count whole, also within functions; text that looks like an
    import does not; a module that imports another twice is one importer."""
    sources = {
        "__init__.py": '"""import this as text."""\n',
        "low.py": "x = 1\n\n\ny = 2\n",
        "middle.py": "from ro_platform.low import (\n    x,\n    y,\n)\nimport ro_platform.low\n",
        "high.py": "import ro_platform.middle\n\ndef f():\n    import json; import os\n",
        "side/__init__.py": "import ro_platform.low as low\n",
    }
    for name, text in sources.items():
        path = tmp_path / "ro_platform" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = figures(tmp_path)
    # low is imported by middle and side, middle by high, the others by nobody.
    assert found == Figures(modules=5, lines=15, non_blank=12, import_lines=8, lone=1)
    assert round(found.import_share, 1) == 66.7
    assert "8  66.7%" in str(found)


def test_the_figures_of_the_library_are_found(repository: Path) -> None:
    """The script counts the library that these tests are about."""
    found = figures(repository)
    assert found.modules > 100
    assert 0 < found.import_lines < found.non_blank < found.lines
