"""What the tests of launches share: processes with tokens of their own, over one deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from ro_platform.config.settings import settings_in_force
from ro_platform.contracts import (
    AccessPolicy,
    AdminActionType,
    AdminRequest,
    EntryKind,
    JobAttemptRecord,
    LedgerEntry,
    Role,
    RoleBinding,
    Scope,
)
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.plane import Plane, shared_plane
from ro_platform.testing import EphemeralPlane

BOSS = "HUMAN::boss"
ALICE = "HUMAN::alice"
READER = "HUMAN::reader"
DAEMON = "SYSTEM::dagster-daemon"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

computed: list[str] = []
"""The assets that computed something: what no refusal may add to."""


@dg.asset(partitions_def=MANIFESTS)
def first() -> dict[str, Any]:
    """An asset that says when it computes."""
    computed.append("first")
    return {"n": 1}


@dg.asset(partitions_def=MANIFESTS)
def second(first: dict[str, Any]) -> dict[str, Any]:
    """One that reads it."""
    computed.append("second")
    return first


@dg.op
def shout() -> None:
    """Something that the plane does not govern."""
    computed.append("shout")


@dg.job
def ungoverned() -> None:
    """A job of it."""
    shout()


DEFS = govern(
    dg.Definitions(
        assets=[first, second],
        jobs=[
            dg.define_asset_job("test", selection=["first", "second"], partitions_def=MANIFESTS),
            ungoverned,
        ],
    )
)


@dataclass(frozen=True)
class World:
    """A deployment, and who acts in it."""

    governed: EphemeralPlane

    @property
    def instance(self) -> dg.DagsterInstance:
        """Its Dagster instance."""
        return self.governed.instance

    @property
    def plane(self) -> Plane:
        """Its plane, as the single user or whoever's process this is."""
        return self.governed.plane

    def token(self, holder: str) -> str:
        """A token, from before the policy or from its admin."""
        actor = self.plane.access.single_user if self.plane.access.in_force is None else BOSS
        return self.plane.tokens.issue(
            holder, lifetime=timedelta(days=1), reason="a test", actor=actor
        ).text

    def publish_policy(self, *more: RoleBinding) -> None:
        """End the single-user mode: alice and the daemon operate, reader looks."""
        self.token(BOSS)
        roles = [
            (BOSS, Role.ADMIN),
            ("HUMAN::other", Role.APPROVER),
            (ALICE, Role.OPERATOR),
            (DAEMON, Role.OPERATOR),
            (READER, Role.READER),
        ]
        bindings = tuple(
            RoleBinding(actor=actor, role=role, scope=Scope()) for actor, role in roles
        )
        self.plane.policies.publish_first(
            AccessPolicy(kind="ro.access_policy.v0", bindings=(*bindings, *more)),
            reason="a test",
            actor=self.plane.access.single_user,
        )

    @contextmanager
    def process_of(self, holder: str | None) -> Iterator[Plane]:
        """As if this were a process with that actor's token, or with none."""
        token = self.token(holder) if holder else ""
        with settings_in_force(replace(self.governed.settings, token=token)) as settings:
            yield shared_plane(settings)

    def created(self, fingerprint: str, job: str = "test", **tags: str) -> dg.DagsterRun:
        """A run that this process creates, and does not execute."""
        keyed = {"dagster/partition": fingerprint} if job == "test" else {}
        return self.instance.create_run_for_job(
            DEFS.resolve_job_def(job),
            tags={**keyed, **{key.replace("__", "/"): value for key, value in tags.items()}},
        )

    def execute(self, fingerprint: str, job: str = "test") -> dg.ExecuteInProcessResult:
        """Execute in this process, as `dagster job execute` does."""
        computed.clear()
        return DEFS.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=fingerprint if job == "test" else None,
            raise_on_error=False,
            run_config=QUIET,
        )

    def execute_row(self, run: dg.DagsterRun) -> dg.JobExecutionResult:
        """Execute a run as it is stored, past the launcher, as `dagster api execute_run` does."""
        job = DEFS.resolve_job_def("test").with_executor_def(dg.in_process_executor)
        return execute_run(InMemoryJob(job), self.reloaded(run), self.instance)

    def reloaded(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """The run as it is stored."""
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    def attempts(self, fingerprint: str) -> dict[str, JobAttemptRecord]:
        """The newest attempt of each unit."""
        return {item.unit: item for item in self.plane.attempts.of_run(fingerprint)}

    def refusals(self) -> list[LedgerEntry]:
        """Launches on record as refused."""
        return [
            entry
            for entry in self.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
            if entry.body["operation"] == "launch"
        ]

    def act(self, action: AdminActionType, target: str, actor: str | None = None) -> None:
        """Pause, resume or drain."""
        self.perform(action, {"target": target}, actor)

    def perform(
        self, action: AdminActionType, parameters: dict[str, Any], actor: str | None = None
    ) -> None:
        """Any administrative action, by the single user unless somebody is named."""
        service = self.plane.admin
        request = AdminRequest(action_type=action, reason="for a test", parameters=parameters)
        service.perform(
            request, actor=actor or self.plane.access.single_user, key=service.key_for(request)
        )
