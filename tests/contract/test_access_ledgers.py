"""Tokens and policies over every ledger: one answer, whoever asks and however many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from ro_platform.access.identity import EPHEMERAL_USER, Credentials
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import AccessPolicy, Action, EntryKind, Role, RoleBinding
from ro_platform.errors import AccessDeniedError, NotAuthenticatedError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.plane import Plane
from tests.servers import Databases

BOSS, SECOND, READER = EPHEMERAL_USER, "HUMAN::second", "HUMAN::reader"
DAY = timedelta(days=1)
OpenPlane = Callable[[], Plane]


@pytest.fixture(params=["sqlite", "postgres"])
def open_plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenPlane]:
    """Opens one and the same deployment at every call, as another process would."""
    blobs, clock, own = MemoryBackend(), ManualClock(), Credentials.ephemeral()
    opened: list[LedgerBackend] = []
    databases: Databases | None = None
    name = ""
    if request.param == "postgres":
        databases = request.getfixturevalue("postgres_databases")
        name = databases.take()

    def fresh() -> Plane:
        backend: LedgerBackend = SqliteLedgerBackend(tmp_path / "ledger.sqlite")
        if databases is not None:
            backend = PostgresLedgerBackend(databases.server.socket_url(name))
        opened.append(backend)
        return Plane.over(blobs, backend, clock=clock, credentials=own)

    yield fresh
    for backend in opened:
        backend.close()
    if databases is not None:
        databases.give_back(name)


def policy_with(*more: RoleBinding) -> AccessPolicy:
    """A sound policy, and those bindings."""
    bindings = (
        RoleBinding(actor=BOSS, role=Role.ADMIN),
        RoleBinding(actor=SECOND, role=Role.APPROVER),
    )
    return AccessPolicy(kind="ro.access_policy.v0", bindings=(*bindings, *more))


def test_on_a_ledger_that_does_not_exist_yet_nobody_has_a_token(open_plane: OpenPlane) -> None:
    """Asking creates nothing, and the single user may act."""
    plane = open_plane()
    with pytest.raises(NotAuthenticatedError):
        plane.tokens.authenticate(f"ro1_{'0' * 32}_{'A' * 43}")
    assert plane.identity.actor() == BOSS
    assert plane.ledger.size() == 0


def test_a_token_is_good_in_every_process_until_it_is_revoked_in_one(open_plane: OpenPlane) -> None:
    """At once, though the others have taken it before."""
    one, other = open_plane(), open_plane()
    issued = one.tokens.issue(READER, lifetime=DAY, reason="why", actor=BOSS)
    for _ in range(2):
        assert other.tokens.authenticate(issued.text).actor == READER
    one.tokens.revoke(issued.token_id, reason="why", actor=BOSS)
    for plane in (one, other, open_plane()):
        with pytest.raises(NotAuthenticatedError, match="was revoked"):
            plane.tokens.authenticate(issued.text)
    one.ledger.verify()


def test_a_token_revoked_by_many_at_once_is_revoked_once(open_plane: OpenPlane) -> None:
    """All are answered the same record."""
    planes = [open_plane() for _ in range(4)]
    issued = planes[0].tokens.issue(READER, lifetime=DAY, reason="why", actor=BOSS)

    def revoke(number: int) -> str | None:
        tokens = planes[number].tokens
        return tokens.revoke(issued.token_id, reason=f"{number}", actor=BOSS).revoked_because

    with ThreadPoolExecutor(4) as pool:
        reasons = set(pool.map(revoke, range(4)))
    assert len(reasons) == 1
    assert len(list(planes[0].ledger.scan(kind=EntryKind.TOKEN_REVOKED))) == 1


def test_of_many_first_policies_at_once_one_is_in_force(open_plane: OpenPlane) -> None:
    """The others are refused, and every process decides by the one."""
    planes = [open_plane() for _ in range(4)]
    planes[0].tokens.issue(BOSS, lifetime=DAY, reason="why", actor=BOSS)

    def publish(number: int) -> str | None:
        content = policy_with(RoleBinding(actor=f"HUMAN::reader-{number}", role=Role.READER))
        try:
            return planes[number].policies.publish_first(content, reason="why", actor=BOSS).digest
        except AccessDeniedError:
            return None

    with ThreadPoolExecutor(4) as pool:
        digests = [digest for digest in pool.map(publish, range(4)) if digest]
    assert len(digests) == 1
    for plane in (*planes, open_plane()):
        decision = plane.access.decide(BOSS, Action.ISSUE_TOKEN, plane.access.target("it"))
        assert (decision.allowed, decision.policy_digest) == (True, digests[0])
