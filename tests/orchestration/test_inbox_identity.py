"""The inbox registers in the name of whoever its process is, and only if that may."""

from pathlib import Path

import dagster as dg
import pytest

from ro_platform.config.settings import Settings
from ro_platform.contracts import EntryKind
from ro_platform.orchestration.inbox import manifest_inbox
from ro_platform.testing import EphemeralPlane
from tests.orchestration.launch_world import DAEMON, DEFS, World

MANIFEST = "kind: ro.run_manifest.v0\nworkload: adding\nparameters: {n: 7}\ncode: {version: '1'}\n"


@pytest.fixture
def world(governed: EphemeralPlane) -> World:
    """A plane with people, and a manifest in the inbox."""
    found = World(governed)
    found.publish_policy()
    inbox = Path(Settings.load().manifest_inbox)
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / "new.yaml").write_text(MANIFEST)
    return found


def looked(world: World) -> list[str]:
    """Let the sensor look once; who registered since, as the ledger says."""
    size = world.plane.ledger.size()
    job = dg.define_asset_job("adding", selection=["second"])
    context = dg.build_sensor_context(
        instance=world.instance,
        repository_def=dg.Definitions(
            assets=DEFS.assets, jobs=[job], resources=DEFS.resources
        ).get_repository_def(),
        resources={"plane": (DEFS.resources or {})["plane"]},
    )
    manifest_inbox([job])(context)
    found = world.plane.ledger.scan(start=size, kind=EntryKind.RUN_REGISTERED)
    return [entry.actor for entry in found]


def test_a_process_of_nobody_registers_nothing_and_the_daemon_does(world: World) -> None:
    """Under a policy a name that no authentication gave is on no entry; the file waits."""
    with world.process_of(None):
        assert looked(world) == []
    with world.process_of(DAEMON):
        assert looked(world) == [DAEMON]
