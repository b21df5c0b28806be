"""GraphQL documents as the gateway sees them: every operation, and each field at its root.

Aliases, fragments (named, inline, nested) and directives hide nothing: a field that a document
could reach at an operation's root is one of its fields here, whether or not a directive or the
operation's name would leave it out. What cannot be read in one way only is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    parse,
    validate,
)

from ro_platform import errors

Read = TypeVar("Read")

MAX_QUERY_CHARS = 100_000
MAX_TOKENS = 20_000
MAX_DEPTH = 60
"""The deepest query of Dagster's UI needs less than half of that."""
MAX_FIELDS = 10_000
MAX_ROOT_FIELDS = 100
MAX_OPERATIONS = 20
KEPT_CHARS = 16_000
"""The longest text that is kept as read, and how many: what a hostile reader can fill is limited,
and the queries of Dagster's UI all fit."""
KEPT = 128


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: ``query``, ``mutation`` or ``subscription``, and its fields at the root."""

    kind: str
    name: str | None
    fields: tuple[FieldNode, ...]
    variables: tuple[VariableDefinitionNode, ...]


class _Size(NamedTuple):
    depth: int
    fields: int


def kept(read: Callable[[str], Read]) -> Callable[[str], Read]:
    """The same, with what was read of the newest texts kept: Dagster's UI sends the same few over
    and over."""
    remembered = lru_cache(maxsize=KEPT)(read)
    return lambda text: remembered(text) if len(text) <= KEPT_CHARS else read(text)


@kept
def parsed(text: str) -> DocumentNode:
    """The document of a text, without places in it. Raises :class:`GraphQLError`."""
    return parse(text, no_location=True, max_tokens=MAX_TOKENS)


def validating(
    schema: GraphQLSchema, rules: Collection[type[ASTValidationRule]]
) -> Callable[[str], DocumentNode | None]:
    """What gives the document of a text that is valid under a schema; None for any other text."""

    @kept
    def valid(text: str) -> DocumentNode | None:
        try:
            document = parsed(text)
        except GraphQLError:
            return None
        return None if validate(schema, document, rules=rules) else document

    return valid


def read_document(text: str) -> tuple[Operation, ...]:
    """The operations of a document; at least one.

    Raises :class:`RequestRefusedError` for what does not parse, defines anything but operations and
    fragments, names one twice, spreads a fragment that is absent or contains itself, or is too
    large, too deep or too wide.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise request_refused(f"The query is longer than {MAX_QUERY_CHARS} characters.", status=413)
    return _read(text)


@kept
def _read(text: str) -> tuple[Operation, ...]:
    try:
        return _Reader(parsed(text)).operations()
    except GraphQLError as error:
        raise request_refused(f"The query is no GraphQL: {error.message}", status=400) from None
    except RecursionError:
        raise request_refused("The query is nested too deeply.", status=400) from None


def request_refused(message: str, *, status: int) -> errors.RequestRefusedError:
    """A refusal of a request, with its HTTP status."""
    return errors.RequestRefusedError(message, status=status)


class _Reader:
    def __init__(self, document: DocumentNode) -> None:
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        self._operations: list[OperationDefinitionNode] = []
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._operations.append(node)
            elif isinstance(node, FragmentDefinitionNode):
                if node.name.value in self._fragments:
                    raise request_refused(
                        f"Two fragments are called {node.name.value}.", status=400
                    )
                self._fragments[node.name.value] = node
            else:
                raise request_refused("The query defines more than operations.", status=400)
        self._sizes: dict[str, _Size] = {}
        self._open: set[str] = set()

    def operations(self) -> tuple[Operation, ...]:
        names = [node.name.value if node.name else None for node in self._operations]
        if not 0 < len(names) <= MAX_OPERATIONS:
            raise request_refused("The query has no operation, or too many.", status=400)
        if len(names) > 1 and (None in names or len(set(names)) < len(names)):
            raise request_refused("Several operations need names of their own.", status=400)
        return tuple(map(self._operation, self._operations))

    def _operation(self, node: OperationDefinitionNode) -> Operation:
        size = self._size(node.selection_set)
        if size.depth > MAX_DEPTH or size.fields > MAX_FIELDS:
            raise request_refused(
                f"The query selects {size.fields} fields, {size.depth} deep.", status=400
            )
        fields = tuple(self._fields(node.selection_set))
        if len(fields) > MAX_ROOT_FIELDS:
            raise request_refused(f"The query asks for {len(fields)} things at once.", status=400)
        name = node.name.value if node.name else None
        return Operation(node.operation.value, name, fields, tuple(node.variable_definitions))

    def _fields(self, selections: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._fields(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                yield from self._fields(self._fragment(node).selection_set)

    def _fragment(self, node: FragmentSpreadNode) -> FragmentDefinitionNode:
        found = self._fragments.get(node.name.value)
        if found is None:
            raise request_refused(f"There is no fragment {node.name.value}.", status=400)
        return found

    def _size(self, selections: SelectionSetNode | None) -> _Size:
        """How deep and how many fields, fragments spread out; each fragment is measured once."""
        depth = fields = 0
        for node in selections.selections if selections else ():
            if isinstance(node, FragmentSpreadNode):
                inner = self._size_of_fragment(self._fragment(node))
            else:
                assert isinstance(node, FieldNode | InlineFragmentNode)
                inner = self._size(node.selection_set)
                inner = _Size(inner.depth + 1, inner.fields + 1)
            depth, fields = max(depth, inner.depth), fields + inner.fields
        return _Size(depth, fields)

    def _size_of_fragment(self, node: FragmentDefinitionNode) -> _Size:
        name = node.name.value
        if name in self._open:
            raise request_refused(f"The fragment {name} contains itself.", status=400)
        if name not in self._sizes:
            self._open.add(name)
            self._sizes[name] = self._size(node.selection_set)
            self._open.discard(name)
        return self._sizes[name]
