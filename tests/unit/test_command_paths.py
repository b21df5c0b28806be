"""Every command that takes a path, over everything that a path may name: a clear answer at once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from ro_platform.cli.main import ro
from tests.unit.no_files import NO_FILES, folder

SECONDS = 10
KEY = "ro-platform/local+0a56dec2+AVOoohl67Q1kbIYkW77hxFpLJqhuUjzARYSVmrgGSQ27"
WHY = ("--reason", "x")
LAW = ("--law", "sha256_bundle_digest")
ARTIFACT = ("--asset", "a", "--manifest", "f" * 64)
READ: dict[tuple[str, str], tuple[str, ...]] = {
    ("run", "file"): ("run", "PATH"),
    ("manifest fingerprint", "file"): ("manifest", "fingerprint", "PATH"),
    ("manifest register", "file"): ("manifest", "register", "PATH"),
    ("manifest show", "file"): ("manifest", "show", "PATH"),
    ("config publish", "file"): ("config", "publish", "c", "PATH", *WHY),
    ("admin publish-config", "file"): ("admin", "publish-config", "c", "PATH", *WHY),
    ("directive propose publish-config", "file"): (
        *("directive", "propose", "publish-config", "c", "PATH"),
        *WHY,
    ),
    ("access check", "file"): ("access", "check", "PATH"),
    ("access publish", "file"): ("access", "publish", "PATH", *WHY),
    ("dossier verify", "file"): ("dossier", "verify", "PATH", "--key", KEY),
    ("dossier show", "file"): ("dossier", "show", "PATH", "--key", KEY),
    ("lineage recompute", "parameters"): ("lineage", "recompute", "--parameters", "PATH"),
    ("lineage recompute", "artefacts"): (
        *("lineage", "recompute", "--parameters", "GOOD", "--artefacts", "PATH"),
        *("--git-commit", "0" * 40),
    ),
    ("gate verify", "path"): ("gate", "verify", "PATH", *LAW),
    ("gate verify", "root"): (
        *("gate", "verify", "FOLDER", *LAW, "--path-base", "run_root", "--root", "PATH"),
    ),
    ("gate verify", "flag"): ("gate", "verify", "FOLDER", *LAW, "--flag", "PATH"),
    ("gate register", "path"): ("gate", "register", "PATH", *LAW, *ARTIFACT),
    ("gate register", "root"): (
        *("gate", "register", "FOLDER", *LAW, "--path-base", "run_root", "--root", "PATH"),
        *ARTIFACT,
    ),
    ("gate register", "flag"): ("gate", "register", "FOLDER", *LAW, "--flag", "PATH", *ARTIFACT),
    ("locator check", "root"): ("locator", "check", "LOCATOR", "--root", "PATH"),
    # Texts that may be the name of a file, too.
    ("locator check", "locator"): ("locator", "check", "PATH"),
    ("ledger verify", "against"): ("ledger", "verify", "--against", "PATH"),
    ("ledger verify", "key_text"): ("ledger", "verify", "--key", "PATH"),
    ("dossier verify", "key_text"): ("dossier", "verify", "GOOD", "--key", "PATH"),
    ("dossier export", "run"): ("dossier", "export", "PATH"),
}
WRITTEN = {
    ("run", "write"),
    ("access init", "file"),
    ("artifact get", "destination"),
    ("draft get", "destination"),
    ("dossier export", "output"),
    ("dossier show", "html"),
    ("gate evidence", "destination"),
    ("gate impact", "svg"),
}
"""What a command makes: a new file, which takes the place of nothing."""
FOLDERS = {"path", "root"}
"""Parameters that a folder is right for."""


def unreadable(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)


def empty(path: Path) -> None:
    path.touch()


def without_end(path: Path) -> None:
    path.symlink_to("/proc/self/maps")


THINGS: tuple[Callable[[Path], None], ...] = (
    *NO_FILES,
    *(empty, without_end),
    *(() if os.geteuid() == 0 else (unreadable,)),
)


def paths(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every parameter below a command whose type is a path: the command's words, and its name."""
    for parameter in group.params:
        if isinstance(parameter.type, click.Path | click.File):
            yield " ".join(words), str(parameter.name)
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from paths(command, (*words, name))


@contextmanager
def limited() -> Iterator[None]:
    """Fail what waits."""

    def late(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"no answer in {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command's answer, in an empty deployment."""
    for name in ("RO_LEDGER_URL", "RO_STORE_URL", "RO_TOKEN", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RO_ROOT", str(tmp_path))
    monkeypatch.setenv("RO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text("{}")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/a").write_text("a")
    locator = {"output_id": "o", "path": "a", "partitions": {}}
    known = {
        "GOOD": str(tmp_path / "good.json"),
        "FOLDER": str(tmp_path / "bundle"),
        "LOCATOR": str(locator).replace("'", '"'),
    }

    def run(words: tuple[str, ...], path: Path) -> Result:
        said = [known.get(word, str(path) if word == "PATH" else word) for word in words]
        with limited():
            return CliRunner().invoke(ro, said)

    return run


def test_every_parameter_that_is_a_path_is_tried() -> None:
    """One that comes new has to be in the table above, or is a place that is written."""
    found = set(paths(ro))
    assert found - READ.keys() - WRITTEN == set()
    assert READ.keys() - found <= {
        ("locator check", "locator"),
        ("ledger verify", "against"),
        ("ledger verify", "key_text"),
        ("dossier verify", "key_text"),
        ("dossier export", "run"),
    }


@pytest.mark.parametrize("make", THINGS)
@pytest.mark.parametrize("parameter", READ, ids=lambda at: ":".join(at).replace(" ", "-"))
def test_what_is_no_file_gets_a_clear_answer_at_once(
    parameter: tuple[str, str],
    make: Callable[[Path], None],
    tmp_path: Path,
    answered: Callable[..., Result],
) -> None:
    """A code and words; no trace, no waiting, and never an answer as if there was something."""
    path = tmp_path / "it.json"
    make(path)
    answer = answered(READ[parameter], path)
    said = answer.output + answer.stderr
    if make is folder and parameter[1] in FOLDERS and answer.exit_code == 0:
        return
    if make is empty and parameter[0] == "lineage recompute":
        assert answer.exit_code == 0  # an empty file has a digest
        return
    assert answer.exception is None or isinstance(answer.exception, SystemExit), said
    assert answer.exit_code in {3, 4, 5, 6}, said
    assert "RO_" in said
    assert "RO_INTERNAL" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("make", THINGS)
@pytest.mark.parametrize("words", [("manifest", "register"), ("run",)], ids="-".join)
def test_what_a_manifest_names_is_a_file_too(
    words: tuple[str, ...],
    make: Callable[[Path], None],
    tmp_path: Path,
    answered: Callable[..., Result],
) -> None:
    """Its inputs and configs are opened in the same way."""
    make(tmp_path / "it")
    manifest = {"kind": "ro.run_manifest.v0", "workload": "w", "code": {"version": "1"}}
    named: dict[str, Any] = {"ref": "it", "digest": "0" * 64}
    config = {"config_name": "c", "config_version": 1, **named}
    contents: list[dict[str, Any]] = [
        {"inputs": [{"name": "a", "ref": named}]},
        {"config_versions": [config]},
    ]
    for number, more in enumerate(contents):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps({**manifest, **more}))
        answer = answered((*words, "PATH"), file)
        assert answer.exit_code == 3, answer.output + answer.stderr
        assert "RO_INTERNAL" not in answer.output + answer.stderr
