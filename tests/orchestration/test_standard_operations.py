"""What every plane needs comes in one call: all of it by default, each part where it is wanted."""

import doctest
from typing import Any

import dagster as dg
import pytest

from definitions import defs
from ro_platform.errors import SettingsError
from ro_platform.orchestration import standard, standard_operations

SHOP = dg.define_asset_job("shop")
OPTIONS = {
    "inbox_every_seconds": "manifest_inbox",
    "reconcile_every_seconds": "attempt_reconciliation",
    "checkpoint_cron": "hourly_checkpoint",
    "checkpoint_every_entries": "checkpoint_by_size",
    "verification_cron": "nightly_verification",
}


def names(definitions: dg.Definitions) -> set[str]:
    """The sensors and schedules of definitions."""
    return {str(getattr(item, "name", None)) for item in running(definitions)}


def running(definitions: dg.Definitions) -> list[dg.SensorDefinition | dg.ScheduleDefinition]:
    """The sensors and schedules of definitions."""
    found = [*(definitions.sensors or ()), *(definitions.schedules or ())]
    kinds = dg.SensorDefinition, dg.ScheduleDefinition
    return [item for item in found if isinstance(item, kinds)]


def test_the_example_is_true() -> None:
    """What the docstring shows is what it does."""
    done = doctest.testmod(standard)
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize(("option", "name"), OPTIONS.items())
def test_an_option_that_is_none_leaves_its_part_out(option: str, name: str) -> None:
    """That one only; by default all are there, and run."""
    everything = standard_operations([SHOP])
    assert names(everything) == {*OPTIONS.values()}
    assert {item.default_status.value for item in running(everything)} == {"RUNNING"}
    without: dict[str, Any] = {option: None}
    assert names(standard_operations([SHOP], **without)) == {*OPTIONS.values()} - {name}


def test_without_workloads_there_is_no_inbox() -> None:
    """There is nothing that it could launch; all else is there."""
    assert names(standard_operations()) == {*OPTIONS.values()} - {"manifest_inbox"}


def test_what_is_not_started_waits_for_somebody() -> None:
    """Each sensor and schedule is stopped until it is turned on."""
    stopped = running(standard_operations([SHOP], started=False))
    assert {item.default_status.value for item in stopped} == {"STOPPED"}
    assert len(stopped) == len(OPTIONS)


def test_each_time_is_where_it_belongs() -> None:
    """No two options are confused."""
    chosen = standard_operations(
        [SHOP],
        inbox_every_seconds=41,
        reconcile_every_seconds=42,
        checkpoint_cron="43 * * * *",
        checkpoint_every_entries=44,
        verification_cron="45 4 * * *",
    )
    found = {item.name: item for item in running(chosen)}
    sensors = {name: one for name, one in found.items() if isinstance(one, dg.SensorDefinition)}
    assert sensors["manifest_inbox"].minimum_interval_seconds == 41
    assert sensors["attempt_reconciliation"].minimum_interval_seconds == 42
    assert "44 entries" in str(sensors["checkpoint_by_size"].description)
    crons = {
        name: one.cron_schedule
        for name, one in found.items()
        if isinstance(one, dg.ScheduleDefinition)
    }
    assert crons == {"hourly_checkpoint": "43 * * * *", "nightly_verification": "45 4 * * *"}


def test_a_checkpoint_needs_entries() -> None:
    """Zero or fewer is refused when the code is loaded, with what to say instead."""
    for count in (0, -1):
        with pytest.raises(SettingsError, match="one, or more"):
            standard_operations(checkpoint_every_entries=count)


def test_this_deployment_has_all_of_them() -> None:
    """The repository's own definitions bring each operation that the library has, and no other."""
    assert names(defs) == {*OPTIONS.values()}
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert jobs == {"purchases", "verification", "checkpoint", "ro_admin"}
