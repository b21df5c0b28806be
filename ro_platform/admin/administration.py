"""The administration of one plane: its pauses, its registry, its service and its directives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ro_platform import errors
from ro_platform.access.policy import Access, Target
from ro_platform.admin.action import AdminAction
from ro_platform.admin.approvals import SecondPeople
from ro_platform.admin.directives import Directives
from ro_platform.admin.evidence import EraseArtifactAction, RevokePassAction
from ro_platform.admin.intents import Intent
from ro_platform.admin.located import Artifacts
from ro_platform.admin.orchestrator import Orchestrator
from ro_platform.admin.outcomes import Outcome
from ro_platform.admin.pauses import Pauses
from ro_platform.admin.pausing import DrainAction, PauseAction, ResumeAction
from ro_platform.admin.policies import GrantRoleAction, PublishConfigAction, RevokeRoleAction
from ro_platform.admin.promotion import Channels, PromoteAction
from ro_platform.admin.replay import ReplayAction
from ro_platform.admin.retention import ChangeRetentionAction, Retentions
from ro_platform.admin.running import CancelRunAction
from ro_platform.admin.service import AdminService
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.policies import policy_of
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import Action
from ro_platform.gates.guard import Guard
from ro_platform.gates.revocation import Revocations
from ro_platform.kernel.clock import Clock
from ro_platform.ledger.log import Ledger
from ro_platform.runs.erasure import Erasures
from ro_platform.runs.registry import RunRegistry


@dataclass(frozen=True)
class Dependencies:
    """What the actions are done with."""

    store: ArtifactStore
    ledger: Ledger
    configs: ConfigVersions
    guard: Guard
    revocations: Revocations
    runs: RunRegistry
    erasures: Erasures
    access: Access
    clock: Clock


@dataclass(frozen=True, slots=True)
class Reconciled:
    """An intent that had no outcome, and its outcome now, or why it has none still."""

    intent: Intent
    outcome: Outcome | None = None
    error: errors.RunOperateError | None = None


@dataclass(frozen=True)
class Administration:
    """The service with the actions that this process can do, and what they leave."""

    dependencies: Dependencies
    pauses: Pauses
    channels: Channels
    retentions: Retentions
    service: AdminService
    directives: Directives

    @classmethod
    def of(cls, dependencies: Dependencies) -> Administration:
        """Everything that needs no orchestrator."""
        ledger, clock = dependencies.ledger, dependencies.clock
        retentions = Retentions(ledger, clock)
        actions = {action.action_type: action for action in _actions(dependencies, retentions)}
        service = AdminService(ledger, dependencies.access, clock, actions)
        second = SecondPeople(
            dependencies.access, lambda digest: policy_of(dependencies.configs.kept(digest))
        )
        return cls(
            dependencies,
            Pauses(ledger),
            Channels(ledger),
            retentions,
            service,
            Directives(ledger, dependencies.access, service, second, clock),
        )

    def reconcile(self, *, actor: str) -> Iterator[Reconciled]:
        """Bring every action that a crash left to its one outcome, oldest first, and record the
        ends of directives. Safe at any time, also while an action is under way.

        Needs the right to automate, or to do that action oneself; what the actor may not complete,
        what needs an orchestrator that is not there, and what cannot be reached now, is answered
        with its error and stays open. Of what is not theirs, who may not look hears nothing.
        """
        access = self.dependencies.access
        looks = access.decide(actor, Action.VIEW, access.target("open actions")).allowed
        for intent in self.service.open_intents():
            try:
                self._require_reconciler(actor, intent)
                outcome = self.service.complete(intent, by=actor)
            except errors.RunOperateError as error:
                if looks or not isinstance(error, errors.AccessDeniedError):
                    yield Reconciled(intent, error=error)
            else:
                yield Reconciled(intent, outcome)
        self.directives.record_ends(actor=actor)

    def _require_reconciler(self, actor: str, intent: Intent) -> None:
        access = self.dependencies.access
        action = self.service.action(intent.event.action_type)
        target = Target("open actions", environment=access.environment)
        if not access.decide(actor, Action.AUTOMATE, target).allowed:
            own = action.target(intent.request, access.environment)
            access.require(actor, action.right(intent.request), own)

    def over(self, orchestrator: Orchestrator) -> Administration:
        """The same, with the actions that need the orchestrator: ``cancel_run``, and launching a
        ``replay_request``."""
        ledger, runs = self.dependencies.ledger, self.dependencies.runs
        service = self.service.extended(
            [CancelRunAction(ledger, orchestrator), ReplayAction(ledger, runs, orchestrator)]
        )
        return replace(self, service=service, directives=self.directives.over(service))


def _actions(dependencies: Dependencies, retentions: Retentions) -> list[AdminAction[Any]]:
    ledger, artifacts = dependencies.ledger, Artifacts(dependencies.ledger, dependencies.runs)
    return [
        PauseAction(ledger),
        ResumeAction(ledger),
        DrainAction(ledger),
        RevokePassAction(dependencies.revocations, artifacts),
        EraseArtifactAction(dependencies.erasures, artifacts, retentions),
        PublishConfigAction(dependencies.configs),
        GrantRoleAction(dependencies.configs),
        RevokeRoleAction(dependencies.configs),
        PromoteAction(ledger, dependencies.guard, artifacts),
        ChangeRetentionAction(ledger, retentions),
        ReplayAction(ledger, dependencies.runs, None),
    ]
