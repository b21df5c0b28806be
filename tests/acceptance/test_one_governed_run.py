"""One command takes a real manifest over real data through the plane, and leaves evidence."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ro_platform.errors import RunOperateError
from tests.acceptance.product import (
    ROOT,
    TUTORIAL,
    Answer,
    Deployment,
    plain_canonical,
    small_deployment,
    small_manifest,
)

MANIFEST = TUTORIAL / "purchases.yaml"
ASSETS = [
    "scenario",
    "quarantine",
    "admitted",
    "feature_snapshot",
    "labels",
    "model",
    "evaluation",
    "bundle",
]


def _content() -> Any:
    """The tutorial's manifest as plain data."""
    with MANIFEST.open() as file:
        return json.loads(json.dumps(YAML(typ="safe").load(file), default=str))


def _dagster_runs(deployment: Deployment) -> list[Path]:
    """Dagster keeps one database for the events of each run."""
    return sorted((deployment.home / "dagster/history/runs").glob("*-*.db"))


# --- ro run ---------------------------------------------------------------------------------------


def test_the_table_tells_of_every_asset(first_run: tuple[Deployment, Answer]) -> None:
    """Asset, attempt, status, digest, size and gates, one line an asset, producers first."""
    lines = first_run[1].out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("asset "))
    heading = lines[start].split()
    rows = lines[start + 1 : start + 1 + len(ASSETS)]

    assert [*heading] == ["asset", "attempt", "status", "result", "sha256", "size", "gates"]
    assert [row.split()[0] for row in rows] == ASSETS
    for row in rows:
        pattern = (
            r"\S+ +#1 [0-9a-f]{8} +SUCCEEDED +computed +[0-9a-f]{12} +[\d.]+ [KM]?i?B +\d PASS"
        )
        assert re.fullmatch(pattern, row.strip()), row


def test_it_ends_with_the_ledger_and_the_way_to_the_ui(
    first_run: tuple[Deployment, Answer],
) -> None:
    """The printed size and root are those that `ro ledger verify` recomputes."""
    deployment, answer = first_run
    verified = deployment.ro("ledger", "verify", "--json").json()

    assert f"ledger: {verified['size']} entries, root {verified['root']}" in answer.out
    way = r"see it: `make ui` or `dagster dev`, then http://127.0.0.1:3000/runs/(\S+)"
    shown = re.search(way, answer.out)
    assert shown
    assert [path.stem for path in _dagster_runs(deployment)] == [shown.group(1)]


def test_progress_goes_to_standard_error(first_run: tuple[Deployment, Answer]) -> None:
    """What a program reads from standard output holds results only."""
    _, answer = first_run
    assert "18/18" in answer.err
    assert "18/18" not in answer.out


def test_json_gives_the_same_facts(first_run: tuple[Deployment, Answer], tmp_path: Path) -> None:
    """One JSON document with digests, attempts, gates, ledger and UI address."""
    deployment = Deployment(ROOT, tmp_path / "home")
    facts = deployment.ro("run", MANIFEST, "--json").json()
    table = first_run[1].out

    assert facts["executed"] == ASSETS
    assert facts["registered"] is True
    assert facts["error"] is None
    assert [asset["asset"] for asset in facts["assets"]] == ASSETS
    for asset in facts["assets"]:
        assert asset["stands"] is True
        assert asset["artifact"]["digest"][:12] in table
        assert asset["attempt"]["attempt_id"][:8] in table
        assert {gate["status"] for gate in asset["gates"]} == {"PASS"}
    ledger = deployment.ro("ledger", "verify", "--json").json()
    assert facts["ledger"] == {"size": ledger["size"], "root": ledger["root"]}
    assert facts["ui"].endswith(f"/runs/{facts['dagster_run_id']}")


def test_a_second_run_computes_nothing(finished: Deployment) -> None:
    """Nothing is executed, no Dagster run starts, and store and ledger stay as they are."""
    before, runs = finished.evidence(), _dagster_runs(finished)

    facts = finished.ro("run", MANIFEST, "--json").json()

    assert facts["executed"] == []
    assert facts["registered"] is False
    assert all(asset["stands"] for asset in facts["assets"])
    assert _dagster_runs(finished) == runs
    assert finished.evidence() == before


def test_a_second_run_says_so(finished: Deployment) -> None:
    """A person reads that everything stands, and where to see the run that computed it."""
    answer = finished.ro("run", MANIFEST)
    assert answer.code == 0
    assert "everything stands: nothing was computed" in answer.out
    assert answer.out.count(" kept ") == len(ASSETS)
    assert _dagster_runs(finished)[0].stem in answer.out


def test_a_replay_proves_every_artifact_identical(finished: Deployment) -> None:
    """All is computed again as second attempts, and every binding and digest stays."""
    refs = {path: digest for path, digest in finished.evidence().items() if "/refs/" in path}

    facts = finished.ro("run", MANIFEST, "--replay", "--json").json()

    assert facts["executed"] == ASSETS
    assert facts["identical"] is True
    assert {asset["attempt"]["number"] for asset in facts["assets"]} == {2}
    after = finished.evidence()
    assert {path: after[path] for path in refs} == refs
    assert len(_dagster_runs(finished)) == 2


def test_a_replay_that_diverges_names_the_first(
    small_finished: tuple[Deployment, Path],
) -> None:
    """A workload that reads what its manifest does not name is found out: exit 7."""
    small, manifest = small_finished
    (small.root / "outside.txt").write_text("changed since")

    facts = small.ro("run", manifest, "--replay", "--json")
    answer = small.ro("run", manifest, "--replay")

    assert facts.code == answer.code == 7
    assert facts.json()["identical"] is False
    assert facts.json()["error"]["code"] == "RO_REPLAY_DIVERGED"
    assert facts.json()["error"]["diagnostics"]["unit"] == "numbers"
    assert answer.err.splitlines()[-2].startswith(
        "RO_REPLAY_DIVERGED the replay diverged first at 'numbers'"
    )
    assert answer.err.splitlines()[-1].startswith("  next: ")


def test_a_replay_of_a_declared_non_deterministic_asset_claims_nothing(
    small_finished: tuple[Deployment, Path],
) -> None:
    """Other bytes are the next revision, but never "identical": the replay names them, exit 7."""
    small, manifest = small_finished
    code = small.root / "definitions.py"
    plain = 'code_version="1")\ndef numbers'
    assert plain in code.read_text()
    loose = 'code_version="1", metadata={"ro/deterministic": False})\ndef numbers'
    code.write_text(code.read_text().replace(plain, loose))
    (small.root / "outside.txt").write_text("changed since")

    answer = small.ro("run", manifest, "--replay", "--json")

    assert answer.code == 7
    facts = answer.json()
    assert facts["identical"] is False
    assert facts["error"]["code"] == "RO_REPLAY_DIVERGED"
    assert [item["result"] for item in facts["assets"]] == ["diverged", "identical"]
    kept = small.ro("artifact", "list", "--asset", "numbers", "--json").json()
    assert [item["revision"] for item in kept] == [1, 2]


def test_a_diverged_replay_changes_no_artifact(
    small_finished: tuple[Deployment, Path], tmp_path: Path
) -> None:
    """The recorded bytes stay bound, readable and verified."""
    small, manifest = small_finished
    fingerprint = small.ro("manifest", "fingerprint", manifest).out.strip()
    (small.root / "outside.txt").write_text("changed since")
    assert small.ro("run", manifest, "--replay").code == 7

    copy = tmp_path / "numbers.json"
    assert small.ro("artifact", "get", f"numbers@{fingerprint}", copy).code == 0
    assert json.loads(copy.read_bytes()) == {"numbers": [0, 1, 2, 3, 4], "stray": ""}
    assert small.ro("artifact", "verify", "--all").code == 0
    assert small.ro("ledger", "verify").code == 0


def test_the_generated_scenario_needs_no_input(fresh: Deployment) -> None:
    """From a seed and parameters alone the same workload makes its own purchases and passes."""
    facts = fresh.ro("run", TUTORIAL / "purchases-generated.yaml", "--json").json()
    assert facts["executed"] == ASSETS
    assert all(asset["stands"] for asset in facts["assets"])


# --- identity -------------------------------------------------------------------------------------


def _fingerprint(deployment: Deployment, folder: Path, content: Any) -> str:
    """The fingerprint of a manifest that is written to a file of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / "manifest.json"
    file.write_text(json.dumps(content))
    answer = deployment.ro("manifest", "fingerprint", file)
    assert answer.code == 0, answer.err
    return answer.out.strip()


def test_two_public_tools_recompute_the_fingerprint(fresh: Deployment) -> None:
    """`show --canonical | sha256sum` gives it."""
    command = f"ro manifest show {MANIFEST} --canonical | sha256sum"
    piped = fresh.with_environment(PATH=f"{ROOT / '.venv/bin'}:/usr/bin:/bin").run(
        "bash", "-c", command
    )
    assert piped.out.split()[0] == fresh.ro("manifest", "fingerprint", MANIFEST).out.strip()


def test_python_alone_recomputes_the_fingerprint(fresh: Deployment) -> None:
    """SHA-256 over sorted, compact JSON of the manifest, without the library."""
    expected = hashlib.sha256(plain_canonical(_content())).hexdigest()
    assert fresh.ro("manifest", "fingerprint", MANIFEST).out == f"{expected}\n"


def test_form_does_not_change_the_fingerprint(fresh: Deployment, tmp_path: Path) -> None:
    """JSON instead of YAML, another key order, other white space: the same run."""
    expected = fresh.ro("manifest", "fingerprint", MANIFEST).out.strip()
    content = _content()
    reversed_keys = dict(reversed(content.items()))
    reversed_keys["parameters"] = dict(reversed(content["parameters"].items()))

    assert _fingerprint(fresh, tmp_path, content) == expected
    assert _fingerprint(fresh, tmp_path, reversed_keys) == expected
    airy = tmp_path / "airy.yaml"
    airy.write_text("# more words\n\n" + MANIFEST.read_text().replace(": ", ":   "))
    assert fresh.ro("manifest", "fingerprint", airy).out.strip() == expected


@pytest.mark.parametrize(
    ("what", "path", "value"),
    [
        ("seed", ["seed"], 19970931),
        ("parameter", ["parameters", "horizon_days"], 274),
        ("input", ["inputs", 0, "ref", "digest"], "ab" * 32),
        ("pin", ["config_versions", 1, "digest"], "ab" * 32),
        ("pin's version", ["config_versions", 1, "config_version"], 2),
        ("workload", ["workload"], "other"),
        ("code", ["code", "version"], "0.1.1"),
        ("scenario", ["scenario_id"], "other"),
    ],
)
def test_a_changed_value_is_another_run(
    fresh: Deployment, tmp_path: Path, what: str, path: list[Any], value: Any
) -> None:
    """Whatever decides the outcome decides the identity."""
    content = _content()
    place = content
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    assert _fingerprint(fresh, tmp_path, content) == _plain_fingerprint(content), what
    assert _plain_fingerprint(content) != _plain_fingerprint(_content())


def _plain_fingerprint(content: Any) -> str:
    return hashlib.sha256(plain_canonical(content)).hexdigest()


def test_no_identity_needs_the_plane(fresh: Deployment) -> None:
    """`fingerprint` and `show` leave no trace: nothing is created."""
    fresh.ro("manifest", "fingerprint", MANIFEST)
    fresh.ro("manifest", "show", MANIFEST)
    assert not fresh.home.exists()


def test_identities_are_the_same_in_another_place(tmp_path: Path) -> None:
    """Two deployments in different folders bind the same digests under the same run and attempt."""
    facts = []
    for name in ("here", "there"):
        place = small_deployment(tmp_path / name)
        manifest = small_manifest(tmp_path / name / "manifests")
        facts.append(place.ro("run", manifest, "--json").json())
    first, second = (
        [
            (fact["run_id"], asset["artifact"]["digest"], asset["attempt"]["attempt_id"])
            for asset in fact["assets"]
        ]
        for fact in facts
    )
    assert first == second
    assert facts[0]["dagster_run_id"] != facts[1]["dagster_run_id"]


# --- exit codes, registration, evidence -----------------------------------------------------------


def _families(kind: type[RunOperateError]) -> set[int]:
    return {kind.exit_code}.union(*map(_families, kind.__subclasses__()))


def test_every_exit_code_is_documented(fresh: Deployment) -> None:
    """`ro --help` lists 0, click's 2, and exactly one code for each family of errors."""
    listed = re.findall(r"^ {4}(\d+) {2,3}\S", fresh.ro("--help").out, re.MULTILINE)
    assert {int(code) for code in listed} == {0, 2} | _families(RunOperateError)
    assert len(listed) == len(set(listed))


def test_registering_twice_is_registering_once(fresh: Deployment) -> None:
    """One ledger entry, one partition; the second call says that it was there."""
    first = fresh.ro("manifest", "register", MANIFEST, "--json").json()
    second = fresh.ro("manifest", "register", MANIFEST, "--json").json()
    kinds = [entry["kind"] for entry in fresh.entries()]

    assert (first["registered"], second["registered"]) == (True, False)
    assert kinds.count("run_registered") == 1
    listed = fresh.ro("manifest", "list", "--json").json()
    assert [item["manifest_fingerprint"] for item in listed] == [first["manifest_fingerprint"]]


def test_every_kind_of_fact_is_on_record(first_run: tuple[Deployment, Answer]) -> None:
    """Run, attempts, bindings, gate sets, receipts, configs, admin events, seal, in one log."""
    kinds = {entry["kind"] for entry in first_run[0].entries()}
    assert kinds == {
        "run_registered",
        "attempt_transition",
        "artifact_bound",
        "gate_set_declared",
        "gate_receipt",
        "config_published",
        "admin_event",
        "run_sealed",
    }


def test_blobs_are_named_by_their_digest(first_run: tuple[Deployment, Answer]) -> None:
    """`sha256sum` of every stored blob is its own path."""
    blobs = list(first_run[0].blobs())
    assert len(blobs) > len(ASSETS)
    for blob in blobs:
        name = "".join(blob.relative_to(first_run[0].store / "blobs/sha256").parts)
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == name[-64:]


def test_anyone_can_check_a_proof(first_run: tuple[Deployment, Answer]) -> None:
    """RFC 9162's inclusion check with hashlib alone, on what `ro ledger prove --json` prints."""
    deployment, _ = first_run
    root = deployment.ro("ledger", "verify", "--json").json()["root"]
    answer = deployment.ro("ledger", "prove", 17, "--json").json()
    entry, proof = answer["entry"], answer["proof"]

    node = hashlib.sha256(b"\0" + plain_canonical(entry)).digest()
    assert node.hex() == proof["leaf"]
    index, last = entry["seq"], proof["size"] - 1
    for step in map(bytes.fromhex, proof["path"]):
        if index % 2 or index == last:
            node = hashlib.sha256(b"\1" + step + node).digest()
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = hashlib.sha256(b"\1" + node + step).digest()
        index, last = index // 2, last // 2
    assert node.hex() == proof["root"] == root


def test_got_bytes_are_the_bound_bytes(
    first_run: tuple[Deployment, Answer], tmp_path: Path
) -> None:
    """`artifact get` by name, by locator and by digest give the same file as in the store."""
    deployment, _ = first_run
    bound = deployment.ro("artifact", "list", "--asset", "model", "--json").json()[0]
    ref = bound["artifact"]
    for number, target in enumerate(
        (f"model@{bound['manifest_fingerprint'][:12]}", ref["ref"], ref["digest"])
    ):
        copy = tmp_path / str(number)
        assert deployment.ro("artifact", "get", target, copy).code == 0
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == ref["digest"]
        assert copy.stat().st_size == ref["size_bytes"]


def test_the_deployment_works_from_a_folder_below(first_run: tuple[Deployment, Answer]) -> None:
    """`ro` finds the deployment's root from inside it, as git does."""
    deployment, _ = first_run
    answer = deployment.run(ROOT / ".venv/bin/ro", "run", "purchases.yaml", "--json", cwd=TUTORIAL)
    assert answer.json()["executed"] == []


# --- at the same time, and cut short --------------------------------------------------------------


def test_two_runs_of_one_manifest_at_once_end_well(small: Deployment, tmp_path: Path) -> None:
    """Both succeed, every asset is bound exactly once, and the evidence verifies."""
    manifest = small_manifest(tmp_path / "manifests")
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(small.ro, "run", manifest, "--json") for _ in range(2)]
        answers = [item.result() for item in started]

    assert [answer.code for answer in answers] == [0, 0], [answer.err for answer in answers]
    assert all(asset["stands"] for answer in answers for asset in answer.json()["assets"])
    bindings = list((small.store / "refs").rglob("*.json"))
    assert sorted(path.parts[-3] for path in bindings) == ["numbers", "sums"]
    assert small.ro("ledger", "verify").code == 0
    assert small.ro("artifact", "verify", "--all").code == 0


def test_the_state_can_be_moved(finished: Deployment, tmp_path: Path) -> None:
    """Nothing recorded depends on where RO_HOME lies."""
    moved = Deployment(ROOT, tmp_path / "elsewhere")
    shutil.move(finished.home, moved.home)
    assert moved.ro("run", MANIFEST, "--json").json()["executed"] == []
    assert moved.ro("artifact", "verify", "--all", "--full").code == 0
