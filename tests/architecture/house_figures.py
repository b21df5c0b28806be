"""How large the library is: modules, lines, and the share of import statements.

``python tests/architecture/house_figures.py [FOLDER]`` prints them for the packages in FOLDER, by
default this repository's own. To compare with another commit, give the folder of its files::

    git archive 49ee58a ro_platform | tar -x -C /tmp/before
    python tests/architecture/house_figures.py /tmp/before
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "ro_platform"


@dataclass(frozen=True)
class Figures:
    """Counts of the library's modules and lines; ``lone`` modules are imported by one other."""

    modules: int
    lines: int
    non_blank: int
    import_lines: int
    lone: int

    @property
    def import_share(self) -> float:
        """Lines of import statements, in percent of the lines that are not blank."""
        return 100 * self.import_lines / self.non_blank if self.non_blank else 0.0

    def __str__(self) -> str:
        lone = 100 * self.lone / self.modules if self.modules else 0.0
        return (
            f"modules                 {self.modules:>7,}\n"
            f"lines                   {self.lines:>7,}\n"
            f"  not blank             {self.non_blank:>7,}\n"
            f"  of import statements  {self.import_lines:>7,}  {self.import_share:.1f}%\n"
            f"with one importer       {self.lone:>7,}  {lone:.0f}%"
        )


def figures(folder: Path) -> Figures:
    """The figures of the library in that folder. A file that is no Python raises SyntaxError."""
    sources = {path: path.read_text() for path in sorted((folder / PACKAGE).rglob("*.py"))}
    trees = {name_of(path, folder): ast.parse(text) for path, text in sources.items()}
    importers = Counter(
        target for name, tree in trees.items() for target in modules_used(tree, set(trees)) - {name}
    )
    lines = [line for text in sources.values() for line in text.splitlines()]
    return Figures(
        modules=len(sources),
        lines=len(lines),
        non_blank=sum(bool(line.strip()) for line in lines),
        import_lines=sum(_lines_of_imports(tree) for tree in trees.values()),
        lone=sum(count == 1 for count in importers.values()),
    )


def name_of(path: Path, folder: Path) -> str:
    """A module's dotted name."""
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import statement, those within functions as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def _lines_of_imports(tree: ast.Module) -> int:
    return len({line for node in import_statements(tree) for line in _span(node)})


def _span(node: ast.stmt) -> Iterable[int]:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def modules_used(tree: ast.Module, modules: set[str]) -> set[str]:
    """The modules of the library that a module imports. ``from a import b`` is of ``a.b`` where
    that is a module, and of ``a`` otherwise."""
    names = set()
    for node in import_statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules else str(node.module) for name in inner}
    return names & modules


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    sys.stdout.write(f"{figures(chosen)}\n")
