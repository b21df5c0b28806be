"""The manifest inbox: each manifest is registered once and launched once; none holds up another."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from ro_platform.config.settings import settings_in_force
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.orchestration.inbox import MANIFESTS_A_TICK, manifest_inbox
from ro_platform.testing import EphemeralPlane

MANIFEST = """\
kind: ro.run_manifest.v0
workload: tally
parameters: {{n: {number}}}
code: {{version: "1"}}
"""


@dg.asset(partitions_def=MANIFESTS)
def tally() -> dict[str, int]:
    return {}


JOB = dg.define_asset_job("tally", selection="*")
SENSOR = manifest_inbox([JOB])
DEFS = govern(dg.Definitions(assets=[tally], jobs=[JOB], sensors=[SENSOR]))


@pytest.fixture
def inbox(governed: EphemeralPlane) -> Iterator[Path]:
    """The folder that the sensor watches, empty."""
    settings = replace(governed.settings, manifest_inbox=governed.settings.home / "inbox")
    settings.manifest_inbox.mkdir()
    with settings_in_force(settings):
        yield settings.manifest_inbox


def put(inbox: Path, name: str, number: int) -> Path:
    path = inbox / name
    path.write_text(MANIFEST.format(number=number))
    return path


def tick(governed: EphemeralPlane, cursor: str | None = None) -> dg.SensorResult:
    """One evaluation of the sensor, as after the daemon's restart: only the cursor is kept."""
    plane = (DEFS.resources or {})["plane"]
    context = dg.build_sensor_context(
        instance=governed.instance, cursor=cursor, resources={"plane": plane}
    )
    result = SENSOR(context)
    assert isinstance(result, dg.SensorResult)
    return result


def keys(result: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in result.run_requests or ()]


def test_a_new_manifest_is_registered_and_launched_once(
    governed: EphemeralPlane, inbox: Path
) -> None:
    """One request, for the workload it names; the next tick asks for nothing."""
    put(inbox, "one.yaml", 1)

    first = tick(governed)
    (request,) = first.run_requests or ()
    second = tick(governed, first.cursor)

    registered = [item.manifest_fingerprint for item in governed.plane.runs.registered()]
    assert keys(first) == registered
    assert (request.job_name, request.run_key) == ("tally", registered[0])
    assert governed.instance.get_dynamic_partitions("manifests") == registered
    assert keys(second) == []
    assert len(list(governed.plane.runs.registered())) == 1


def test_a_changed_file_is_looked_at_again(governed: EphemeralPlane, inbox: Path) -> None:
    """Other content is another run; the same content under another name is the same run."""
    put(inbox, "one.yaml", 1)
    first = tick(governed)
    put(inbox, "one.yaml", 2)
    second = tick(governed, first.cursor)
    put(inbox, "copy.yaml", 2)
    third = tick(governed, second.cursor)

    assert len({*keys(first), *keys(second)}) == 2
    # Dagster launches a run key once, so the copy's request starts nothing.
    assert [request.run_key for request in third.run_requests or ()] == keys(second)
    assert len(list(governed.plane.runs.registered())) == 2


def test_a_broken_manifest_is_said_in_the_log_and_the_others_go_on(
    governed: EphemeralPlane, inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Named, with its code; left where it is; not said again until it changes."""
    (inbox / "a-broken.yaml").write_text("kind: [")
    put(inbox, "b-unknown.yaml", 1).write_text(MANIFEST.format(number=1).replace("tally", "sums"))
    put(inbox, "c-good.yaml", 1)
    (inbox / "notes.txt").write_text("not a manifest")
    (inbox / ".hidden.yaml").write_text("kind: [")

    result = tick(governed)
    said = capfd.readouterr().err
    again = tick(governed, result.cursor)

    assert len(keys(result)) == 1
    assert "a-broken.yaml" in said
    assert "RO_DOCUMENT_SYNTAX" in said
    assert "b-unknown.yaml" in said
    assert "RO_UNKNOWN_WORKLOAD" in said
    assert "hidden" not in said
    assert (keys(again), capfd.readouterr().err) == ([], "")
    assert (inbox / "a-broken.yaml").exists()


def test_a_store_that_does_not_serve_is_tried_again(
    governed: EphemeralPlane, inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is wrong with the manifest, so the next tick registers and launches it."""
    put(inbox, "one.yaml", 1)
    store = governed.settings.home / "store"
    store.write_text("a file where the folder belongs")
    refused = tick(governed)
    store.unlink()

    assert keys(refused) == []
    assert "RO_STORE_NOT_WRITABLE" in capfd.readouterr().err
    assert len(keys(tick(governed, refused.cursor))) == 1


def test_a_tick_takes_a_bounded_batch_and_the_next_ones_the_rest(
    governed: EphemeralPlane, inbox: Path
) -> None:
    """25 at a time, by name; none twice, none left out."""
    for number in range(MANIFESTS_A_TICK + 2):
        put(inbox, f"{number:03d}.yaml", number)

    first = tick(governed)
    second = tick(governed, first.cursor)
    third = tick(governed, second.cursor)

    assert MANIFESTS_A_TICK == 25
    assert [len(keys(result)) for result in (first, second, third)] == [25, 2, 0]
    assert len({*keys(first), *keys(second)}) == 27


def test_an_inbox_that_does_not_exist_is_an_empty_one(
    governed: EphemeralPlane, inbox: Path
) -> None:
    """Nobody has to make the folder first."""
    inbox.rmdir()
    assert keys(tick(governed)) == []
