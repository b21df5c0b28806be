"""What is added to Dagster's own storage, whichever database it is in.

Its events record attempts, and who creates a run or a backfill is signed onto it as it is stored.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

import dagster as dg

from ro_platform import errors
from ro_platform.access.identity import current_actor
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.dagster_private.launches import (
    PartitionBackfill,
    RunStorage,
)
from ro_platform.dagster_private.running import (
    ClaimStatus,
    EventLogStorage,
    executed_nodes,
    instance_of,
)
from ro_platform.orchestration import sessions
from ro_platform.orchestration.launches import Launches
from ro_platform.orchestration.recorder import AttemptRecorder
from ro_platform.orchestration.refusing import (
    record_backfill_refusal,
    record_refusal,
    record_report_refusal,
)
from ro_platform.orchestration.run_config import require_own_config
from ro_platform.orchestration.workers import asked, free_slots, sign_on
from ro_platform.plane import Plane, shared_plane

_Event = dg.DagsterEventType
_ENDINGS = (_Event.RUN_SUCCESS, _Event.RUN_FAILURE, _Event.RUN_CANCELED)
_REPORTS = (_Event.ASSET_MATERIALIZATION, _Event.ASSET_OBSERVATION, _Event.ASSET_CHECK_EVALUATION)


def _plane() -> Plane:
    return shared_plane(Settings.load())


def _require_reporter() -> None:
    access, actor = _plane().access, None
    try:
        actor = current_actor() or _plane().identity.actor()
        access.require(actor, Action.LAUNCH, access.target("a report on an asset"))
    except errors.AccessDeniedError as error:
        record_report_refusal(_plane(), actor, error)
        raise


class RecordingEventLog(EventLogStorage):
    """Stores an event as Dagster does, then records what it means for attempts.

    It stands before one of Dagster's own classes in each class below it.
    """

    @cached_property
    def _recorder(self) -> AttemptRecorder:
        return AttemptRecorder(_plane, self._require_launch, self._run_is_over)

    def _require_launch(self, dagster_run_id: str) -> str | None:
        """Raise unless the run may start its first step, which is then on record as refused.

        Answers the digest of the config that the code gives its job.
        """
        run = instance_of(self).get_run_by_id(dagster_run_id) if self.has_instance else None
        if run is None:
            raise errors.GrantRefusedError(
                f"Dagster has no run {dagster_run_id} on record, so nobody launched it.",
                next_step="Launch it through a Dagster instance with this storage.",
                dagster_run_id=dagster_run_id,
            )
        launches = Launches.of(_plane(), instance_of(self))
        begun = launches.has_begun(dagster_run_id) or self._has_other_steps(dagster_run_id)
        try:
            launches.require(run, begun=begun)
            if not begun:
                launches.require_running(run)
            return self._require_own_config(run)
        except (errors.AccessDeniedError, errors.RunConfigError) as error:
            record_refusal(_plane(), run, error)
            raise

    def _require_own_config(self, run: dg.DagsterRun) -> str | None:
        """What makes or judges something governed takes nothing from a launch but a manifest."""
        planned = _plane().attempts.of_dagster_run(run.run_id).values()
        fingerprints = {item.manifest_fingerprint for attempts in planned for item in attempts}
        if not fingerprints:
            return None
        job = sessions.declarations_of(run.run_id).job_of(run.job_name)
        if not run.run_config and job is None:
            return None
        executed = executed_nodes(instance_of(self), run)
        return require_own_config(job, run, fingerprints, executed)

    def _has_other_steps(self, dagster_run_id: str) -> bool:
        """Whether the run started a step before this one; only asked of one with nothing
        governed, where the ledger cannot say."""
        if _plane().attempts.of_dagster_run(dagster_run_id):
            return False
        return len(self.get_step_stats_for_run(dagster_run_id)) > 1

    def _run_is_over(self, dagster_run_id: str) -> bool:
        run = instance_of(self).get_run_by_id(dagster_run_id) if self.has_instance else None
        return run is not None and run.is_finished

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store and record one event. Raises if either cannot be done, and
        :class:`AccessDeniedError` for a report outside of any run by who may not launch: sensors
        and automation go by such."""
        if not event.run_id and event.dagster_event_type in _REPORTS:
            _require_reporter()
        if self.has_instance:
            sign_on(instance_of(self), event)
        # Abstract in this base, but the class after this one in line has it.
        self._recorder.record(event, super().store_event)  # type: ignore[safe-super]
        kind = event.dagster_event.event_type if event.dagster_event else None
        if kind in _ENDINGS and self.has_instance:
            free_slots(instance_of(self), event.run_id)

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ClaimStatus:
        """Ask for a slot of a pool as Dagster does, and wait for it as ``pools`` says."""
        status = super().claim_concurrency_slot(  # type: ignore[safe-super]
            concurrency_key, run_id, step_key, priority
        )
        return asked(status, step_key)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store and record events in their order.

        One by one: a class of Dagster's may store some kinds of events by a statement of its own
        and others by :meth:`store_event`, so around its own way some would be recorded twice.
        """
        for event in events:
            self.store_event(event)


class RecordingRuns(RunStorage):
    """Stores runs and backfills as Dagster does, each with the word of who launched it.

    It stands before one of Dagster's own classes in each class below it.
    """

    def add_run(self, dagster_run: dg.DagsterRun) -> dg.DagsterRun:
        """Store a run that this process creates, stamped. Raises if the ledger does not answer."""
        # Abstract in this base, but the class after this one in line has it.
        return super().add_run(self._launches.stamped(dagster_run))  # type: ignore[safe-super]

    def add_historical_run(
        self, dagster_run: dg.DagsterRun, run_creation_time: datetime
    ) -> dg.DagsterRun:
        """As :meth:`add_run`, for a run that is said to be from another time."""
        stamped = self._launches.stamped(dagster_run)
        return super().add_historical_run(  # type: ignore[safe-super]
            stamped, run_creation_time
        )

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store a backfill that this process asks for, stamped.

        Raises :class:`AccessDeniedError`, and stores nothing, where whoever acts may not ask for
        it; that is on record then.
        """
        try:
            stamped = self._launches.stamped_backfill(partition_backfill)
        except errors.AccessDeniedError as error:
            record_backfill_refusal(_plane(), partition_backfill.backfill_id, error)
            error.recorded = True
            raise
        super().add_backfill(stamped)  # type: ignore[safe-super]

    @property
    def _launches(self) -> Launches:
        return Launches(_plane(), self._find_run, self.get_backfill)

    def _find_run(self, dagster_run_id: str) -> dg.DagsterRun | None:
        found = self.get_runs(dg.RunsFilter(run_ids=[dagster_run_id]), limit=1)
        return found[0] if found else None
