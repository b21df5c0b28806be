"""Everything the gateway takes from Dagster and its webserver, which promise none of it.

``tests/integration/test_web_dagster_private.py`` shows each of these to mean what is assumed here,
so that a new Dagster that changes one fails there, and not at somebody's door.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from inspect import isawaitable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.workspace.context import (
    WorkspaceProcessContext,
    WorkspaceRequestContext,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget, WorkspaceLoadTarget
from dagster._core.workspace.permissions import (
    LOCATION_SCOPED_PERMISSIONS,
    PermissionResult,
    Permissions,
)
from dagster_graphql.implementation.utils import ErrorCapture
from dagster_graphql.schema import create_schema
from dagster_webserver.webserver import DagsterWebserver
from graphql import ASTValidationRule, DocumentNode, GraphQLSchema, execute
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse

Explained = Mapping[str, tuple[bool, str]]
"""By Dagster's name of a permission: whether it holds, and why not."""
Permitted = Callable[[], Explained]
"""What the actor of the current request may do."""
Valid = Callable[[str], DocumentNode | None]
"""The document of a query's text; None where it is not valid."""
Validating = Callable[[GraphQLSchema, Collection[type[ASTValidationRule]]], Valid]
"""What reads queries under a schema and its rules."""
Strip = Callable[[], str]
"""The HTML that each page of the UI carries: who is signed in, and in which mode."""

_BODY = re.compile(rb"</body>", re.IGNORECASE)
_LIVE_DATA_MILLISECONDS = 2000
_STATEMENT_MILLISECONDS = 15_000
_POOL_RECYCLE_SECONDS = 3600
_POOL_OVERFLOW = 20


class GovernedRequestContext(WorkspaceRequestContext):
    """Dagster's context of one request, with the policy's decisions as its permissions."""

    permitted: Permitted

    @cached_property
    def _decided(self) -> dict[str, PermissionResult]:
        found = self.permitted()
        nobody = (False, "This permission is not known to the plane.")
        decided: dict[str, PermissionResult] = {}
        for permission in Permissions:
            enabled, why = found.get(permission.value, nobody)
            decided[permission] = PermissionResult(enabled, None if enabled else why)
        return decided

    @property
    def permissions(self) -> Mapping[str, PermissionResult]:
        """What the actor may do anywhere; the UI disables the other buttons and says why."""
        return self._decided

    def permissions_for_location(self, *, location_name: str) -> Mapping[str, PermissionResult]:  # noqa: ARG002
        """The same: places are workloads here, and no code locations."""
        return {name: self._decided[name] for name in LOCATION_SCOPED_PERMISSIONS}

    def permissions_for_owner(self, *, owner: str) -> Mapping[str, PermissionResult]:  # noqa: ARG002
        """None: to own a definition allows nothing."""
        return {}


class GovernedProcessContext(WorkspaceProcessContext):
    """Makes governed request contexts."""

    permitted: Permitted

    def create_request_context(self, source: object | None = None) -> GovernedRequestContext:
        """The context of one request."""
        context = GovernedRequestContext(
            instance=self.instance,
            current_workspace=self.get_current_workspace(),
            process_context=self,
            version=self.version,
            source=source,
            read_only=False,
        )
        context.permitted = self.permitted
        return context


class GovernedWebserver(DagsterWebserver[GovernedProcessContext, GovernedRequestContext]):
    """Dagster's webserver, whose pages say who is signed in.

    Its UI sends the same few queries over and over. Each is parsed and validated once, which saves
    more time than the gateway takes.
    """

    strip: Strip
    validating: Validating

    async def gen_graphql_response(
        self,
        request_context: GovernedRequestContext,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> JSONResponse:
        """Execute a query as Dagster does; what is not valid is left to Dagster to say so."""
        document = self._valid(query)
        if document is None:
            return await super().gen_graphql_response(
                request_context, query, variables, operation_name
            )
        captured: list[Exception] = []
        with ErrorCapture.watch(captured.append):
            result: Any = execute(
                schema=self._graphene_schema.graphql_schema,
                document=document,
                context_value=request_context,
                variable_values=variables,
                operation_name=operation_name,
                middleware=self._graphql_middleware,
            )
            if isawaitable(result):
                result = await result
        said: dict[str, Any] = {"data": result.data}
        if result.errors:
            said["errors"] = self.handle_graphql_errors(result.errors)
        status = self._determine_status_code(
            resolver_errors=result.errors, captured_errors=captured
        )
        return JSONResponse(said, status_code=status)

    @cached_property
    def _valid(self) -> Valid:
        schema = self._graphene_schema.graphql_schema
        return self.validating(schema, self._graphql_validation_rules)

    def index_html_endpoint(self, request: Request) -> HTMLResponse:
        """The page of the UI, with the strip at its end."""
        page = super().index_html_endpoint(request)
        strip = self.strip().encode()
        body = _BODY.sub(lambda found: strip + found.group(), bytes(page.body), count=1)
        headers = {k: v for k, v in page.headers.items() if k != "content-length"}
        return HTMLResponse(body, page.status_code, headers)

    def _make_request_context(self, conn: HTTPConnection) -> GovernedRequestContext:
        return self._process_context.create_request_context(conn)


class Webserver:
    """An open workspace and the application that serves it."""

    def __init__(
        self,
        context: GovernedProcessContext,
        permitted: Permitted,
        strip: Strip,
        validating: Validating,
    ) -> None:
        context.permitted = permitted
        server = GovernedWebserver(
            context, live_data_poll_rate=_LIVE_DATA_MILLISECONDS, uses_app_path_prefix=False
        )
        server.strip, server.validating = strip, validating
        self.app: Starlette = server.create_asgi_app()
        self._instance: dg.DagsterInstance = context.instance

    def run_of(self, dagster_run_id: str) -> tuple[str, Mapping[str, str]] | None:
        """The job and the tags of a run; None if there is none."""
        run = self._instance.get_run_by_id(dagster_run_id)
        return None if run is None else (run.job_name, run.tags)

    def backfill_partitions(self, backfill_id: str) -> tuple[str, ...] | None:
        """The partition keys of a backfill; None where it has no plain list of them."""
        backfill = self._instance.get_backfill(backfill_id)
        if backfill is None or not backfill.partition_names:
            return None
        return tuple(backfill.partition_names)


@contextmanager
def opened_webserver(
    instance: dg.DagsterInstance,
    workspace: Path | WorkspaceLoadTarget,
    permitted: Permitted,
    strip: Strip,
    validating: Validating,
) -> Iterator[Webserver]:
    """The webserver over a workspace file; its code servers run until the block ends."""
    if isinstance(workspace, Path):
        workspace = WorkspaceFileTarget(paths=[str(workspace)])
    instance.optimize_for_webserver(_STATEMENT_MILLISECONDS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW)
    with GovernedProcessContext(instance, workspace, version=dg.__version__) as context:
        yield Webserver(context, permitted, strip, validating)


def schema_names() -> dict[str, frozenset[str]]:
    """The mutations, subscriptions and permissions of the installed Dagster."""
    schema: Any = create_schema().graphql_schema
    return {
        "mutations": frozenset(schema.mutation_type.fields),
        "subscriptions": frozenset(schema.subscription_type.fields),
        "permissions": frozenset(permission.value for permission in Permissions),
    }
