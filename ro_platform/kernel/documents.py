"""Reading YAML and JSON documents into JSON values, with the place of every value.

YAML is read by its 1.2 JSON-like core: ``no`` and ``1997-09-30`` are strings, a key stands once,
and anchors, aliases, merge keys and tags are refused, because JSON cannot express them and an
alias can be made to explode. A number is read as JSON would read it.

Documents on disk: what a person hands in as a file.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ro_platform import errors
from ro_platform.kernel.files import read_file

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_YAML_BYTES = 1024 * 1024  # reading YAML takes seconds a megabyte; JSON takes milliseconds
MAX_DEPTH = 100

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_CONSTANTS = {"null": None, "Null": None, "NULL": None, "~": None, "": None} | {
    word: value
    for name, value in (("true", True), ("false", False))
    for word in (name, name.capitalize(), name.upper())
}
# Line breaks to YAML 1.1 and plain characters to 1.2: parsers disagree on what such text says.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
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
    if source.endswith(".json"):
        return _parse_json(text, source)
    if len(data) > MAX_YAML_BYTES:
        raise _syntax(source, f"is larger than {MAX_YAML_BYTES} bytes; write it as a .json file")
    return _parse_yaml(text, source)


def _parse_json(text: str, source: str) -> Document:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise _syntax(source, f"has the key {key!r} twice")
            result[key] = value
        return result

    def refuse(word: str) -> Any:
        raise _syntax(source, f"holds {_shown(word)}, which is not a JSON number")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        value = json.loads(
            text,
            object_pairs_hook=once,
            parse_constant=refuse,
            parse_float=finite,
            parse_int=lambda digits: _integer(digits, source, ""),
        )
    except json.JSONDecodeError as error:
        raise _syntax(
            source, f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise _syntax(source, "is nested too deeply") from None
    _check_json(value, source)
    return Document(value, source)


def _check_json(value: Any, source: str) -> None:
    """Refuse what the YAML reader refuses too: deep nesting, and text that is not Unicode."""
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            _text(item, source, "")
        elif isinstance(item, dict | list):
            if depth == MAX_DEPTH:
                raise _syntax(source, "is nested too deeply")
            pending += [(below, depth + 1) for below in item]
            if isinstance(item, dict):
                pending += [(below, depth + 1) for below in item.values()]


def _parse_yaml(text: str, source: str) -> Document:
    if found := _OTHER_BREAKS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _syntax(
            source, f"holds the bare character U+{ord(found[0]):04X} (line {line}); escape it"
        )
    try:
        _check_events(text, source)
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise _syntax(source, f"is not valid YAML: {error.problem}{at}") from None
    except (YAMLError, ValueError) as error:
        raise _syntax(source, f"is not valid YAML: {error}") from None
    if node is None:
        raise _syntax(source, "is empty")
    lines: dict[str, tuple[int, int]] = {}
    return Document(_value(node, "", source, lines), source, lines)


def _check_events(text: str, source: str) -> None:
    """Refuse what JSON cannot say before anything is built from it."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        at = f"(line {event.start_mark.line + 1}, column {event.start_mark.column + 1})"
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise _syntax(source, f"uses an anchor or alias {at}")
        if getattr(event, "ctag", None):
            raise _syntax(source, f"uses the tag {event.ctag} {at}")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _syntax(source, f"is nested too deeply {at}")


def _value(node: Node, path: str, source: str, lines: dict[str, tuple[int, int]]) -> Any:
    """The JSON value of a node; notes where each path stands."""
    lines[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    match node:
        case ScalarNode():
            return _scalar(node, path, source)
        case SequenceNode():
            return [
                _value(item, f"{path}[{i}]", source, lines) for i, item in enumerate(node.value)
            ]
        case MappingNode():
            result: dict[str, Any] = {}
            for key_node, item in node.value:
                key = _key(key_node, source)
                if key in result:
                    raise _syntax(source, f"has the key {key!r} twice {_at(key_node)}")
                below = f"{path}.{key}" if path else key
                result[key] = _value(item, below, source, lines)
                lines[below] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            return result
    raise _syntax(source, f"holds something JSON cannot say {_at(node)}")


def _key(node: Node, source: str) -> str:
    plain_merge = isinstance(node, ScalarNode) and node.value == "<<" and node.style is None
    if plain_merge or not isinstance(node, ScalarNode):
        raise _syntax(source, f"has a key that is not plain text {_at(node)}")
    return _text(str(node.value), source, _at(node))


def _scalar(node: ScalarNode, path: str, source: str) -> Any:
    text, at = str(node.value), f"at {path} {_at(node)}" if path else _at(node)
    if node.style is not None:
        return _text(text, source, at)
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        return _integer(text, source, at)
    if _NOT_FINITE.match(text):
        raise _syntax(
            source, f"holds {text} {at}, which is not a JSON number (quote it if text is meant)"
        )
    if _FLOAT.match(text):
        number = float(text)
        if not math.isfinite(number):
            raise _syntax(source, f"holds {_shown(text)} {at}, which is too large a number")
        return number
    return text


def _integer(digits: str, source: str, at: str) -> int:
    """A whole number; one longer than Python converts (4300 digits) is refused, not a crash."""
    try:
        return int(digits)
    except ValueError:
        at = f" {at}" if at else ""
        raise _syntax(source, f"holds {_shown(digits)}{at}, which is too large a number") from None


def _text(text: str, source: str, at: str) -> str:
    """Text as Unicode: an escaped surrogate pair is one character, half of one is refused."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            at = f" {at}" if at else ""
            raise _syntax(source, f"holds half of a surrogate pair{at}") from None
    return text


def _shown(digits: str) -> str:
    return digits if len(digits) <= 40 else f"{digits[:20]}... ({len(digits)} characters)"


def _at(node: Node) -> str:
    return f"(line {node.start_mark.line + 1}, column {node.start_mark.column + 1})"


def _syntax(source: str, problem: str) -> errors.DocumentSyntaxError:
    return errors.DocumentSyntaxError(
        f"{source} {problem}.",
        next_step="Correct the file and try again; nothing was recorded.",
        file=source,
    )


def document_bytes(path: Path) -> bytes:
    """The bytes of a file that was handed in. Raises :class:`DocumentSyntaxError`."""
    try:
        return read_file(path, MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise errors.DocumentSyntaxError(
            f"{path} cannot be read: {error.strerror}.",
            next_step="Name a YAML or JSON file that this user may read.",
        ) from None
