"""Killed at any step of any action: reconciling leaves exactly one outcome, or it never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ro_platform.access.roles import ALWAYS_FOUR_EYES
from ro_platform.admin.outcomes import Outcome
from ro_platform.config.settings import Settings
from ro_platform.contracts import AdminActionType, DirectiveStatus, EntryKind
from ro_platform.plane import Plane
from tests.unit.admin_world import CASES, OPS, AdminWorld, Killed, pause

_MOST_STEPS = 60


def killed_at_each_step(
    begin: Callable[[AdminWorld], Callable[[], Outcome]], check: Callable[[AdminWorld], None]
) -> int:
    """Kill a fresh world at step 0, 1, 2 ..., and check it, until it survives; how many it took."""
    for number in range(_MOST_STEPS):
        world = AdminWorld()
        act = begin(world)
        world.steps.taken, world.steps.dies_at = 0, number
        try:
            act()
        except Killed:
            survived = False
        else:
            survived = True
        world.steps.dies_at = None
        check(world)
        if survived:
            return number
    raise AssertionError("it never came to its end")


def exactly_one_outcome(world: AdminWorld, kind: AdminActionType, actor: str) -> None:
    """Reconcile twice; then the intent, if there is one, has one outcome, and nothing is open."""
    reconciled = list(world.admin.reconcile(actor=actor))
    assert [item.error for item in reconciled if item.error] == []
    assert list(world.admin.reconcile(actor=actor)) == []
    intents = [item for item in world.events("intended") if item.action_type is kind]
    ended = [
        item for item in world.events("done", "failed") if item.action_type is kind and item.key
    ]
    assert [item.admin_event_id for item in ended] == [item.admin_event_id for item in intents]
    assert all(item.result == "done" for item in ended), ended


ALONE = [kind for kind in CASES if kind not in ALWAYS_FOUR_EYES]


@pytest.mark.parametrize("kind", ALONE, ids=str)
def test_killed_at_any_step_an_action_has_one_outcome(kind: AdminActionType) -> None:
    """After a kill anywhere, reconciling leaves one outcome for the intent, and asking again with
    the same key answers it, or does it for the first time."""
    ask, actor = CASES[kind]

    def begin(world: AdminWorld) -> Callable[[], Outcome]:
        request = ask(world)
        return lambda: world.admin.service.perform(request, actor=actor, key="k")

    def check(world: AdminWorld) -> None:
        exactly_one_outcome(world, kind, actor)
        if kind is not AdminActionType.CANCEL_RUN or world.events("done"):
            world.admin.service.perform(ask(world), actor=actor, key="k")
        exactly_one_outcome(world, kind, actor)
        assert len([one for one in world.events("done") if one.key == "k"]) <= 1

    assert killed_at_each_step(begin, check) >= 4


@pytest.mark.parametrize("kind", sorted(ALWAYS_FOUR_EYES), ids=str)
def test_killed_at_any_step_a_directive_has_one_end(kind: AdminActionType) -> None:
    """The same for what a second person approved: executing it again answers the one outcome, and
    its move is on record once."""
    ask, actor = CASES[kind]

    def begin(world: AdminWorld) -> Callable[[], Outcome]:
        name = world.approved(ask(world), actor)
        return lambda: world.admin.directives.execute(name, actor=actor)

    def check(world: AdminWorld) -> None:
        exactly_one_outcome(world, kind, actor)
        (found,) = world.admin.directives.list()
        world.admin.directives.execute(found.directive_id, actor=actor)
        exactly_one_outcome(world, kind, actor)
        (found,) = world.admin.directives.list()
        assert found.status is DirectiveStatus.EXECUTED
        moves = list(world.plane.ledger.scan(kind=EntryKind.DIRECTIVE_MOVED))
        assert [move.body["status"] for move in moves] == ["proposed", "approved", "executed"]

    assert killed_at_each_step(begin, check) >= 4


def test_what_changed_since_is_not_done_after_a_crash() -> None:
    """An interrupted pause is not set days later over somebody else's: it fails, and says why."""
    world = AdminWorld()
    world.steps.taken, world.steps.dies_at = 0, 2
    with pytest.raises(Killed):
        world.do(pause(), OPS)
    world.steps.dies_at = None
    assert len(world.events("intended")) == 1
    world.do(pause(), OPS, key="another")
    (item,) = world.admin.reconcile(actor=OPS)
    assert item.outcome is not None
    assert item.outcome.result == "failed"
    assert "changed since" in str(item.outcome.after["error"])
    assert len(world.plane.pauses.standing()) == 1


_VICTIM = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from ro_platform.admin.intents import admin_request
    from ro_platform.artifacts.backends.filesystem import FilesystemBackend
    from ro_platform.config.settings import Settings
    from ro_platform.contracts import AdminActionType
    from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
    from ro_platform.plane import Plane

    root, dies_at = Path(sys.argv[1]), int(sys.argv[2])
    steps = 0

    def step():
        global steps
        if steps == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    import contextlib
    whole = SqliteLedgerBackend.transaction

    @contextlib.contextmanager
    def transaction(self):
        step()
        with whole(self) as found:
            yield found
            step()
        step()

    SqliteLedgerBackend.transaction = transaction
    settings = Settings.load({"RO_ROOT": str(root), "RO_HOME": str(root)}, cwd=root)
    plane = Plane.open(settings)
    request = admin_request(
        AdminActionType.PAUSE, reason="maintenance", parameters={"target": "plane"}
    )
    plane.admin.perform(request, actor=settings.actor, key="k")
    """
)


@pytest.mark.parametrize("step", range(6))
def test_a_real_kill_leaves_what_reconcile_completes(tmp_path: Path, step: int) -> None:
    """SIGKILL before, within and after each of the two commits, on SQLite: one outcome, or no
    trace of the action at all."""
    done = subprocess.run(
        [sys.executable, "-c", _VICTIM, str(tmp_path), str(step)],
        env={**os.environ, "RO_TOKEN": ""},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    settings = Settings.load({"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path)}, cwd=tmp_path)
    plane = Plane.open(settings)
    intended = plane.ledger.size() > 0
    assert intended == (step >= 2)
    reconciled = list(plane.administration.reconcile(actor=settings.actor))
    assert len(reconciled) == (1 if 2 <= step < 5 else 0)
    assert plane.ledger.size() == (2 if intended else 0)
    assert [item.target for item in plane.pauses.standing()] == (["plane"] if intended else [])
    plane.ledger.close()
