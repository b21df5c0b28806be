"""The listing of a function: its syntax and all that it reads of its own code, part by part.

Part 0 is what was asked about. A part (a function, a class, an object) is listed once, in the order
in which the walk meets it, which no hash seed and no folder changes; where it is met again, its
number stands. Own code is that of the function's distribution, and whatever no distribution
installed. Other distributions are named with their version, the standard library without one.

The walk reads values as they are when it is made. What files, the network, the environment,
reflection and native code bring in is not in it (:data:`NOT_COVERED`).
"""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import Distribution
from typing import Any

from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.code import containers, objects
from ro_platform.kernel.code.containers import carried, plain
from ro_platform.kernel.code.owners import (
    PYTHON,
    Imported,
    chains,
    global_names,
    local_imports,
    owner_of,
    version_of,
    written_names,
)
from ro_platform.kernel.code.syntax import NotListed, source_of, tree
from ro_platform.kernel.digest import sha256_hex

Leaf = Callable[["Walk", Any], Any]
"""The canonical form of an object that is known to a higher room; None for one that is not."""

KIND = "ro.code_listing.v1"
_MODULE_NAMES = frozenset(
    {"__name__", "__file__", "__package__", "__spec__", "__loader__", "__builtins__", "__doc__"}
)
_MISSING = object()

NOT_COVERED = (
    ("files", "what is read from a file, a folder or a data set, also of its own package"),
    ("network", "what a service, a database or a store answers"),
    ("environment", "environment variables, the clock, chance, the machine, Python's own version"),
    ("run", "tags and ids of the Dagster run, read from the context"),
    ("reflection", "names made at run time: getattr, globals(), eval, importlib, subclasses"),
    ("later changes", "what is set after the code was loaded: monkeypatching, global state"),
    ("native code", "compiled code, and a distribution that was changed without a new version"),
)
"""What can change a verdict and is in no listing: what it is, and in which words it is met."""


RULE, CODE = "rule1-", "code1-"
"""What the code version of a gate or of an asset begins with that is the digest of a listing."""


def listing_digest(code_version: str) -> str | None:
    """The digest of the listing that a code version names; None for one that its author gave."""
    found = re.fullmatch(f"(?:{RULE}|{CODE})([0-9a-f]{{64}})", code_version)
    return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The canonical bytes of a listing, and their digest (64 hex)."""

    data: bytes
    digest: str


def listing_of(subject: Mapping[str, Any], *, home: str, leaf: Leaf | None = None) -> Listing:
    """The listing of some named things, of which the code in module ``home`` is the own code.

    Raises :class:`NotListed` with the name of what has no canonical form.
    """
    data = canonical_bytes(forms_of(subject, home=home, leaf=leaf))
    return Listing(data, sha256_hex(data))


def forms_of(subject: Mapping[str, Any], *, home: str, leaf: Leaf | None = None) -> dict[str, Any]:
    """The listing as a JSON value."""
    walk = Walk(owner_of(home), leaf)
    try:
        named = {name: walk.value(item, name) for name, item in subject.items()}
    except RecursionError:
        raise NotListed(", ".join(subject), "nests too deeply") from None
    return {
        "kind": KIND,
        "subject": named,
        "parts": walk.parts,
        "distributions": dict(sorted(walk.distributions.items())),
    }


class Walk:
    """One walk: the parts that it met, and the distributions that it named."""

    def __init__(self, home: Distribution | str | None, leaf: Leaf | None) -> None:
        self.parts: list[dict[str, Any]] = []
        self.distributions: dict[str, str] = {}
        self._home = home
        self._leaf = leaf
        self._seen: dict[int, tuple[int, Any]] = {}
        self._open: dict[int, int] = {}

    def value(self, item: Any, what: str) -> Any:
        """The form of anything; ``what`` says where it was met, for a refusal."""
        if self._leaf and (known := self._leaf(self, item)) is not None:
            return known
        if (known := plain(item)) is not None or item is None:
            return known
        if id(item) in self._seen:
            return {"part": self._seen[id(item)][0]}
        for form_of in (containers.form, _callable, _named_elsewhere, objects.form):
            if (form := form_of(self, item, what)) is not None:
                return form
        raise NotListed(what, f"is {_article(item)}, which has no canonical form")

    def alone(self, item: Any, what: str) -> str:
        """The listing of one thing as a text, as if nothing else had been met."""
        if (known := plain(item)) is not None:
            return json.dumps([known], sort_keys=True)
        walk = Walk(self._home, self._leaf)
        form = walk.value(item, what)
        return json.dumps([form, walk.parts, walk.distributions], sort_keys=True)

    def nested(self, item: Any, form: Callable[[], Any]) -> Any:
        """The form of a container; where it holds itself, how many containers stand around it."""
        if id(item) in self._open:
            return {"enclosing": str(self._open[id(item)])}
        self._open[id(item)] = len(self._open)
        try:
            return form()
        finally:
            del self._open[id(item)]

    def part(
        self, item: Any, start: Mapping[str, Any], fill: Callable[[dict[str, Any]], None]
    ) -> Any:
        """List something as a part of its own, which what it holds may refer back to."""
        number, part = len(self.parts), dict(start)
        self._seen[id(item)] = (number, item)
        self.parts.append(part)
        fill(part)
        for name in [name for name, content in part.items() if content in ({}, [], None)]:
            del part[name]
        return {"part": number}

    def values(self, items: Mapping[str, Any], what: str) -> dict[str, Any]:
        """The forms of named things, by name."""
        return {name: self.value(items[name], f"{name!r} of {what}") for name in sorted(items)}

    def is_own(self, module: str | None) -> bool:
        """Whether a module's code is listed, and not only named."""
        owner = owner_of(module) if module else None
        if owner is None:
            return True
        if isinstance(owner, str) or self._home is None or isinstance(self._home, str):
            return False
        return version_of(owner) == version_of(self._home)

    def elsewhere(self, module: str, name: str) -> dict[str, Any]:
        """Something of another distribution, which is named with its version."""
        owner = owner_of(module)
        if isinstance(owner, Distribution):
            distribution, version = version_of(owner)
            self.distributions[distribution] = version
        else:
            distribution = owner or PYTHON
        return {"of": distribution, "name": f"{module}.{name}" if name else module}

    def function(self, function: types.FunctionType) -> Any:
        """The form of a function: a part, or its name where another distribution has it."""
        code = function.__code__
        module = str(function.__globals__.get("__name__", ""))
        name = f"{module}:{code.co_qualname}"
        if not self.is_own(module):
            if _at(module, code.co_qualname) is function:
                return self.elsewhere(module, code.co_qualname)
            start = {"function": name, **self.elsewhere(module, code.co_qualname)}
            return self.part(function, start, lambda part: self._held(part, function, name))

        def fill(part: dict[str, Any]) -> None:
            node = source_of(code, function.__globals__)
            if written := sorted(written_names(code)):
                raise NotListed(repr(written[0]), f"is set by {name}, so it changes after loading")
            part["source"] = tree(_bare(node, self, function))
            self._held(part, function, name)
            part["annotated"] = carried(self, function, function.__globals__, name)
            part["names"] = self._names(function, node, name)

        return self.part(function, {"function": name}, fill)

    def _held(self, part: dict[str, Any], function: types.FunctionType, name: str) -> None:
        """What a function carries with it: cells, defaults, attributes, what it wraps."""
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        part["closure"] = {
            key: self._cell(cells[key], f"{key!r} of {name}", function) for key in sorted(cells)
        }
        part["defaults"] = [
            self.value(item, f"a default of {name}") for item in function.__defaults__ or ()
        ]
        part["keyword_defaults"] = self.values(function.__kwdefaults__ or {}, name)
        attributes = {key: item for key, item in vars(function).items() if key != "__wrapped__"}
        part["attributes"] = self.values(attributes, name)
        if (inner := getattr(function, "__wrapped__", None)) is not None:
            part["wraps"] = self.value(inner, f"what {name} wraps")

    def _cell(self, cell: types.CellType, what: str, function: types.FunctionType) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:
            raise NotListed(what, "has no value yet") from None
        if isinstance(content, types.ModuleType):
            name = next(
                key
                for key, item in zip(
                    function.__code__.co_freevars, function.__closure__ or (), strict=True
                )
                if item is cell
            )
            node = source_of(function.__code__, function.__globals__)
            return self._of_module(content, name, node, what)
        return self.value(content, what)

    def _names(self, function: types.FunctionType, node: Any, name: str) -> dict[str, Any]:
        scope, found = function.__globals__, dict[str, Any]()
        for key, required in sorted(global_names(function.__code__).items()):
            if key in _MODULE_NAMES:
                continue
            item = scope.get(key, _MISSING)
            if isinstance(item, types.ModuleType):
                found |= self._of_module(item, key, node, name)
            elif item is not _MISSING:
                found[key] = self.value(item, f"{key!r} of {name}")
            elif required and not hasattr(builtins, key):
                raise NotListed(repr(key), f"is read by {name} and not defined when it is loaded")
        package = scope.get("__package__") or str(scope.get("__name__", "")).rpartition(".")[0]
        for imported in local_imports(node, package):
            found |= self._imported(imported, node, name)
        return found

    def _imported(self, imported: Imported, node: Any, name: str) -> dict[str, Any]:
        """What a function imports when it is called, as it would find it now."""
        words = f"import {imported.module}" + (f".{imported.name}" if imported.name else "")
        if not self.is_own(imported.module):
            return {words: self.elsewhere(imported.module, imported.name or "")}
        try:
            item: Any = importlib.import_module(imported.module)
            if imported.name:
                item = _attribute(item, imported.name)
        except ModuleNotFoundError as error:
            return {words: {"absent": str(error.name)}}
        except Exception as error:  # noqa: BLE001  # whatever the module does when it is loaded
            raise NotListed(words, f"in {name} fails: {error}") from None
        if not isinstance(item, types.ModuleType):
            return {words: self.value(item, f"{imported.name!r}, imported by {name}")}
        return self._of_module(item, imported.local, node, name)

    def _of_module(
        self, module: types.ModuleType, key: str, node: Any, name: str
    ) -> dict[str, Any]:
        """What a function reads of a module that it has under the name ``key``."""
        if not self.is_own(module.__name__):
            return {key: self.elsewhere(module.__name__, "")}
        found = {}
        for chain in sorted(chains(node, key)) or [()]:
            words = ".".join((key, *chain))
            found[words] = self._chain(module, chain, f"{words!r} of {name}")
        return found

    def _chain(self, item: Any, chain: Iterable[str], what: str) -> Any:
        """What a chain of attributes leads to, as far as it goes through modules."""
        left = list(chain)
        while isinstance(item, types.ModuleType):
            if not self.is_own(item.__name__):
                return self.elsewhere(item.__name__, "")
            if not left:
                raise NotListed(what, "is a module that is handed on whole")
            item = _attribute(item, left.pop(0))
        return {"absent": what} if item is _MISSING else self.value(item, what)


def _callable(walk: Walk, item: Any, what: str) -> Any:
    if isinstance(item, types.FunctionType):
        return walk.function(item)
    if isinstance(item, types.ModuleType):
        if walk.is_own(item.__name__):
            raise NotListed(what, "is a module that is handed on whole")
        return walk.elsewhere(item.__name__, "")
    return None


def _named_elsewhere(walk: Walk, item: Any, _what: str) -> Any:
    """What another distribution has under a name of its own."""
    module = getattr(item, "__module__", None)
    name = getattr(item, "__qualname__", None) or getattr(item, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or walk.is_own(module):
        return None
    return walk.elsewhere(module, name) if _at(module, name) is item else None


def _bare(node: Any, walk: Walk, function: types.FunctionType) -> Any:
    """The definition without decorators of other distributions: what they made is what was met."""
    own = []
    for decorator in getattr(node, "decorator_list", []):
        root = decorator
        while not hasattr(root, "id") and (
            inner := getattr(root, "func", None) or getattr(root, "value", None)
        ):
            root = inner
        made_by = function.__globals__.get(getattr(root, "id", ""), None)
        module = getattr(made_by, "__module__", None) or getattr(made_by, "__name__", None)
        if not isinstance(module, str) or walk.is_own(module):
            own.append(decorator)
    if len(own) == len(getattr(node, "decorator_list", [])):
        return node
    fields = {name: getattr(node, name, None) for name in node._fields}
    return type(node)(**{**fields, "decorator_list": own})


def _attribute(module: types.ModuleType, name: str) -> Any:
    """An attribute of a module; a submodule that is not loaded yet is loaded."""
    found = getattr(module, name, _MISSING)
    if found is _MISSING and hasattr(module, "__path__"):
        try:
            return importlib.import_module(f"{module.__name__}.{name}")
        except ModuleNotFoundError:
            return _MISSING
    return found


def _at(module: str, name: str) -> Any:
    item: Any = sys.modules.get(module)
    for part in name.split("."):
        item = getattr(item, part, None)
    return item


def _article(item: Any) -> str:
    kind = type(item)
    return f"an object of {kind.__module__}.{kind.__qualname__}"
