"""What a piece of work may know: its own manifest, pinned configs, verified inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ro_platform.contracts import ArtifactRef, CodeRef, ManifestInput, PinnedConfigRef, RunManifest
from ro_platform.errors import InputMissingError, VersionNotPinnedError
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.scope import RunScope, only_declared_configs
from tests.acting import publish_config

ACTOR = "HUMAN::tester"
DATA = b"some bytes"


@pytest.fixture
def plane() -> Plane:
    return Plane.in_memory(clock=ManualClock())


def pin(plane: Plane, name: str, content: object) -> PinnedConfigRef:
    return publish_config(plane, name, content, reason="r").version


def scope(plane: Plane, tmp_path: Path, *pins: PinnedConfigRef) -> RunScope:
    (tmp_path / "data.bin").write_bytes(DATA)
    ref = ArtifactRef(ref="data.bin", digest=sha256_hex(DATA))
    manifest = RunManifest(
        kind="ro.run_manifest.v0",
        workload="w",
        seed=5,
        parameters={"n": 1},
        inputs=(ManifestInput(name="data", ref=ref),),
        config_versions=pins,
        code=CodeRef(version="1"),
    )
    file = ManifestFile(manifest, manifest_fingerprint(manifest), tmp_path)
    plane.runs.register(file, actor=ACTOR)
    return plane.scope(file.fingerprint)


def test_a_scope_is_its_manifest(plane: Plane, tmp_path: Path) -> None:
    """Parameters, seed, identity."""
    run = scope(plane, tmp_path)
    assert (run.parameters, run.seed, run.run_id) == ({"n": 1}, 5, run_id(run.fingerprint))


def test_a_pinned_config_is_read_in_the_pinned_version(plane: Plane, tmp_path: Path) -> None:
    """Not in the newest."""
    old = pin(plane, "limits", {"max": 1})
    pin(plane, "limits", {"max": 2})
    assert scope(plane, tmp_path, old).config("limits") == {"max": 1}


def test_a_config_that_is_not_pinned_is_refused(plane: Plane, tmp_path: Path) -> None:
    """Published or not."""
    pin(plane, "limits", {"max": 1})
    run = scope(plane, tmp_path)
    for name in ("limits", "unknown"):
        with pytest.raises(VersionNotPinnedError, match="config_versions"):
            run.config(name)


def test_a_config_that_is_no_mapping_is_refused(plane: Plane, tmp_path: Path) -> None:
    """A flag is a field of a mapping, with a name."""
    run = scope(plane, tmp_path, pin(plane, "flag", True))
    with pytest.raises(VersionNotPinnedError, match="mapping"):
        run.config("flag")


def test_while_a_gate_judges_only_its_declared_configs_are_read(
    plane: Plane, tmp_path: Path
) -> None:
    """Pinned is not enough inside; outside again, it is; also after an exception inside."""
    run = scope(plane, tmp_path, pin(plane, "limits", {"a": 1}), pin(plane, "policy", {"b": 2}))
    with only_declared_configs(frozenset({"limits"})):
        assert run.config("limits") == {"a": 1}
        with pytest.raises(VersionNotPinnedError, match="does not declare"):
            run.config("policy")
    assert run.config("policy") == {"b": 2}
    with pytest.raises(KeyError), only_declared_configs(frozenset()):
        raise KeyError
    assert run.config("policy") == {"b": 2}


def test_inputs_are_read_by_name_from_verified_bytes(plane: Plane, tmp_path: Path) -> None:
    """As bytes or as a copy; another name is refused."""
    run = scope(plane, tmp_path)
    (tmp_path / "data.bin").unlink()
    run.copy_input("data", tmp_path / "copy.bin")

    assert run.input_bytes("data") == DATA == (tmp_path / "copy.bin").read_bytes()
    assert run.has_input("data")
    assert not run.has_input("other")
    for read in (
        lambda: run.input_bytes("other"),
        lambda: run.copy_input("other", tmp_path / "x"),
    ):
        with pytest.raises(InputMissingError, match="no input 'other'"):
            read()
