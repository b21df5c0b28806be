"""Which names a function reads from outside: globals, attributes of them, and its imports."""

from __future__ import annotations

import ast
import dis
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})


@dataclass(frozen=True, slots=True)
class Imported:
    """A local import: ``local`` stands for ``module``, or for ``name`` of it."""

    local: str
    module: str
    name: str | None = None


def global_names(code: CodeType) -> dict[str, bool]:
    """The names that code, and code within it, looks up outside its own scopes; for each, whether
    it must be there (the body of a class may look up what it sets itself)."""
    names: dict[str, bool] = {}
    for inner in _codes(code):
        instructions = list(dis.get_instructions(inner))
        own = {item.argval for item in instructions if item.opname == "STORE_NAME"}
        for item in instructions:
            # A test runner's rewriting of assertions adds names that no source can hold.
            if item.opname in _LOADS and not item.argval.startswith("@"):
                names[item.argval] = names.get(item.argval, False) or item.argval not in own
    return names


def written_names(code: CodeType) -> set[str]:
    """The globals and the enclosing function's names that code sets."""
    written = set()
    for inner in _codes(code):
        for item in dis.get_instructions(inner):
            outer = item.opname == "STORE_DEREF" and item.argval in code.co_freevars
            if item.opname in _WRITES or outer:
                written.add(str(item.argval))
    return written


def chains(node: ast.AST, name: str) -> set[tuple[str, ...]]:
    """The attributes that are read of a name, each as long as it is written; ``()`` for itself."""
    found: set[tuple[str, ...]] = set()
    _collect(node, name, found)
    return found


def local_imports(node: ast.AST, package: str | None) -> Iterator[Imported]:
    """What a function imports when it is called."""
    for item in ast.walk(node):
        if isinstance(item, ast.Import):
            for alias in item.names:
                top = alias.name.partition(".")[0]
                yield Imported(alias.asname or top, alias.name if alias.asname else top)
        elif isinstance(item, ast.ImportFrom):
            relative = "." * item.level + (item.module or "")
            module = importlib.util.resolve_name(relative, package) if item.level else relative
            for alias in item.names:
                yield Imported(alias.asname or alias.name, module, alias.name)


def _collect(node: ast.AST, name: str, found: set[tuple[str, ...]]) -> None:
    attributes: list[str] = []
    inner: ast.AST = node
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        if inner.id == name:
            found.add(tuple(attributes))
        return
    for child in ast.iter_child_nodes(inner):
        _collect(child, name, found)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _codes(item)
