"""Who launched what: the signed word about it on each run and backfill, and the law that asks it.

Every run of this deployment is created through its run storage, in the process that knows who
acts: the UI's gateway for people, the daemon for its own ticks and for what it executes on
somebody's behalf, a command for whoever's token it has. There the tags ``ro/actor`` and
``ro/grant`` are set, whatever a client wrote under them. The coordinator, the launcher and the
first step of every run ask :meth:`Launches.require`, so a row that came into Dagster's database in
another way, or was changed there, executes nothing.

The grant is for exactly one run, or one backfill: its id is part of what is signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from ro_platform import errors
from ro_platform.access.grants import DEFAULT_LIFETIME
from ro_platform.access.identity import current_actor
from ro_platform.contracts import Action, JobStatus
from ro_platform.contracts.access import LaunchGrant
from ro_platform.dagster_private.launches import (
    AUTOMATIC,
    BACKFILL,
    PARTITION,
    PartitionBackfill,
    backfill_covers,
    backfill_facts,
    launch_facts,
    retry_covers,
)
from ro_platform.kernel.clock import moment_of
from ro_platform.kernel.digest import sha256_hex
from ro_platform.orchestration.workers import WORKER
from ro_platform.plane import Plane

ACTOR = "ro/actor"
GRANT = "ro/grant"
WORKLOAD = "ro/workload"
HELD = "ro/held"
REPLAY = "ro/replay"
"""``true`` on a run that makes again what was made, to prove its bytes."""
ADMIN_JOB = "ro_admin"
"""The job of administrative actions: each is authorised by itself, and none is stopped by a
pause, or nobody could end one from the UI."""
NO_WORKLOAD = "none"
REFUSED = "ro/refused"
REFUSED_BY = "ro/refused_by"
STAMPED = frozenset({ACTOR, GRANT, WORKLOAD, HELD, WORKER, REFUSED, REFUSED_BY})
"""Tags that only this deployment sets. What a client sends under them, and what a run that is
executed again had of them, is dropped."""
UNATTENDED_LIFETIME = timedelta(days=7)
"""How long a backfill may go on launching runs on one request, what the daemon launches may wait
for the end of a pause, and how old a launch may be that it retries. What a person launches has a
grant's usual lifetime."""


def launch_digest(run: dg.DagsterRun) -> str:
    """SHA-256 (64 hex) of what a run executes, its own id included."""
    return _digest(launch_facts(run))


def backfill_digest(backfill: PartitionBackfill) -> str:
    """SHA-256 (64 hex) of what a backfill is over, its own id included."""
    return _digest(backfill_facts(backfill))


@dataclass(frozen=True)
class LaunchTargets:
    """What a run works on: workloads by their manifests, and assets by name."""

    workloads: frozenset[str]
    assets: frozenset[str]


class Launches:
    """The launches of one Dagster instance. ``run_of`` and ``backfill_of`` look them up by id."""

    def __init__(
        self,
        plane: Plane,
        run_of: Callable[[str], dg.DagsterRun | None],
        backfill_of: Callable[[str], PartitionBackfill | None],
    ) -> None:
        self._plane = plane
        self._run_of = run_of
        self._backfill_of = backfill_of

    @classmethod
    def of(cls, plane: Plane, instance: dg.DagsterInstance) -> Launches:
        """Those of an instance."""
        return cls(plane, instance.get_run_by_id, instance.get_backfill)

    def stamped(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """The run with the tags that say who launched it, and without any that a client sent.

        Where nobody is known to act it has none, and will be refused. Raises what may pass
        (:class:`BackendUnavailableError`).
        """
        own = {key: value for key, value in run.tags.items() if key not in STAMPED}
        if run.job_name != ADMIN_JOB:
            own[WORKLOAD] = self._workload_by_partition(run) or NO_WORKLOAD
        bare = run.with_tags(own)
        try:
            actor = self.actor_of(bare)
        except errors.AccessDeniedError:
            return bare
        lifetime = UNATTENDED_LIFETIME if self.is_automatic(bare) else DEFAULT_LIFETIME
        grant = self._plane.grants.sign(actor, launch_digest(bare), lifetime)
        return bare.with_tags({**own, ACTOR: actor, GRANT: grant})

    def stamped_backfill(self, backfill: PartitionBackfill) -> PartitionBackfill:
        """As :meth:`stamped`: who asked for the backfill is who launches its runs.

        Raises :class:`NotAuthenticatedError` if that is nobody, and :class:`AccessDeniedError` if
        they may not launch its job: else each of its runs would be created to be refused.
        """
        own = {key: value for key, value in backfill.tags.items() if key not in STAMPED}
        bare = backfill._replace(tags=own)
        actor, access = current_actor() or self._plane.identity.actor(), self._plane.access
        job = None if backfill.is_asset_backfill else backfill.job_name
        # A job's own workload here; each run is asked about what it does work on.
        target = access.target(f"backfill of {job or 'assets'}", workload=job)
        access.require(actor, Action.LAUNCH, target)
        grant = self._plane.grants.sign(actor, backfill_digest(bare), UNATTENDED_LIFETIME)
        return bare._replace(tags={**own, ACTOR: actor, GRANT: grant})

    def actor_of(self, run: dg.DagsterRun) -> str:
        """Who launches a run that this process creates.

        That is whoever's request is being served, or else the process itself. A service that
        automates (the daemon) launches the runs of a backfill, and retries, for who asked for it.

        Raises :class:`NotAuthenticatedError` if that is nobody, and :class:`GrantRefusedError` for
        a run of a backfill that nobody asked for, and for a retry of what nobody launched: both are
        rows of Dagster's database, which prove nothing by themselves.
        """
        asking = current_actor()
        if asking is not None:
            return asking
        process = self._plane.identity.actor()
        if not self._acts_for_others(process):
            return process
        if BACKFILL in run.tags:
            return self._asked_by(self._backfill_of(run.tags[BACKFILL]), run, process)
        if run.parent_run_id is None or self._plane.access.in_force is None:
            return process  # the single user executes again, or its daemon does
        return self._retried_for(run.parent_run_id, run)

    def require(self, run: dg.DagsterRun, *, begun: bool = False) -> LaunchGrant:
        """The run's grant, if it is genuine, for exactly this run, and its actor may launch it.

        ``begun``: it has, so it goes on although its grant has expired or a role was withdrawn.
        Raises :class:`GrantRefusedError`, :class:`NotAuthenticatedError` or
        :class:`AccessDeniedError`.
        """
        grant = self._grant(run, begun=begun)
        if grant.actor != run.tags.get(ACTOR):
            raise errors.GrantRefusedError(
                f"The launch grant is {grant.actor}'s, and the run says {run.tags.get(ACTOR)}.",
                next_step="Somebody changed its tags; launch it again.",
                actor=grant.actor,
                dagster_run_id=run.run_id,
            )
        if not begun:
            self._require_right(grant.actor, run)
        return grant

    def require_running(self, run: dg.DagsterRun) -> None:
        """Raise :class:`PausedError` if something that the run works on is paused."""
        work = self.work_of(run)
        if _is_admin(run, work):
            return
        workloads: list[str | None] = [*sorted(work.workloads)]
        for workload in workloads or [None]:
            self._plane.pauses.require_running(workload=workload, assets=work.assets)

    def has_begun(self, dagster_run_id: str) -> bool:
        """Whether a governed step of the run has started, by the ledger."""
        never = {JobStatus.QUEUED, JobStatus.REFUSED, JobStatus.CANCELED}
        return not self._standings(dagster_run_id) <= never

    def is_used(self, dagster_run_id: str) -> bool:
        """Whether the run was executed, cancelled or refused before, by the ledger."""
        return not self._standings(dagster_run_id) <= {JobStatus.QUEUED}

    def _standings(self, dagster_run_id: str) -> set[JobStatus]:
        steps = self._plane.attempts.of_dagster_run(dagster_run_id).values()
        return {item.status for attempts in steps for item in attempts}

    def work_of(self, run: dg.DagsterRun) -> LaunchTargets:
        """What a run works on, by what was planned for it and by what it says itself."""
        planned = self._plane.attempts.of_dagster_run(run.run_id).values()
        attempts = [item for step in planned for item in step]
        fingerprints = {item.manifest_fingerprint for item in attempts}
        fingerprints |= {value for key, value in run.tags.items() if key == PARTITION}
        selected = {"/".join(key.path) for key in run.asset_selection or ()}
        checked = {"/".join(key.asset_key.path) for key in run.asset_check_selection or ()}
        units = {item.unit.partition("#")[0] for item in attempts}
        names = {self._workload_of(fingerprint) for fingerprint in fingerprints}
        return LaunchTargets(
            frozenset(name for name in names if name), frozenset(units | selected | checked)
        )

    def is_automatic(self, run: dg.DagsterRun) -> bool:
        """Whether the daemon launches it, which can wait: nobody is there to be refused."""
        return current_actor() is None and any(tag in run.tags for tag in AUTOMATIC)

    def _require_right(self, actor: str, run: dg.DagsterRun) -> None:
        access, work = self._plane.access, self.work_of(run)
        action = Action.VIEW if _is_admin(run, work) else Action.LAUNCH
        # A job other than the workload's own could make what belongs to other workloads.
        workload = run.job_name if work.workloads == {run.job_name} else None
        access.require(actor, action, access.target(f"job {run.job_name}", workload=workload))

    def _grant(self, run: dg.DagsterRun, *, begun: bool) -> LaunchGrant:
        text = run.tags.get(GRANT)
        if text is None:
            self.actor_of(run)  # says better why there is none
        return self._plane.grants.open(text, launch_digest(run), begun=begun)

    def _acts_for_others(self, process: str) -> bool:
        access = self._plane.access
        if access.in_force is None:
            return True
        target = access.target("launches for others")
        is_service = process.startswith("SYSTEM::")
        return is_service and access.decide(process, Action.AUTOMATE, target).allowed

    def _asked_by(
        self, backfill: PartitionBackfill | None, run: dg.DagsterRun, process: str
    ) -> str:
        text = backfill.tags.get(GRANT) if backfill else None
        if text is None and self._plane.access.in_force is None:
            return process  # from before there were grants
        if backfill is None:  # or deleting its row would make the daemon the one who asked
            raise errors.GrantRefusedError(
                f"Dagster has no backfill {run.tags[BACKFILL]} on record, so nobody asked for it.",
                next_step="Launch the backfill again.",
                backfill=run.tags[BACKFILL],
            )
        grant = self._plane.grants.open(text, backfill_digest(backfill))
        if grant.actor != backfill.tags.get(ACTOR) or not backfill_covers(backfill, run):
            raise errors.GrantRefusedError(
                f"Backfill {backfill.backfill_id} was not asked for over what this run executes.",
                next_step="Somebody changed it in Dagster's database; launch the backfill again.",
                actor=grant.actor,
                backfill=backfill.backfill_id,
            )
        return grant.actor

    def _retried_for(self, parent_run_id: str, run: dg.DagsterRun) -> str:
        """The daemon retries what a row says has failed, so that row's own grant must cover it."""
        parent = self._run_of(parent_run_id)
        if parent is None or not retry_covers(parent, run):
            raise errors.GrantRefusedError(
                f"Nobody launched what this run executes again as run {parent_run_id}.",
                next_step="Somebody wrote it into Dagster's database; launch the work again.",
                parent_run_id=parent_run_id,
            )
        grant = self.require(parent, begun=True)
        if moment_of(grant.issued_at_utc) + UNATTENDED_LIFETIME < self._plane.clock():
            raise errors.GrantRefusedError(
                f"Run {parent_run_id} was launched at {grant.issued_at_utc}, too long ago for the "
                "daemon to retry it.",
                next_step="Execute it again by hand, from the run's page.",
                actor=grant.actor,
                parent_run_id=parent_run_id,
            )
        return grant.actor

    def _workload_by_partition(self, run: dg.DagsterRun) -> str | None:
        fingerprint = run.tags.get(PARTITION)
        return self._workload_of(fingerprint) if fingerprint else None

    def _workload_of(self, fingerprint: str) -> str | None:
        """None for a manifest that is not registered, or damaged: its steps will say so."""
        try:
            return self._plane.runs.manifest(fingerprint).workload
        except errors.RunOperateError as error:
            if error.retryable:
                raise
            return None


def pause_words(
    plane: Plane, *, workload: str | None = None, assets: Collection[str] = ()
) -> str | None:
    """Why a sensor skips: who paused the plane, the workload or one of the assets, and why. None
    where nothing of it is paused."""
    try:
        plane.pauses.require_running(workload=workload, assets=assets)
    except errors.PausedError as error:
        return str(error)
    return None


def _is_admin(run: dg.DagsterRun, work: LaunchTargets) -> bool:
    return run.job_name == ADMIN_JOB and not work.assets


def _digest(facts: object) -> str:
    return sha256_hex(json.dumps(facts, sort_keys=True, default=str).encode())
