"""One function opens what is read: nothing else in the library opens a path for reading."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

READING = {"read_bytes", "read_text", "copyfile", "copy", "copy2", "copytree"}
OPENING = {"open", "io.open", "io.FileIO", "os.open", "codecs.open"}
ALLOWED = {
    "kernel/files.py": (4, "the one function; a new secret file, and its folder"),
    "engine_formats/bundle.py": (
        1,
        "relative to an open folder, without waiting, looked at by fstat",
    ),
    "artifacts/backends/posix.py": (1, "to make durable what this process wrote"),
    "artifacts/backends/filesystem.py": (2, "the store's own folder, and a new temporary file"),
    "artifacts/blobs.py": (1, "a new file"),
    "cli/explain.py": (1, "a file of this package"),
    "kernel/code/owners.py": (4, "what the packages installed here say of themselves"),
    "ledger/backends/postgres_tables.py": (3, "files of this package"),
    "ledger/backends/sqlite_file.py": (2, "files of this package"),
    "ledger/migrations/statements.py": (1, "files of this package"),
    "orchestration/workers.py": (3, "/proc and the machine's id"),
}


def openings(tree: ast.AST) -> Iterator[str]:
    """Every call that opens a path, but for those that make a new file or write one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        mode = next((arg.value for arg in node.args if isinstance(arg, ast.Constant)), None)
        opens = name in OPENING or (last == "open" and isinstance(mode, str) and set(mode) <= MODE)
        if opens and isinstance(mode, str) and set(mode) & set("wxa"):
            continue
        if opens or (last in READING and isinstance(node.func, ast.Attribute) and _of_path(name)):
            yield name


MODE = set("rwxabt+")


def _of_path(name: str) -> bool:
    return not name.endswith(".copy") or name.startswith("shutil.")


def test_nothing_else_opens_a_path_for_reading(repository: Path) -> None:
    """What is allowed besides is counted, each with its reason."""
    root = repository / "ro_platform"
    found = Counter(
        str(path.relative_to(root))
        for path in sorted(root.rglob("*.py"))
        for _ in openings(ast.parse(path.read_text()))
    )
    assert {name: n for name, n in found.items() if n > ALLOWED.get(name, (0, ""))[0]} == {}


def test_an_opening_is_seen() -> None:
    """Each way that Python has to open a path by its name."""
    for source in (
        "open(p)",
        "p.open('rb')",
        "p.read_text()",
        "p.read_bytes()",
        "os.open(p, 0)",
        "shutil.copyfile(a, b)",
        "io.FileIO(p)",
    ):
        assert list(openings(ast.parse(source))), source
    for source in ("p.open('xb')", "open(p, 'w')", "grants.open(text)", "a.copy()"):
        assert not list(openings(ast.parse(source))), source
