"""The adversary suite: every forged dossier is refused by both verifiers, for the right reason."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.contracts import JobStatus
from ro_platform.dossier.verify import verify_dossier
from ro_platform.errors import DossierRefusedError
from ro_platform.kernel.digest import sha256_hex
from tests.acting import erase_bytes, revoke_pass
from tests.effort import times
from tests.unit import dossier_vectors
from tests.unit.dossier_forgeries import FORGERIES, Forgery, Parts, parts_of, tar
from tests.unit.dossier_vectors import ARCHIVE, LIST
from tests.unit.dossier_world import KEY, DossierWorld
from tests.unit.small_world import BOSS

SECOND = Path(__file__).parents[2] / "docs/reference/conformance/verify_dossier.py"
# The file itself, unchanged, in an interpreter that sees neither this repository nor user packages;
# only to start it once for each of a hundred files would take longer than all of them.
DRIVER = """
import runpy, sys
program, key, *paths = sys.argv[1:]
for path in paths:
    sys.argv = [program, path, key]
    try:
        runpy.run_path(program, run_name="__main__")
        print("code 0")
    except SystemExit as ended:
        print("code", ended.code)
"""


@dataclass(frozen=True)
class Vectors:
    """A good dossier, its members, and the forged files by name."""

    good: Path
    parts: Parts
    forged: dict[str, Path]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """All of them, written once."""
    folder = tmp_path_factory.mktemp("vectors")
    world, other = DossierWorld(), DossierWorld()
    world.rich_run()
    other.rich_run(scale=2.5)
    world.dossier(folder / "good.dossier", with_artifacts=True)
    other.dossier(folder / "other.dossier", with_artifacts=True)
    parts = parts_of((folder / "good.dossier").read_bytes())
    others = parts_of((folder / "other.dossier").read_bytes())
    forged = {}
    for forgery in FORGERIES:
        forged[forgery.name] = folder / f"{forgery.name}.forged"
        forged[forgery.name].write_bytes(forgery.make(dict(parts), dict(others)))
    return Vectors(folder / "good.dossier", parts, forged)


def second(*paths: Path) -> list[int]:
    """The second verifier's exit codes."""
    run = subprocess.run(
        [sys.executable, "-I", "-c", DRIVER, str(SECOND), str(KEY.verifier), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    codes = re.findall(r"^code (.*)$", run.stdout, re.MULTILINE)
    assert len(codes) == len(paths), run.stderr
    return [int(code) for code in codes]


def test_a_good_dossier_is_made_of_the_parts_that_forgeries_change(vectors: Vectors) -> None:
    """Taken apart and put together again it is the same file, and both verify it: what is refused
    is refused for the change."""
    assert tar(vectors.parts) == vectors.good.read_bytes()
    assert verify_dossier(vectors.good, KEY.verifier).entries > 20
    assert second(vectors.good) == [0]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_every_forgery_is_refused_with_the_reason(vectors: Vectors, forgery: Forgery) -> None:
    """By the first verifier, in words that say what is wrong."""
    assert vectors.forged[forgery.name].read_bytes() != vectors.good.read_bytes()
    with pytest.raises(DossierRefusedError) as refused:
        verify_dossier(vectors.forged[forgery.name], KEY.verifier)
    assert re.search(forgery.reason, refused.value.message), refused.value.message
    assert refused.value.exit_code == 6


def test_the_second_verifier_refuses_every_forgery(vectors: Vectors) -> None:
    """It comes to the same verdict on each."""
    codes = dict(zip(vectors.forged, second(*vectors.forged.values()), strict=True))
    assert {name: code for name, code in codes.items() if code != 6} == {}


def test_the_second_verifier_shares_nothing_with_the_first() -> None:
    """One file of under 300 lines; it imports the standard library and ``cryptography``."""
    source = SECOND.read_text("utf-8")
    assert len(source.splitlines()) < 300
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported <= sys.stdlib_module_names | {"cryptography"}


def test_the_second_verifier_says_why_and_exits_with_6(vectors: Vectors) -> None:
    """As a command, the way others run it."""
    for path, code, word in (
        (vectors.good, 0, "verified"),
        (vectors.forged["seal-root"], 6, "refused"),
    ):
        run = subprocess.run(
            [sys.executable, "-I", str(SECOND), str(path), str(KEY.verifier)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, word in run.stdout + run.stderr) == (code, True)


@settings(
    max_examples=times(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_changed_byte_is_refused(vectors: Vectors, tmp_path: Path, data: st.DataObject) -> None:
    """Wherever one bit flips, no dossier is left."""
    good = vectors.good.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    flipped = bytes([good[place] ^ (1 << data.draw(st.integers(0, 7)))])
    forged = tmp_path / "flipped"
    forged.write_bytes(good[:place] + flipped + good[place + 1 :])
    with pytest.raises(DossierRefusedError):
        verify_dossier(forged, KEY.verifier)


def test_a_changed_byte_anywhere_is_refused_by_the_second_verifier(
    vectors: Vectors, tmp_path: Path
) -> None:
    """At a hundred places spread over the file."""
    good, paths = vectors.good.read_bytes(), []
    for number in range(100):
        place = number * len(good) // 100
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    assert set(second(*paths)) == {6}


def test_the_published_vectors_are_these(tmp_path: Path) -> None:
    """Their list, digest for digest; the archive holds those files; both verifiers come to the
    verdict that is listed."""
    listed = json.loads(LIST.read_text("utf-8"))
    assert listed == dossier_vectors.vectors()[0]
    subprocess.run(["tar", "xf", str(ARCHIVE), "-C", str(tmp_path)], check=True)
    paths = [tmp_path / item["file"] for item in listed["vectors"]]
    digests = [sha256_hex(path.read_bytes()) for path in paths]
    assert digests == [item["sha256"] for item in listed["vectors"]]
    verdicts = {0: "verified", 6: "refused"}
    expected = [item["verdict"] for item in listed["vectors"]]
    assert [verdicts[code] for code in second(*paths)] == expected
    assert [first(path) for path in paths] == expected


def first(path: Path) -> str:
    """The first verifier's verdict."""
    try:
        verify_dossier(path, KEY.verifier)
    except DossierRefusedError:
        return "refused"
    return "verified"


def test_both_verify_whatever_is_exported(tmp_path: Path) -> None:
    """A failed run, a revoked PASS, an erased artifact, a folder, bytes withheld, and none."""
    failed, world = DossierWorld(), DossierWorld()
    work = failed.begun("source")
    failed.plane.attempts.move(work.attempt, JobStatus.LOST, dagster_run_id=work.dagster_run_id)
    failed.dossier(tmp_path / "failed")
    world.rich_run(scale=1e-7)
    world.dossier(tmp_path / "digests only")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.txt").write_bytes(b"one")
    work = world.begun("tree")
    tree = world.plane.publication.publish("tree", world.store.put_tree(folder), work, actor=BOSS)
    world.plane.attempts.move(work.attempt, JobStatus.SUCCEEDED, dagster_run_id=None)
    world.judge(tree)
    late = world.plane.store.binding("late", world.fingerprint)
    source = world.plane.store.binding("source", world.fingerprint)
    assert late
    assert source
    erase_bytes(world.plane, late.digest, reason="asked")
    world.dossier(tmp_path / "erased", with_artifacts=True)
    revoke_pass(world.plane, "source.good", source, reason="wrong")
    world.dossier(tmp_path / "revoked", with_artifacts=True)
    paths = [tmp_path / name for name in ("failed", "digests only", "erased", "revoked")]
    assert [first(path) for path in paths] == ["verified"] * 4
    assert second(*paths) == [0] * 4
