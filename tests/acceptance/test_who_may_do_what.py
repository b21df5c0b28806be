"""Who may do what: each role, narrowed in each way, tries everything, and what came of it.

Every administrative action is typed as a command with a real token, and every mutation of the
installed Dagster is sent to the real face. Who may does it. Who may not changes nothing: not the
store, not a table of Dagster's, and of the ledger nothing but the refusal's own record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ro_platform.access.roles import actions_of
from ro_platform.contracts import Action, AdminEvent, EntryKind, LedgerEntry
from ro_platform.ledger.entry import body_of
from ro_platform.web.mutations import MUTATIONS as RULES
from ro_platform.web.mutations import Place
from tests.acceptance.who_may.actions import (
    ADMINISTRATIVE,
    BESIDES,
    WHY,
    Typed,
    missing,
    with_second,
)
from tests.acceptance.who_may.mutations import MUTATIONS, Mutation, Subjects, schema_mutations
from tests.acceptance.who_may.people import PEOPLE, Person, Where
from tests.acceptance.who_may.table import PAGE, Cell, Rows, for_page
from tests.acceptance.who_may.world import World, served_world

DENIED = "RO_ACCESS_DENIED"
ALL_OF_IT = (Where.NOT, Where.HERE)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subjects]:
    """One deployment for everybody."""
    with served_world(tmp_path_factory.mktemp("who-may")) as world:
        yield Subjects(world)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """What was found, by row; the last test compares it with the page."""
    return {}


def test_everything_that_can_be_done_is_tried() -> None:
    """A mutation of another Dagster, and an action that is built later, fail here until somebody
    decides who may, and how it is tried."""
    assert schema_mutations().keys() == {one.name for one in MUTATIONS}
    assert schema_mutations().keys() <= RULES.keys()
    assert missing() == set()


@pytest.mark.parametrize("typed", [*ADMINISTRATIVE, *BESIDES], ids=lambda one: one.name)
def test_who_may_act(subjects: Subjects, rows: Rows, typed: Typed) -> None:
    """Exactly those whose role allows it, where it holds; alone, or with a second person."""
    found = rows.setdefault(typed.name, {})
    subjects.stand()
    words = typed.words(subjects)
    for person in PEOPLE:
        before, size = subjects.world.state(), subjects.world.plane.ledger.size()
        first = subjects.world.ro(person.actor, *words, *WHY)
        if first[0] and first[1]["error"]["code"] == DENIED:
            if typed.second:
                _, said = with_second(subjects, person.actor, (*words, *WHY))
                assert said["error"]["code"] == DENIED, (person, said)
            _require_untouched(subjects.world, before, size)
            assert _refusals(subjects.world.recorded(size)), (person, "left no record")
            found[person] = Cell.NO
        else:
            found[person] = _acted(subjects, person, typed, words, first)
            subjects.stand()
            words = typed.words(subjects)
        assert bool(found[person]) is _may(person, typed.right, by_workload=typed.by_workload)


def _acted(
    subjects: Subjects, person: Person, typed: Typed, words: tuple[str, ...], first: tuple[int, Any]
) -> Cell:
    code, said = first
    if typed.second:
        assert said["error"]["code"] == "RO_SECOND_PERSON_REQUIRED", (person, said)
        code, said = with_second(subjects, person.actor, (*words, *WHY))
    assert code == 0, (person, said)
    if typed.restore:
        who, back = typed.restore
        assert subjects.world.ro(who, *back)[0] == 0
    return Cell.WITH_SECOND if typed.second else Cell.YES


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_who_may_mutate(subjects: Subjects, rows: Rows, mutation: Mutation) -> None:
    """Exactly those whose role allows it, where it holds; and what is closed, nobody."""
    found = rows.setdefault(mutation.name, {})
    query, rule = mutation.query(), RULES[mutation.name]
    by_workload = rule.place is not Place.ENVIRONMENT
    subjects.stand()
    arguments = mutation.arguments(subjects)
    for person in PEOPLE:
        before, size = subjects.world.state(), subjects.world.plane.ledger.size()
        answer = subjects.world.graphql(person.actor, query, arguments)
        said = answer.json()
        if answer.status_code == 403:
            assert said["errors"][0]["extensions"]["code"] == DENIED
            _require_untouched(subjects.world, before, size)
            found[person] = Cell.NO
        else:
            _require_good(mutation, said)
            found[person] = Cell.YES
            subjects.stand()
            arguments = mutation.arguments(subjects)
        expected = rule.action is not None and _may(person, rule.action, by_workload=by_workload)
        assert bool(found[person]) is expected, (person, said)


def test_each_refusal_is_counted(subjects: Subjects, rows: Rows) -> None:
    """The face recorded as many refusals as it gave."""
    refused = sum(cell is Cell.NO for one in MUTATIONS for cell in rows.get(one.name, {}).values())
    subjects.world.opened.close()
    found = [
        entry.body
        for entry in subjects.world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
        if entry.body["code"] == DENIED and not str(entry.body["operation"]).startswith("ro.")
    ]
    assert sum(int(str(body["count"])) for body in found) == refused


def test_the_ledger_is_sound(subjects: Subjects) -> None:
    """After all of it."""
    subjects.world.plane.ledger.verify()


def test_the_page_says_what_was_found(rows: Rows, repository: Path) -> None:
    """The table of the reference is that of this deployment."""
    text, page = for_page(rows), repository / PAGE
    if os.environ.get("RO_WRITE_TABLE") == "1":
        page.write_text(text)
    assert page.read_text() == text


@pytest.fixture(scope="module")
def repository() -> Path:
    """Where the pages are."""
    return Path(__file__).parents[2]


def _may(person: Person, right: Action, *, by_workload: bool) -> bool:
    """What the roles say, and the scope: or they may look, as everybody may who is here."""
    there = person.where in ALL_OF_IT or (by_workload and person.where is Where.ITS)
    return right is Action.VIEW or (there and right in actions_of(person.role))


def _require_good(mutation: Mutation, said: dict[str, Any]) -> None:
    done = said["data"]["done"]
    answer = done["__typename"] if isinstance(done, dict) else done
    assert answer in mutation.good, said
    assert "Unauthorized" not in str(said)


def _require_untouched(world: World, before: dict[str, str], size: int) -> None:
    recorded = world.recorded(size)
    assert [entry for entry in recorded if entry not in _refusals(recorded)] == []
    assert world.state() == before


def _refusals(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    return [
        entry
        for entry in entries
        if entry.kind is EntryKind.ACCESS_REFUSED
        or (entry.kind is EntryKind.ADMIN_EVENT and body_of(entry, AdminEvent).result == "refused")
    ]
