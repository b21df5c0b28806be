"""The decision about a GraphQL call: by operation and by scope, before Dagster sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import FieldNode

from ro_platform import errors
from ro_platform.access.policy import Access, Target
from ro_platform.contracts.access import Action
from ro_platform.web.documents import Operation, request_refused
from ro_platform.web.graphql_requests import GraphQLRequest, names_reserved
from ro_platform.web.mutations import MUTATIONS, SUBSCRIPTIONS, Rule, Targets

_TYPENAME = "__typename"


@dataclass(frozen=True, slots=True)
class Firewall:
    """Decides about calls, for the environment of ``access``."""

    access: Access
    targets: Targets

    def require_view(self, actor: str) -> None:
        """Raises :class:`AccessDeniedError` unless the actor may look at the UI."""
        self.access.require(
            actor, Action.VIEW, Target("the Dagster UI", environment=self.access.environment)
        )

    def require(
        self, call: GraphQLRequest, actor: str, *, mutations: bool, subscriptions: bool
    ) -> None:
        """Raises :class:`AccessDeniedError` or :class:`RequestRefusedError` unless the actor may do
        all that the call holds; ``mutations`` and ``subscriptions`` say whether it came by a way
        that may carry them. A call that is let through may still be refused further in."""
        self.require_view(actor)
        for operation in call.operations:
            if operation.kind == "mutation":
                if not mutations:
                    raise request_refused("A mutation needs a POST request of its own.", status=405)
                for field in operation.fields:
                    self._require_mutation(call, operation, field, actor)
            elif operation.kind == "subscription":
                _require_subscription(operation, allowed=subscriptions)
            elif subscriptions:
                raise request_refused("A websocket carries subscriptions only.", status=400)

    def _require_mutation(
        self, call: GraphQLRequest, operation: Operation, field: FieldNode, actor: str
    ) -> None:
        name = field.name.value
        if name == _TYPENAME:
            return
        rule = MUTATIONS.get(name)
        if rule is None or rule.action is None:
            why = rule.instead if rule else "This mutation is not known to the plane."
            raise errors.AccessDeniedError(
                f"Nobody may {name} through the UI. {why}",
                next_step="`ro --help` lists what can be done, each recorded.",
                actor=actor,
                operation=name,
            )
        arguments = call.arguments(operation, field)
        if names_reserved(arguments):
            raise request_refused(f"{name} names a tag that only the server sets.", status=403)
        self._require_anywhere(rule, name, arguments, actor)

    def _require_anywhere(
        self, rule: Rule, name: str, arguments: Mapping[str, Any], actor: str
    ) -> None:
        """Everywhere in the environment, or else in each workload that it is about."""
        assert rule.action is not None
        whole = self._place(name)
        if self.access.decide(actor, rule.action, whole).allowed:
            return
        workloads = self._workloads(rule, arguments, actor)
        if not workloads:
            self.access.require(actor, rule.action, whole)
        for workload in sorted(workloads):
            self.access.require(actor, rule.action, self._place(name, workload))

    def _workloads(self, rule: Rule, arguments: Mapping[str, Any], actor: str) -> frozenset[str]:
        found = self.access.in_force
        bindings = found.policy.bindings if found else ()
        if not any(item.actor == actor and item.scope.workload for item in bindings):
            return frozenset()
        return self.targets.of(rule.place, arguments) or frozenset()

    def _place(self, name: str, workload: str | None = None) -> Target:
        where = f"{workload} in {self.access.environment}" if workload else self.access.environment
        return Target(f"({name} in {where})", self.access.environment, workload)


def _require_subscription(operation: Operation, *, allowed: bool) -> None:
    if not allowed:
        raise request_refused("Subscriptions need a websocket.", status=400)
    for field in operation.fields:
        if field.name.value not in {*SUBSCRIPTIONS, _TYPENAME}:
            raise request_refused(f"The subscription {field.name.value} is not known.", status=403)


def operation_name(call: GraphQLRequest) -> str:
    """What the call does, for a record: its mutations, or else its kind."""
    fields = [
        field.name.value
        for operation in call.operations
        if operation.kind == "mutation"
        for field in operation.fields
    ]
    return ".".join(fields)[:128] or call.operations[0].kind
