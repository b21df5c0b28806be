"""Each form of the operations pages, as a browser sends it: read from the routes themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.routing import Route

from ro_platform.contracts import Action
from ro_platform.kernel.identity import run_id
from ro_platform.web.operations.acts import ACTS
from ro_platform.web.operations.context import PageServices
from ro_platform.web.operations.routes import MOVES, routes_of
from tests.acceptance.who_may.actions import WHY, paused, proposed
from tests.acceptance.who_may.mutations import Subjects
from tests.acceptance.who_may.people import HANDS, SECOND, WORKLOAD
from tests.acceptance.who_may.world import World

BASE = "/operations"
PLACE = f"workload/{WORKLOAD}"
Sent = tuple[str, Mapping[str, str]]


@dataclass(frozen=True)
class Form:
    """``sent`` gives the address and the fields, and makes what the form is about. ``path`` is its
    route, with the name of the act or the move in it; ``good`` is the answer to who may, and
    ``operation`` what a refusal is recorded as, if not as the action."""

    path: str
    right: Action
    sent: Callable[[Subjects], Sent]
    by_workload: bool = True
    proposing: bool = False
    good: int = 303
    operation: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.path} (propose)" if self.proposing else self.path

    @property
    def recorded(self) -> str:
        """What a refusal says that it refused. The same, of the same, is on record once a day."""
        return self.operation or self.right.value


def forms_of(world: World) -> set[str]:
    """Every address below the operations pages that does more than show."""
    routes = routes_of(PageServices(world.plane, world.settings))
    doing = [one for one in routes if not (isinstance(one, Route) and _shows(one))]
    assert all(isinstance(one, Route) for one in doing)
    return {path for one in doing if isinstance(one, Route) for path in _named(one.path)}


def _shows(route: Route) -> bool:
    return set(route.methods or ()) <= {"GET", "HEAD"}


def _named(path: str) -> set[str]:
    """A route's path, once for each act and each move."""
    acts = {path.replace("{act}", name) for name in ACTS}
    return {one.replace("{move}", move) for one in acts for move in MOVES}


def _on_place(act: str, **more: str) -> Callable[[Subjects], Sent]:
    def sent(subjects: Subjects) -> Sent:
        if act == "resume":
            paused(subjects)
        else:
            _resumed(subjects)
        return _act(subjects, act, target=PLACE, **more)

    return sent


def _resumed(subjects: Subjects) -> None:
    if subjects.world.plane.pauses.standing():
        code, said = subjects.world.ro(HANDS, "admin", "resume", PLACE, *WHY)
        assert code == 0, said


def _act(subjects: Subjects, name: str, **fields: str) -> Sent:
    shown = str(subjects.world.plane.ledger.size())
    return f"/act/{name}", {"shown": shown, "reason": WHY[1], "how": "do", **fields}


def _canceled(subjects: Subjects) -> Sent:
    return _act(subjects, "cancel-run", dagster_run_id=subjects.run_id)


def _revoked(subjects: Subjects) -> Sent:
    ref = subjects.world.new_artifact().ref
    return _act(subjects, "revoke-pass", gate_id=f"{ref.split('/')[1]}.good", ref=ref)


def _moved(move: str) -> Callable[[Subjects], Sent]:
    def sent(subjects: Subjects) -> Sent:
        name, directives = proposed(subjects), subjects.world.plane.directives
        if move == "execute":
            code, said = subjects.world.ro(SECOND, "directive", "approve", name, *WHY)
            assert code == 0, said
        seen = directives.state_digest(directives.get(name))
        return f"/directives/{name}/{move}", {"reason": WHY[1], "seen": seen}

    return sent


def _dossier(subjects: Subjects) -> Sent:
    run = run_id(subjects.world.making.register(f"dossier-{next(subjects.world.numbers)}"))
    return f"/runs/{run}/dossier", {"form_token": "none"}


_ACTING: tuple[tuple[str, Action, Callable[[Subjects], Sent]], ...] = (
    ("pause", Action.PAUSE, _on_place("pause")),
    ("resume", Action.RESUME, _on_place("resume")),
    ("drain", Action.DRAIN, _on_place("drain", minutes="5")),
    ("cancel-run", Action.CANCEL_RUN, _canceled),
    ("revoke-pass", Action.REVOKE_PASS, _revoked),
)


def _proposed(sent: Callable[[Subjects], Sent]) -> Callable[[Subjects], Sent]:
    def proposing(subjects: Subjects) -> Sent:
        address, fields = sent(subjects)
        return address, {**fields, "how": "propose", "hours": "1"}

    return proposing


FORMS = (
    *(Form(f"/act/{name}", right, sent) for name, right, sent in _ACTING),
    *(
        Form(f"/act/{name}", right, _proposed(sent), proposing=True)
        for name, right, sent in _ACTING
    ),
    Form(
        "/directives/{name}/approve",
        Action.APPROVE,
        _moved("approve"),
        operation="directive.approve",
    ),
    Form(
        "/directives/{name}/reject", Action.APPROVE, _moved("reject"), operation="directive.reject"
    ),
    Form("/directives/{name}/execute", Action.PROMOTE, _moved("execute")),
    Form("/runs/{run}/dossier", Action.AUDIT, _dossier, good=200, operation="dossier.download"),
)
"""All of them; one that the pages have beside these fails the test."""
