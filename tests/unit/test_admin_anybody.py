"""Anybody asks for anything, alone and by directive, and roles change meanwhile: the guardrails
hold, only who may and as many as must have done it, and whatever was tried is on record.

Beside :mod:`tests.unit.test_admin_guardrails`, where the plane's own law is looked at action by
action, here it is every action of the closed set, under a policy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from ro_platform.access.policy import PolicyInForce, decide
from ro_platform.access.roles import ALWAYS_FOUR_EYES
from ro_platform.contracts import (
    Action,
    AdminActionType,
    AdminEvent,
    AdminRequest,
    DirectiveMoved,
    DirectiveStatus,
    EntryKind,
    Role,
)
from ro_platform.errors import AccessDeniedError, GateRefusedError, RunOperateError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from tests.effort import times
from tests.unit.access_world import binding
from tests.unit.admin_world import (
    ADMIN,
    CASES,
    DEPLOYER,
    OPS,
    READER,
    SECOND,
    THIRD,
    AdminWorld,
    ask,
    grant,
    pause,
    people,
    promote,
    publish,
    replay,
    resume,
    retention,
    revoke,
    take_back,
)

WHO = st.sampled_from([ADMIN, OPS, DEPLOYER, SECOND, THIRD, READER, "HUMAN::nobody"])
MAYBE = st.none() | WHO
"""Nobody drawn is whoever may."""
KINDS = st.sampled_from(sorted(CASES))
PICK = st.integers(0, 5)
MORE = (
    binding(READER, Role.OPERATOR, workload="w"),
    binding(READER, Role.OPERATOR, environment="elsewhere"),
    binding("HUMAN::nobody", Role.STREAM_ADMIN),
    binding(OPS, Role.DEPLOYER, workload="w"),
)


class Anybody(RuleBasedStateMachine):
    """People, some artifacts, one of them unjudged; and everything that can be asked for."""

    names: Bundle[str] = Bundle("names")

    @initialize(more=st.sets(st.sampled_from(range(len(MORE)))))
    def begin(self, more: set[int]) -> None:
        """Who has which role besides is drawn."""
        self.world = AdminWorld(people(*(MORE[number] for number in sorted(more))))
        self.unpassed = self.world.made("unjudged", self.world.made_one, passed=False)
        self.refs = (self.world.made_one, self.world.made_two, self.unpassed)
        self.bindings = list(self.world.store.bindings())
        self.manifest = self.world.plane.runs.manifest(self.world.fingerprint)
        self.leaves: list[bytes] = []
        self.root: tuple[int, bytes] | None = None
        self.keys = itertools.count()
        self.policies = dict[str, PolicyInForce]()

    @rule(who=MAYBE, kind=KINDS, pick=PICK)
    def act(self, who: str | None, kind: AdminActionType, pick: int) -> None:
        """Alone."""
        request, key = self._request(kind, pick), str(next(self.keys))
        actor, service = who or CASES[kind][1], self.world.admin.service
        self._tried(actor, kind, key, lambda: service.perform(request, actor=actor, key=key))

    @rule(target=names, who=MAYBE, kind=KINDS, pick=PICK)
    def propose(self, who: str | None, kind: AdminActionType, pick: int) -> Any:
        """For a second person."""
        request, actor = self._request(kind, pick), who or CASES[kind][1]
        key = str(next(self.keys))
        try:
            found = self.world.admin.directives.propose(request, actor=actor, key=key)
        except RunOperateError:
            return multiple()
        return found.directive_id

    @rule(name=names, who=MAYBE)
    def approve(self, name: str, who: str | None) -> None:
        """What somebody proposed."""
        directives, actor = self.world.admin.directives, who or SECOND
        try:
            found = directives.get(name)
            directives.approve(name, reason="seen", actor=actor)
        except RunOperateError:
            return
        assert actor != found.proposer

    @rule(name=names, who=MAYBE)
    def execute(self, name: str, who: str | None) -> None:
        """What may be approved."""
        directives = self.world.admin.directives
        found = directives.get(name)
        actor, kind = who or found.proposer, found.request.action_type
        key = f"directive/{name}"
        self._tried(actor, kind, key, lambda: directives.execute(name, actor=actor))

    @rule(kind=KINDS, pick=PICK, second=MAYBE)
    def by_two(self, kind: AdminActionType, pick: int, second: str | None) -> None:
        """From the proposal to the execution, with nothing in between."""
        name = self.propose(None, kind, pick)
        if isinstance(name, str):
            self.approve(name, second)
            self.execute(name, None)

    @invariant()
    def the_law_holds(self) -> None:
        """What nobody judged is not read, and no channel points to it; bindings and manifests are
        as they were."""
        with pytest.raises(GateRefusedError):
            self.world.read(self.unpassed)
        for promoted in self.world.admin.channels.all():
            assert promoted.ref != self.unpassed.ref
        assert list(self.world.store.bindings()) == self.bindings
        assert self.world.plane.runs.manifest(self.world.fingerprint) == self.manifest
        assert manifest_fingerprint(self.manifest) == self.world.fingerprint

    @invariant()
    def records_only_grow(self) -> None:
        """Every entry is there byte for byte, and every earlier root is one of this ledger."""
        log = self.world.plane.ledger
        rows = [canonical_bytes(entry) for entry in log.scan()]
        assert rows[: len(self.leaves)] == self.leaves
        self.leaves = rows
        found = log.verify(against=self.root)
        self.root = (found.size, found.root)

    @invariant()
    def a_pause_outlives_the_process(self) -> None:
        """A plane that opens the same store and ledger finds the same pauses."""
        other = Plane.over(self.world.store.backend, self.world.log, clock=self.world.plane.clock)
        assert other.pauses.standing() == self.world.plane.pauses.standing()

    @invariant()
    def every_intent_has_an_outcome_by_who_might(self) -> None:
        """By the policy that the event names its actor had the right; and what needs a second
        person had one."""
        assert list(self.world.admin.service.open_intents()) == []
        now = self.world.plane.policies.newest()
        assert now is not None
        self.policies[now.digest] = now
        for event in self.world.events("done", "failed"):
            if event.key is None:
                continue
            self._require_right(event)

    def _require_right(self, event: AdminEvent) -> None:
        assert event.authority is not None
        assert event.reason.strip()
        policy = self.policies[str(event.authority.policy)]
        action = Action(event.action_type.value)
        target = self.world.plane.access.target("it", workload="w")
        assert decide(policy, event.actor, action, target).allowed
        if event.action_type in ALWAYS_FOUR_EYES:
            name = event.authority.directive_id
            moves = self.world.plane.ledger.scan(
                kind=EntryKind.DIRECTIVE_MOVED, subject=f"directive/{name}"
            )
            by = {body_of(entry, DirectiveMoved).status.value: entry.actor for entry in moves}
            assert by["approved"] != by["proposed"]

    def _tried(
        self, actor: str, kind: AdminActionType, key: str, act: Callable[[], object]
    ) -> None:
        """Whatever was tried left its outcome, its one refusal, or nothing that changed."""
        size = self.world.plane.ledger.size()
        try:
            act()
        except AccessDeniedError:
            name = key.removeprefix("directive/")
            refused = self._events(actor, kind, "refused")
            assert refused or not self._is_approved(name)
            return
        except RunOperateError:
            added = list(self.world.plane.ledger.scan(start=size))
            results = [entry.body.get("result", entry.body.get("status")) for entry in added]
            assert results in ([], ["intended", "failed"], ["intended", "failed", "failed"])
            return
        done = [item for item in self.world.events("done") if item.key == key]
        assert len(done) == 1 or self._is_settled(kind)

    def _is_settled(self, kind: AdminActionType) -> bool:
        return kind in (
            AdminActionType.REVOKE_PASS,
            AdminActionType.PUBLISH_CONFIG,
            AdminActionType.ERASE_ARTIFACT,
        )

    def _events(self, actor: str, kind: AdminActionType, result: str) -> list[AdminEvent]:
        return [
            event
            for event in self.world.events(result)
            if event.actor == actor and event.action_type is kind
        ]

    def _is_approved(self, name: str) -> bool:
        return self.world.admin.directives.get(name).status is DirectiveStatus.APPROVED

    def _request(self, kind: AdminActionType, pick: int) -> AdminRequest:
        ref, who = self.refs[pick % 3], (READER, OPS, SECOND)[pick % 3]
        role = (Role.READER, Role.OPERATOR, Role.APPROVER)[pick // 2]
        target = ("plane", "workload/w", "asset/source")[pick % 3]
        match kind:
            case AdminActionType.PAUSE:
                return pause(target)
            case AdminActionType.RESUME:
                return resume(target)
            case AdminActionType.DRAIN:
                return ask(kind, {"target": target})
            case AdminActionType.REPLAY_REQUEST:
                return replay(self.world)
            case AdminActionType.REVOKE_PASS:
                return revoke(ref)
            case AdminActionType.PROMOTE:
                return promote(ref, channel=f"c{pick // 3}")
            case AdminActionType.ERASE_ARTIFACT:
                return ask(kind, {"digest": ref.digest})
            case AdminActionType.CHANGE_RETENTION:
                return retention(pick)
            case AdminActionType.PUBLISH_CONFIG:
                return publish(self.world, {"most": pick})
            case AdminActionType.GRANT_ROLE:
                return grant(who, role)
            case AdminActionType.REVOKE_ROLE:
                return take_back(who, role)
            case _:
                return CASES[kind][0](self.world)


TestAnybody = Anybody.TestCase
TestAnybody.settings = settings(max_examples=times(40), stateful_step_count=25, deadline=None)
