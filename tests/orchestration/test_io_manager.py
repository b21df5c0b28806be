"""The IO manager: what assets return is stored, bound and recorded; what they load is verified."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.encodings import table_schema
from ro_platform.contracts import EntryKind, JobAttemptRecord, JobStatus
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.testing import EphemeralPlane

Materialize = Callable[..., dg.ExecuteInProcessResult]
Attempts = Callable[..., dict[str, JobAttemptRecord]]


def altered(plane: EphemeralPlane, digest: str) -> None:
    """Change one byte of a blob on disk, keeping its size."""
    path = plane.settings.home / "store" / blob_name(digest)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def kinds(plane: EphemeralPlane) -> list[EntryKind]:
    return [entry.kind for entry in plane.plane.ledger.scan()]


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (pd.DataFrame({"x": [1, 2], "y": ["a", None]}), pd.DataFrame),
        (pa.table({"x": [1.5, 2.5]}), pa.Table),
        ({"a": [1, "b", None]}, dict),
        ([1, 2], list),
        ("text", str),
        (b"\x00\xff", bytes),
    ],
    ids=["frame", "arrow", "dict", "list", "str", "bytes"],
)
def test_what_an_asset_returns_is_what_its_consumer_loads(
    governed: EphemeralPlane, materialize: Materialize, value: Any, annotation: type
) -> None:
    """A value of each supported type comes back equal, from verified bytes."""
    seen: list[Any] = []

    def produce() -> Any:
        return value

    def consume(made: Any) -> None:
        seen.append(made)

    produce.__annotations__["return"] = annotation
    consume.__annotations__["made"] = annotation
    made = dg.asset(partitions_def=MANIFESTS, name="made")(produce)
    used = dg.asset(partitions_def=MANIFESTS, name="used")(consume)

    assert materialize([made, used], governed.register()).success

    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(seen[0], value)
    else:
        assert seen == [value]
        assert type(seen[0]) is type(value)


def test_a_file_and_a_folder_are_loaded_as_private_copies_that_go_away(
    governed: EphemeralPlane, materialize: Materialize, tmp_path: Path
) -> None:
    """A Path returned is stored whole; a Path loaded is a copy that ends with the step."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "one.txt").write_text("one")
    (source / "sub" / "two.txt").write_text("two")
    seen: dict[str, Any] = {}

    @dg.asset(partitions_def=MANIFESTS)
    def file() -> Path:
        return source / "one.txt"

    @dg.asset(partitions_def=MANIFESTS)
    def folder() -> Path:
        return source

    @dg.asset(partitions_def=MANIFESTS)
    def reader(file: Path, folder: Path) -> None:
        seen["paths"] = [file, folder]
        seen["text"] = file.read_text() + (folder / "sub" / "two.txt").read_text()

    assert materialize([file, folder, reader], governed.register()).success

    assert seen["text"] == "onetwo"
    assert not any(path.exists() or path.is_relative_to(source) for path in seen["paths"])


def test_the_same_manifest_again_binds_the_same_bytes_and_changes_nothing(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Materializing again leaves one binding, one blob, and a second attempt."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {"n": 1}

    fingerprint = governed.register()
    assert materialize([made], fingerprint).success
    names = list(governed.plane.store.backend.names())
    assert materialize([made], fingerprint).success

    assert list(governed.plane.store.backend.names()) == names
    assert attempts(fingerprint)["made"].number == 2


def test_other_bytes_for_the_same_manifest_are_a_conflict_and_the_old_bytes_stay(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """An asset that is not deterministic fails with RO_ADDRESS_CONFLICT; nothing is replaced."""
    values = [1, 2]

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {"n": values.pop(0)}

    fingerprint = governed.register()
    assert materialize([made], fingerprint).success
    before = governed.plane.store.binding("made", fingerprint)
    assert before is not None

    assert not materialize([made], fingerprint).success

    assert governed.plane.store.binding("made", fingerprint) == before
    assert governed.plane.store.read(before) == b'{"n":1}'
    attempt = attempts(fingerprint)["made"]
    assert (attempt.status, attempt.error_code) == (JobStatus.FAILED, "RO_ADDRESS_CONFLICT")
    assert attempt.outputs == ()
    assert attempt.retryable is False


def test_an_asset_that_declares_itself_non_deterministic_gets_the_next_revision(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Other bytes become revision 2, revision 1 stays, and the newest is what counts."""
    values = [1, 2]

    @dg.asset(partitions_def=MANIFESTS, metadata={"ro/deterministic": False})
    def made() -> dict[str, int]:
        return {"n": values.pop(0)}

    fingerprint = governed.register()
    assert materialize([made], fingerprint).success
    assert materialize([made], fingerprint).success

    store = governed.plane.store
    first, second = (store.binding("made", fingerprint, revision) for revision in (1, 2))
    assert first is not None
    assert second is not None
    assert (store.read(first), store.read(second)) == (b'{"n":1}', b'{"n":2}')
    assert store.binding("made", fingerprint) == second


def test_pickle_is_only_by_name_and_is_marked_by_its_media_type(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A value that no encoding takes is refused with RO_ENCODING, unless pickle was asked for."""
    seen: list[Any] = []

    @dg.asset(partitions_def=MANIFESTS)
    def refused() -> Any:
        return {1, 2}

    @dg.asset(partitions_def=MANIFESTS, metadata={"ro/encoding": "pickle"})
    def pickled() -> Any:
        return {1, 2}

    @dg.asset(partitions_def=MANIFESTS)
    def reader(pickled: Any) -> None:
        seen.append(pickled)

    fingerprint = governed.register()
    assert not materialize([refused], fingerprint).success
    assert materialize([pickled, reader], fingerprint).success

    assert attempts(fingerprint)["refused"].error_code == "RO_ENCODING"
    assert governed.plane.store.binding("refused", fingerprint) is None
    ref = governed.plane.store.binding("pickled", fingerprint)
    assert ref is not None
    assert ref.media_type == "application/vnd.python.pickle"
    assert seen == [{1, 2}]


def test_the_outputs_of_a_multi_asset_belong_to_the_right_units(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """One step, two units of work: two attempts, each with its own output's digest."""

    @dg.multi_asset(outs={"left": dg.AssetOut(), "right": dg.AssetOut()}, partitions_def=MANIFESTS)
    def pair() -> tuple[dict[str, int], dict[str, int]]:
        return {"n": 1}, {"n": 2}

    fingerprint = governed.register()
    assert materialize([pair], fingerprint).success

    made = attempts(fingerprint)
    assert set(made) == {"left", "right"}
    for name in made:
        ref = governed.plane.store.binding(name, fingerprint)
        assert [(item.name, item.artifact) for item in made[name].outputs] == [(name, ref)]
    assert made["left"].outputs[0].artifact.digest != made["right"].outputs[0].artifact.digest


def test_an_altered_blob_delivers_no_byte_to_a_consumer(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """Bytes changed on disk: the consumer's code never runs, and the attempt says why."""
    ran: list[str] = []

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, str]:
        return {"n": "a value of some length"}

    @dg.asset(partitions_def=MANIFESTS)
    def used(made: dict[str, str]) -> dict[str, str]:
        ran.append("used")
        return made

    fingerprint = governed.register()
    assert materialize([made, used], fingerprint, selection=[made]).success
    ref = governed.plane.store.binding("made", fingerprint)
    assert ref is not None
    altered(governed, ref.digest)

    assert not materialize([made, used], fingerprint, selection=[used]).success

    assert ran == []
    assert attempts(fingerprint)["used"].error_code == "RO_DIGEST_MISMATCH"
    assert governed.plane.store.binding("used", fingerprint) is None


def test_a_partition_that_is_no_fingerprint_is_refused_and_nothing_is_bound(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Static partitions, or none at all, fail with words that name MANIFESTS."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["monday"]))
    def daily() -> dict[str, int]:
        return {}

    @dg.asset
    def single() -> dict[str, int]:
        return {}

    for asset, partition in ((daily, "monday"), (single, None)):
        result = materialize([asset], partition)
        assert not result.success
        text = failure_text(result)
        assert "MANIFESTS" in text, text
    assert list(governed.plane.store.bindings()) == []
    assert kinds(governed) == []


def test_a_fingerprint_that_is_not_registered_is_refused_and_nothing_is_bound(
    governed: EphemeralPlane, materialize: Materialize, attempts: Attempts
) -> None:
    """A partition that somebody added by hand is no run: RO_MANIFEST_NOT_REGISTERED."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    governed.instance.add_dynamic_partitions("manifests", ["f" * 64])
    assert not materialize([made], "f" * 64).success

    assert attempts("f" * 64)["made"].error_code == "RO_MANIFEST_NOT_REGISTERED"
    assert list(governed.plane.store.bindings()) == []
    assert EntryKind.ARTIFACT_BOUND not in kinds(governed)


def test_an_instance_that_does_not_record_may_not_publish(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """On stock Dagster storage a governed asset fails with RO_ATTEMPT_NOT_RECORDED."""

    @dg.asset(partitions_def=MANIFESTS)
    def made() -> dict[str, int]:
        return {}

    fingerprint = governed.register()
    with dg.DagsterInstance.ephemeral() as stock:
        stock.add_dynamic_partitions("manifests", [fingerprint])
        result = materialize([made], fingerprint, instance=stock)

    assert not result.success
    assert "RO_ATTEMPT_NOT_RECORDED" in failure_text(result)
    assert list(governed.plane.store.bindings()) == []


def test_an_output_of_no_asset_is_refused_with_what_to_do(governed: EphemeralPlane) -> None:
    """An op's own output has no asset and no manifest, so the plane keeps none of it."""

    @dg.op
    def number() -> int:
        return 1

    @dg.job(resource_defs=govern(dg.Definitions()).resources or {})
    def plain() -> None:
        number()

    result = plain.execute_in_process(instance=governed.instance, raise_on_error=False)

    assert not result.success
    assert "io_manager_key" in failure_text(result)


def test_loading_outside_a_run_is_guarded_too(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """``load_asset_value`` delivers what passed, and refuses what did not, like any consumer."""

    @dg.asset(partitions_def=MANIFESTS)
    def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
        return dict(plane.run(context).parameters)

    @gate(asset=made)
    def is_good(made: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=made["good"])

    defs = govern(dg.Definitions(assets=[made], asset_checks=[is_good]))
    good, bad = (governed.register(parameters={"good": value}) for value in (True, False))
    for fingerprint in (good, bad):
        materialize([made, is_good], fingerprint)

    def load(fingerprint: str) -> Any:
        return defs.load_asset_value("made", partition_key=fingerprint, instance=governed.instance)

    assert load(good) == {"good": True}
    with pytest.raises(dg.Failure, match="RO_GATE_FAILED"):
        load(bad)


def test_the_ui_shows_digest_size_locator_schema_and_preview(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Read back from Dagster's own event log, where the UI reads it."""

    @dg.asset(partitions_def=MANIFESTS)
    def table() -> pd.DataFrame:
        return pd.DataFrame({"x": [1, 2], "y": ["a|b", "c"]})

    @dg.asset(partitions_def=MANIFESTS)
    def document() -> dict[str, int]:
        return {"n": 1}

    fingerprint = governed.register()
    assert materialize([table, document], fingerprint).success
    ref = governed.plane.store.binding("table", fingerprint)
    assert ref is not None

    shown = shown_for(governed, "table")
    assert shown["ro/sha256"].value == ref.digest
    assert shown["ro/blake3"].value == ref.blake3
    assert shown["ro/locator"].value == ref.ref
    assert shown["size_bytes"].value == ref.size_bytes
    assert shown["dagster/row_count"].value == 2
    columns = shown["dagster/column_schema"].value.columns
    assert [(column.name, column.type) for column in columns] == table_schema(
        governed.plane.store, ref
    )
    assert "| 1 | a\\|b |" in shown["preview"].value
    assert shown_for(governed, "document")["preview"].value == {"n": 1}


def test_a_large_document_is_referred_to_and_not_copied_into_dagster(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """Dagster's event log keeps no copy of a document beyond a few kilobytes."""

    @dg.asset(partitions_def=MANIFESTS)
    def document() -> dict[str, str]:
        return {"text": "x" * 100_000}

    assert materialize([document], governed.register()).success

    shown = shown_for(governed, "document")
    assert "preview" not in shown
    assert shown["size_bytes"].value > 100_000


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """Everything that the run's failed steps say."""
    return "\n".join(
        str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure
    )


def shown_for(governed: EphemeralPlane, asset: str) -> dict[str, Any]:
    event = governed.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    return dict(materialization.metadata)


def test_a_value_that_looks_like_one_by_manifest_is_kept_as_it_is(
    governed: EphemeralPlane, materialize: Materialize
) -> None:
    """A dict whose one key is the manifest's own fingerprint is the value of an asset that is made
    for one manifest at a time."""
    fingerprint = governed.register()
    seen: list[Any] = []

    @dg.asset(partitions_def=MANIFESTS)
    def made(context: dg.AssetExecutionContext) -> dict[str, int]:
        return {context.partition_key: 1}

    @dg.asset(partitions_def=MANIFESTS)
    def used(made: dict[str, int]) -> str:
        seen.append(made)
        return "ok"

    assert materialize([made, used], fingerprint).success
    assert seen == [{fingerprint: 1}]


@pytest.mark.parametrize("policy", [dg.BackfillPolicy.single_run(), dg.BackfillPolicy.multi_run(5)])
def test_an_asset_of_ranges_returns_the_same_form_for_one_manifest(
    governed: EphemeralPlane, materialize: Materialize, policy: dg.BackfillPolicy
) -> None:
    """What it returns is by fingerprint, also in a run for a single partition."""
    fingerprint = governed.register(parameters={"n": 7})

    @dg.asset(partitions_def=MANIFESTS, backfill_policy=policy)
    def made(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
        return {key: dict(run.parameters) for key, run in plane.runs(context).items()}

    assert materialize([made], fingerprint).success
    ref = governed.plane.store.binding("made", fingerprint)
    assert ref is not None
    assert governed.plane.store.read(ref) == b'{"n":7}'


def test_keys_of_several_kinds_are_refused_in_our_words(
    governed: EphemeralPlane, attempts: Attempts
) -> None:
    """A step over several partitions that returns a dict with other keys: RO_ENCODING for each."""
    keys = [governed.register(parameters={"n": n}) for n in range(2)]

    @dg.asset(partitions_def=MANIFESTS, backfill_policy=dg.BackfillPolicy.single_run())
    def made() -> dict[Any, int]:
        return {1: 1, "a": 2}

    job = dg.define_asset_job("range", selection="*")
    bound = govern(dg.Definitions(assets=[made], jobs=[job]))
    done = bound.resolve_job_def("range").execute_in_process(
        instance=governed.instance,
        tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[1],
        },
        raise_on_error=False,
    )
    assert not done.success
    assert {attempts(key)["made"].error_code for key in keys} == {"RO_ENCODING"}
