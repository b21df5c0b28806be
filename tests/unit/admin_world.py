"""What the tests of administration share: a governed plane with people in it, a fake orchestrator
that keeps what it was told, and a plane that dies at a chosen step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.admin.administration import Administration
from ro_platform.admin.intents import admin_request
from ro_platform.admin.orchestrator import ReplayLaunch, RunUnderWay
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    AccessPolicy,
    AdminActionType,
    AdminEvent,
    AdminRequest,
    BoundRef,
    EntryKind,
    JsonObject,
    Role,
    RoleBinding,
    Scope,
)
from ro_platform.errors import NotFoundError, RunOperateError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import LedgerTransaction
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from tests.unit.access_world import BOSS, binding, policy, published
from tests.unit.small_world import SmallWorld

ADMIN = BOSS
OPS, DEPLOYER = "HUMAN::ops", "HUMAN::deployer"
SECOND, THIRD = "HUMAN::second", "HUMAN::third"
READER = "HUMAN::reader"
WHY = "because the test asks for it"


class Killed(BaseException):
    """The process is gone: no handler of the library may catch it."""


@dataclass
class Steps:
    """Counts the steps that leave something behind, and dies before the one that is chosen."""

    taken: int = 0
    dies_at: int | None = None

    def step(self) -> None:
        if self.dies_at is not None and self.taken >= self.dies_at:
            raise Killed
        self.taken += 1


class SteppedLedger(MemoryLedgerBackend):
    """A step before each commit and one after it."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        self.steps.step()
        with super().transaction() as transaction:
            yield transaction
        self.steps.step()


class SteppedBlobs(MemoryBackend):
    """A step before each change of the store and one after it."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def create(self, name: str, data: bytes) -> bool:
        self.steps.step()
        done = super().create(name, data)
        self.steps.step()
        return done

    def erase(self, name: str) -> bool:
        self.steps.step()
        done = super().erase(name)
        self.steps.step()
        return done


@dataclass
class FakeOrchestrator:
    """Keeps what runs, what was cancelled, and what was launched, by its replay id."""

    steps: Steps = field(default_factory=Steps)
    runs: list[RunUnderWay] = field(default_factory=list)
    canceled: dict[str, str] = field(default_factory=dict)
    launches: dict[str, ReplayLaunch] = field(default_factory=dict)
    fault: RunOperateError | None = None

    def running(self) -> Sequence[RunUnderWay]:
        return [run for run in self.runs if run.dagster_run_id not in self.canceled]

    def cancel(self, dagster_run_id: str, words: str) -> None:
        self.steps.step()
        if self.fault:
            raise self.fault
        if all(run.dagster_run_id != dagster_run_id for run in self.runs):
            raise NotFoundError(f"no run {dagster_run_id!r}.")
        self.canceled.setdefault(dagster_run_id, words)
        self.steps.step()

    def launched(self, replay_id: str) -> str | None:
        return f"backfill-{replay_id[:8]}" if replay_id in self.launches else None

    def launch_replay(self, launch: ReplayLaunch) -> str:
        self.steps.step()
        if self.fault:
            raise self.fault
        self.launches.setdefault(launch.replay_id, launch)
        self.steps.step()
        return f"backfill-{launch.replay_id[:8]}"


def people(*more: RoleBinding, four_eyes: tuple[AdminActionType, ...] = ()) -> AccessPolicy:
    """One of each who is needed. Two may approve."""
    return policy(
        binding(ADMIN, Role.ADMIN),
        binding(OPS, Role.OPERATOR),
        binding(DEPLOYER, Role.DEPLOYER),
        binding(SECOND, Role.APPROVER),
        binding(THIRD, Role.APPROVER),
        binding(READER, Role.READER),
        *more,
        four_eyes=four_eyes,
    )


class AdminWorld(SmallWorld):
    """A small world with an artifact, its consumer, and what else the actions are about."""

    def __init__(self, content: AccessPolicy | None = None, *, governed: bool = True) -> None:
        self.steps = Steps()
        self.clock = ManualClock()
        self.log = SteppedLedger(self.steps)
        plane = Plane.over(SteppedBlobs(self.steps), self.log, clock=self.clock)
        super().__init__(plane=plane)
        self.clock = ManualClock()
        self.orchestrator = FakeOrchestrator(self.steps)
        self.made_one = self.made("source")
        self.made_two = self.made("report", self.made_one)
        self.orchestrator.runs.append(RunUnderWay("run-1", "w", ("source",), OPS, True))
        if governed:
            published(plane, content or people())

    @property
    def admin(self) -> Administration:
        """The administration with the orchestrator behind it."""
        return self.plane.administration.over(self.orchestrator)

    def do(self, request: AdminRequest, actor: str, key: str = "k") -> JsonObject:
        """Do an action; answers what is so after it."""
        return self.admin.service.perform(request, actor=actor, key=key).after

    def events(self, *results: str) -> list[AdminEvent]:
        """The events with one of these results, oldest first."""
        found = [
            body_of(item, AdminEvent) for item in self.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
        ]
        return [event for event in found if not results or event.result in results]

    def approved(self, request: AdminRequest, proposer: str, key: str = "k") -> str:
        """A directive that a second person approved."""
        directives = self.admin.directives
        found = directives.propose(request, actor=proposer, key=key)
        return directives.approve(found.directive_id, reason=WHY, actor=SECOND).directive_id


def ask(kind: AdminActionType, parameters: JsonObject, reason: str = WHY) -> AdminRequest:
    """A request."""
    return admin_request(kind, reason=reason, parameters=parameters)


def pause(target: str = "workload/w") -> AdminRequest:
    return ask(AdminActionType.PAUSE, {"target": target})


def resume(target: str = "workload/w") -> AdminRequest:
    return ask(AdminActionType.RESUME, {"target": target})


def revoke(ref: BoundRef) -> AdminRequest:
    asset = ref.ref.split("/")[1]
    return ask(AdminActionType.REVOKE_PASS, {"gate_id": f"{asset}.good", "ref": ref.ref})


def promote(ref: BoundRef, channel: str = "stable") -> AdminRequest:
    return ask(AdminActionType.PROMOTE, {"name": "model", "channel": channel, "ref": ref.ref})


def erase(ref: BoundRef) -> AdminRequest:
    return ask(AdminActionType.ERASE_ARTIFACT, {"digest": ref.digest})


def grant(actor: str, role: Role, kind: AdminActionType | None = None) -> AdminRequest:
    found = RoleBinding(actor=actor, role=role, scope=Scope())
    return ask(kind or AdminActionType.GRANT_ROLE, found.to_json_value())


def take_back(actor: str, role: Role) -> AdminRequest:
    return grant(actor, role, AdminActionType.REVOKE_ROLE)


def replay(world: AdminWorld) -> AdminRequest:
    return ask(
        AdminActionType.REPLAY_REQUEST,
        {"manifests": [world.fingerprint], "purpose": "an audit", "basis": "recorded"},
    )


def retention(days: int | None, target: str = "artifacts") -> AdminRequest:
    return ask(
        AdminActionType.CHANGE_RETENTION,
        {"target": target} | ({} if days is None else {"days": days}),
    )


def publish(world: AdminWorld, content: JsonObject, name: str = "limits") -> AdminRequest:
    digest = world.plane.configs.keep(content)
    return ask(AdminActionType.PUBLISH_CONFIG, {"name": name, "digest": digest})


def policy_content(world: AdminWorld) -> AccessPolicy:
    """The policy in force."""
    found = world.plane.policies.newest()
    assert found is not None, POLICY_CONFIG
    return found.policy


Case = tuple[Callable[[AdminWorld], AdminRequest], str]
"""How to ask for an action, and who may."""
CASES: dict[AdminActionType, Case] = {
    AdminActionType.PAUSE: (lambda _world: pause(), OPS),
    AdminActionType.RESUME: (lambda _world: resume(), OPS),
    AdminActionType.DRAIN: (lambda _world: ask(AdminActionType.DRAIN, {"target": "plane"}), OPS),
    AdminActionType.CANCEL_RUN: (
        lambda _world: ask(AdminActionType.CANCEL_RUN, {"dagster_run_id": "run-1"}),
        OPS,
    ),
    AdminActionType.REPLAY_REQUEST: (replay, OPS),
    AdminActionType.REVOKE_PASS: (lambda world: revoke(world.made_one), OPS),
    AdminActionType.PUBLISH_CONFIG: (lambda world: publish(world, {"most": 3}), DEPLOYER),
    AdminActionType.PROMOTE: (lambda world: promote(world.made_two), DEPLOYER),
    AdminActionType.ERASE_ARTIFACT: (lambda world: erase(world.made_two), ADMIN),
    AdminActionType.CHANGE_RETENTION: (lambda _world: retention(30), ADMIN),
    AdminActionType.GRANT_ROLE: (lambda _world: grant("HUMAN::new", Role.READER), ADMIN),
    AdminActionType.REVOKE_ROLE: (lambda _world: take_back(READER, Role.READER), ADMIN),
}
