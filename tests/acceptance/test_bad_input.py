"""Each bad input gets one clear error, and leaves store and ledger as they were.

One clear error is: its stable code and a next step on standard error, or with ``--json`` an
ErrorResponse on standard output, and the documented exit code of its family.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ro_platform.contracts import ErrorResponse
from tests.acceptance.product import TUTORIAL, Answer, Deployment

Content = dict[str, Any]


def _says(deployment: Deployment, code: str, exit_code: int, *command: object) -> Answer:
    """Assert that a command refuses in both forms, and changes no evidence; the text form."""
    before = deployment.evidence()
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(deployment.ro, *command, *option) for option in ([], ["--json"])]
        answer, as_json = (item.result() for item in asked)

    response = ErrorResponse.from_json(json.dumps(as_json.json()["error"]))
    assert (response.code, as_json.code) == (code, exit_code), response
    assert response.diagnostics["next_step"]
    assert answer.code == exit_code, answer.err
    assert re.search(rf"^{code} \S", answer.err, re.MULTILINE), answer.err
    assert answer.err.rstrip().splitlines()[-1].startswith("  next: "), answer.err
    assert answer.err.count("RO_") == answer.err.count(code) + answer.err.count("RO_STORE_URL")
    assert "Traceback" not in answer.err
    assert deployment.evidence() == before
    return answer


# --- manifests ------------------------------------------------------------------------------------


def _set(*path: Any, to: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        place: Any = content
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _without_digest(content: Content) -> None:
    content["inputs"] = [{"name": "data", "ref": {"ref": "data.txt"}}]


BAD_CONTENT: dict[str, tuple[str, str, Callable[[Content], None]]] = {
    "unknown field": ("RO_CONTRACT", "colour", _set("colour", to="red")),
    "unknown field below": ("RO_CONTRACT", "code.branch", _set("code", "branch", to="main")),
    "clock value by name": (
        "RO_VOLATILE_FIELD",
        "parameters.created_at",
        _set("parameters", "created_at", to="2026-01-01"),
    ),
    "clock value by value": (
        "RO_VOLATILE_FIELD",
        "parameters.as_of",
        _set("parameters", "as_of", to="now"),
    ),
    "host name": ("RO_VOLATILE_FIELD", "hostname", _set("hostname", to="here")),
    "user": ("RO_VOLATILE_FIELD", "parameters.user", _set("parameters", "user", to="me")),
    "environment value": (
        "RO_VOLATILE_FIELD",
        "parameters.place",
        _set("parameters", "place", to="${HOME}/data"),
    ),
    "number too large": ("RO_NOT_CANONICAL", "count", _set("parameters", "count", to=2**53)),
    "seed too large": ("RO_CONTRACT", "seed", _set("seed", to=2**63)),
    "seed beyond uint64": ("RO_CONTRACT", "seed", _set("seed", to=str(2**64))),
    "negative seed": ("RO_CONTRACT", "seed", _set("seed", to=-1)),
    "ref without digest": ("RO_CONTRACT", "digest", _without_digest),
    "no code": ("RO_CONTRACT", "code", _set("code", to={})),
    "another kind": ("RO_CONTRACT", "kind", _set("kind", to="ro.run_manifest.v9")),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
def test_a_bad_manifest_is_refused(small_finished: tuple[Deployment, Path], case: str) -> None:
    """The error names the file and the field, before Dagster is even loaded."""
    small, manifest = small_finished
    code, named, change = BAD_CONTENT[case]
    content = json.loads(manifest.read_text())
    change(content)
    bad = small.root / "bad.json"
    bad.write_text(json.dumps(content))

    answer = _says(small, code, 3, "run", bad)
    assert named in answer.err
    assert "bad.json" in answer.err


BAD_TEXT = {
    "NaN": ("RO_DOCUMENT_SYNTAX", "kind: ro.run_manifest.v0\nparameters: {rate: .nan}\n"),
    "infinity": ("RO_DOCUMENT_SYNTAX", "kind: ro.run_manifest.v0\nparameters: {rate: .inf}\n"),
    "invalid YAML": ("RO_DOCUMENT_SYNTAX", "kind: [unclosed\n"),
    "a key twice": ("RO_DOCUMENT_SYNTAX", "kind: a\nkind: b\n"),
    "no mapping": ("RO_CONTRACT", "- one\n- two\n"),
    "empty": ("RO_DOCUMENT_SYNTAX", ""),
    "a tag": ("RO_DOCUMENT_SYNTAX", "kind: !!python/object/apply:os.system ['true']\n"),
    "not text": ("RO_DOCUMENT_SYNTAX", "kind: \x00\x01\n"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_a_bad_document_is_refused(small_finished: tuple[Deployment, Path], case: str) -> None:
    """What is no manifest at all is told from what is a wrong one."""
    small, _ = small_finished
    code, text = BAD_TEXT[case]
    bad = small.root / "bad.yaml"
    bad.write_text(text)
    assert "bad.yaml" in _says(small, code, 3, "run", bad).err


def test_a_json_nan_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """`NaN` is no JSON, whatever Python's parser thinks."""
    small, manifest = small_finished
    bad = small.root / "bad.json"
    bad.write_text(manifest.read_text().replace('"count": 5', '"count": NaN'))
    before = small.evidence()
    answer = small.ro("run", bad)
    assert answer.code == 3
    assert re.match(r"RO_DOCUMENT_SYNTAX .*NaN", answer.err), answer.err
    assert small.evidence() == before


def test_a_missing_manifest_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """A file that is not there, and a folder in its place."""
    small, _ = small_finished
    assert "nowhere.yaml" in _says(small, "RO_DOCUMENT_SYNTAX", 3, "run", "nowhere.yaml").err
    _says(small, "RO_DOCUMENT_SYNTAX", 3, "run", small.root)


def _with_input(small: Deployment, manifest: Path, data: bytes, ref: str = "data.txt") -> Path:
    content = json.loads(manifest.read_text())
    digest = sha256(data).hexdigest()
    content["inputs"] = [{"name": "data", "ref": {"ref": ref, "digest": digest}}]
    file = manifest.parent / "with-input.json"
    file.write_text(json.dumps(content))
    return file


def test_a_missing_input_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """The input and the path where it was looked for are named."""
    small, manifest = small_finished
    answer = _says(small, "RO_INPUT_MISSING", 3, "run", _with_input(small, manifest, b"1"))
    assert "'data'" in answer.err
    assert "data.txt" in answer.err


def test_an_altered_input_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """Bytes that are not those of the digest are refused, and the digest found is told."""
    small, manifest = small_finished
    file = _with_input(small, manifest, b"as recorded")
    (manifest.parent / "data.txt").write_bytes(b"as altered")
    answer = _says(small, "RO_INPUT_MISMATCH", 3, "run", file)
    assert sha256(b"as altered").hexdigest() in answer.err


@pytest.mark.parametrize("ref", ["/etc/hostname", "../data.txt", "https://example.org/data"])
def test_an_input_from_elsewhere_is_refused(
    small_finished: tuple[Deployment, Path], ref: str
) -> None:
    """Only a path below the manifest means the same on every machine."""
    small, manifest = small_finished
    file = _with_input(small, manifest, b"1", ref)
    answer = small.ro("run", file)
    assert (answer.code, answer.err.splitlines()[-2].split()[0]) == (3, "RO_INPUT_MISSING")


def test_an_unknown_workload_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """Those that exist are listed."""
    small, manifest = small_finished
    file = manifest.parent / "unknown.json"
    file.write_text(manifest.read_text().replace('"adding"', '"subtracting"'))
    assert "adding" in _says(small, "RO_UNKNOWN_WORKLOAD", 3, "run", file).err
    assert "adding" in _says(small, "RO_UNKNOWN_WORKLOAD", 3, "manifest", "register", file).err


def test_an_unpublished_config_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """A pin of a version that nobody published, or of other content than was published."""
    small, manifest = small_finished
    content = json.loads(manifest.read_text())
    file = manifest.parent / "pins.json"
    content["config_versions"][0]["config_version"] = 9
    file.write_text(json.dumps(content))
    _says(small, "RO_CONFIG_NOT_FOUND", 4, "run", file)
    content["config_versions"][0] |= {"config_version": 1, "digest": "ab" * 32}
    file.write_text(json.dumps(content))
    _says(small, "RO_VERSION_NOT_PINNED", 3, "run", file)


def test_a_bad_manifest_creates_nothing(fresh: Deployment) -> None:
    """Where nothing was yet, a refusal leaves nothing: no store, no ledger."""
    bad = fresh.home.parent / "bad.yaml"
    bad.write_text((TUTORIAL / "purchases.yaml").read_text())  # its input is not beside it
    assert fresh.ro("run", bad).code == 3
    assert not fresh.store.exists()
    assert fresh.entries() == []


def test_a_relative_home_is_refused(small: Deployment) -> None:
    """A setting that would mean another folder elsewhere is no setting."""
    answer = small.with_environment(RO_HOME="state").ro("ledger", "verify")
    assert (answer.code, answer.err.split()[0]) == (3, "RO_SETTINGS")


# --- a store that does not take writes ------------------------------------------------------------


def test_an_unwritable_store_is_refused(small_finished: tuple[Deployment, Path]) -> None:
    """No attempt is begun for work that could not be kept; later the same command goes on."""
    small, manifest = small_finished
    elsewhere = small.with_environment(RO_STORE_URL=f"file://{manifest}/store")
    answer = _says(elsewhere, "RO_STORE_NOT_WRITABLE", 8, "run", manifest)
    assert f"{manifest}/store" in answer.err
    assert small.ro("run", manifest, "--json").json()["executed"] == []


def test_an_unwritable_store_is_refused_at_first(
    small: Deployment, small_first_run: tuple[Deployment, Path]
) -> None:
    """The same before anything was recorded: the ledger stays empty."""
    _, manifest = small_first_run
    elsewhere = small.with_environment(RO_STORE_URL="file:///sys/store")
    _says(elsewhere, "RO_STORE_NOT_WRITABLE", 8, "run", manifest)
    assert small.entries() == []


def test_an_unwritable_ledger_is_refused(
    small: Deployment, small_first_run: tuple[Deployment, Path]
) -> None:
    """Nothing is executed that could not be recorded."""
    _, manifest = small_first_run
    elsewhere = small.with_environment(RO_LEDGER_URL="sqlite:///sys/ledger.sqlite")
    answer = elsewhere.ro("run", manifest)
    assert (answer.code, answer.err.splitlines()[-2].split()[0]) == (8, "RO_STORE_NOT_WRITABLE")
    assert not (small.store / "refs").exists()


FULL_STORE = """
set -u
mount -t tmpfs -o size=256k none "$STORE" || exit 99
"$RO" run "$MANIFEST" --json > first.json; echo $? > first.code
find "$STORE" -type f | sort > files
"$RO" artifact verify --all > /dev/null 2>&1; echo $? > artifacts.code
"$RO" ledger verify > /dev/null 2>&1; echo $? > ledger.code
mount -o remount,size=16m "$STORE"
"$RO" run "$MANIFEST" --json > second.json; echo $? > second.code
"$RO" artifact verify --all --full > /dev/null 2>&1; echo $? > after.code
"""


def test_a_full_store_is_refused(fresh: Deployment, tmp_path: Path) -> None:
    """On a full disk nothing half is kept; with room again, the same command finishes.

    The disk is a small tmpfs in a mount namespace of its own. The input alone (400 KiB) is too
    large for it, so not even the manifest is registered.
    """
    fresh.store.mkdir(parents=True)
    confined = fresh.with_environment(
        STORE=str(fresh.store),
        MANIFEST=str(TUTORIAL / "purchases.yaml"),
        RO=str(fresh.root / ".venv/bin/ro"),
        RO_ROOT=str(fresh.root),
    )
    done = confined.run(
        "unshare", "--map-root-user", "--mount", "bash", "-c", FULL_STORE, cwd=tmp_path
    )
    assert done.code == 0, done.err

    codes = {path.stem: int(path.read_text()) for path in tmp_path.glob("*.code")}
    assert codes == {"first": 8, "artifacts": 0, "ledger": 0, "second": 0, "after": 0}
    refused = json.loads((tmp_path / "first.json").read_text())["error"]
    assert refused["code"] == "RO_STORE_NOT_WRITABLE"
    assert refused["retryable"] is True
    names = (tmp_path / "files").read_text().split()
    assert not any("/refs/" in name or "/receipts/" in name for name in names)
    assert len(json.loads((tmp_path / "second.json").read_text())["executed"]) == 8


# --- evidence that was tampered with --------------------------------------------------------------


def _blob_of(deployment: Deployment, asset: str) -> tuple[Path, str]:
    """The stored file of an asset's bytes, and its locator."""
    found = deployment.ro("artifact", "list", "--asset", asset, "--json").json()[0]["artifact"]
    blob = next(path for path in deployment.blobs() if path.name.endswith(found["digest"][4:]))
    return blob, found["ref"]


@pytest.mark.parametrize("damage", ["changed", "cut", "grown"])
def test_changed_bytes_are_found(
    small_finished: tuple[Deployment, Path], damage: str, tmp_path: Path
) -> None:
    """`run`, `get`, `show` and `verify` all refuse; the bytes stay where they are as evidence."""
    small, manifest = small_finished
    blob, locator = _blob_of(small, "sums")
    good = blob.read_bytes()
    bad = {"changed": good.replace(b"10", b"11"), "cut": good[:-1], "grown": good + b" "}[damage]
    assert bad != good
    blob.chmod(0o644)
    blob.write_bytes(bad)

    commands: list[tuple[object, ...]] = [("artifact", "verify", locator)]
    if damage == "changed":
        commands += [
            ("run", manifest),
            ("artifact", "get", locator, tmp_path / "copy"),
            ("artifact", "show", locator),
        ]
    for command in commands:
        _says(small, "RO_DIGEST_MISMATCH", 6, *command)
    assert not (tmp_path / "copy").exists()
    before = small.evidence()
    found = small.ro("artifact", "verify", "--all", "--json")
    assert found.code == 6
    assert locator in found.out
    told = small.ro("artifact", "verify", "--all")
    assert (told.code, told.err.strip().split()[0]) == (6, "RO_INTEGRITY")
    assert locator in told.out
    assert small.evidence() == before
    assert blob.read_bytes() == bad


def _edit(small: Deployment, statement: str) -> None:
    """Change the ledger as somebody with the database file can: past its triggers."""
    with closing(sqlite3.connect(small.ledger)) as database:
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        assert database.execute(statement).rowcount > 0
        for _, sql in triggers:
            database.execute(sql)
        database.commit()


def _seq(small: Deployment, kind: str) -> int:
    return next(int(entry["seq"]) for entry in small.entries() if entry["kind"] == kind)


EDIT = (
    "UPDATE entry SET entry = CAST(replace(CAST(entry AS TEXT), 'SYSTEM::', 'HUMAN::') AS BLOB)"
    " WHERE seq = {seq}"
)


@pytest.mark.parametrize("kind", ["artifact_bound", "attempt_transition", "gate_receipt"])
def test_an_edited_entry_is_found(small_finished: tuple[Deployment, Path], kind: str) -> None:
    """Verification names the entry, and no run goes on over its own altered history."""
    small, manifest = small_finished
    seq = _seq(small, kind)
    _edit(small, EDIT.format(seq=seq))

    for command in (("ledger", "verify"), ("ledger", "prove", seq), ("run", manifest)):
        assert f"Entry {seq} " in _says(small, "RO_LEDGER_CORRUPT", 6, *command).err


def test_a_deleted_entry_is_found(small_finished: tuple[Deployment, Path]) -> None:
    """So is one that is gone."""
    small, _ = small_finished
    seq = _seq(small, "gate_receipt")
    _edit(small, f"DELETE FROM entry WHERE seq = {seq}")
    answer = _says(small, "RO_LEDGER_CORRUPT", 6, "ledger", "verify")
    assert f"Entry {seq} is missing" in answer.err


def test_a_cut_tail_is_found_against_a_root_kept_elsewhere(
    small_finished: tuple[Deployment, Path],
) -> None:
    """Only a size and root from outside can show it, and they do."""
    small, _ = small_finished
    kept = small.ro("ledger", "verify", "--json").json()
    _edit(small, f"DELETE FROM entry WHERE seq = {kept['size'] - 1}")
    against = f"{kept['size']}:{kept['root']}"
    _says(small, "RO_LEDGER_CORRUPT", 6, "ledger", "verify", "--against", against)


def test_a_missing_guard_is_found(small_finished: tuple[Deployment, Path]) -> None:
    """A ledger whose triggers were taken away does not verify, though no entry was changed."""
    small, _ = small_finished
    with closing(sqlite3.connect(small.ledger)) as database:
        database.execute("DROP TRIGGER entry_no_delete")
    answer = _says(small, "RO_LEDGER_CORRUPT", 6, "ledger", "verify")
    assert "entry_no_delete" in answer.err


def test_the_database_refuses_edits(small_finished: tuple[Deployment, Path]) -> None:
    """Without taking the triggers away, SQLite itself says no."""
    small, _ = small_finished
    with closing(sqlite3.connect(small.ledger)) as database:
        for statement in (
            EDIT.format(seq=0),
            "DELETE FROM entry WHERE seq = 0",
            "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE seq = 0",
            "UPDATE node SET hash = zeroblob(32)",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)


# --- what does not exist --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "exit_code", "command"),
    [
        ("RO_ARTIFACT_NOT_FOUND", 4, ("artifact", "show", "ab" * 32)),
        ("RO_ARTIFACT_NOT_FOUND", 4, ("artifact", "verify", f"sums@{'ab' * 32}")),
        ("RO_INVALID_INPUT", 3, ("artifact", "show", "what is this")),
        ("RO_INVALID_INPUT", 3, ("artifact", "show", "sums@ab")),
        ("RO_INVALID_INPUT", 3, ("artifact", "verify")),
        ("RO_CONFIG_NOT_FOUND", 4, ("config", "show", "nothing")),
        ("RO_CONFIG_NOT_FOUND", 4, ("config", "show", "limits", "--version", "7")),
        ("RO_NOT_FOUND", 4, ("ledger", "prove", "1000000")),
        ("RO_INVALID_INPUT", 3, ("ledger", "verify", "--against", "all")),
        ("RO_DOCUMENT_SYNTAX", 3, ("config", "publish", "a", "nowhere.yaml", "--reason", "why")),
        ("RO_CONTRACT", 3, ("config", "publish", "a b", "dagster.yaml", "--reason", "why")),
        ("RO_CONTRACT", 3, ("config", "publish", "a", "dagster.yaml", "--reason", " ")),
    ],
)
def test_what_is_not_there_is_said(
    small_finished: tuple[Deployment, Path],
    code: str,
    exit_code: int,
    command: tuple[str, ...],
) -> None:
    """Every noun answers for what it does not have, or cannot mean, in the same way."""
    _says(small_finished[0], code, exit_code, *command)
