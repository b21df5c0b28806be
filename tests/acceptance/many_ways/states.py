"""Puts manifests into the table's states: ``python -m tests.acceptance.many_ways.states STEP``.

``register`` registers every manifest and makes its ``origin``. ``put`` makes and judges the
producers through Dagster, each in one run over a range, and ``outside`` past Dagster; then it
revokes, deletes and alters. ``arm`` names the manifests of the races.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import dagster as dg

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.encodings import PICKLE, encode
from ro_platform.config.settings import Settings
from ro_platform.contracts import BoundRef, GateRule, GateStatus
from ro_platform.dagster_private.definitions import subset_of
from ro_platform.gates.made import artifact_of
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of
from ro_platform.orchestration.draft import drafting
from ro_platform.orchestration.instances import open_instance
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.plane import shared_plane
from ro_platform.runs.manifest import read_manifest_file
from tests.acceptance.many_ways import cells
from tests.acceptance.many_ways.cells import (
    CHECKED,
    FAMILIES,
    NO_CELL,
    PRUNED,
    STATES,
    UNCHECKED,
    WAYS,
    beside,
    content,
    own,
)
from tests.acceptance.many_ways.definitions import build
from tests.acceptance.many_ways.interloper import arm, judge, publish
from tests.acceptance.many_ways.shapes import EDITION
from tests.acting import revoke_pass

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OUTSIDE = "main/outside"
_OLD, _NEW = (GateRule(gate_id="main.outside.good", code_version=version) for version in ("1", "2"))


class Bench:
    """The deployment, opened by the script that sets the states up."""

    def __init__(self) -> None:
        self.settings = Settings.load()
        self.plane = shared_plane(self.settings)
        self.instance = open_instance(self.settings)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Every manifest's fingerprint, by name, in the order of registration."""
        found: dict[str, str] = json.loads((self.settings.home / "manifests.json").read_text())
        return found

    def bound(self, asset: str, name: str) -> BoundRef:
        """What is bound to an asset under a manifest."""
        ref = artifact_of(self.plane.ledger, asset, self.fingerprints[name])
        assert ref is not None, (asset, name)
        return ref

    def file_of(self, name: str) -> Path:
        """The file that holds an object of the store."""
        return self.settings.home / "store" / name

    def make(
        self,
        definitions: dg.Definitions,
        assets: Iterable[str],
        names: Sequence[str],
        *,
        checked: bool = True,
    ) -> None:
        """Materialize assets under neighbouring manifests in one run, with their checks or not."""
        keys = [dg.AssetKey(asset.split("/")) for asset in assets]
        job = definitions.resolve_implicit_global_asset_job_def()
        every = job.asset_layer.asset_graph.asset_check_keys
        checks = [key for key in every if key.asset_key in keys] if checked else []
        first, last = self.fingerprints[names[0]], self.fingerprints[names[-1]]
        subset_of(job, keys, checks).execute_in_process(
            instance=self.instance,
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            },
            raise_on_error=False,
            run_config=QUIET,
        )
        for asset in assets:
            for name in names:
                self.bound(asset, name)


def register(bench: Bench) -> None:
    """Register every manifest in order, and make all origins in one run."""
    folder = bench.settings.home / "manifests"
    folder.mkdir(parents=True)
    found = {}
    for name in cells.manifests():
        workload = f"{PRUNED}_ran" if name == "shrank" else "main_ran"
        manifest = {
            "kind": "ro.run_manifest.v0",
            "workload": workload,
            "parameters": {"name": name, "good": name not in ("failed", "lost")},
            "code": {"version": "1"},
        }
        (folder / f"{name}.json").write_text(json.dumps(manifest))
        file = read_manifest_file(folder / f"{name}.json")
        register_manifest(
            bench.plane, bench.instance, file, workloads=[workload], actor="HUMAN::tester"
        )
        found[name] = file.fingerprint
    (bench.settings.home / "manifests.json").write_text(json.dumps(found))
    bench.make(build(), ["origin"], cells.manifests())


def put(bench: Bench) -> None:
    """Bring every manifest into its state; all but those of a forged PASS and of a race."""
    _make_all(bench)
    for asset in [*map("{}/source".format, FAMILIES), OUTSIDE]:
        if asset == OUTSIDE:
            _make_outside(bench)
        _spoil(bench, asset)
    _judge_in_a_draft(bench)
    revoke_pass(bench.plane, "origin.fine", bench.bound("origin", "blocked"), reason="upstream")


def _make_all(bench: Bench) -> None:
    everywhere = [f"{family}/source" for family in FAMILIES]
    now = build(more_gates=True)
    bench.make(build(rule="1"), everywhere, ["stale"])
    bench.make(now, everywhere, CHECKED)
    bench.make(now, everywhere, UNCHECKED, checked=False)
    for name in ("blocked", "altered", "gone"):  # what one run makes has all of its inputs
        bench.make(now, everywhere, [name])
    bench.make(now, ["main/source"], [beside("seen")])
    for segment in _segments():
        bench.make(now, ["main/source"], segment)
    for family in FAMILIES[1:]:
        bench.make(now, [f"{family}/source"], [own("pass", family), own("race", family)])
    bench.make(now, [f"{PRUNED}/source"], [beside("shrank"), "shrank"])
    os.environ[EDITION] = "2"
    bench.make(now, everywhere, ["older"], checked=False)
    del os.environ[EDITION]


def _segments() -> list[list[str]]:
    """The manifests that only pass, for ``main``, by neighbourhood."""
    automated = {own(state, family) for family in FAMILIES[1:] for state in cells.PER_WAY}
    segments: list[list[str]] = [[]]
    for name in cells.manifests()[1 + len(cells.SEEN) :]:
        if name in ("altered", "gone", "shrank") or name in automated:
            segments.append([])
        else:
            segments[-1].append(name)
    return [segment for segment in segments if segment]


def _make_outside(bench: Bench) -> None:
    """The same states for an asset whose artifacts and verdicts come from outside Dagster."""
    names = [own("pass", "guest"), own("race", "guest")]
    not_made = (*cells.PER_WAY, *cells.UNMADE)
    names += [
        state.name
        for state in STATES
        if state.name not in not_made and ("guest", state.name) not in NO_CELL
    ]
    bench.plane.gates.declare(OUTSIDE, (_OLD,), actor="SYSTEM::outside")
    for name in names:
        fingerprint = bench.fingerprints[name]
        publish(bench.plane, OUTSIDE, fingerprint, 1)
        if name not in UNCHECKED:
            status = GateStatus.FAIL if name == "failed" else GateStatus.PASS
            judge(bench.plane, OUTSIDE, fingerprint, _OLD if name == "stale" else _NEW, status)
    bench.plane.gates.declare(OUTSIDE, (_NEW,), actor="SYSTEM::outside")
    publish(bench.plane, OUTSIDE, bench.fingerprints["older"], 2)


def _spoil(bench: Bench, asset: str) -> None:
    """Revoke one artifact of an asset, and alter, delete and plant files of the store."""
    gate = f"{asset.replace('/', '.')}.good"
    revoke_pass(bench.plane, gate, bench.bound(asset, "revoked"), reason="withdrawn")
    receipt = bench.plane.receipts.latest(
        gate, bench.fingerprints["receipt"], bench.bound(asset, "receipt").digest
    )
    assert receipt is not None
    _alter(bench.file_of(receipt.receipt.ref))
    _unlink(bench.file_of(blob_name(bench.bound(asset, "gone").digest)))
    _forge(bench, bench.bound(asset, "altered"))
    for name in [own("pass", way.name) for way in WAYS][::2]:  # what may be read needs none
        ref = artifact_of(bench.plane.ledger, asset, bench.fingerprints[name])
        if ref is not None:
            _unlink(bench.file_of(ref.ref))
    fingerprint = bench.fingerprints["planted"]
    ref = encode(bench.plane.store, content(asset, fingerprint, 1))
    bench.plane.store.bind(asset, fingerprint, ref)


def _judge_in_a_draft(bench: Bench) -> None:
    """Make every producer's very bytes in a draft and let them pass there; then copy all that the
    draft stored into the governed store."""
    fingerprint = bench.fingerprints["drafted"]
    file = read_manifest_file(bench.settings.home / "manifests" / "drafted.json")
    now = build()
    with drafting(bench.settings, "judged", file) as (draft, instance):
        plane = shared_plane(draft)
        register_manifest(plane, instance, file, workloads=["main_ran"], actor="HUMAN::tester")
        job = now.resolve_implicit_global_asset_job_def()
        sources = {dg.AssetKey([family, "source"]) for family in FAMILIES}
        every = job.asset_layer.asset_graph.asset_check_keys
        checks = [key for key in every if key.asset_key in sources]
        made = subset_of(job, sorted(sources), checks).execute_in_process(
            instance=instance, partition_key=fingerprint, run_config=QUIET
        )
        assert made.success
        plane.gates.declare(OUTSIDE, (_NEW,), actor="SYSTEM::outside")
        publish(plane, OUTSIDE, fingerprint, 1)
        judge(plane, OUTSIDE, fingerprint, _NEW, GateStatus.PASS)
        manifest = plane.runs.manifest(fingerprint)
        for asset in [*map("{}/source".format, FAMILIES), OUTSIDE]:
            ref = plane.guard.require(asset, manifest, fingerprint)
            assert ref.digest == bench.bound(asset, "drafted").digest
    for stored in (draft.home / "store").rglob("*"):
        copy = bench.settings.home / "store" / stored.relative_to(draft.home / "store")
        if stored.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(stored.read_bytes())


def _alter(file: Path) -> None:
    """Change one byte and leave the size."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)


def _forge(bench: Bench, ref: BoundRef) -> None:
    """Other bytes under the digest, and a binding that calls them right."""
    data = pickle.dumps(["forged"])
    digests = digests_of(data)
    said = {"blake3": digests.blake3, "size_bytes": len(data), "media_type": PICKLE}
    binding = ref.model_copy(update=said)
    for name, forged in ((blob_name(ref.digest), data), (ref.ref, canonical_bytes(binding))):
        bench.file_of(name).chmod(0o600)
        bench.file_of(name).write_bytes(forged)


def _unlink(file: Path) -> None:
    file.parent.chmod(0o700)
    file.unlink()


def arm_races(bench: Bench) -> None:
    """From here on, these producers are made again when a consumer of theirs starts."""
    arm(
        bench.settings.home,
        {
            bench.fingerprints[cell.manifest]: cell.producer
            for way in WAYS
            for cell in cells.cells_of(way.name)
            if cell.state.name == "race"
        },
    )


if __name__ == "__main__":
    {"register": register, "put": put, "arm": arm_races}[sys.argv[1]](Bench())
