"""A GraphQL request of any form as one call: the text, the variables, the operation's name.

The gateway hands on what it read here, written anew as one JSON document, and never the client's
own bytes: so what was decided about is what Dagster executes.

Tags of runs and backfills that no client may set: what it sends under them is dropped.

Beside those that this deployment stamps these are the ones that Dagster itself sets. By them it
shows who or what launched a run, and by them its daemon knows what it need not launch again: a run
that carries a sensor's key, a schedule's tick or a backfill's partition keeps the real one from
being made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from graphql import FieldNode
from graphql.pyutils import Undefined
from graphql.utilities import value_from_ast_untyped

from ro_platform import errors
from ro_platform.orchestration.launches import STAMPED
from ro_platform.web.documents import Operation, read_document, request_refused

DAGSTERS_OWN = frozenset(
    {
        # who launched it
        "user",
        "dagster/reporting_user",
        "dagster/schedule_name",
        "dagster/sensor_name",
        "dagster/auto_materialize",
        "dagster/from_automation_condition",
        "dagster/auto_observe",
        # what need not be launched again
        "dagster/tick",
        "dagster/run_key",
        "dagster/backfill",
        "dagster/parent_backfill_id",
        "dagster/root_backfill_id",
        "dagster/asset_evaluation_id",
        "dagster/retry_number",
        "dagster/will_retry",
        "dagster/auto_retry_run_id",
        # what ran, and what came of it
        "dagster/image",
        "dagster/code_location",
        "dagster/external_job_source",
        "dagster/defer_asset_events",
        "dagster/failure_reason",
    }
)
_HIDDEN = ".dagster/"
_RUN_CONFIG = "runConfigData"

Dropped = list[tuple[str, str]]


def is_reserved(key: object) -> bool:
    """Whether only the server sets a tag of that name."""
    return isinstance(key, str) and (
        key in STAMPED or key in DAGSTERS_OWN or key.startswith(_HIDDEN)
    )


def names_reserved(value: Any) -> bool:
    """Whether a reserved tag is set anywhere in the arguments of a mutation."""
    if isinstance(value, dict):
        return is_reserved(value.get("key")) or any(
            names_reserved(item) for name, item in value.items() if name != _RUN_CONFIG
        )
    return isinstance(value, list) and any(map(names_reserved, value))


def without_reserved(value: Any, dropped: Dropped) -> Any:
    """A value without the reserved tags in its lists, which are added to ``dropped``. Run config
    is no place of tags, and is left as it is."""
    if isinstance(value, dict):
        return {
            name: item if name == _RUN_CONFIG else without_reserved(item, dropped)
            for name, item in value.items()
        }
    if not isinstance(value, list):
        return value
    kept = []
    for item in value:
        if isinstance(item, dict) and is_reserved(item.get("key")):
            dropped.append((item["key"], str(item.get("value"))))
        else:
            kept.append(without_reserved(item, dropped))
    return kept


_KNOWN = {"query", "variables", "operationName", "extensions", "operation_name"}
MAX_VALUE_DEPTH = 100
"""The deepest variables: run config is the deepest that anybody sends."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """One request to execute something. ``dropped`` are tags that the client may not send and that
    were left out of the variables, with the values that were sent."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation of the document. Raises :class:`RequestRefusedError`."""
        return read_document(self.query)

    def arguments(self, operation: Operation, field: FieldNode) -> dict[str, Any]:
        """The arguments of a field with the variables filled in, or their defaults."""
        values = {
            node.variable.name.value: value_from_ast_untyped(node.default_value)
            for node in operation.variables
            if node.default_value is not None
        } | dict(self.variables)
        found = {
            node.name.value: value_from_ast_untyped(node.value, values) for node in field.arguments
        }
        return {name: value for name, value in found.items() if value is not Undefined}

    def body(self) -> dict[str, Any]:
        """The one form in which it is handed on."""
        return {
            "query": self.query,
            "variables": dict(self.variables),
            "operationName": self.operation_name,
        }


def call_of_body(content_type: str, body: bytes) -> GraphQLRequest:
    """The call in a POST request's body. Raises :class:`RequestRefusedError` for a media type that
    a form of another site could send."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json":
        return call_of_json(body)
    if media == "application/graphql":
        return call_of({"query": body.decode(errors="replace")})
    raise request_refused(
        "A GraphQL request is application/json or application/graphql.", status=415
    )


def require_no_second_call(query_string: bytes) -> None:
    """Raises :class:`RequestRefusedError` for a POST whose address says what to do as well."""
    names = {part.partition(b"=")[0] for part in query_string.split(b"&")}
    if b"%" in query_string or names & {b"query", b"variables", b"operationName"}:
        raise request_refused("The address and the body both say what to do.", status=400)


def call_of_json(body: bytes) -> GraphQLRequest:
    """The call in a JSON body. Raises :class:`RequestRefusedError` for anything but one object:
    Dagster executes no batches."""
    said = json_of(body)
    if isinstance(said, list):
        raise request_refused("Batches are not taken: send one operation at a time.", status=400)
    return call_of(said)


def call_of_query_string(query_string: bytes) -> GraphQLRequest:
    """The call in a GET request's address."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError:
        raise request_refused(
            "The address has parameters that cannot be read.", status=400
        ) from None
    if len({name for name, _ in pairs}) < len(pairs):
        raise request_refused("The address says something twice.", status=400)
    said: dict[str, Any] = dict(pairs)
    if isinstance(said.get("variables"), str):
        said["variables"] = json_of(said["variables"].encode()) if said["variables"] else None
    return call_of(said)


def call_of(said: Any) -> GraphQLRequest:
    """The call that an object states. Raises :class:`RequestRefusedError`."""
    if not isinstance(said, dict) or not said.keys() <= _KNOWN:
        raise request_refused("The request is not one GraphQL operation.", status=400)
    query, variables = said.get("query"), said.get("variables")
    name = said.get("operationName") or said.get("operation_name") or None
    if isinstance(variables, str):
        variables = json_of(variables.encode()) if variables else None
    if not isinstance(query, str) or not isinstance(variables, dict | None):
        raise request_refused("The request is not one GraphQL operation.", status=400)
    if not isinstance(name, str | None):
        raise request_refused("The operation's name is no text.", status=400)
    operations = read_document(query)
    names = [operation.name for operation in operations]
    if name not in names and not (name is None and len(names) == 1):
        raise request_refused("It is not clear which operation is meant.", status=400)
    if all(operation.kind != "mutation" for operation in operations):
        return GraphQLRequest(query, variables or {}, name)  # to search by such a tag sets none
    dropped: Dropped = []
    kept = without_reserved(variables or {}, dropped)
    assert isinstance(kept, dict)
    return GraphQLRequest(query, kept, name, tuple(dropped))


def json_of(body: bytes) -> Any:
    """A JSON value in which nothing is said twice, and which is not nested too deeply. Raises
    :class:`RequestRefusedError`."""
    try:
        said = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except errors.RequestRefusedError:
        raise
    except (ValueError, RecursionError):
        raise request_refused("The body is no JSON that can be read.", status=400) from None
    if isinstance(said, dict | list):
        _require_shallow(said)
    return said


def _require_shallow(value: Any) -> None:
    """Without recursion: whoever is further in may not survive what this refuses."""
    level, depth = [value], 0
    while level:
        if depth > MAX_VALUE_DEPTH:
            raise request_refused("The body is nested too deeply.", status=400)
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [one for items in inner for one in items if isinstance(one, dict | list)]
        depth += 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise request_refused("The body says something twice.", status=400)
    return found


def _no_constant(_: str) -> Any:
    raise ValueError("not JSON")
