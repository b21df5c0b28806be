"""``ro run``: carry one manifest through its workload, in this process, and say what came of it.

What already stands under the guard's law is not computed again. A replay computes everything once
more and must bind the very same bytes, or it names the first asset that diverged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, BoundRef, JobAttemptRecord, JobStatus, NamedArtifact
from ro_platform.dagster_private.definitions import (
    execution_set,
    parents_in_job,
    subset_of,
)
from ro_platform.kernel.identity import run_id
from ro_platform.orchestration.code_location import Workload, find_workload, load_definitions
from ro_platform.orchestration.instances import open_instance
from ro_platform.orchestration.launches import REPLAY
from ro_platform.orchestration.names import gate_id
from ro_platform.orchestration.partitions import register_manifest, unit_of
from ro_platform.orchestration.run_config import (
    config_digest,
    config_of_part,
    own_config,
    quiet,
    require_complete,
)
from ro_platform.orchestration.workers import Wait, waiting, waits
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.attempt import is_skipped
from ro_platform.runs.changes import keep_packages
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.plan import AssetState


@dataclass(frozen=True)
class RunOutcome:
    """What one call did: how every asset stands, what was computed, and the first failure.

    ``found`` are the digests that were bound before this call, by asset; ``replayed`` are those
    that a replay was to give again. ``attempts`` are all under the manifest, whoever began them, in
    the order in which they began.
    """

    fingerprint: str
    run_id: str
    workload: str
    replay: bool
    registered: bool
    dagster_run_id: str | None
    executed: tuple[str, ...]
    standings: tuple[AssetState, ...]
    attempts: tuple[JobAttemptRecord, ...]
    found: Mapping[str, str] = field(default_factory=dict)
    replayed: Mapping[str, str] = field(default_factory=dict)
    error: errors.RunOperateError | None = None

    def own(self, asset: str) -> JobAttemptRecord | None:
        """What this call did about an asset: its newest attempt; None if it began none."""
        return self._newest(asset, self._is_own)

    def told(self, standing: AssetState) -> JobAttemptRecord | None:
        """The attempt that made what stands, whoever began it, and however later ones ended. Where
        nothing stands, or nobody is on record as having put it out, the newest attempt."""
        maker = self._newest(standing.asset, lambda item: _put_out(item, standing.ref))
        return maker or self._newest(standing.asset, lambda _: True)

    def result(self, standing: AssetState) -> str:
        """What this call did about an asset, apart from what stands.

        ``computed``, ``identical`` or ``diverged`` (in a replay, against the digest that was bound
        before), ``skipped``, or its own attempt's end and number, such as ``FAILED #3``. Where it
        began none: ``kept``, ``missing``, ``skipped``, or ``by another run``, which bound it since
        this call began. ``replaced``: it computed it, and another run bound other bytes since.
        """
        own = self.own(standing.asset)
        if own is None:
            return self._left(standing)
        if is_skipped(own):
            return "skipped"
        if own.status is not JobStatus.SUCCEEDED:
            return f"{own.status} #{own.number}"
        made = next((item.artifact for item in own.outputs if item.name == standing.asset), None)
        before = self.replayed.get(standing.asset)
        if before is not None and made is not None:
            return "identical" if made.digest == before else "diverged"
        is_other = made is not None and standing.ref is not None
        return "replaced" if is_other and not _put_out(own, standing.ref) else "computed"

    def _left(self, standing: AssetState) -> str:
        if standing.ref is None:
            newest = self._newest(standing.asset, lambda _: True)
            return "skipped" if newest and is_skipped(newest) else "missing"
        was = self.found.get(standing.asset)
        return "kept" if was == standing.ref.digest else "by another run"

    def _is_own(self, attempt: JobAttemptRecord) -> bool:
        dagster_run_id = attempt.correlation_ids.dagster_run_id
        return dagster_run_id is not None and dagster_run_id == self.dagster_run_id

    def _newest(
        self, asset: str, which: Callable[[JobAttemptRecord], bool]
    ) -> JobAttemptRecord | None:
        found = (item for item in reversed(self.attempts) if item.unit == asset and which(item))
        return next(found, None)


def _put_out(attempt: JobAttemptRecord, ref: BoundRef | None) -> bool:
    return ref is not None and any(
        item.name == attempt.unit and item.artifact.digest == ref.digest for item in attempt.outputs
    )


@dataclass
class GovernedRun:
    """A manifest on its way: prepared, then executed once. ``kept`` is what it will not compute."""

    settings: Settings
    plane: Plane
    instance: dg.DagsterInstance
    workload: Workload
    file: ManifestFile
    replay: bool
    registered: bool
    assets: list[dg.AssetKey] = field(default_factory=list)
    checks: list[dg.AssetCheckKey] = field(default_factory=list)
    waits_for: dict[str, str] = field(default_factory=dict)
    """The pool that each step waits for just now, while :meth:`execute` is under way."""
    found: dict[str, str] = field(default_factory=dict)
    replayed: dict[str, str] = field(default_factory=dict)
    kept: tuple[AssetState, ...] = ()

    @classmethod
    def prepare(cls, settings: Settings, file: ManifestFile, *, replay: bool) -> GovernedRun:
        """Load the deployment, register the manifest and find out what is left to do.

        Raises before anything is written if the manifest, its inputs, its configs or its workload
        are not acceptable, if what the ledger holds of this run was altered
        (:class:`LedgerCorruptError`), or if there is work and the store takes no writes
        (:class:`StoreNotWritableError`); raises :class:`DigestMismatchError` if a bound artifact
        was altered.
        """
        definitions = load_definitions(settings)
        workload = find_workload(definitions, file.manifest.workload)
        plane, instance = shared_plane(settings), open_instance(settings)
        target = plane.access.target(f"workload {workload.name}", workload=workload.name)
        actor = plane.identity.require(Action.LAUNCH, target)
        plane.pauses.require_running(workload=workload.name, assets=workload.asset_names)
        for _ in plane.ledger.scan(run_id=run_id(file.fingerprint)):
            pass  # each entry is checked against its leaf as it is read
        new = register_manifest(
            plane,
            instance,
            file,
            workloads=[workload.name],
            actor=actor,
            publish_first_versions=True,
        )
        workload.declare(plane)
        run = cls(settings, plane, instance, workload, file, replay, new)
        run._plan()
        return run

    @property
    def units(self) -> list[str]:
        """The units of work that :meth:`execute` will carry out: assets and gates."""
        gates = [f"{unit_of(check.asset_key)}#{check.name}" for check in self.checks]
        return [*map(unit_of, self.assets), *gates]

    @property
    def job_config_digest(self) -> str | None:
        """The digest of the run config that the code gives the job; None if it gives none."""
        return config_digest(own_config(self.workload.job, self.file.fingerprint))

    def execute(self) -> RunOutcome:
        """Carry out what is left to do, in this process."""
        if not self.units:
            return self._outcome(None)
        keep_packages(self.plane.store)
        job = subset_of(self.workload.job, self.assets, self.checks)
        own = own_config(self.workload.job, self.file.fingerprint)
        job, config = quiet(job, config_of_part(job, own))
        require_complete(job, config)
        with waiting(self.waits_for):
            result = job.execute_in_process(
                instance=self.instance,
                partition_key=self.file.fingerprint,
                run_config=config,
                tags={REPLAY: str(self.replay).lower()},
                raise_on_error=False,
            )
        self.plane.seals.seal(self.file.fingerprint)
        return self._outcome(result.run_id)

    def waits(self) -> tuple[Wait, ...]:
        """What its steps wait for just now; asked from another thread."""
        return waits(self.plane, self.instance, dict(self.waits_for))

    def standings(self) -> tuple[AssetState, ...]:
        """How every asset of the workload stands now."""
        return self.plane.planner.standings(
            self.file.fingerprint, self.file.manifest, self.workload.asset_names
        )

    def _plan(self) -> None:
        standings = dict(zip(self.workload.assets, self.standings(), strict=True))
        self.found = {item.asset: item.ref.digest for item in standings.values() if item.ref}
        if self.replay:
            self.replayed = self.found
        else:
            for _ in self.plane.planner.verified(list(standings.values())):
                pass
        compute: set[dg.AssetKey] = set()
        skipped = set() if self.replay else self._skipped(standings)
        for key, standing in standings.items():
            if self.replay or (standing.needs_making and key not in skipped):
                compute |= execution_set(self.workload.job, key)
        judge = compute | self._unjudged(standings) | self._unjudged(self._foreign())
        self.assets = [key for key in self.workload.assets if key in compute]
        self.checks = sorted(
            (check for key in judge for check in self.workload.gates[key]),
            key=lambda check: check.to_user_string(),
        )
        self.kept = tuple(item for key, item in standings.items() if key not in compute)
        if self.units:
            self.plane.store.check_writable()

    def plan_judging(self, asset: str | None, gate: str | None) -> None:
        """Plan to judge what is there, and to make nothing: the gates without a verdict that
        counts, those of one asset, or one gate."""
        wanting = {
            item.gate_id
            for standing in self.judged_standings()
            if asset in (None, standing.asset) and not standing.needs_making
            for item in standing.gates
            if item.needs_verdict and gate in (None, item.gate_id)
        }
        found = [check for checks in self.workload.gates.values() for check in checks]
        self.assets = []
        self.checks = sorted(
            (check for check in found if gate_id(check.asset_key, check.name) in wanting),
            key=lambda check: check.to_user_string(),
        )

    @property
    def gates_to_judge(self) -> frozenset[str]:
        """The gates that :meth:`execute` will evaluate, by id."""
        return frozenset(gate_id(check.asset_key, check.name) for check in self.checks)

    def judged_standings(self) -> tuple[AssetState, ...]:
        """How every asset stands that the workload makes or judges."""
        return (*self.standings(), *self._foreign().values())

    def _skipped(self, standings: Mapping[dg.AssetKey, AssetState]) -> set[dg.AssetKey]:
        """The assets that were skipped when they were last executed, from what still stands.

        One whose own output was not handed over stays skipped while what its step was given is what
        is bound now; one that depends on a skipped one, while that one is.
        """
        newest = {item.unit: item for item in self.plane.attempts.of_run(self.file.fingerprint)}
        skipped: set[dg.AssetKey] = set()
        for key, standing in standings.items():
            attempt = newest.get(standing.asset)
            if standing.ref is not None or attempt is None or not is_skipped(attempt):
                continue
            began = attempt.runtime is not None
            if (began and all(map(self._is_bound, attempt.inputs))) or (
                not began and parents_in_job(self.workload.job, key) & skipped
            ):
                skipped.add(key)
        return skipped

    def _is_bound(self, item: NamedArtifact) -> bool:
        (now,) = self.plane.planner.standings(
            self.file.fingerprint, self.file.manifest, [item.name]
        )
        return now.ref is not None and now.ref.digest == item.artifact.digest

    def _foreign(self) -> dict[dg.AssetKey, AssetState]:
        """How the assets stand that the workload judges and does not make."""
        keys = self.workload.foreign
        names = [unit_of(key) for key in keys]
        found = self.plane.planner.standings(self.file.fingerprint, self.file.manifest, names)
        return dict(zip(keys, found, strict=True))

    def _unjudged(self, standings: Mapping[dg.AssetKey, AssetState]) -> set[dg.AssetKey]:
        return {key for key, item in standings.items() if item.needs_judgement_only}

    def _outcome(self, dagster_run_id: str | None) -> RunOutcome:
        fingerprint = self.file.fingerprint
        attempts = tuple(self.plane.attempts.of_run(fingerprint))
        mine = [a for a in attempts if a.correlation_ids.dagster_run_id == dagster_run_id]
        executed = {a.unit for a in mine if a.status is JobStatus.SUCCEEDED}
        scope = self.plane.scope(fingerprint)
        outcome = RunOutcome(
            fingerprint=fingerprint,
            run_id=scope.run_id,
            workload=self.workload.name,
            replay=self.replay,
            registered=self.registered,
            dagster_run_id=dagster_run_id,
            executed=tuple(name for name in self.workload.asset_names if name in executed),
            standings=self.standings(),
            attempts=attempts,
            found=self.found,
            replayed=self.replayed,
            error=self._first_failure(mine) if dagster_run_id else None,
        )
        return replace(outcome, error=outcome.error or _divergence(outcome) or _refusal(outcome))

    def _first_failure(self, attempts: list[JobAttemptRecord]) -> errors.RunOperateError | None:
        failed = [a for a in attempts if a.status is not JobStatus.SUCCEEDED and not is_skipped(a)]
        first = min(failed, key=_severity, default=None)
        return _as_error(first, replay=self.replay) if first else None


def _divergence(outcome: RunOutcome) -> errors.ReplayDivergedError | None:
    """The first asset that a replay made of other bytes, as only a declared non-deterministic one
    can without failing."""
    for standing in outcome.standings:
        if outcome.result(standing) == "diverged" and standing.ref is not None:
            return errors.ReplayDivergedError(
                f"the replay diverged first at {standing.asset!r}: it gave {standing.ref.digest}, "
                f"before it was {outcome.replayed[standing.asset]}.",
                next_step="It is declared non-deterministic: both revisions are kept. Take its "
                "chance from the manifest's seed to make it replayable.",
                unit=standing.asset,
            )
    return None


def _refusal(outcome: RunOutcome) -> errors.RunOperateError | None:
    """Why something of the run may not be read although nothing failed: a PASS was revoked."""
    return next((item.refusal for item in outcome.standings if item.refusal), None)


def _severity(attempt: JobAttemptRecord) -> tuple[bool, str]:
    """What failed comes before what was cancelled because of it; then the earliest."""
    return attempt.status is not JobStatus.FAILED, attempt.updated_at_utc


def _as_error(attempt: JobAttemptRecord, *, replay: bool) -> errors.RunOperateError:
    kind = errors.error_for(attempt.error_code or "") or errors.RunFailedError
    words = (attempt.error or f"it ended {attempt.status}").strip()
    if replay and kind in (errors.AddressConflictError, errors.ReplayDivergedError):
        return errors.ReplayDivergedError(
            f"the replay diverged first at {attempt.unit!r}: {words}",
            next_step="What is recorded stands as it was. Correct the asset and replay again.",
            unit=attempt.unit,
        )
    if kind is errors.GateFailedError:
        asset, _, gate = attempt.unit.partition("#")
        return errors.GateFailedError(
            f"gate {gate!r} FAILED for {asset!r}; nothing downstream of it was computed.",
            next_step="See its evidence in the Dagster UI: other data, or another rule, is "
            "another manifest.",
            unit=attempt.unit,
        )
    return kind(f"{attempt.unit!r} failed: {words}", unit=attempt.unit)
