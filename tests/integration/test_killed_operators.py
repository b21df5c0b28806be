"""Operators killed with -9 at every write of every action: reconciling brings exactly one outcome.

Each action, and each execution of a directive, is begun in a process of its own over SQLite and a
store in a folder. It is killed just before every call by which something durable changes: of the
operating system below the store and the ledger, and of the database; and after the last. Another
process then reconciles, and asks again.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ro_platform.access.roles import ALWAYS_FOUR_EYES
from ro_platform.admin.administration import Administration
from ro_platform.contracts import AdminActionType, AdminRequest, DirectiveStatus, EntryKind
from tests.acting import NOT_BUILT, OWN_WAY
from tests.integration.crash_points.cells import in_child
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.publication import Pipe
from tests.integration.crash_points.tripwire import Tripwire
from tests.integration.killed_world import WorldOnDisk, administration_at, events, facts
from tests.unit.admin_world import CASES, SECOND, WHY

Act = Callable[[Administration], object]


@dataclass(frozen=True)
class Template:
    """A deployment to copy, and what is asked for there."""

    home: Path
    requests: dict[AdminActionType, AdminRequest]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Made once."""
    home = tmp_path_factory.mktemp("operators") / "home"
    home.mkdir()
    world = WorldOnDisk(home)
    requests = world.requests()
    world.plane.ledger.close()
    return Template(home, requests)


def test_the_actions_that_are_killed_are_all_actions(template: Template) -> None:
    """Whoever adds one adds it here: what is offered is what is killed, and nothing is left out."""
    with administration_at(template.home) as administration:
        offered = set(administration.service.offered)
    assert offered == set(template.requests) == set(AdminActionType) - NOT_BUILT - OWN_WAY
    assert set(ALONE) | ALWAYS_FOUR_EYES == offered


ALONE = [kind for kind in CASES if kind not in ALWAYS_FOUR_EYES]


@pytest.mark.parametrize("kind", ALONE, ids=str)
def test_killed_at_any_write_an_action_has_one_outcome(
    template: Template, tmp_path: Path, kind: AdminActionType
) -> None:
    """Or it never was; asking again with the same key then does it. Either way the end is that of
    an action that nobody disturbed."""
    request, actor = template.requests[kind], CASES[kind][1]

    def act(administration: Administration) -> object:
        return administration.service.perform(request, actor=actor, key="k")

    def check(administration: Administration) -> None:
        _reconciled(administration, actor)
        assert len(events(administration, "intended")) <= 1
        act(administration)
        _reconciled(administration, actor)

    assert _killed_everywhere(template.home, tmp_path, act, check) >= 8


@pytest.mark.parametrize("kind", sorted(ALWAYS_FOUR_EYES), ids=str)
def test_killed_at_any_write_a_directive_is_executed_once(
    template: Template, tmp_path: Path, kind: AdminActionType
) -> None:
    """Its moves are on record once each, and executing it again answers the one outcome."""
    request, actor = template.requests[kind], CASES[kind][1]
    home = tmp_path / "approved"
    shutil.copytree(template.home, home)
    with administration_at(home) as administration:
        directives = administration.directives
        name = directives.propose(request, actor=actor, key="k").directive_id
        directives.approve(name, reason=WHY, actor=SECOND)

    def act(administration: Administration) -> object:
        return administration.directives.execute(name, actor=actor)

    def check(administration: Administration) -> None:
        _reconciled(administration, actor)
        act(administration)
        _reconciled(administration, actor)
        assert administration.directives.get(name).status is DirectiveStatus.EXECUTED
        moves = administration.dependencies.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED)
        assert [move.body["status"] for move in moves] == ["proposed", "approved", "executed"]

    assert _killed_everywhere(home, tmp_path, act, check) >= 8


@pytest.mark.parametrize("move", ["propose", "approve", "reject"])
def test_killed_at_any_write_a_directive_moved_once_or_not_at_all(
    template: Template, tmp_path: Path, move: str
) -> None:
    """Asking again makes it the one move."""
    kind = AdminActionType.PROMOTE
    request, actor = template.requests[kind], CASES[kind][1]
    home = tmp_path / "begun"
    shutil.copytree(template.home, home)

    def propose(administration: Administration) -> str:
        return administration.directives.propose(request, actor=actor, key="k").directive_id

    if move != "propose":
        with administration_at(home) as administration:
            propose(administration)

    def act(administration: Administration) -> object:
        name, directives = propose(administration), administration.directives
        if move == "propose":
            return name
        if directives.get(name).status is DirectiveStatus.PROPOSED:
            getattr(directives, move)(name, reason=WHY, actor=SECOND)
        return name

    def check(administration: Administration) -> None:
        act(administration)
        _reconciled(administration, actor)
        found = [
            entry.body["status"]
            for entry in administration.dependencies.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED)
        ]
        assert (
            found
            == {
                "propose": ["proposed"],
                "approve": ["proposed", "approved"],
                "reject": ["proposed", "rejected"],
            }[move]
        )

    assert _killed_everywhere(home, tmp_path, act, check) >= 3


def _killed_everywhere(
    home: Path, folder: Path, act: Act, check: Callable[[Administration], None]
) -> int:
    """Kill a copy at each of its writes, and check it in another process; how many there are."""
    undisturbed, writes = _undisturbed(home, folder / "undisturbed", act)
    for number in range(writes + 1):
        last = number == writes
        fault = Fault.KILLED_AFTER if last else Fault.KILLED_BEFORE
        copy = folder / f"{number}"
        shutil.copytree(home, copy)
        tripwire = Tripwire(copy, number - 1 if last else number, fault)
        assert _in_child(copy, act, tripwire) == -signal.SIGKILL, number
        assert _in_child(copy, check) == 0, number
        assert facts(copy) == undisturbed, number
        shutil.rmtree(copy)
    return writes


def _undisturbed(home: Path, copy: Path, act: Act) -> tuple[dict[str, object], int]:
    shutil.copytree(home, copy)
    tripwire = Tripwire(copy)

    def work(pipe: Pipe) -> None:
        with administration_at(copy) as administration, tripwire.armed():
            act(administration)
        pipe.say(writes=len(tripwire.crossed))

    code, said = in_child(work)
    assert code == 0
    return facts(copy), int(said.last("writes"))


def _in_child(home: Path, act: Act, tripwire: Tripwire | None = None) -> int:
    """How a process ended that did that there."""

    def work(_pipe: Pipe) -> None:
        with administration_at(home) as administration:
            if tripwire is None:
                act(administration)
                administration.dependencies.ledger.verify()
                return
            with tripwire.armed():
                act(administration)

    return in_child(work)[0]


def _reconciled(administration: Administration, actor: str) -> None:
    """Reconcile twice: every intent then has its one outcome, which is that it was done."""
    assert [item.error for item in administration.reconcile(actor=actor) if item.error] == []
    assert list(administration.reconcile(actor=actor)) == []
    intended = [event.admin_event_id for event in events(administration, "intended")]
    ended = events(administration, "done", "failed")
    assert [event.admin_event_id for event in ended] == intended
    assert [event.result for event in ended] == ["done"] * len(intended)
