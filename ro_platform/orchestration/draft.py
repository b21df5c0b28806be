"""``ro run --draft``: a workload tried out, apart from everything governed.

What the code of now would make otherwise than what is governed is computed, into the draft's own
folder, and so is what is made from it; everything else is read where it is governed. A second run
of the same draft computes what has changed since the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import dagster as dg

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.config.drafts import create_draft, draft_settings, in_use
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import Action, JobAttemptRecord, NamedArtifact
from ro_platform.dagster_private.definitions import execution_set, parents_in
from ro_platform.ledger import names
from ro_platform.orchestration.code_location import find_workload
from ro_platform.orchestration.execution import GovernedRun, RunOutcome
from ro_platform.orchestration.instances import recording_instance
from ro_platform.orchestration.partitions import register_manifest, unit_of
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.changes import changed_assets, maker_of
from ro_platform.runs.drafts import same_gates
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.plan import AssetState


@dataclass
class DraftRun(GovernedRun):
    """A manifest on its way in a draft. ``governed`` are the assets that it reads where they are
    governed, and does not compute."""

    governed: frozenset[str] = field(default=frozenset())

    def standings(self) -> tuple[AssetState, ...]:
        """How every asset of the workload stands: in the draft, or where it is governed."""
        below = {item.asset: item for item in self._below()} if self.governed else {}
        return tuple(
            below[item.asset] if item.asset in self.governed and item.ref is None else item
            for item in super().standings()
        )

    def _plan(self) -> None:
        own, below = super().standings(), self._below()
        by_own = self._makers(own, self.plane, packages=True)
        by_below = self._makers(below, self._governed_plane, packages=False)
        job, compute, before = self.workload.job, set[dg.AssetKey](), -1
        taken: dict[dg.AssetKey, AssetState] = {}
        while len(compute) > before:  # what is made together may come to be made for a later one
            before, now = len(compute), dict[str, str]()
            for key, mine, theirs in zip(self.workload.assets, own, below, strict=True):
                taken.pop(key, None)
                if key in compute or parents_in(job, key) & compute:
                    compute |= execution_set(job, key)
                elif mine.ref and not mine.needs_making and self._is_of(by_own, mine, now):
                    now[mine.asset] = mine.ref.digest
                elif (
                    mine.ref is None
                    and theirs.stands
                    and self._has_same_gates(key)
                    and self._is_of(by_below, theirs, now)
                ):
                    taken[key] = theirs
                    now[theirs.asset] = theirs.ref.digest if theirs.ref else ""
                else:
                    compute |= execution_set(job, key)
        kept = {
            key: item
            for key, item in zip(self.workload.assets, own, strict=True)
            if key not in compute and key not in taken
        }
        self.governed = frozenset(map(unit_of, taken))
        self.kept = (*kept.values(), *taken.values())
        self.found = {item.asset: item.ref.digest for item in self.kept if item.ref}
        self.assets = [key for key in self.workload.assets if key in compute]
        judge = compute | {key for key, item in kept.items() if item.needs_judgement_only}
        self.checks = sorted(
            (check for key in judge for check in self.workload.gates[key]),
            key=lambda check: check.to_user_string(),
        )

    @property
    def _governed_plane(self) -> Plane:
        assert self.settings.draft_of is not None
        return shared_plane(self.settings.draft_of)

    def _below(self) -> tuple[AssetState, ...]:
        return self._governed_plane.planner.standings(
            self.file.fingerprint, self.file.manifest, self.workload.asset_names
        )

    def _makers(
        self, standings: Sequence[AssetState], plane: Plane, *, packages: bool
    ) -> dict[str, JobAttemptRecord]:
        """Of the artifacts that the code of now made (under the packages of now), the attempts."""
        attempts = plane.attempts.of_run(self.file.fingerprint)
        other = {
            item.asset
            for item in changed_assets(standings, attempts, self.workload.code_versions)
            if item.by_other_code or (packages and item.by_other_packages)
        }
        made = {item.asset: maker_of(attempts, item) for item in standings}
        return {name: each for name, each in made.items() if each and name not in other}

    def _is_of(
        self, makers: Mapping[str, JobAttemptRecord], item: AssetState, now: Mapping[str, str]
    ) -> bool:
        """Whether the code of now made it, of what stands now."""
        made = makers.get(item.asset)
        return made is not None and all(self._still(source, now) for source in made.inputs)

    def _still(self, source: NamedArtifact, now: Mapping[str, str]) -> bool:
        """Whether a source is what would be read now: of the workload, what the draft keeps or
        takes; of anything else, what stands."""
        address = parse_binding(source.artifact.ref)
        if source.name in self.workload.asset_names:
            return now.get(source.name) == source.artifact.digest
        if address is None:
            return True
        try:
            manifest = self.plane.runs.manifest(address.fingerprint)
            found = self.plane.guard.require(address.asset, manifest, address.fingerprint)
        except (errors.GateRefusedError, errors.NotFoundError):
            return False
        return found.digest == source.artifact.digest

    def _has_same_gates(self, key: dg.AssetKey) -> bool:
        name = unit_of(key)
        recorded = self._governed_plane.gates.gates_of(name) or ()
        own = self.workload.plane.gates_of(name)
        return same_gates([rule for rule in recorded if not rule.guest], own)


@contextmanager
def drafting(
    settings: Settings, name: str, file: ManifestFile
) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """Work in a draft, which is made if it is not there: its settings are in force in this
    process, its Dagster instance is its own. Everything that is written is below its folder.

    Raises :class:`DraftForbiddenError` where the environment allows none, and what says that who
    asks may not launch the workload or read artifacts of it. A crash leaves a draft's folder.
    """
    workload = file.manifest.workload
    draft = draft_settings(settings, name, _actor(settings, workload))
    create_draft(draft, workload=workload, fingerprint=file.fingerprint)
    with ExitStack() as stack:
        stack.enter_context(in_use(draft))
        stack.enter_context(settings_in_force(draft))
        draft.dagster_state.mkdir(exist_ok=True)
        (draft.dagster_state / "dagster.yaml").touch()  # else Dagster says that there is none
        yield draft, stack.enter_context(recording_instance(draft.dagster_state))


def prepare_draft(
    draft: Settings, instance: dg.DagsterInstance, file: ManifestFile, definitions: dg.Definitions
) -> DraftRun:
    """Register the manifest in the draft and find out what it computes. Call it while drafting.

    Raises as :meth:`GovernedRun.prepare` does.
    """
    workload = find_workload(definitions, file.manifest.workload)
    plane = shared_plane(draft)
    new = register_manifest(
        plane,
        instance,
        file,
        workloads=[workload.name],
        actor=draft.actor,
        publish_first_versions=True,
    )
    workload.declare(plane)
    run = DraftRun(draft, plane, instance, workload, file, replay=False, registered=new)
    run._plan()
    return run


def results(run: DraftRun, outcome: RunOutcome) -> dict[str, str]:
    """What a draft did about each asset: ``computed``, ``kept``, ``missing``, or ``governed`` for
    what is read where it is governed."""
    return {
        item.asset: "governed" if item.asset in run.governed else outcome.result(item)
        for item in outcome.standings
    }


def _actor(settings: Settings, workload: str) -> str:
    """Who drafts, if that is allowed here and to them."""
    plane = shared_plane(settings)
    if not settings.drafts:
        raise errors.DraftForbiddenError(
            f"environment {settings.environment!r} allows no drafts.",
            next_step="Draft where it is allowed; `ro run FILE` runs the manifest, governed.",
            environment=settings.environment,
        )
    target = plane.access.target(names.workload_target(workload), workload=workload)
    plane.identity.require(Action.READ_ARTIFACT, target)
    return plane.identity.require(Action.LAUNCH, target)
