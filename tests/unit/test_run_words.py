"""What ``ro run`` says of assets that stand, warned, or may not be read, and when it exits 0."""

from __future__ import annotations

import pytest

from ro_platform.cli.run import gates_in_words
from ro_platform.errors import ArtifactBlockedError, GateRevokedError
from ro_platform.kernel.identity import run_id
from ro_platform.orchestration.execution import RunOutcome, _refusal
from ro_platform.runs.plan import AssetState
from tests.acting import revoke_pass
from tests.unit.small_world import SmallWorld


@pytest.fixture
def world() -> SmallWorld:
    """``raw`` became ``clean``; ``warned`` passed with a warning."""
    world = SmallWorld()
    world.made("clean", world.made("raw"))
    world.judge(world.made("warned", passed=False), warned=True)
    return world


def standings(world: SmallWorld, *assets: str) -> tuple[AssetState, ...]:
    manifest = world.plane.runs.manifest(world.fingerprint)
    return world.plane.planner.standings(world.fingerprint, manifest, assets)


def revoke(world: SmallWorld) -> None:
    ref = world.store.binding("raw", world.fingerprint)
    assert ref is not None
    revoke_pass(world.plane, "raw.good", ref, reason="r")


def words(world: SmallWorld, *assets: str) -> list[str]:
    return [gates_in_words(standing).plain for standing in standings(world, *assets)]


def test_each_asset_is_told_in_words(world: SmallWorld) -> None:
    """How many passed and how many of those warned; or what stands in the way, by name."""
    every = ("raw", "clean", "warned", "missing")
    assert words(world, *every) == ["1 PASS", "1 PASS", "0 PASS, 1 WARN", "-"]
    revoke(world)
    assert words(world, *every) == ["REVOKED good", "BLOCKED", "0 PASS, 1 WARN", "-"]


def test_a_run_in_which_nothing_failed_ends_with_its_first_refusal(world: SmallWorld) -> None:
    """Whatever may not be read is an error of the run; a warning is none."""

    def refusal(*assets: str) -> object:
        return _refusal(
            RunOutcome(
                fingerprint=world.fingerprint,
                run_id=run_id(world.fingerprint),
                workload="w",
                replay=False,
                registered=False,
                dagster_run_id=None,
                executed=(),
                standings=standings(world, *assets),
                attempts=(),
            )
        )

    assert refusal("raw", "clean", "warned") is None
    revoke(world)
    assert isinstance(refusal("raw", "clean"), GateRevokedError)
    assert isinstance(refusal("warned", "clean", "raw"), ArtifactBlockedError)
