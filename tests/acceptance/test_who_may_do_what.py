"""Who may do what: each role, narrowed in each way, tries everything, and what came of it.

Every administrative action is typed as a command with a real token; every form of the operations
pages, and every mutation of the installed Dagster, is sent to the real gateway. Who may does it.
Who may not changes nothing: no byte of a file, no table of Dagster's, and of the ledger nothing but
the refusal's own record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ro_platform.access.roles import actions_of
from ro_platform.contracts import Action, EntryKind, LedgerEntry
from ro_platform.contracts.access import AccessRefused
from ro_platform.ledger.entry import body_of
from ro_platform.web.mutations import MUTATIONS as RULES
from ro_platform.web.mutations import TargetPlace
from tests.acceptance.who_may.actions import (
    ADMINISTRATIVE,
    BESIDES,
    WHY,
    Typed,
    missing,
    with_second,
)
from tests.acceptance.who_may.forms import FORMS, Form, forms_of
from tests.acceptance.who_may.mutations import MUTATIONS, Mutation, Subjects, schema_mutations
from tests.acceptance.who_may.people import PEOPLE, Person, Where
from tests.acceptance.who_may.table import PAGE, Cell, Rows, for_page
from tests.acceptance.who_may.world import World, refusal_in, served_world

DENIED = "RO_ACCESS_DENIED"
ALL_OF_IT = (Where.NOT, Where.HERE)


@dataclass
class Before:
    """The deployment as it stands; it holds on for as long as nobody changes it."""

    world: World
    state: dict[str, str]
    size: int

    @classmethod
    def of(cls, world: World) -> Before:
        """As it stands now."""
        return cls(world, world.state(), world.plane.ledger.size())

    def refused(self) -> list[LedgerEntry]:
        """The records of a refusal, which is all that there may be since then."""
        recorded = self.world.recorded(self.size)
        self.world.refusals |= {refusal_in(entry) for entry in recorded}
        assert self.world.state() == self.state
        self.size += len(recorded)
        return recorded


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subjects]:
    """One deployment for everybody."""
    with served_world(tmp_path_factory.mktemp("who-may")) as world:
        yield Subjects(world)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """What was found, by row; the last test compares it with the page."""
    return {}


def test_everything_that_can_be_done_is_tried(subjects: Subjects) -> None:
    """A mutation of another Dagster, an action that is built later, and a new form fail here until
    somebody decides who may, and how it is tried."""
    assert schema_mutations().keys() == {one.name for one in MUTATIONS}
    assert schema_mutations().keys() <= RULES.keys()
    assert missing() == set()
    assert forms_of(subjects.world) == {one.path for one in FORMS}


@pytest.mark.parametrize("typed", [*ADMINISTRATIVE, *BESIDES], ids=lambda one: one.name)
def test_who_may_act(subjects: Subjects, rows: Rows, typed: Typed) -> None:
    """Exactly those whose role allows it, where it holds; alone, or with a second person."""
    found = rows.setdefault(typed.name, {})
    subjects.stand()
    words = typed.words(subjects)
    before = Before.of(subjects.world)
    for person in PEOPLE:
        first = subjects.world.ro(person.actor, *words, *WHY)
        if first[0] and first[1]["error"]["code"] == DENIED:
            if typed.second:
                _, said = with_second(subjects, person.actor, (*words, *WHY))
                assert said["error"]["code"] == DENIED, (person, said)
            assert before.refused(), (person, "left no record")
            found[person] = Cell.NO
        else:
            found[person] = _acted(subjects, person, typed, words, first)
            subjects.stand()
            words = typed.words(subjects)
            before = Before.of(subjects.world)
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


@pytest.mark.parametrize("form", FORMS, ids=lambda one: one.name)
def test_who_may_send_a_form(subjects: Subjects, rows: Rows, form: Form) -> None:
    """Exactly those who may do by command what it does, to whatever page they come from."""
    found = rows.setdefault(form.name, {})
    subjects.stand()
    address, fields = form.sent(subjects)
    before = Before.of(subjects.world)
    for person in PEOPLE:
        answer = subjects.world.form(person.actor, address, fields)
        if answer.status_code == 403:
            assert DENIED in answer.text
            before.refused()
            assert (person.actor, form.recorded) in subjects.world.refusals
            found[person] = Cell.NO
        else:
            assert answer.status_code == form.good, (person, answer.text[-1500:])
            found[person] = Cell.YES
            subjects.stand()
            address, fields = form.sent(subjects)
            before = Before.of(subjects.world)
        assert bool(found[person]) is _may(person, form.right, by_workload=form.by_workload)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_who_may_mutate(subjects: Subjects, rows: Rows, mutation: Mutation) -> None:
    """Exactly those whose role allows it, where it holds; and what is closed, nobody."""
    found = rows.setdefault(mutation.name, {})
    query, rule = mutation.query(), RULES[mutation.name]
    by_workload = rule.place is not TargetPlace.ENVIRONMENT
    subjects.stand()
    arguments = mutation.arguments(subjects)
    before = Before.of(subjects.world)
    for person in PEOPLE:
        answer = subjects.world.graphql(person.actor, query, arguments)
        said = answer.json()
        if answer.status_code == 403:
            assert said["errors"][0]["extensions"]["code"] == DENIED
            before.refused()
            found[person] = Cell.NO
        else:
            _require_good(mutation, said)
            found[person] = Cell.YES
            subjects.stand()
            arguments = mutation.arguments(subjects)
            before = Before.of(subjects.world)
        expected = rule.action is not None and _may(person, rule.action, by_workload=by_workload)
        assert bool(found[person]) is expected, (person, said)


def test_each_refusal_is_counted(subjects: Subjects, rows: Rows) -> None:
    """The gateway recorded as many refusals of each mutation as it gave."""
    subjects.world.opened.close()
    counted = dict.fromkeys((one.name for one in MUTATIONS), 0)
    for entry in subjects.world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED):
        body = body_of(entry, AccessRefused)
        if body.code == DENIED and body.operation in counted:
            counted[body.operation] += body.count
    assert counted == {
        name: sum(cell is Cell.NO for cell in rows.get(name, {}).values()) for name in counted
    }


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
