"""What is told of files, code and packages that changed since what stands was made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    BoundRef,
    GateRule,
    JobAttemptRecord,
    JobStatus,
    NamedArtifact,
    RunManifest,
    RuntimeFingerprint,
)
from ro_platform.errors import CodeChangedError, InputMismatchError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.plane import Plane
from ro_platform.runs.changes import (
    changed_assets,
    changed_files,
    changed_runtime,
    code_of_now,
    keep_packages,
    packages_of,
    require_unchanged,
    runtime_fingerprint,
    under_code,
)
from ro_platform.runs.manifest import ManifestFile, read_manifest_file
from ro_platform.runs.plan import AssetState
from ro_platform.runs.registry import blob_ref

ACTOR = "HUMAN::tester"
PINNED = b"customer,cents\nann,1200\n"
LIMITS = {"most": 3}


@pytest.fixture
def plane() -> Plane:
    return Plane.in_memory()


@pytest.fixture
def file(plane: Plane, tmp_path: Path) -> ManifestFile:
    """A manifest whose input and config are on record, with both files beside it."""
    manifest = {
        "kind": "ro.run_manifest.v0",
        "workload": "shop",
        "inputs": [
            {"name": "orders", "ref": {"ref": "orders.csv", "digest": sha256_hex(PINNED)}},
        ],
        "config_versions": [
            {
                "config_name": "limits",
                "config_version": 1,
                "digest": sha256_hex(canonical_bytes(LIMITS)),
                "ref": "limits.json",
            }
        ],
        "code": {"version": "1"},
    }
    (tmp_path / "orders.csv").write_bytes(PINNED)
    (tmp_path / "limits.json").write_text(json.dumps(LIMITS))
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    found = read_manifest_file(tmp_path / "m.json")
    plane.runs.register(found, actor=ACTOR, publish_first_versions=True)
    return found


def told(plane: Plane, file: ManifestFile) -> dict[str, str]:
    return {item.what: item.found for item in changed_files(plane.store, plane.configs, file)}


def test_files_that_are_what_is_pinned_or_are_not_there_are_no_change(
    plane: Plane, file: ManifestFile, tmp_path: Path
) -> None:
    """Nor is a config that is written in other words with the same content."""
    assert told(plane, file) == {}
    (tmp_path / "limits.json").write_text('{\n  "most":   3 }')
    assert told(plane, file) == {}
    (tmp_path / "orders.csv").unlink()
    (tmp_path / "limits.json").unlink()
    assert told(plane, file) == {}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PINNED.replace(b"ann", b"bob"), f"sha256 {sha256_hex(PINNED.replace(b'ann', b'bob'))}"),
        (PINNED + b"bob,300\n", f"{len(PINNED) + 8} bytes instead of {len(PINNED)}"),
        (b"", f"0 bytes instead of {len(PINNED)}"),
    ],
    ids=["one byte", "one row more", "emptied"],
)
def test_an_input_file_that_is_not_the_pinned_one_is_told_by_name(
    plane: Plane, file: ManifestFile, tmp_path: Path, content: bytes, found: str
) -> None:
    """Of the same size it is told by its digest, of another size by that; a sentence names the
    file, the pinned digest and what is used; to be strict is to refuse it."""
    (tmp_path / "orders.csv").write_bytes(content)
    changed = changed_files(plane.store, plane.configs, file)
    assert [(item.what, item.found) for item in changed] == [("input orders", found)]
    assert changed[0].words == (
        f"orders.csv is not the pinned file any more (input orders: sha256 {sha256_hex(PINNED)}, "
        f"now {found}): the stored bytes of the pinned digest are used."
    )
    with pytest.raises(InputMismatchError, match=r"orders\.csv is not the pinned file"):
        require_unchanged(changed, [])


def test_what_is_no_file_any_more_is_told_and_is_not_opened(
    plane: Plane, file: ManifestFile, tmp_path: Path
) -> None:
    """A folder, a named pipe (which would block), a dangling link."""
    path = tmp_path / "orders.csv"
    path.unlink()
    path.mkdir()
    assert told(plane, file) == {"input orders": "no regular file"}
    path.rmdir()
    os.mkfifo(path)
    assert told(plane, file) == {"input orders": "no regular file"}
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    assert told(plane, file) == {"input orders": "unreadable: No such file or directory"}


def test_a_config_file_with_another_content_is_told(
    plane: Plane, file: ManifestFile, tmp_path: Path
) -> None:
    """By the digest of its content, or by why it has none."""
    path = tmp_path / "limits.json"
    path.write_text('{"most": 4}')
    digest = sha256_hex(canonical_bytes({"most": 4}))
    assert told(plane, file) == {"config limits": f"sha256 {digest}"}
    path.write_text("{")
    assert list(told(plane, file)) == ["config limits"]


def test_bytes_that_the_plane_lacks_are_not_told_here(tmp_path: Path, file: ManifestFile) -> None:
    """Registering needs the file then, and refuses another."""
    (tmp_path / "orders.csv").write_bytes(b"other")
    empty = Plane.in_memory()
    assert told(empty, file) == {}
    with pytest.raises(InputMismatchError):
        empty.runs.register(file, actor=ACTOR, publish_first_versions=True)


# --- code -----------------------------------------------------------------------------------------

NOW = runtime_fingerprint()
OTHER = NOW.model_copy(update={"python": "3.11.0"})


def ref(asset: str, content: bytes = b"x") -> BoundRef:
    digest = sha256_hex(asset.encode() + content)
    return BoundRef(
        ref=f"bindings/{asset}",
        digest=digest,
        size_bytes=1,
        media_type="text/plain",
        blake3="0" * 64,
    )


def attempt(asset: str, number: int = 1, **facts: Any) -> JobAttemptRecord:
    at = "2026-01-01T00:00:00.000000Z"
    known: dict[str, Any] = {
        "status": JobStatus.SUCCEEDED,
        "runtime": NOW,
        "outputs": (NamedArtifact(name=asset, artifact=ref(asset)),),
    }
    return JobAttemptRecord(
        job_id="0" * 32,
        attempt_id=f"{number:032x}",
        created_at_utc=at,
        updated_at_utc=at,
        unit=asset,
        step_key=asset,
        manifest_fingerprint="0" * 64,
        number=number,
        **{**known, **facts},
    )


def reads(*assets: str) -> tuple[NamedArtifact, ...]:
    return tuple(NamedArtifact(name=name, artifact=ref(name)) for name in assets)


def standing(*assets: str) -> list[AssetState]:
    return [AssetState(name, ref(name)) for name in assets]


def test_an_asset_made_by_other_code_is_told_and_all_that_was_made_from_it() -> None:
    """What has its own code unchanged is told by what it was made from, however far."""
    attempts = [
        attempt("a", code_version="1"),
        attempt("b", code_version="1", inputs=reads("a")),
        attempt("c", code_version="1", inputs=reads("b")),
        attempt("d", code_version="1"),
    ]
    found = changed_assets(
        standing("a", "b", "c", "d"), attempts, {"a": "2", "b": "1", "c": "1", "d": "1"}
    )
    assert [(item.asset, item.by_other_code, item.made_from) for item in found] == [
        ("a", True, ()),
        ("b", False, ("a",)),
        ("c", False, ("b",)),
    ]
    assert all(item.is_known and not item.by_other_packages for item in found)
    with pytest.raises(CodeChangedError, match=r"3 assets stand .*: a, b, c"):
        require_unchanged([], found)


def test_an_attempt_without_a_code_version_is_not_known_to_be_of_this_code() -> None:
    """Unless nothing is declared now either: then there is nothing to compare."""
    (found,) = changed_assets(standing("a"), [attempt("a")], {"a": "1"})
    assert (found.is_known, found.by_other_code) == (False, True)
    assert changed_assets(standing("a"), [attempt("a")], {"a": None}) == []
    (found,) = changed_assets(standing("a"), [attempt("a", code_version="1")], {"a": None})
    assert (found.is_known, found.by_other_code) == (True, True)


def test_another_config_of_the_job_is_other_code() -> None:
    """What the code gives a job is code: what was made with another is told, and its consumers;
    and the `code` of now is another. Without one nothing is as it was before there were any."""
    given: dict[str, Any] = {"job_config_digest": "1" * 64}
    attempts = [attempt("a", **given), attempt("b", **given, inputs=reads("a"))]
    assert changed_assets(standing("a", "b"), attempts, {}, "1" * 64) == []
    for now in (None, "2" * 64):
        found = changed_assets(standing("a", "b"), attempts, {}, now)
        assert [(item.asset, item.by_other_config, item.made_from) for item in found] == [
            ("a", True, ()),
            ("b", True, ("a",)),
        ]
        with pytest.raises(CodeChangedError):
            require_unchanged([], found)
    assert code_of_now({}, []) == code_of_now({}, [], None) != code_of_now({}, [], "1" * 64)


def test_the_newest_attempt_that_gave_those_very_bytes_made_them() -> None:
    """A replay by other code that gave the same bytes makes them that code's; one that failed, or
    gave other bytes, does not."""
    first = attempt("a", 1, code_version="1")
    proved = attempt("a", 2, code_version="2")
    failed = attempt("a", 3, code_version="3", status=JobStatus.FAILED)
    other = attempt(
        "a", 4, code_version="3", outputs=(NamedArtifact(name="a", artifact=ref("a", b"y")),)
    )
    assert changed_assets(standing("a"), [first, proved, failed, other], {"a": "2"}) == []
    (found,) = changed_assets(standing("a"), [first, failed, other], {"a": "2"})
    assert found.attempt == first


def test_another_runtime_is_told_and_one_that_was_not_recorded_is_none() -> None:
    """Of the interpreter, the platform or the packages."""
    (found,) = changed_assets(standing("a"), [attempt("a", runtime=OTHER)], {"a": None})
    assert (found.by_other_packages, found.by_other_code) == (True, False)
    assert changed_assets(standing("a"), [attempt("a", runtime=None)], {"a": None}) == []


def test_what_differs_of_two_runtimes_is_told_by_name() -> None:
    """Package by package where both listings were kept, else by their digests."""
    store = ArtifactStore(MemoryBackend())
    lines = "\n".join(
        sorted(
            f"{name}=={'0' if name == 'dagster' else version}"
            for name, version in (packages_of(store, NOW) or {}).items()
            if name != "pandas"
        )
    ).encode()
    before = RuntimeFingerprint(
        python="3.11.0",
        implementation=NOW.implementation,
        platform=NOW.platform,
        packages_digest=sha256_hex(lines),
    )
    told = [(each.name, each.before, each.now) for each in changed_runtime(store, before, NOW)]
    assert told[1:] == [("packages", before.packages_digest, NOW.packages_digest)]
    store.put_bytes(lines, media_type="text/plain")
    now = packages_of(store, NOW) or {}
    told = [(each.name, each.before, each.now) for each in changed_runtime(store, before, NOW)]
    assert told == [
        ("python", "3.11.0", NOW.python),
        ("dagster", "0", now["dagster"]),
        ("pandas", None, now["pandas"]),
    ]
    assert changed_runtime(store, NOW, NOW) == []


def test_the_listing_of_packages_is_the_blob_that_the_runtime_names() -> None:
    """Kept twice, it is there once, under that digest."""
    store = ArtifactStore(MemoryBackend())
    keep_packages(store)
    keep_packages(store)
    assert b"\ndagster==" in store.read(blob_ref(NOW.packages_digest))


VERSIONS = st.dictionaries(st.sampled_from("abcdef"), st.none() | st.text("xyz", max_size=2))


@given(VERSIONS, VERSIONS)
def test_the_code_of_now_is_equal_exactly_where_every_version_is(
    one: dict[str, str | None], two: dict[str, str | None]
) -> None:
    """In whatever order they come; a gate's version counts as well."""
    assert (code_of_now(one, []) == code_of_now(two, [])) == (one == two)
    backwards = dict(reversed(list(one.items())))
    assert code_of_now(one, []) == code_of_now(backwards, [])
    gate = GateRule(gate_id="a.good", code_version="1")
    assert code_of_now(one, [gate]) != code_of_now(one, [])


def test_the_manifest_of_now_differs_in_its_code_alone(file: ManifestFile) -> None:
    """All else is what the file said, and what it left out stays out."""
    new = under_code(file, code_of_now({"a": "1"}, []))
    old = file.manifest.to_json_value()
    assert new.fingerprint != file.fingerprint
    assert {**new.manifest.to_json_value(), "code": old["code"]} == old
    assert RunManifest.from_json(canonical_bytes(new.manifest), where="here") == new.manifest
    assert new.folder == file.folder
