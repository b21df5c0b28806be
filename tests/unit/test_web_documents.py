"""GraphQL as the gateway reads it: nothing hides a field, and what is unclear is refused."""

from __future__ import annotations

import json

import pytest
from graphql import parse, print_ast
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.errors import RequestRefusedError
from ro_platform.web.documents import MAX_DEPTH, read_document
from ro_platform.web.graphql_requests import (
    GraphQLRequest,
    call_of,
    call_of_json,
    call_of_query_string,
    names_reserved,
)

HIDDEN = {
    "plain": "mutation { deleteRun(runId: 1) { x } }",
    "aliased": "mutation { version: deleteRun(runId: 1) { x } }",
    "in a fragment": "mutation { ...F } fragment F on Mutation { deleteRun(runId: 1) { x } }",
    "in an inline fragment": "mutation { ... on Mutation { deleteRun(runId: 1) { x } } }",
    "nested": "mutation { ...A } fragment B on Mutation { ... { deleteRun(runId: 1) { x } } } "
    "fragment A on Mutation { ...B }",
    "among others": "query Q { version } mutation M { deleteRun(runId: 1) { x } }",
    "behind a directive": "mutation { deleteRun(runId: 1) @skip(if: true) { x } }",
    "after a harmless one": "mutation { setNuxSeen deleteRun(runId: 1) { x } }",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN.keys())
def test_no_way_of_writing_hides_a_mutation(text: str) -> None:
    """Aliases, fragments, further operations and directives leave the field's name to be seen."""
    fields = [
        field.name.value
        for operation in read_document(text)
        if operation.kind == "mutation"
        for field in operation.fields
    ]
    assert "deleteRun" in fields


def _nested(depth: int) -> str:
    return "{" + "a{" * depth + "b" + "}" * depth + "}"


def _bomb(levels: int) -> str:
    spread = "".join(
        f"fragment F{n} on Q {{ ...F{n + 1} ...F{n + 1} ...F{n + 1} }} " for n in range(levels)
    )
    return f"{{ ...F0 }} {spread} fragment F{levels} on Q {{ a }}"


UNCLEAR = {
    "nothing": "",
    "no GraphQL": "select 1",
    "only a fragment": "fragment F on Q { a }",
    "a type": "type Query { a: Int }",
    "a missing fragment": "{ ...F }",
    "a fragment twice": "{ ...F } fragment F on Q { a } fragment F on Q { b }",
    "a fragment in itself": "{ ...F } fragment F on Q { ...F }",
    "fragments in each other": "{ ...F } fragment F on Q { ...G } fragment G on Q { ...F }",
    "two operations without names": "{ a } { b }",
    "two operations of one name": "query A { a } mutation A { b }",
    "too deep": _nested(MAX_DEPTH + 1),
    "much too deep": _nested(20_000),
    "a bomb of fragments": _bomb(30),
    "too many at once": "{" + " ".join(f"a{n}: version" for n in range(200)) + "}",
    "too long": "{ a }" + " " * 200_000,
    "too many tokens": "{" + "a " * 30_000 + "}",
}


@pytest.mark.parametrize("text", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_what_is_unclear_or_too_large_is_refused(text: str) -> None:
    """Anything that does not parse, could be read in two ways, or costs too much."""
    with pytest.raises(RequestRefusedError):
        read_document(text)


@given(st.integers(1, MAX_DEPTH - 1), st.text("abc_", min_size=1, max_size=8))
def test_an_ordinary_query_is_read_and_keeps_its_fields(depth: int, name: str) -> None:
    """Reading is faithful: the root's fields are those of the library's own parser."""
    text = "{" + f"{name}: version " + "a{" * depth + "b" + "}" * depth + "}"
    (operation,) = read_document(text)
    assert [field.name.value for field in operation.fields] == ["version", "a"]
    assert print_ast(parse(text)).count("version") == 1


BAD_BODIES: dict[str, object] = {
    "a batch": [{"query": "{version}"}, {"query": "mutation{wipeAssets}"}],
    "a text": "{version}",
    "nothing": None,
    "an unknown field": {"query": "{version}", "id": "persisted"},
    "no query": {"variables": {}},
    "a query that is a list": {"query": ["{version}"]},
    "variables that are a list": {"query": "{version}", "variables": []},
    "variables that are no JSON": {"query": "{version}", "variables": "{"},
    "a name that is a number": {"query": "{version}", "operationName": 3},
    "a name that no operation has": {"query": "query A {version}", "operationName": "B"},
    "several operations, none named": {"query": "query A {version} query B {version}"},
}


@pytest.mark.parametrize("said", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_not_one_call_is_refused(said: object) -> None:
    """Batches, unknown fields and what does not say which operation is meant."""
    with pytest.raises(RequestRefusedError):
        call_of_json(json.dumps(said).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"query":"{version}","query":"mutation{wipeAssets}"}',
        b'{"query":"{version}","variables":{"a":1,"a":2}}',
        b'{"query":"{version}","variables":{"a":NaN}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_json_that_two_readers_would_read_differently_is_refused(body: bytes) -> None:
    """A key said twice, what is not JSON, and nesting that no reader survives."""
    with pytest.raises(RequestRefusedError):
        call_of_json(body)


@pytest.mark.parametrize(
    "address", [b"query={version}&query=mutation{wipeAssets}", b"query=%ff", b"variables={}"]
)
def test_an_address_that_is_not_one_call_is_refused(address: bytes) -> None:
    """A parameter twice, bytes that are no text, and no query at all."""
    with pytest.raises(RequestRefusedError):
        call_of_query_string(address)


def test_variables_and_their_defaults_fill_the_arguments() -> None:
    """What the firewall decides about is what would be executed."""
    call = call_of(
        {
            "query": 'mutation M($a: String = "d", $b: [String!]) { terminateRuns(runIds: $b, x: '
            "{y: $a}) { z } }",
            "variables": {"b": ["1", "2"]},
        }
    )
    (operation,) = call.operations
    assert call.arguments(operation, operation.fields[0]) == {
        "runIds": ["1", "2"],
        "x": {"y": "d"},
    }


TAG = st.sampled_from(["ro/actor", "ro/grant", "ro/worker"])


@given(TAG, st.text(max_size=20), st.lists(st.sampled_from(["a", "b", "dagster/partition"])))
def test_reserved_tags_are_left_out_of_the_variables(
    tag: str, value: str, others: list[str]
) -> None:
    """However deep they are, with the others kept in their order; and each is told."""
    kept = [{"key": other, "value": "v"} for other in others]
    sent = [*kept, {"key": tag, "value": value}]
    call = call_of(
        {
            "query": "mutation($p: P!) { launchRun(executionParams: $p) { x } }",
            "variables": {"p": {"executionMetadata": {"tags": sent}}},
        }
    )
    assert call.variables == {"p": {"executionMetadata": {"tags": kept}}}
    assert call.dropped == ((tag, value),)
    assert not names_reserved(dict(call.variables))


def test_what_is_handed_on_is_one_document() -> None:
    """The inner request has exactly the three fields that Dagster reads."""
    call = GraphQLRequest("query A { version }", {"x": 1}, "A")
    assert call.body() == {
        "query": "query A { version }",
        "variables": {"x": 1},
        "operationName": "A",
    }
