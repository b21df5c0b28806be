"""Whose code a module is: the standard library's, a distribution's, or nobody's (own files).

A distribution is found by what it installed beside its metadata, an editable one by its top-level
names or its folder. What no distribution installed is read as source, wherever it lies.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlparse

PYTHON = "python"


@functools.lru_cache(maxsize=4096)
def owner_of(module: str) -> Distribution | str | None:
    """The distribution that a module is of, :data:`PYTHON`, or None for own files."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return PYTHON
    return _owner_of_top(top)


def version_of(owner: Distribution) -> tuple[str, str]:
    """A distribution's normalised name, and its version."""
    name = owner.metadata["Name"].lower().replace("_", "-").replace(".", "-")
    return name, owner.version


@functools.lru_cache(maxsize=4096)
def _owner_of_top(top: str) -> Distribution | None:
    for folder in _folders(top):
        found = _installed(folder, top) or _editable(folder, top)
        if found is not None:
            return found
    return None


def _folders(top: str) -> list[Path]:
    """The folders that hold a top-level module: one, or several for a namespace."""
    module = sys.modules.get(top)
    places = list(getattr(module, "__path__", []))
    if not places and (file := getattr(module, "__file__", None)):
        places = [file]
    if module is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is not None:
            places = list(spec.submodule_search_locations or [spec.origin or ""])
    return [Path(place).absolute().parent for place in places if place]


def _installed(folder: Path, top: str) -> Distribution | None:
    """The distribution whose record in that folder names the module."""
    if not any(folder.glob("*.dist-info")):
        return None
    try:
        named = distribution(top)
        if (named.read_text("top_level.txt") or "").split() == [top] or _records(named, top):
            return named
    except PackageNotFoundError:
        pass
    for info in sorted(folder.glob("*.dist-info")):
        candidate = Distribution.at(info)
        if _records(candidate, top):
            return candidate
    return None


def _records(candidate: Distribution, top: str) -> bool:
    record = "\n" + (candidate.read_text("RECORD") or "")
    return any(f"\n{top}{end}" in record for end in ("/", ".py,", ".so,", ".cpython-", ".abi3."))


def _editable(folder: Path, top: str) -> Distribution | None:
    for candidate, root in _editables():
        tops = (candidate.read_text("top_level.txt") or "").split()
        if top in tops if tops else folder.is_relative_to(root):
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
