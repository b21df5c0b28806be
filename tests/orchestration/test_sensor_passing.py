"""when_passed: a consumer is launched once for what passed, and again when other bytes pass."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.artifacts.store import blobs_at
from ro_platform.config.settings import Settings
from ro_platform.contracts import EntryKind, JobStatus, PassRevoked
from ro_platform.errors import BackendUnavailableError, GateSetShrankError, SettingsError
from ro_platform.ledger.addresses import SqliteLedger, ledger_at
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import revocation_subject
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern, when_passed
from ro_platform.plane import Plane
from ro_platform.runs.readiness import ReadinessCursor
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Count = dict[str, int]

TIMES = itertools.count()
"""What makes the bytes of ``made`` new each time."""


@dg.asset(partitions_def=MANIFESTS, metadata={"ro/deterministic": False})
def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    fresh = plane.run(context).parameters.get("fresh")
    return {**plane.run(context).parameters, "time": next(TIMES) if fresh else 0}


@gate(asset=made, code_version="1")
def is_good(made: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=bool(made["good"]))


@dg.asset(partitions_def=MANIFESTS)
def ungated() -> dict[str, int]:
    return {}


@dg.asset(partitions_def=MANIFESTS, deps=[ungated])
def used(context: dg.AssetExecutionContext, plane: PlaneResource, made: dict[str, Any]) -> Count:
    if plane.run(context).parameters.get("broken"):
        raise ValueError("the consumer's own fault")
    return {"count": len(made)}


@dg.asset(partitions_def=MANIFESTS)
def summed(used: Count) -> Count:
    return used


CONSUME = dg.define_asset_job("consume", dg.AssetSelection.assets(used, summed))
SENSOR = when_passed(CONSUME, manifests_a_tick=2)
PRODUCE = [made, is_good, ungated]


def deployment(sensor: dg.SensorDefinition = SENSOR, **options: Any) -> dg.Definitions:
    """A code location of these assets and that sensor."""
    options = {"assets": [made, ungated, used, summed], "asset_checks": [is_good], **options}
    return govern(dg.Definitions(jobs=[CONSUME], sensors=[sensor], **options))


DEFS = deployment()


def ledger_of(settings: Settings) -> Path:
    ledger = ledger_at(settings.ledger_url)
    assert isinstance(ledger, SqliteLedger)
    return ledger.path


class Impatient(PlaneResource):
    """The plane, by way of a connection that does not wait for whoever holds the ledger."""

    @property
    def plane(self) -> Plane:
        settings = Settings.load()
        ledger = SqliteLedgerBackend(ledger_of(settings), busy_timeout_seconds=0.05)
        return Plane.over(blobs_at(settings.store_url), ledger)


class Ticks:
    """A sensor as the daemon drives it: it keeps the cursor and launches what is requested."""

    def __init__(self, governed: EphemeralPlane, defs: dg.Definitions, name: str) -> None:
        self.instance = governed.instance
        self.defs = defs
        self.name = name
        self.cursor: str | None = None
        self.plane: PlaneResource = (defs.resources or {})["plane"]

    def evaluate(self, cursor: str | None) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self.defs.get_repository_def(),
            resources={"plane": self.plane},
        )
        result = self.defs.get_repository_def().get_sensor_def(self.name)(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self) -> list[dg.RunRequest]:
        """One evaluation; what it requests, and the cursor kept."""
        result = self.evaluate(self.cursor)
        self.cursor = result.cursor
        return list(result.run_requests or ())

    def launch(self, request: dg.RunRequest) -> bool:
        """Run what was requested, with the tags that the daemon gives it; whether it succeeded."""
        tags = {"dagster/run_key": str(request.run_key), "dagster/sensor_name": self.name}
        result = self.defs.resolve_job_def("consume").execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags={**request.tags, **tags},
            raise_on_error=False,
        )
        return result.success


@pytest.fixture
def ticks(governed: EphemeralPlane) -> Ticks:
    return Ticks(governed, DEFS, "consume_when_passed")


def partitions(requests: list[dg.RunRequest]) -> list[str]:
    return [str(request.partition_key) for request in requests]


def test_a_consumer_is_launched_once_when_its_producers_passed(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Loaded or deps-only, gated or not: after all of them; and the launched run works."""
    fingerprint = governed.register(parameters={"good": True})
    assert ticks.tick() == []
    materialize([made, is_good], fingerprint)
    assert ticks.tick() == []
    materialize([ungated], fingerprint)
    (request,) = ticks.tick()
    assert ticks.tick() == []

    assert request.partition_key == fingerprint
    assert "ro/actor" not in request.tags  # the server says who launches
    assert str(request.run_key).startswith(request.tags["ro/passed"])
    assert ticks.launch(request)
    assert ticks.tick() == []


def test_a_refused_manifest_is_not_requested_and_said_why(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """The tick's words name the manifest and the guard's refusal."""
    fingerprint = governed.register(parameters={"good": False})
    materialize(PRODUCE, fingerprint)

    result = ticks.evaluate(None)

    assert not result.run_requests
    words = str(result.skip_reason and result.skip_reason.skip_message)
    assert fingerprint[:12] in words
    assert "RO_GATE_FAILED" in words


def test_the_same_bytes_again_launch_nothing_and_other_bytes_that_pass_do(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Producers that run again with the same outcome are no news; a revision that passed is."""
    same = governed.register(parameters={"good": True})
    other = governed.register(parameters={"good": True, "fresh": True})
    for fingerprint in (same, other):
        materialize(PRODUCE, fingerprint)
    first = ticks.tick()
    assert [ticks.launch(request) for request in first] == [True, True]
    for fingerprint in (same, other):
        materialize(PRODUCE, fingerprint)
    second = ticks.tick()

    assert partitions(first) == [same, other]
    assert partitions(second) == [other]
    assert second[0].run_key != first[1].run_key


def test_a_new_revision_is_not_requested_before_it_passed(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize, ticks: Ticks
) -> None:
    """The older revision's PASS is no reason to start."""
    fingerprint = governed.register(parameters={"good": True, "fresh": True})
    materialize(PRODUCE, fingerprint)
    ticks.tick()
    only_made = dg.AssetSelection.assets(made).without_checks()
    materialize([made, is_good], fingerprint, selection=only_made)
    assert ticks.tick() == []
    judge([made, is_good], fingerprint)
    assert partitions(ticks.tick()) == [fingerprint]


def test_a_revoked_pass_is_not_requested(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Also where the verdict was news since the tick before."""
    fingerprint = governed.register(parameters={"good": True})
    materialize(PRODUCE, fingerprint)
    plane = governed.plane
    ref = plane.store.binding("made", fingerprint)
    assert ref is not None
    recorded = plane.receipts.latest("made.is_good", fingerprint, ref.digest)
    assert recorded is not None
    body = PassRevoked(
        asset="made",
        manifest_fingerprint=fingerprint,
        gate_id=recorded.gate_id,
        subject_digest=ref.digest,
        rule_digest=recorded.rule_digest,
        receipt=recorded.receipt,
        reason="found wrong",
        blocked=0,
        admin_event_id="event",
    )
    subject = revocation_subject(recorded.gate_id, fingerprint, ref.digest, recorded.rule_digest)
    plane.ledger.append(EntryDraft(EntryKind.PASS_REVOKED, subject, "HUMAN::auditor", body))

    assert ticks.tick() == []


def test_a_gate_that_is_new_in_the_code_is_waited_for(
    governed: EphemeralPlane, materialize: Materialize, judge: Materialize
) -> None:
    """It would refuse the consumer at its start, so nothing is requested before its PASS."""

    @gate(asset=made, code_version="1")
    def is_complete(made: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    fingerprint = governed.register(parameters={"good": True})
    materialize(PRODUCE, fingerprint)
    newer = deployment(asset_checks=[is_good, is_complete])
    ticks = Ticks(governed, newer, "consume_when_passed")
    assert ticks.tick() == []
    judge([made, is_good, is_complete], fingerprint)

    (request,) = ticks.tick()
    assert ticks.launch(request)


def test_a_gate_that_left_the_code_fails_the_tick_until_that_is_recorded(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """RO_GATE_SET_SHRANK, the cursor unmoved; after `ro gate drop` the manifests are met."""
    fingerprint = governed.register(parameters={"good": False})
    materialize(PRODUCE, fingerprint)
    ticks = Ticks(governed, deployment(asset_checks=[]), "consume_when_passed")
    with pytest.raises(GateSetShrankError):
        ticks.tick()
    assert ticks.cursor is None
    governed.plane.gates.drop("made", "made.is_good", reason="obsolete", actor="HUMAN::lead")

    assert partitions(ticks.tick()) == [fingerprint]


def test_a_dropped_gate_lets_those_pass_that_a_tick_had_left_behind(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """The cursor was beyond their artifacts already."""
    fingerprint = governed.register(parameters={"good": False})
    materialize(PRODUCE, fingerprint)
    assert ticks.tick() == []
    governed.plane.gates.drop("made", "made.is_good", reason="obsolete", actor="HUMAN::lead")
    without = Ticks(governed, deployment(asset_checks=[]), "consume_when_passed")
    without.cursor = ticks.cursor

    assert partitions(without.tick()) == [fingerprint]


def test_many_that_pass_at_once_come_in_bounded_batches(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Two a tick here, in the order in which they passed, none lost, none twice."""
    registered = [governed.register(parameters={"good": True, "n": n}) for n in range(3)]
    for fingerprint in registered:
        materialize(PRODUCE, fingerprint)

    batches = []
    for _ in range(3):
        requests = ticks.tick()
        assert all(ticks.launch(request) for request in requests)
        batches.append(partitions(requests))

    assert [len(batch) for batch in batches] == [2, 1, 0]
    assert [item for batch in batches for item in batch] == registered


def test_an_old_or_a_lost_cursor_launches_nothing_again(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Runs are found by their key; without Dagster's runs, by what the ledger says was made."""
    registered = [governed.register(parameters={"good": True, "n": n}) for n in range(3)]
    for fingerprint in registered:
        materialize(PRODUCE, fingerprint)
    before = ticks.cursor
    first = ticks.tick()
    kept = ticks.cursor
    for request in first:
        ticks.launch(request)

    ticks.cursor = before
    assert partitions(ticks.tick()) == registered[2:]
    for run in governed.instance.get_runs(dg.RunsFilter(job_name="consume")):
        governed.instance.delete_run(run.run_id)
    for cursor in (None, kept):
        ticks.cursor = cursor
        assert partitions(ticks.tick()) == registered[2:]


def test_a_consumer_that_failed_for_its_own_reasons_is_not_launched_again(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Not for the same digests, not even from a lost cursor: that is a person's decision."""
    fingerprint = governed.register(parameters={"good": True, "broken": True})
    materialize(PRODUCE, fingerprint)
    (request,) = ticks.tick()
    assert not ticks.launch(request)
    attempts = {item.unit: item for item in governed.plane.attempts.of_run(fingerprint)}
    assert attempts["used"].status is JobStatus.FAILED

    assert ticks.tick() == []
    assert ticks.evaluate(None).run_requests in (None, [])


def test_a_consumer_that_somebody_else_ran_is_not_launched(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """The ledger has all of the job's assets as made from exactly what stands."""
    fingerprint = governed.register(parameters={"good": True})
    materialize([*PRODUCE, used, summed], fingerprint)
    assert ticks.tick() == []


def test_only_the_manifests_of_the_named_workloads_count(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Every manifest does when none is named."""
    sensor = when_passed(CONSUME, name="theirs", workloads=["theirs"])
    ticks = Ticks(governed, deployment(sensor), "theirs")
    ours = governed.register("ours", parameters={"good": True})
    theirs = governed.register("theirs", parameters={"good": True})
    for fingerprint in (ours, theirs):
        materialize(PRODUCE, fingerprint)

    assert partitions(ticks.tick()) == [theirs]


def test_a_ledger_that_does_not_answer_fails_the_tick_with_the_cursor_unmoved(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """RO_BACKEND_UNAVAILABLE; the next tick that gets an answer launches."""
    fingerprint = governed.register(parameters={"good": True})
    ticks.tick()
    before = ticks.cursor
    materialize(PRODUCE, fingerprint)
    patient, ticks.plane = ticks.plane, Impatient.declaring(ticks.plane.declarations)
    governed.plane.ledger.close()
    with closing(sqlite3.connect(ledger_of(governed.settings), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BackendUnavailableError):
            ticks.tick()

    ticks.plane = patient
    assert ticks.cursor == before
    assert partitions(ticks.tick()) == [fingerprint]


def test_a_partition_that_is_missing_is_added_with_the_request(
    governed: EphemeralPlane, materialize: Materialize, ticks: Ticks
) -> None:
    """Registered, and no partition of this instance: the request would otherwise fail."""
    fingerprint = governed.register(parameters={"good": True})
    materialize(PRODUCE, fingerprint)
    governed.instance.delete_dynamic_partition("manifests", fingerprint)

    result = ticks.evaluate(None)

    (added,) = result.dynamic_partitions_requests or ()
    assert added.partition_keys == [fingerprint]


def test_a_producer_of_another_code_location_is_waited_for_before_it_was_ever_made(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Known here by its partitions or by name only, and on no record yet."""

    @dg.asset(partitions_def=MANIFESTS, deps=["far_away"])
    def near(made: dict[str, Any]) -> Count:
        return {"count": len(made)}

    sensor = when_passed(dg.AssetSelection.assets(near), name="near_when_passed")
    defs = govern(
        dg.Definitions(
            assets=[near, dg.AssetSpec("made", partitions_def=MANIFESTS)], sensors=[sensor]
        )
    )
    ticks = Ticks(governed, defs, "near_when_passed")
    fingerprint = governed.register(parameters={"good": True})
    assert ticks.tick() == []
    materialize(PRODUCE, fingerprint)
    assert ticks.tick() == []

    @dg.asset(partitions_def=MANIFESTS)
    def far_away() -> Count:
        return {}

    materialize([far_away], fingerprint)
    assert partitions(ticks.tick()) == [fingerprint]


def test_the_tick_says_what_was_asked_of_it_cannot_be_done(governed: EphemeralPlane) -> None:
    """No producers: nothing could ever pass. A mapped edge: which manifests would have to?"""
    whole = when_passed(dg.AssetSelection.all(), name="whole")
    with pytest.raises(SettingsError, match="whole depends on nothing"):
        Ticks(governed, deployment(whole), "whole").tick()

    @dg.asset(
        partitions_def=MANIFESTS,
        ins={"made": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
    )
    def over_all(made: dict[str, Any]) -> Count:
        return {"count": len(made)}

    mapped = when_passed(dg.AssetSelection.assets(over_all), name="mapped")
    defs = deployment(mapped, assets=[made, ungated, used, summed, over_all])
    with pytest.raises(SettingsError, match="partition mapping"):
        Ticks(governed, defs, "mapped").tick()


def test_a_target_must_be_an_asset_job_or_a_named_selection() -> None:
    """Said where the sensor is written."""
    with pytest.raises(SettingsError, match="no name"):
        when_passed(dg.AssetSelection.assets(used))

    @dg.job
    def plain() -> None:
        pass

    with pytest.raises(SettingsError, match="asset jobs"):
        when_passed(plain)
    assert SENSOR.name == "consume_when_passed"
    assert SENSOR.default_status is dg.DefaultSensorStatus.STOPPED


@pytest.fixture(autouse=True)
def ledger_position_is_what_the_cursor_holds(ticks: Ticks) -> Iterator[None]:
    """Whatever a test does, the cursor that it ends with is a position."""
    yield
    ReadinessCursor.of(ticks.cursor)
