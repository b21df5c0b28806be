"""Reading YAML and JSON documents into JSON values, with the place of every value.

YAML is read by its 1.2 JSON-like core: ``no`` and ``1997-09-30`` are strings, a key stands once,
and anchors, aliases, merge keys and tags are refused, because JSON cannot express them and an
alias can be made to explode. A number is read as JSON would read it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ro_platform.errors import DocumentSyntaxError

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_CONSTANTS = {"null": None, "Null": None, "NULL": None, "~": None, "": None} | {
    word: value
    for name, value in (("true", True), ("false", False))
    for word in (name, name.capitalize(), name.upper())
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z|[-+]?(NaN|Infinity|inf|nan)\Z")


@dataclass(frozen=True)
class Document:
    """A JSON value and, by path (``parameters.as_of``), the line and column it was read from."""

    value: Any
    source: str
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)

    def where(self, path: str) -> str:
        """``FILE, line 3, column 5: parameters.as_of`` as far as it is known."""
        place = self.lines.get(path)
        at = f", line {place[0]}, column {place[1]}" if place else ""
        return f"{self.source}{at}: {path}" if path else f"{self.source}{at}"


def parse_document(data: bytes, source: str) -> Document:
    """Read one document. ``source`` names it in errors; ``.json`` files are read as JSON.

    Raises :class:`DocumentSyntaxError` with line and column.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise _syntax(source, f"is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _syntax(source, f"is not UTF-8 (byte {error.start})") from None
    return _parse_json(text, source) if source.endswith(".json") else _parse_yaml(text, source)


def _parse_json(text: str, source: str) -> Document:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise _syntax(source, f"has the key {key!r} twice")
        return dict(pairs)

    def refuse(word: str) -> Any:
        raise _syntax(source, f"holds {word}, which is not a JSON number")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse, parse_float=finite)
    except json.JSONDecodeError as error:
        raise _syntax(
            source, f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise _syntax(source, "is nested too deeply") from None
    return Document(value, source)


def _parse_yaml(text: str, source: str) -> Document:
    yaml = YAML(typ="safe", pure=True)
    try:
        for event in yaml.parse(text):
            at = f"(line {event.start_mark.line + 1}, column {event.start_mark.column + 1})"
            if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
                raise _syntax(source, f"uses an anchor or alias {at}")
            if getattr(event, "ctag", None):
                raise _syntax(source, f"uses the tag {event.ctag} {at}")
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise _syntax(source, f"is not valid YAML: {error.problem}{at}") from None
    except (YAMLError, ValueError) as error:
        raise _syntax(source, f"is not valid YAML: {error}") from None
    except RecursionError:
        raise _syntax(source, "is nested too deeply") from None
    if node is None:
        raise _syntax(source, "is empty")
    lines: dict[str, tuple[int, int]] = {}
    return Document(_value(node, "", 0, source, lines), source, lines)


def _value(
    node: Node, path: str, depth: int, source: str, lines: dict[str, tuple[int, int]]
) -> Any:
    """The JSON value of a node; notes where each path stands."""
    lines[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    at = f"(line {lines[path][0]}, column {lines[path][1]})"
    if depth > MAX_DEPTH:
        raise _syntax(source, f"is nested too deeply {at}")
    match node:
        case ScalarNode():
            return _scalar(node, path, at, source)
        case SequenceNode():
            return [
                _value(item, f"{path}[{i}]", depth + 1, source, lines)
                for i, item in enumerate(node.value)
            ]
        case MappingNode():
            result: dict[str, Any] = {}
            for key_node, item in node.value:
                key = key_node.value if isinstance(key_node, ScalarNode) else None
                if key is None or key == "<<":
                    raise _syntax(source, f"has a key that is not plain text {at}")
                if key in result:
                    line = key_node.start_mark.line + 1
                    raise _syntax(source, f"has the key {key!r} twice (line {line})")
                below = f"{path}.{key}" if path else key
                result[key] = _value(item, below, depth + 1, source, lines)
                lines[below] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            return result
    raise _syntax(source, f"holds something JSON cannot say {at}")


def _scalar(node: ScalarNode, path: str, at: str, source: str) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        return int(text)
    if _NOT_FINITE.match(text):
        raise _syntax(source, f"holds {text} at {path}, which is not a JSON number {at}")
    if _FLOAT.match(text):
        number = float(text)
        if not math.isfinite(number):
            raise _syntax(source, f"holds {text} at {path}, which is too large a number {at}")
        return number
    return text


def _syntax(source: str, problem: str) -> DocumentSyntaxError:
    return DocumentSyntaxError(
        f"{source} {problem}.",
        next_step="Correct the file and try again; nothing was recorded.",
        file=source,
    )
