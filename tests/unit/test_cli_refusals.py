"""Commands that are refused are on record, as requests of the gateway are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ro_platform.contracts import AdminEvent, EntryKind
from ro_platform.contracts.access import AccessRefused
from ro_platform.ledger.entry import body_of
from tests.unit.test_admin_cli import ANN, BOB, OPS, Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    found = Office(tmp_path)
    found.govern()
    yield found
    found.plane.ledger.close()


def refusals(office: Office) -> list[tuple[str, str | None, str]]:
    """What is on record as refused: the operation, who, and the code."""
    found = [
        body_of(entry, AccessRefused)
        for entry in office.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    ]
    return [(item.operation, item.actor, item.code) for item in found]


def test_a_command_that_somebody_may_not_give_is_on_record_once_a_day(office: Office) -> None:
    """Asked again, it is the same entry."""
    for _ in range(2):
        answer = office.ask("attempts", "reconcile", who=BOB)
        assert answer.exit_code == 11, answer.output
    assert refusals(office) == [("ro.attempts.reconcile", BOB, "RO_ACCESS_DENIED")]


def test_approving_ones_own_is_on_record(office: Office) -> None:
    """So is who approves without the right to."""
    kept = office.facts(
        "directive",
        "propose",
        "change-retention",
        "artifacts",
        "--days",
        "3",
        "--reason",
        "r",
        who=ANN,
    )
    name = kept["directive_id"]
    for who in (ANN, OPS):
        answer = office.ask("directive", "approve", name, "--reason", "fine", who=who)
        assert answer.exit_code == 11, answer.output
    office.facts("directive", "approve", name, "--reason", "fine", who=BOB)
    events = [
        body_of(entry, AdminEvent) for entry in office.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    ]
    assert [item.actor for item in events if item.result == "refused"] == [ANN, OPS]
    assert refusals(office) == []


def test_a_process_of_nobody_is_on_record_by_its_user(office: Office) -> None:
    """Without a token nobody is known to act, and no secret or argument is in the entry."""
    answer = office.ask("admin", "pause", "plane", "--reason", "an argument")
    assert answer.exit_code == 11, answer.output
    assert refusals(office) == [("ro.admin.pause", None, "RO_NOT_AUTHENTICATED")]
    (entry,) = office.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    assert entry.actor == "SYSTEM::ro"
    assert office.settings.actor in str(entry.body["source"])
    assert "an argument" not in str(entry.body)


def test_what_the_service_recorded_is_not_recorded_twice(office: Office) -> None:
    """A refused administrative action has its event already."""
    answer = office.ask("admin", "pause", "plane", "--reason", "why", who=BOB)
    assert answer.exit_code == 11, answer.output
    assert refusals(office) == []
