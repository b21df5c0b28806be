"""Who acts: the process, by its token; and a request, by whoever authenticated it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from ro_platform.access.identity import Credentials, ProcessIdentity, acting_as, current_actor
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, Role
from ro_platform.errors import AccessDeniedError, NotAuthenticatedError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from tests.unit.access_world import (
    BOSS,
    READER,
    binding,
    plane_of,
    published,
    sound_policy,
    token_for,
)


def process(plane: Plane, token: str) -> ProcessIdentity:
    """A process with that token."""
    return ProcessIdentity(plane.access, plane.tokens, token)


def test_without_a_policy_and_a_token_a_process_is_the_single_user() -> None:
    """The operating system's user of the deployment."""
    plane = plane_of()
    assert process(plane, "").actor() == BOSS
    assert process(plane, "").authenticated() is None
    assert plane.identity.actor() == BOSS


def test_a_token_counts_also_without_a_policy() -> None:
    """And then its holder may do nothing, unless they are the single user."""
    plane = plane_of()
    own = process(plane, token_for(plane, READER).text)
    assert own.actor() == READER
    with pytest.raises(AccessDeniedError, match=f"only {BOSS} may act"):
        own.require(Action.LAUNCH, plane.access.target("it"))


def test_a_bad_token_is_never_the_single_user() -> None:
    """Whoever has a token that is not taken is nobody, not whoever they would be without."""
    with pytest.raises(NotAuthenticatedError):
        process(plane_of(), "ro1_nonsense").actor()


def test_under_a_policy_a_process_without_a_token_is_nobody() -> None:
    """The operating system's user as much as others; told what to do."""
    plane = plane_of()
    published(plane, sound_policy())
    with pytest.raises(NotAuthenticatedError, match="RO_TOKEN"):
        process(plane, "").actor()


def test_a_token_revoked_or_expired_ends_what_a_running_process_may_do() -> None:
    """It is asked afresh each time."""
    clock = ManualClock()
    plane = plane_of(clock)
    published(plane, sound_policy(binding(READER, Role.OPERATOR)))
    revoked, expired = token_for(plane, READER), token_for(plane, READER)
    processes = [process(plane, revoked.text), process(plane, expired.text)]
    target = plane.access.target("it")
    assert [one.require(Action.LAUNCH, target) for one in processes] == [READER] * 2
    plane.tokens.revoke(revoked.token_id, reason="why", actor=READER)
    with pytest.raises(NotAuthenticatedError, match="was revoked"):
        processes[0].require(Action.LAUNCH, target)
    clock.advance(timedelta(days=2).total_seconds())
    with pytest.raises(NotAuthenticatedError, match="expired"):
        processes[1].require(Action.LAUNCH, target)


def test_a_process_takes_its_token_from_its_credentials() -> None:
    """And neither of them shows it."""
    backend, own = MemoryLedgerBackend(), Credentials.ephemeral()
    issuing = Plane.over(MemoryBackend(), backend, clock=ManualClock(), credentials=own)
    issued = token_for(issuing, READER)
    given = replace(own, token=issued.text)
    plane = Plane.over(MemoryBackend(), backend, clock=ManualClock(), credentials=given)
    assert plane.identity.actor() == READER
    found = plane.identity.authenticated()
    assert found is not None
    assert (found.token_id, found.issued_by) == (issued.token_id, BOSS)
    assert plane.identity.vouched_by() is None
    settings = Settings.load({"RO_ROOT": "/srv", "RO_TOKEN": issued.text})
    assert settings.token == issued.text
    secret = issued.text[-43:]
    assert secret not in f"{given!r} {plane!r} {plane.identity!r} {settings!r}"


def test_a_process_knows_who_vouches_for_its_token() -> None:
    """Whoever issued it under a policy; nobody for the single user without one."""
    plane = plane_of()
    assert process(plane, "").vouched_by() is None
    published(plane, sound_policy())
    assert process(plane, token_for(plane, READER).text).vouched_by() == BOSS


# --- the current request --------------------------------------------------------------------------


def test_outside_of_a_request_nobody_acts() -> None:
    """And after one, nobody again, also when it failed."""
    assert current_actor() is None
    with pytest.raises(ZeroDivisionError), acting_as(READER):
        raise ZeroDivisionError
    assert current_actor() is None


def test_requests_nest_and_do_not_mix() -> None:
    """The inner actor, then the outer; nobody within somebody is nobody."""
    with acting_as(BOSS):
        with acting_as(READER):
            assert current_actor() == READER
        assert current_actor() == BOSS
        with acting_as(None):
            assert current_actor() is None


def test_the_actor_follows_a_request_into_its_tasks_and_its_threads() -> None:
    """Of two requests at once each sees its own, and a thread of neither sees nobody."""

    async def request(actor: str) -> tuple[str | None, str | None]:
        with acting_as(actor):
            await asyncio.sleep(0)
            return current_actor(), await asyncio.to_thread(current_actor)

    async def both() -> list[tuple[str | None, str | None]]:
        return [*await asyncio.gather(request(BOSS), request(READER))]

    assert asyncio.run(both()) == [(BOSS, BOSS), (READER, READER)]
    seen: list[str | None] = []
    with acting_as(BOSS):
        bare = threading.Thread(target=lambda: seen.append(current_actor()))
        bare.start()
        bare.join()
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(current_actor).result())
    assert seen == [None, None]
