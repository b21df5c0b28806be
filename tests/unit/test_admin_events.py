"""Admin events: one for each action, by whom and why, however often it is reported."""

from __future__ import annotations

import pytest

from ro_platform.contracts import AdminActionType, AdminEvent, EntryKind
from ro_platform.errors import ContractError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.orchestration import PlaneResource
from ro_platform.plane import DAGSTER_ACTOR, Plane
from ro_platform.testing import ephemeral_plane


def test_an_action_is_one_event_with_its_first_time() -> None:
    """Reported again later, the same action is the same entry; another key is another event."""
    clock = ManualClock()
    plane = Plane.in_memory(clock=clock)

    def pause(key: str) -> int:
        return plane.record_admin_event(
            AdminActionType.PAUSE,
            key=key,
            subject="workload/purchases",
            actor="HUMAN::ann",
            reason="the input is late",
            before={"paused": False},
            after={"paused": True},
        ).seq

    began = utc_text(clock())
    first = pause("pause-1")
    clock.advance(60)
    assert pause("pause-1") == first
    assert pause("pause-2") == first + 1
    assert plane.ledger.size() == 2

    event = AdminEvent.from_json(canonical_bytes(plane.ledger.get(first).body))
    assert (event.actor, event.reason) == ("HUMAN::ann", "the input is late")
    assert (event.before, event.after) == ({"paused": False}, {"paused": True})
    assert event.observed_at_utc == began
    assert event.targets == ("workload/purchases",)


@pytest.mark.parametrize(("actor", "reason"), [("ann", "late"), ("HUMAN::ann", " ")])
def test_no_event_without_an_actor_and_a_reason(actor: str, reason: str) -> None:
    """A payload that names nobody, or no reason, is refused and nothing is recorded."""
    plane = Plane.in_memory(clock=ManualClock())
    with pytest.raises(ContractError):
        plane.record_admin_event(
            AdminActionType.RESUME, key="k", subject="plane", actor=actor, reason=reason
        )
    assert plane.ledger.size() == 0


def test_the_resource_records_as_the_service_that_it_is() -> None:
    """Through the Dagster resource the actor is Dagster, whatever code asks."""
    with ephemeral_plane() as governed:
        entry = PlaneResource().record_admin_event(
            AdminActionType.REPLAY_REQUEST, key="k", subject="run/1", reason="asked for"
        )
        recorded = governed.plane.ledger.get(entry.seq)
    assert (recorded.kind, recorded.actor) == (EntryKind.ADMIN_EVENT, DAGSTER_ACTOR)
