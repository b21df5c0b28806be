"""Source as a syntax tree in JSON: the same for every layout, and on Python 3.11 to 3.13.

Comments, line numbers, docstrings and what only some versions of ``ast`` write are left out. What
has no source, or whose source cannot be told apart, is refused by :class:`NotListed`.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_LONG = 2048
_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class NotListed(Exception):  # noqa: N818  # an answer on the way, not an error that anybody sees
    """Why something cannot be put into canonical form; a sentence's end, about ``what``."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


def source_of(code: CodeType, scope: Mapping[str, Any] | None = None) -> Definition:
    """The syntax of a function's code. Raises :class:`NotListed`.

    ``scope`` is that of its module, which knows to read itself where it is in no folder but an
    archive.
    """
    module = module_syntax(code.co_filename, scope)
    if module is None:
        raise NotListed(repr(code.co_qualname), "has no source to read")
    found = [node for node in _starting_at(module, code.co_firstlineno) if _is_of(node, code)]
    if len(found) > 1:
        found = _by_position(found, code) or _by_constant(found, code)
    if not found or any(tree(node) != tree(found[0]) for node in found[1:]):
        raise NotListed(repr(code.co_qualname), "cannot be told apart from what is beside it")
    return found[0]


def class_syntax(scope: Mapping[str, Any], qualname: str) -> list[ast.ClassDef]:
    """The definitions of a class in a module: usually one, more where it is defined by cases."""
    filename = scope.get("__file__")
    module = module_syntax(filename, scope) if filename else None
    return list(_classes(module, "", qualname)) if module else []


def module_syntax(filename: str, scope: Mapping[str, Any] | None = None) -> ast.Module | None:
    """The syntax of a file as it is now; None where there is none, or it is no Python."""
    linecache.checkcache(filename)
    return _parsed("".join(linecache.getlines(filename, dict(scope) if scope else None)))


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None


def tree(node: Any) -> Any:
    """A syntax node as JSON: ``[type, {field: value}]``, absent fields left out."""
    if isinstance(node, list):
        return [tree(item) for item in node]
    if isinstance(node, ast.Constant):
        return ["Constant", {"value": constant(node.value)}]
    if isinstance(node, ast.MatchSingleton):
        return ["MatchSingleton", {"value": constant(node.value)}]
    if isinstance(node, ast.AST):
        fields = {name: _field(node, name) for name in node._fields if name not in _SKIPPED}
        kept = {name: value for name, value in fields.items() if value is not None and value != []}
        return [type(node).__name__, kept]
    return text_of(node) if isinstance(node, str) else node


def shown(form: Any) -> str:
    """A tree of :func:`tree` as Python text, for a person; not necessarily as it was written."""
    return ast.unparse(ast.fix_missing_locations(_node(form)))


def constant(value: Any) -> Any:
    """A literal of Python in JSON: null, true, false and texts are themselves, the rest tagged."""
    match value:
        case None | bool():
            return value
        case str():
            return text_of(value)
        case int():
            # Python writes no decimal of some thousand digits.
            return {"int": str(value) if value.bit_length() < _LONG else hex(value)}
        case float() | complex():
            return {type(value).__name__: repr(value)}
        case bytes():
            return {"bytes": value.hex()}
        case tuple() | frozenset():
            return {type(value).__name__: [constant(item) for item in value]}
    return {"ellipsis": True}


def text_of(value: str) -> Any:
    """A text; one that is no Unicode (a lone surrogate) by its code units."""
    if any("\ud800" <= char <= "\udfff" for char in value):
        return {"utf16": value.encode("utf-16-be", "surrogatepass").hex()}
    return value


def _field(node: ast.AST, name: str) -> Any:
    value = getattr(node, name, None)
    if name == "body" and isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node) is not None:
        value = node.body[1:]
    if isinstance(node, ast.JoinedStr) and name == "values":
        value = _merged(node.values)
    if isinstance(node, ast.FormattedValue) and name == "format_spec":
        spec = node.format_spec
        value = spec if isinstance(spec, ast.JoinedStr) and _merged(spec.values) else None
    return tree(value)


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring texts as one: versions cut them differently."""
    merged: list[ast.expr] = []
    for item in values:
        last = merged[-1] if merged else None
        if not isinstance(item, ast.Constant):
            merged.append(item)
        elif isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(f"{last.value!s}{item.value!s}")
        elif item.value != "":
            merged.append(item)
    return merged


def _node(form: Any) -> Any:
    """The syntax node of a tree, complete enough to be written as text."""
    kind = getattr(ast, form[0])
    if form[0] == "Constant":
        return ast.Constant(_literal(form[1]["value"]))
    if form[0] == "MatchSingleton":
        return ast.MatchSingleton(_literal(form[1]["value"]))
    fields = {name: _part(value) for name, value in form[1].items()}
    for name in kind._fields:
        fields.setdefault(name, [] if name in _LISTS else None)
    if form[0] in {"FunctionDef", "AsyncFunctionDef", "ClassDef"} and not fields["body"]:
        fields["body"] = [ast.Pass()]
    return kind(**fields)


def _part(value: Any) -> Any:
    if isinstance(value, list):
        is_node = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)
        return _node(value) if is_node else [_part(item) for item in value]
    return _literal(value)


_LISTS = frozenset(
    {
        "body",
        "decorator_list",
        "type_params",
        "bases",
        "keywords",
        "posonlyargs",
        "args",
        "kwonlyargs",
        "kw_defaults",
        "defaults",
        "handlers",
        "orelse",
        "finalbody",
        "elts",
        "keys",
        "values",
        "ifs",
        "patterns",
        "kwd_attrs",
        "kwd_patterns",
    }
)
"""Fields that hold lists, and may be empty ones; any other field that is absent is None."""


def _literal(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, item),) = value.items()
    match kind:
        case "int":
            return int(item, 0)
        case "float":
            return float(item)
        case "complex":
            return complex(item)
        case "bytes":
            return bytes.fromhex(item)
        case "utf16":
            return bytes.fromhex(item).decode("utf-16-be", "surrogatepass")
    return ...


@functools.lru_cache(maxsize=512)
def _by_line(module: ast.Module) -> dict[int, list[Definition]]:
    lines: dict[int, list[Definition]] = {}
    for node in ast.walk(module):
        if isinstance(node, Definition):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(item.lineno for item in decorators)])
            lines.setdefault(first, []).append(node)
    return lines


def _starting_at(module: ast.Module, line: int) -> list[Definition]:
    return _by_line(module).get(line, [])


def _is_of(node: Definition, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>"
    return node.name == code.co_name


def _by_position(nodes: list[Definition], code: CodeType) -> list[Definition]:
    """Those whose body the code says to evaluate: lambdas that share a line."""
    places = set(code.co_positions())
    return [
        node
        for node in nodes
        if isinstance(node, ast.Lambda)
        and (
            node.body.lineno,
            node.body.end_lineno,
            node.body.col_offset,
            node.body.end_col_offset,
        )
        in places
    ]


def _by_constant(nodes: list[Definition], code: CodeType) -> list[Definition]:
    """Lambdas that only give a constant: Python 3.12 keeps no position of that."""
    constants = {(type(item), repr(item)) for item in code.co_consts}
    return [
        node
        for node in nodes
        if isinstance(node, ast.Lambda)
        and isinstance(node.body, ast.Constant)
        and (type(node.body.value), repr(node.body.value)) in constants
    ]


def _classes(node: ast.AST, prefix: str, qualname: str) -> Iterator[ast.ClassDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            if prefix + child.name == qualname:
                yield child
            yield from _classes(child, f"{prefix}{child.name}.", qualname)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _classes(child, f"{prefix}{child.name}.<locals>.", qualname)
        else:
            yield from _classes(child, prefix, qualname)
