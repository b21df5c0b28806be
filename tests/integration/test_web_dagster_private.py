"""What the gateway assumes of Dagster's webserver and does not get promised: a new Dagster that
changes any of it fails here."""

from __future__ import annotations

import inspect
from hashlib import sha256
from typing import Any

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.permissions import PermissionResult
from dagster_webserver.graphql import GraphQLServer, GraphQLWS
from dagster_webserver.webserver import DagsterWebserver
from starlette.routing import Mount, Route, WebSocketRoute

EXECUTION = "01136c48e15132189e2346734a1256b02a52da3ea33ce50353070a28d8bb644d"
ROUTES = {
    ("/graphql", ("GET", "HEAD", "POST")),
    ("/server_info", ("GET", "HEAD")),
    ("/dagit_info", ("GET", "HEAD")),
    ("/logs/{path:path}", ("GET", "HEAD")),
    ("/notebook", ("GET", "HEAD")),
    ("/dagit/notebook", ("GET", "HEAD")),
    ("/download_debug/{run_id:str}", ("GET", "HEAD")),
    ("/report_asset_materialization/{asset_key:path}", ("POST",)),
    ("/report_asset_check/{asset_key:path}", ("POST",)),
    ("/report_asset_observation/{asset_key:path}", ("POST",)),
    ("/{path:path}", ("GET", "HEAD")),
    ("/", ("GET", "HEAD")),
}


class Unopened(DagsterWebserver):  # type: ignore[type-arg]
    """Dagster's webserver without a workspace, for its routes."""

    def __init__(self) -> None:
        self._app_path_prefix = ""


def test_the_webserver_has_exactly_the_endpoints_that_were_judged() -> None:
    """A new endpoint, or a method more on one, has to be looked at before it is served."""
    unopened: Any = Unopened()
    routes = unopened.build_routes()
    static = {route.name for route in unopened.build_static_routes()}
    found = {
        (route.path, tuple(sorted(route.methods or ())))
        for route in routes
        if isinstance(route, Route) and route.name not in static
    }
    assert found == ROUTES
    sockets = [route.path for route in routes if isinstance(route, WebSocketRoute)]
    assert sockets == ["/graphql"]
    assert all(route.name in static for route in routes if isinstance(route, Mount))


def test_the_page_of_the_ui_has_a_body_to_put_the_strip_in() -> None:
    """And its style may be inline, as the policy that it brings says."""
    folder = Unopened().relative_path("webapp/build")
    with open(f"{folder}/index.html", encoding="utf8") as page:  # noqa: PTH123 - theirs is a text
        assert page.read().count("</body>") == 1
    assert "style-src 'unsafe-inline'" in Unopened().make_csp_header("x")


def test_the_contexts_are_made_as_ours_are() -> None:
    """The arguments of a request's context, and where it asks for permissions."""
    assert list(inspect.signature(WorkspaceRequestContext.__init__).parameters) == [
        "self",
        "instance",
        "current_workspace",
        "process_context",
        "version",
        "source",
        "read_only",
        "read_only_locations",
    ]
    made = inspect.signature(WorkspaceProcessContext.create_request_context).parameters
    assert list(made) == ["self", "source"]
    assert isinstance(inspect.getattr_static(WorkspaceRequestContext, "permissions"), property)
    located = inspect.signature(WorkspaceRequestContext.permissions_for_location).parameters
    assert list(located) == ["self", "location_name"]
    owned = inspect.signature(WorkspaceRequestContext.permissions_for_owner).parameters
    assert list(owned) == ["self", "owner"]
    assert PermissionResult._fields == ("enabled", "disabled_reason")


def test_the_websocket_speaks_the_words_that_the_guard_knows() -> None:
    """What a client may send, and which fields of a start Dagster reads."""
    assert GraphQLWS.PROTOCOL.value == "graphql-ws"
    sent = {"connection_init", "connection_terminate", "start", "stop"}
    source = inspect.getsource(GraphQLServer.graphql_ws_endpoint)
    for word in GraphQLWS:
        if f"message_type == GraphQLWS.{word.name}" in source:
            sent.discard(word.value)
    assert not sent
    assert source.count("message_type ==") == 4
    assert 'operation_name=data.get("operation_name")' in source


def test_a_query_is_executed_as_the_face_executes_it() -> None:
    """The gateway keeps what was parsed and validated, and executes as this function did when it
    was read. If it has changed: compare the two, and write its new digest here."""
    source = inspect.getsource(GraphQLServer.gen_graphql_response)
    assert sha256(source.encode()).hexdigest() == EXECUTION


def test_graphql_reads_the_three_fields_that_are_handed_on() -> None:
    """From a JSON body: nothing else in it can say what is executed."""
    source = inspect.getsource(GraphQLServer.graphql_http_endpoint)
    for name in ("query", "variables", "operationName"):
        assert f'data.get("{name}")' in source
    assert source.count("data.get(") == 3
