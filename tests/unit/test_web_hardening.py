"""What a hostile visitor of the gateway might hope for, beyond the list of attacks over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from starlette.datastructures import Headers

from ro_platform.access.policy import Access, PolicyInForce
from ro_platform.access.tokens import Tokens
from ro_platform.contracts.access import AccessPolicy, Role, RoleBinding
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import BackendUnavailableError, NotAuthenticatedError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import LedgerTransaction
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.log import Ledger
from ro_platform.orchestration.launches import STAMPED
from ro_platform.web.authentication import Authenticator, Sessions
from ro_platform.web.graphql_requests import DAGSTERS_OWN, call_of, is_reserved
from ro_platform.web.refusals import Refusals, RefusedRequest

LAUNCH = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
LIST = "query($f: RunsFilter) { runsOrError(filter: $f) { __typename } }"


def test_every_tag_that_the_deployment_stamps_is_reserved() -> None:
    """What the run storage drops, the gateway drops, and more."""
    assert all(map(is_reserved, STAMPED))
    assert not STAMPED & DAGSTERS_OWN


@pytest.mark.parametrize("tag", sorted({*STAMPED, *DAGSTERS_OWN, ".dagster/grpc_info"}))
def test_a_stamped_tag_is_dropped_from_a_launch_and_stays_in_a_search(tag: str) -> None:
    """To look for runs by who launched them is no forgery."""
    tags = [{"key": tag, "value": "HUMAN::a"}]
    launched = call_of({"query": LAUNCH, "variables": {"p": {"executionMetadata": {"tags": tags}}}})
    assert launched.dropped == ((tag, "HUMAN::a"),)
    assert launched.variables == {"p": {"executionMetadata": {"tags": []}}}
    searched = call_of({"query": LIST, "variables": {"f": {"tags": tags}}})
    assert searched.dropped == ()
    assert searched.variables == {"f": {"tags": tags}}


def refused_by(actor: str | None, operation: str) -> RefusedRequest:
    return RefusedRequest(actor, "192.0.2.1", operation, "RO_ACCESS_DENIED", "not allowed")


def test_a_flood_of_nobodys_does_not_hide_who_is_somebody() -> None:
    """However much strangers are refused, a refusal of an actor is on record with their name."""
    clock = ManualClock()
    ledger = Ledger(MemoryLedgerBackend(), clock)
    refusals = Refusals(ledger, clock)
    for number in range(300):
        refusals.record(refused_by(None, f"made-up {number}"))
    refusals.record(refused_by("HUMAN::insider", "launchRun"))
    actors = {entry.actor for entry in ledger.scan(kind=EntryKind.ACCESS_REFUSED)}
    assert "HUMAN::insider" in actors


def test_refusals_that_the_ledger_did_not_take_are_counted_still() -> None:
    """An outage in the minute that they are recorded in loses no count."""
    clock = ManualClock()
    backend = _Failing()
    ledger = Ledger(backend, clock)
    refusals = Refusals(ledger, clock)
    for _ in range(3):
        refusals.record(refused_by("HUMAN::a", "launchRun"))
    backend.down = True
    clock.advance(60)
    with pytest.raises(BackendUnavailableError):
        refusals.record(refused_by("HUMAN::a", "launchRun"))
    backend.down = False
    refusals.flush()
    counts = [entry.body["count"] for entry in ledger.scan(kind=EntryKind.ACCESS_REFUSED)]
    assert sum(map(int, map(str, counts))) == 4


class _Failing(MemoryLedgerBackend):
    """A ledger that does not answer while it is down."""

    down = False

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        if self.down:
            raise BackendUnavailableError("down")
        with super().transaction() as transaction:
            yield transaction


def test_a_session_of_the_single_user_mode_ends_with_it() -> None:
    """It came from the key that a process printed; under a policy a person has a token."""
    clock = ManualClock()
    ledger = Ledger(MemoryLedgerBackend(), clock)
    found: list[PolicyInForce] = []
    access = Access(lambda: found[-1] if found else None, environment="e", single_user="HUMAN::me")
    sessions = Sessions(ledger, lambda: b"k" * 32, clock, lifetime=timedelta(hours=8), secure=False)
    tokens = Tokens(ledger, lambda: b"k" * 32, clock, access)
    visitors = Authenticator(tokens, access, sessions, None, "the-local-key")
    visitor = visitors.by_token("the-local-key")
    cookie = {sessions.cookie: sessions.open(visitor.actor, visitor.token_id, local=visitor.local)}
    again = visitors.of(Headers({}), cookie, "127.0.0.1")
    assert again is not None
    assert again.actor == "HUMAN::me"
    policy = AccessPolicy(
        kind="ro.access_policy.v0", bindings=(RoleBinding(actor="HUMAN::me", role=Role.READER),)
    )
    found.append(PolicyInForce(policy, 1, "0" * 64))
    with pytest.raises(NotAuthenticatedError):
        visitors.of(Headers({}), cookie, "127.0.0.1")
