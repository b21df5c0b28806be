"""Whose code it is: the names that code uses, and the distribution or folder of each.

A distribution is found by what it installed beside its metadata, an editable one by its top-level
names or its folder. Below a namespace, which several share, each package or module is looked for by
itself. What no distribution installed is read as source, wherever it lies.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import CodeType
from urllib.parse import unquote, urlparse

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


PYTHON = "python"


@functools.lru_cache(maxsize=4096)
def owner_of(module: str) -> Distribution | str | None:
    """The distribution that a module is of, :data:`PYTHON`, or None for own files."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return PYTHON
    return _owner_of_unit(_unit_of(module))


def version_of(owner: Distribution) -> tuple[str, str]:
    """A distribution's normalised name, and its version."""
    name = owner.metadata["Name"].lower().replace("_", "-").replace(".", "-")
    return name, owner.version


def _unit_of(module: str) -> str:
    """The part of a module's name that one distribution has for itself: below a namespace, which
    several share, the first package or module that is none."""
    parts = module.split(".")
    names = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return next((name for name in names if not _is_namespace(name)), module)


def _is_namespace(name: str) -> bool:
    file, places = _places(name)
    return bool(places) and (file is None or len(places) > 1)


@functools.lru_cache(maxsize=4096)
def _owner_of_unit(unit: str) -> Distribution | None:
    for folder in _folders(unit):
        found = _installed(folder, unit) or _editable(folder, unit)
        if found is not None:
            return found
    return None


def _folders(unit: str) -> list[Path]:
    """The folders of the import path that hold a module."""
    file, places = _places(unit)
    found = [Path(place).absolute() for place in places or [file or ""] if place]
    return [place.parents[unit.count(".")] for place in found]


def _places(name: str) -> tuple[str | None, list[str]]:
    """The file of a module, and the folders of a package, whether it is loaded or not."""
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None), list(getattr(module, "__path__", []))
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None, []
    origin = spec.origin if spec.has_location else None
    return origin, list(spec.submodule_search_locations or [])


def _installed(folder: Path, unit: str) -> Distribution | None:
    """The distribution whose record in that folder names the module."""
    if not any(folder.glob("*.dist-info")):
        return None
    try:
        named = distribution(unit)
        if (named.read_text("top_level.txt") or "").split() == [unit] or _records(named, unit):
            return named
    except PackageNotFoundError:
        pass
    for info in sorted(folder.glob("*.dist-info")):
        candidate = Distribution.at(info)
        if _records(candidate, unit):
            return candidate
    return None


def _records(candidate: Distribution, unit: str) -> bool:
    record, path = "\n" + (candidate.read_text("RECORD") or ""), unit.replace(".", "/")
    return any(f"\n{path}{end}" in record for end in ("/", ".py,", ".so,", ".cpython-", ".abi3."))


def _editable(folder: Path, unit: str) -> Distribution | None:
    for candidate, root in _editables():
        tops = (candidate.read_text("top_level.txt") or "").split()
        # What is below a namespace is told by its folder: its first name is that of others too.
        if unit in tops if tops and "." not in unit else folder.is_relative_to(root):
            return candidate
    return None


@functools.cache
def _editables() -> tuple[tuple[Distribution, Path], ...]:
    return tuple(_find_editables())


def _find_editables() -> Iterator[tuple[Distribution, Path]]:
    for entry in dict.fromkeys(sys.path):
        for direct in sorted(Path(entry or ".").glob("*.dist-info/direct_url.json")):
            facts = json.loads(direct.read_text())
            if facts.get("dir_info", {}).get("editable"):
                root = Path(unquote(urlparse(facts["url"]).path))
                yield Distribution.at(direct.parent), root
