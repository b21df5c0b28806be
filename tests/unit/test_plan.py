"""How far a run has come: looked up without computing, verified when asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.errors import DigestMismatchError, GateAbsentError
from ro_platform.runs.plan import AssetState
from tests.acting import revoke_pass
from tests.unit.small_world import BOSS, FAIL, SmallWorld


@pytest.fixture
def world() -> SmallWorld:
    return SmallWorld()


def standings(world: SmallWorld, *assets: str) -> tuple[AssetState, ...]:
    manifest = world.plane.runs.manifest(world.fingerprint)
    return world.plane.planner.standings(world.fingerprint, manifest, assets)


def test_each_asset_is_missing_unjudged_or_stands(world: SmallWorld) -> None:
    """In the order asked for; what stands needs nothing, what is unjudged needs only its gates."""
    bound, gated = world.made("bound"), world.made("gated", passed=False)

    missing, stands, unjudged = standings(world, "missing", "bound", "gated")

    assert missing == AssetState("missing", None)
    assert (missing.stands, missing.needs_judgement_only, missing.needs_making) == (
        False,
        False,
        True,
    )
    assert (stands.ref, stands.stands, stands.needs_judgement_only) == (bound, True, False)
    assert (unjudged.ref, unjudged.stands, unjudged.needs_judgement_only) == (gated, False, True)
    assert [gate.word for gate in unjudged.gates] == ["ABSENT"]
    assert (stands.needs_making, unjudged.needs_making) == (False, False)
    assert stands.refusal is None
    assert isinstance(unjudged.refusal, GateAbsentError)


def _unjudged(world: SmallWorld) -> None:
    world.made("a", passed=False)


def _failed(world: SmallWorld) -> None:
    world.judge(world.made("a", passed=False), FAIL)


def _stale(world: SmallWorld) -> None:
    world.made("a")
    world.plane.gates.declare("a", (world.rule("a", "2"),), actor=BOSS)


def _older(world: SmallWorld) -> None:
    world.made("a", data=b"1", deterministic=False)
    world.made("a", data=b"2", deterministic=False, passed=False)


def _unverifiable(world: SmallWorld) -> None:
    world.made("a")
    for name in [name for name in world.blobs.objects if name.startswith("receipts/")]:
        del world.blobs.objects[name]


def _revoked(world: SmallWorld) -> None:
    ref = world.made("a")
    revoke_pass(world.plane, "a.good", ref, reason="r")


def _blocked(world: SmallWorld) -> None:
    source = world.made("source")
    world.made("a", source)
    revoke_pass(world.plane, "source.good", source, reason="r")


def _unrecorded(world: SmallWorld) -> None:
    world.plane.gates.declare("a", (), actor=BOSS)
    stored = world.store.put_bytes(b"smuggled", media_type="text/plain")
    world.store.bind("a", world.fingerprint, stored)


NEEDS: list[tuple[Callable[[SmallWorld], None], str, str]] = [
    (_unjudged, "ABSENT", "judging"),
    (_failed, "FAIL", "judging"),
    (_stale, "STALE", "judging"),
    (_older, "OLDER BYTES", "judging"),
    (_unverifiable, "UNVERIFIABLE", "judging"),
    (_revoked, "REVOKED", "nothing"),
    (_blocked, "BLOCKED", "making"),
    (_unrecorded, "UNRECORDED", "making"),
]


@pytest.mark.parametrize(("history", "word", "need"), NEEDS, ids=[item[1] for item in NEEDS])
def test_what_an_asset_needs(
    world: SmallWorld, history: Callable[[SmallWorld], None], word: str, need: str
) -> None:
    """Judging where a verdict can help, making where only that can; nothing helps what is
    revoked, under the same rule."""
    history(world)
    [standing] = standings(world, "a")
    assert word in {gate.word for gate in standing.gates}
    assert not standing.stands
    assert standing.refusal is not None
    assert (standing.needs_judgement_only, standing.needs_making) == (
        need == "judging",
        need == "making",
    )


def test_verifying_reads_what_is_bound_and_finds_an_altered_byte(world: SmallWorld) -> None:
    """Progress names each asset before it is read; the altered one ends it."""
    good, bad = world.made("good"), world.made("bad")
    found = standings(world, "missing", "good", "bad")
    assert list(world.plane.planner.verified(found)) == [good, bad]

    world.blobs.objects[blob_name(bad.digest)] = b"BAD"
    seen: list[str] = []
    with pytest.raises(DigestMismatchError):
        list(world.plane.planner.verified(found, seen.append))
    assert seen == ["good", "bad"]


def test_what_can_have_no_artifact_here_is_missing(world: SmallWorld) -> None:
    """An asset of another IO manager under a key that the plane has no name for: no error."""
    assert standings(world, "public.orders") == (AssetState("public.orders", None),)
