"""Checkpoints by schedule and by size: nothing before there is a key, and each witness served."""

import dataclasses
from pathlib import Path

import dagster as dg

from ro_platform.config.settings import settings_in_force
from ro_platform.kernel.signing import create_key_file
from ro_platform.orchestration import PlaneResource, govern
from ro_platform.orchestration.scheduled import checkpoint, checkpoint_by_size, hourly_checkpoint
from ro_platform.plane import shared_plane
from ro_platform.testing import EphemeralPlane


def asked(governed: EphemeralPlane) -> list[bool]:
    """Whether the schedule and the sensor want a run now."""
    with dg.build_schedule_context(instance=governed.instance) as context:
        by_hour = hourly_checkpoint()(context)
    with dg.build_sensor_context(instance=governed.instance) as sensed:
        by_size = checkpoint_by_size(every_entries=1)(sensed, plane=PlaneResource())
    return [isinstance(answer, dg.RunRequest) for answer in (by_hour, by_size)]


def run(governed: EphemeralPlane) -> dg.ExecuteInProcessResult:
    job = govern(dg.Definitions(jobs=[checkpoint])).resolve_job_def("checkpoint")
    return job.execute_in_process(instance=governed.instance, raise_on_error=False)


def test_nothing_starts_before_there_is_a_key(governed: EphemeralPlane) -> None:
    """Without one no run is started and none fails; with one, by the hour and by size."""
    governed.register()
    assert asked(governed) == [False, False]
    create_key_file(governed.settings.signing_key, "ro-platform/local")
    assert asked(governed) == [True, True]
    assert run(governed).success
    assert governed.plane.checkpoints.latest() is not None
    assert asked(governed) == [True, False]


def test_a_witness_that_fails_fails_the_run_after_the_others_were_served(
    governed: EphemeralPlane, tmp_path: Path
) -> None:
    """The run's failure is the witness's error; the other has the checkpoint."""
    broken = tmp_path / "broken"
    broken.write_text("not a folder")
    good = tmp_path / "good"
    settings = dataclasses.replace(governed.settings, witnesses=(broken.as_uri(), good.as_uri()))
    create_key_file(settings.signing_key, "ro-platform/local")
    governed.register()
    with settings_in_force(settings):
        result = run(governed)
        held = shared_plane(settings).checkpoints.holdings()
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    assert "RO_" in str(failures[0].step_failure_data.error)
    assert [len(one.sizes) for one in held] == [1, 0, 1]
    assert held[1].error is None or "broken" in str(held[1].error)
