"""The scheduled verification: silent about a sound plane, precise about a damaged one."""

import sqlite3
from collections.abc import Callable

import dagster as dg

from ro_platform.artifacts.addressing import blob_name
from ro_platform.orchestration import MANIFESTS, govern
from ro_platform.orchestration.scheduled import nightly_verification, verification
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]


@dg.asset(partitions_def=MANIFESTS)
def made() -> dict[str, str]:
    return {"text": "some bytes to alter"}


def verify(governed: EphemeralPlane) -> dg.ExecuteInProcessResult:
    defs = govern(dg.Definitions(assets=[made], jobs=[verification]))
    return defs.resolve_job_def("verification").execute_in_process(
        instance=governed.instance, raise_on_error=False
    )


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed step said."""
    return {
        str(event.step_key): str(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure
    }


def test_a_sound_plane_passes(governed: EphemeralPlane, materialize: Materialize) -> None:
    """An empty one, and one with artifacts."""
    assert verify(governed).success
    assert materialize([made], governed.register()).success
    assert verify(governed).success


def test_an_altered_artifact_fails_the_job_and_is_named(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """One changed byte: the binding is named, and the ledger is still verified."""
    fingerprint = governed.register()
    materialize([made], fingerprint)
    ref = governed.plane.store.binding("made", fingerprint)
    assert ref is not None
    path = governed.settings.home / "store" / blob_name(ref.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"alter", b"ALTER"))

    said = failures(verify(governed))

    assert set(said) == {"verify_artifacts"}
    assert ref.ref in said["verify_artifacts"]
    assert "RO_INTEGRITY" in said["verify_artifacts"]


def test_an_edited_ledger_entry_fails_the_job_and_is_named(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Somebody took the triggers away, edited a row and put them back: entry 2 is named."""
    materialize([made], governed.register())
    database = sqlite3.connect(governed.settings.home / "ledger.sqlite")
    triggers = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type='trigger'"
    ).fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    database.execute(
        "UPDATE entry SET entry = CAST(replace(entry, 'made', 'MADE') AS BLOB) WHERE seq = 2"
    )
    for _, sql in triggers:
        database.execute(sql)
    database.commit()
    database.close()

    said = failures(verify(governed))

    # What attempts ran under is read from the ledger, so the store's audit meets the entry as well.
    assert set(said) == {"verify_ledger", "verify_artifacts"}
    for words in said.values():
        assert "RO_LEDGER_CORRUPT" in words
        assert "ntry 2" in words


def test_it_is_scheduled_every_night() -> None:
    """The schedule runs this job, and is on from the start."""
    schedule = nightly_verification()
    assert schedule.job_name == "verification"
    assert schedule.cron_schedule == "0 3 * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
