"""A listing as text for a person: each part with its source and what it reads, and two compared."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ro_platform.kernel.code.syntax import shown

_NAMED = ("function", "class", "object")
_HELD = (
    "closure",
    "names",
    "keyword_defaults",
    "attributes",
    "fields",
    "annotated",
    "made",
    "state",
)


def lines_of(listing: Mapping[str, Any]) -> list[str]:
    """The listing line by line; parts are named, so that a part more moves no other."""
    parts = listing["parts"]
    lines = [f"{name}: {_words(form, parts)}" for name, form in sorted(listing["subject"].items())]
    for part in parts:
        lines += ["", *_part(part, parts)]
    versions = sorted(listing["distributions"].items())
    return [*lines, "", *(f"distribution {name} {version}" for name, version in versions)]


def difference(old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, str]) -> list[str]:
    """What differs between two listings, as a unified diff; nothing if they are equal."""
    return list(difflib.unified_diff(lines_of(old), lines_of(new), *names, lineterm=""))


def _part(part: Mapping[str, Any], parts: list[Any]) -> Iterator[str]:
    yield _title(part)
    source = part.get("source", [])
    for node in source if source and isinstance(source[0], list) else [source] if source else []:
        yield from (f"    {line}" for line in shown(node).splitlines())
    for held in _HELD:
        for name, form in sorted(part.get(held, {}).items()):
            yield f"  {held.replace('_', ' ')} {name} = {_words(form, parts)}"
    for name in ("defaults", "wraps", "bases", "metaclass", "class", "content"):
        if name in part and not isinstance(part[name], str):
            yield f"  {name} = {_words(part[name], parts)}"


def _title(part: Mapping[str, Any]) -> str:
    kind = next((name for name in _NAMED if isinstance(part.get(name), str)), "part")
    return f"{kind} {part.get(kind, '')}"


def _words(form: Any, parts: list[Any]) -> str:
    """A form in one line: numbers and texts as Python writes them, a part by its name."""
    if form is None or isinstance(form, bool | str):
        return repr(form)
    if isinstance(form, list):
        return f"[{', '.join(_words(item, parts) for item in form)}]"
    if form.keys() == {"part"}:
        return f"<{_title(parts[form['part']])}>"
    if form.keys() == {"of", "name"}:
        return f"<{form['name']} of {form['of']}>"
    if len(form) == 1:
        ((kind, content),) = form.items()
        plain = isinstance(content, str) and kind in {"int", "float", "complex"}
        return content if plain else f"{kind} {_words(content, parts)}"
    if any("part" in item for item in form.values() if isinstance(item, dict)):
        return ", ".join(f"{name}: {_words(item, parts)}" for name, item in sorted(form.items()))
    return json.dumps(form, sort_keys=True, ensure_ascii=False)
