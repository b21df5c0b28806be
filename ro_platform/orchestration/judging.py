"""``ro gate run``: judge what exists again, where its verdicts no longer speak under the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, GateRule
from ro_platform.gates.guard import GateState
from ro_platform.orchestration.code_location import (
    Workload,
    find_workload,
    load_definitions,
    workload_names,
)
from ro_platform.orchestration.execution import GovernedRun
from ro_platform.orchestration.instances import open_instance
from ro_platform.orchestration.partitions import unit_of
from ro_platform.plane import shared_plane
from ro_platform.runs.manifest import ManifestFile


@dataclass(frozen=True)
class Choice:
    """What to judge: of a manifest (by the start of its fingerprint), an asset, a gate; or all."""

    manifest: str | None = None
    asset: str | None = None
    gate: str | None = None


def rules_of_code(settings: Settings) -> dict[str, tuple[str, GateRule]]:
    """The gates of the deployment's workloads as its code declares them: asset and rule, by id."""
    definitions = load_definitions(settings)
    found = [find_workload(definitions, name) for name in workload_names(definitions)]
    return {rule.gate_id: (name, rule) for each in found for name, rule in _rules(each)}


def runs_to_judge(settings: Settings, choice: Choice) -> Iterator[GovernedRun]:
    """Each registered manifest of a workload of the code, with the gates that are to judge.

    Puts the rules of the code on record. Raises :class:`AccessDeniedError` for a workload that the
    actor may not launch, and :class:`PausedError`.
    """
    definitions = load_definitions(settings)
    plane, instance = shared_plane(settings), open_instance(settings)
    workloads = {name: find_workload(definitions, name) for name in workload_names(definitions)}
    for item in plane.runs.registered():
        fingerprint = item.manifest_fingerprint
        if not fingerprint.startswith(choice.manifest or ""):
            continue
        manifest = plane.runs.manifest(fingerprint)
        workload = workloads.get(manifest.workload)
        if workload is None:
            continue
        target = plane.access.target(f"workload {workload.name}", workload=workload.name)
        plane.identity.require(Action.LAUNCH, target)
        plane.pauses.require_running(workload=workload.name, assets=workload.asset_names)
        workload.declare(plane)
        file = ManifestFile(manifest, fingerprint, None)
        run = GovernedRun(settings, plane, instance, workload, file, False, False)
        run.plan_judging(choice.asset, choice.gate)
        if run.checks:
            yield run


def judge(run: GovernedRun, choice: Choice) -> list[GateState]:
    """Judge, and give how the gates stand that were to.

    A gate that reads another asset has to wait for that one's verdict: what is left is judged
    again as long as that helps. A crash leaves the verdicts that were recorded.
    """
    asked = run.gates_to_judge
    left = len(asked) + 1
    while run.checks and len(run.checks) < left:
        left = len(run.checks)
        run.execute()
        run.plan_judging(choice.asset, choice.gate)
    return [gate for item in run.judged_standings() for gate in item.gates if gate.gate_id in asked]


def _rules(workload: Workload) -> Iterator[tuple[str, GateRule]]:
    for name in (*workload.asset_names, *map(unit_of, workload.foreign)):
        for rule in workload.plane.gates_of(name):
            yield name, rule
