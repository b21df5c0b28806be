"""Administration over every ledger: done once, refused on record, reconciled, and by two people,
whoever asks and however many processes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ro_platform.access.identity import Credentials
from ro_platform.access.roles import ALWAYS_FOUR_EYES
from ro_platform.admin.administration import Administration
from ro_platform.admin.intents import Intent
from ro_platform.admin.orchestrator import RunUnderWay
from ro_platform.admin.pausing import PauseAction
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.contracts import (
    AdminActionType,
    AdminRequest,
    DirectiveStatus,
    EntryKind,
)
from ro_platform.errors import (
    AccessDeniedError,
    DirectiveRefusedError,
    EntryConflictError,
    SecondPersonRequiredError,
)
from ro_platform.kernel.clock import system_clock
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.plane import Plane
from tests.integration.crash_points.cells import begun_child
from tests.integration.crash_points.publication import Pipe
from tests.servers import Databases
from tests.unit.access_world import published
from tests.unit.admin_world import (
    CASES,
    OPS,
    READER,
    SECOND,
    THIRD,
    WHY,
    AdminWorld,
    FakeOrchestrator,
    Killed,
    pause,
    people,
    promote,
    resume,
)
from tests.unit.small_world import SmallWorld

DEPLOYER = CASES[AdminActionType.PROMOTE][1]
PROCESSES = 4
RUNNING = RunUnderWay("run-1", "w", ("source",), OPS, True)


class Dying(PauseAction):
    """Its process dies between the intent and the act."""

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """See :class:`AdminAction`."""
        raise Killed


class Deployment(AdminWorld):
    """The world of the administration's unit tests, over a ledger that others open, too."""

    def __init__(self, opened: Callable[[], Plane]) -> None:
        self.opened = opened
        SmallWorld.__init__(self, plane=opened())
        self.orchestrator = FakeOrchestrator()
        self.made_one = self.made("source")
        self.made_two = self.made("report", self.made_one)
        published(self.plane, people())

    def done(self) -> int:
        """How many actions the service did."""
        return sum(1 for event in self.events("done") if event.key)

    def elsewhere(self) -> Administration:
        """As another process has it."""
        return self.opened().administration.over(self.orchestrator)


@dataclass
class Opened:
    """Opens one and the same deployment at every call, as another process would."""

    backend: Callable[[], LedgerBackend]
    store: Path
    credentials: Credentials
    backends: list[LedgerBackend]

    def __call__(self) -> Plane:
        backend = self.backend()
        self.backends.append(backend)
        return Plane.over(
            FilesystemBackend(self.store), backend, clock=system_clock, credentials=self.credentials
        )


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """A governed deployment over that ledger."""
    databases: Databases | None = None
    name = ""
    if request.param == "postgres":
        databases = request.getfixturevalue("postgres_databases")
        name = databases.take()

    def backend() -> LedgerBackend:
        if databases is not None:
            return PostgresLedgerBackend(databases.server.socket_url(name))
        return SqliteLedgerBackend(tmp_path / "ledger.sqlite")

    opened = Opened(backend, tmp_path / "store", Credentials.ephemeral(), [])
    found = Deployment(opened)
    found.orchestrator.runs.append(RUNNING)
    yield found
    found.plane.ledger.verify()
    for one in opened.backends:
        one.close()
    if databases is not None:
        databases.give_back(name)


ALONE = [kind for kind in CASES if kind not in ALWAYS_FOUR_EYES]


def test_every_action_is_done_once_whoever_asks_again(world: Deployment) -> None:
    """The same key in another process answers the same outcome, and does nothing; another request
    under that key is refused."""
    for kind in ALONE:
        ask, actor = CASES[kind]
        request = ask(world)
        first = world.admin.service.perform(request, actor=actor, key="k")
        size = world.plane.ledger.size()
        again = world.elsewhere().service.perform(request, actor=actor, key="k")
        assert (again.event_id, again.after, again.new) == (first.event_id, first.after, False)
        assert world.plane.ledger.size() == size
    with pytest.raises(EntryConflictError):
        world.elsewhere().service.perform(pause("plane"), actor=OPS, key="k")


def test_who_may_not_leaves_the_record_of_that_only(world: Deployment) -> None:
    """One entry, by whichever process; and what needs a second person nobody does alone."""
    for kind, (ask, actor) in CASES.items():
        request, size = ask(world), world.plane.ledger.size()
        for administration in (world.admin, world.elsewhere()):
            with pytest.raises(AccessDeniedError):
                administration.service.perform(request, actor=READER, key="k")
        assert world.plane.ledger.size() == size + 1
        assert world.events("refused")[-1].actor == READER
        if kind in ALWAYS_FOUR_EYES:
            with pytest.raises(SecondPersonRequiredError):
                world.admin.service.perform(request, actor=actor, key="k")
    assert world.events("intended") == []


def test_an_intent_that_was_left_is_reconciled_by_another_process(world: Deployment) -> None:
    """To one outcome, however many reconcile."""
    dying = world.admin.service.extended([Dying(world.plane.ledger)])
    with pytest.raises(Killed):
        dying.perform(pause(), actor=OPS, key="k")
    assert world.plane.pauses.standing() == ()
    (found,) = world.elsewhere().reconcile(actor=OPS)
    assert found.outcome is not None
    assert found.outcome.result == "done"
    assert list(world.admin.reconcile(actor=OPS)) == []
    assert [item.target for item in world.plane.pauses.standing()] == ["workload/w"]
    assert world.done() == 1


def test_a_directive_lives_across_processes(world: Deployment) -> None:
    """Proposed, approved and executed by three of them; then it has ended for all."""
    request = promote(world.made_two)
    name = world.admin.directives.propose(request, actor=DEPLOYER, key="k").directive_id
    with pytest.raises(AccessDeniedError):
        world.elsewhere().directives.approve(name, reason=WHY, actor=DEPLOYER)
    world.elsewhere().directives.approve(name, reason=WHY, actor=SECOND)
    outcome = world.elsewhere().directives.execute(name, actor=DEPLOYER)
    assert outcome.result == "done"
    assert world.admin.directives.get(name).status is DirectiveStatus.EXECUTED
    with pytest.raises(DirectiveRefusedError):
        world.elsewhere().directives.reject(name, reason=WHY, actor=THIRD)


def test_an_approval_is_stale_once_another_process_moved_the_state(world: Deployment) -> None:
    """Then the directive fails, and nothing was promoted by it."""
    first, second = promote(world.made_two), promote(world.made_one)
    names = [
        world.approved(request, DEPLOYER, key) for key, request in (("1", first), ("2", second))
    ]
    world.elsewhere().directives.execute(names[0], actor=DEPLOYER)
    with pytest.raises(DirectiveRefusedError, match="stale"):
        world.admin.directives.execute(names[1], actor=DEPLOYER)
    assert world.elsewhere().directives.get(names[1]).status is DirectiveStatus.FAILED
    (channel,) = world.elsewhere().channels.all()
    assert channel.digest == world.made_two.digest


def test_of_many_processes_that_execute_at_once_one_does_it(world: Deployment) -> None:
    """All hear the one outcome."""
    name = world.approved(promote(world.made_two), DEPLOYER)
    said = _at_once(
        world, lambda administration: administration.directives.execute(name, actor=DEPLOYER)
    )
    assert len(set(said)) == 1
    assert len(world.events("intended")) == world.done() == 1
    moves = [e.body["status"] for e in world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED)]
    assert moves == ["proposed", "approved", "executed"]


def test_of_many_processes_that_act_under_one_key_one_does_it(world: Deployment) -> None:
    """And afterwards as many resume it, once."""
    for number, request in enumerate((pause(), resume()), start=1):
        said = _at_once(world, _performs(request, f"key-{number}"))
        assert len(set(said)) == 1
        assert world.done() == number
        assert len(world.plane.pauses.standing()) == 2 - number


def test_of_many_processes_that_approve_at_once_one_moves_it(world: Deployment) -> None:
    """The others are refused, which is on record once."""
    request = promote(world.made_two)
    name = world.admin.directives.propose(request, actor=DEPLOYER, key="k").directive_id

    def approve(administration: Administration) -> object:
        try:
            return administration.directives.approve(name, reason=WHY, actor=SECOND)
        except DirectiveRefusedError:
            return None

    _at_once(world, approve)
    moves = [e.body["status"] for e in world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED)]
    assert moves == ["proposed", "approved"]
    refused = [event for event in world.events("refused") if event.actor == SECOND]
    assert len(refused) == 1


def _performs(request: AdminRequest, key: str) -> Callable[[Administration], Any]:
    return lambda administration: administration.service.perform(request, actor=OPS, key=key)


def _at_once(world: Deployment, act: Callable[[Administration], Any]) -> list[str]:
    """Do it in several processes at once; the event ids of what they were answered."""

    def work(pipe: Pipe) -> None:
        outcome = act(world.elsewhere())
        pipe.say(event=getattr(outcome, "event_id", None))

    children = [begun_child(work) for _ in range(PROCESSES)]
    ended = [child.ended() for child in children]
    assert [code for code, _ in ended] == [0] * PROCESSES
    return [str(said.last("event")) for _, said in ended]
