"""A finished run leaves the house as one file that proves it: exported, verified by two programs
that share no code, shown to a person, and refused when a byte of it is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.product import ROOT, Answer, Deployment, small_manifest

SECOND = ROOT / "docs/reference/conformance/verify_dossier.py"


@dataclass(frozen=True)
class Exported:
    """A deployment with a key and a run, the run's dossier, and the key to verify it with."""

    deployment: Deployment
    manifest: Path
    file: Path
    key: Path


@pytest.fixture
def exported(small_finished: tuple[Deployment, Path], tmp_path: Path) -> Exported:
    """The small deployment's run, exported with its artifacts."""
    deployment, manifest = small_finished
    made = deployment.ro("ledger", "key", "--create")
    assert made.code == 0, made.err
    key = deployment.home / "keys/signing.key.pub"
    file = tmp_path / "run.dossier"
    answer = deployment.ro("dossier", "export", manifest, "-o", file, "--with-artifacts")
    assert answer.code == 0, answer.err
    return Exported(deployment, manifest, file, key)


def elsewhere(exported: Exported, folder: Path, *arguments: object) -> Answer:
    """``ro dossier`` where there is no plane: an empty folder, and only the file and the key."""
    folder.mkdir(exist_ok=True)
    stranger = Deployment(folder, folder / "home", {"RO_LEDGER_URL": "sqlite:///nowhere"})
    answer = stranger.ro("dossier", *arguments)
    assert list(folder.iterdir()) == []
    return answer


def second(file: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """The second verifier, alone."""
    return subprocess.run(
        [sys.executable, "-I", str(SECOND), str(file), str(key)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_third_party_verifies_a_run_with_two_programs(exported: Exported, tmp_path: Path) -> None:
    """Neither has the deployment, its database or its store."""
    shutil.move(exported.key, tmp_path / "log.pub")
    shutil.rmtree(exported.deployment.home)
    told = elsewhere(
        exported, tmp_path / "x", "verify", exported.file, "--key", tmp_path / "log.pub"
    )
    assert (told.code, told.out.startswith("verified")) == (0, True), told.err
    assert second(exported.file, tmp_path / "log.pub").returncode == 0


def test_a_changed_byte_is_refused_with_the_reason(exported: Exported, tmp_path: Path) -> None:
    """Exit 6, by both."""
    data = exported.file.read_bytes()
    place = data.index(b'"kind":"ro.run_manifest.v0"') + 3
    forged = tmp_path / "forged.dossier"
    forged.write_bytes(data[:place] + b"X" + data[place + 1 :])
    told = elsewhere(exported, tmp_path / "x", "verify", forged, "--key", exported.key)
    assert told.code == 6
    assert "RO_DOSSIER_REFUSED The dossier is refused: manifest.json" in told.err
    assert second(forged, exported.key).returncode == 6


def test_a_run_of_dagster_is_sealed_when_it_ends(exported: Exported) -> None:
    """By its last event; asking again adds nothing, and a replay begins a second record."""
    kinds = [entry["kind"] for entry in exported.deployment.entries()]
    assert kinds.count("run_sealed") == 1
    replay = exported.deployment.ro("run", exported.manifest, "--replay")
    assert replay.code == 0, replay.err
    kinds = [entry["kind"] for entry in exported.deployment.entries()]
    assert (kinds.count("run_sealed"), kinds.count("run_reopened")) == (2, 1)


def test_one_names_a_run_by_fingerprint_run_id_or_manifest(
    exported: Exported, tmp_path: Path
) -> None:
    """All three give the same file; a name that fits none is not found."""
    deployment = exported.deployment
    facts = deployment.ro("dossier", "show", exported.file, "--json").json()
    for number, name in enumerate((facts["manifest_fingerprint"][:10], facts["run_id"])):
        copy = tmp_path / f"{number}.dossier"
        answer = deployment.ro("dossier", "export", name, "-o", copy, "--with-artifacts")
        assert answer.code == 0, answer.err
        assert copy.read_bytes() == exported.file.read_bytes()
    assert deployment.ro("dossier", "export", "f" * 64).code == 4
    other = small_manifest(tmp_path / "other", count=6)
    assert deployment.ro("dossier", "export", other).code == 4


def test_a_person_sees_the_run(exported: Exported, tmp_path: Path) -> None:
    """In the terminal, and as a page that needs nothing else."""
    html = tmp_path / "run.html"
    shown = exported.deployment.ro("dossier", "show", exported.file, "--html", html)
    assert shown.code == 0, shown.err
    for words in ("Attempts", "Gates", "What touched the run", "Records", "verified"):
        assert words in shown.out
    page = html.read_text("utf-8")
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_a_key_that_is_none_is_the_callers_mistake(exported: Exported, tmp_path: Path) -> None:
    """And so is a file that is not there."""
    answer = exported.deployment.ro(
        "dossier", "verify", exported.file, "--key", "nonsense", "--json"
    )
    assert (answer.code, json.loads(answer.out)["error"]["code"]) == (3, "RO_INVALID_INPUT")
    none = exported.deployment.ro("dossier", "verify", tmp_path / "none", "--key", exported.key)
    assert none.code == 3
