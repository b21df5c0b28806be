"""How far a run has come: looked up without computing, verified when asked."""

from __future__ import annotations

import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import BoundRef, CodeRef, GateRule, RunManifest
from ro_platform.errors import DigestMismatchError
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from ro_platform.runs.plan import AssetStanding

MANIFEST = RunManifest(kind="ro.run_manifest.v0", workload="w", code=CodeRef(version="1"))
FP = manifest_fingerprint(MANIFEST)
ACTOR = "SYSTEM::dagster"


@pytest.fixture
def blobs() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def plane(blobs: MemoryBackend) -> Plane:
    return Plane.over(blobs, MemoryLedgerBackend(), clock=ManualClock())


def bind(plane: Plane, asset: str, *gates: str) -> BoundRef:
    rules = tuple(GateRule(gate_id=gate, code_version="1") for gate in gates)
    plane.gates.declare(asset, rules, actor=ACTOR)
    ref = plane.store.put_bytes(asset.encode(), media_type="application/octet-stream")
    return plane.store.bind(asset, FP, ref)


def test_each_asset_is_missing_unjudged_or_stands(plane: Plane) -> None:
    """In the order asked for; what stands needs nothing, what is unjudged needs only its gates."""
    bound, gated = bind(plane, "bound"), bind(plane, "gated", "gated.g")

    missing, stands, unjudged = plane.planner.standings(FP, MANIFEST, ["missing", "bound", "gated"])

    assert missing == AssetStanding("missing", None)
    assert (missing.stands, missing.needs_judgement_only) == (False, False)
    assert (stands.ref, stands.stands, stands.needs_judgement_only) == (bound, True, False)
    assert (unjudged.ref, unjudged.stands, unjudged.needs_judgement_only) == (gated, False, True)
    assert [gate.word for gate in unjudged.gates] == ["ABSENT"]


def test_verifying_reads_what_is_bound_and_finds_an_altered_byte(
    plane: Plane, blobs: MemoryBackend
) -> None:
    """Progress names each asset before it is read; the altered one ends it."""
    good, bad = bind(plane, "good"), bind(plane, "bad")
    standings = plane.planner.standings(FP, MANIFEST, ["missing", "good", "bad"])
    assert list(plane.planner.verified(standings)) == [good, bad]

    blobs.objects[blob_name(bad.digest)] = b"BAD"
    seen: list[str] = []
    with pytest.raises(DigestMismatchError):
        list(plane.planner.verified(standings, seen.append))
    assert seen == ["good", "bad"]
