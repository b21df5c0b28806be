"""Every command: says what it is for, answers in JSON when asked, and stays plain on a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import ArtifactBound, BoundRef, EntryKind
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.runs.manifest import read_manifest_file
from ro_platform.testing import EphemeralPlane, ephemeral_plane

MANIFEST = {
    "kind": "ro.run_manifest.v0",
    "workload": "test",
    "parameters": {"count": 3, "words": ["[red]", "b"]},
    "code": {"version": "1"},
}
FINGERPRINT_DIGITS = 64


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something, as one types it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


assert isinstance(ro, click.Group)
COMMANDS = sorted(_commands(ro))


def _ask(*args: object) -> Result:
    return CliRunner().invoke(ro, [str(arg) for arg in args])


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[EphemeralPlane]:
    """A plane with a registered manifest, a config and one artifact that no gate has passed."""
    with ephemeral_plane(tmp_path / "home") as ephemeral:
        file = read_manifest_file(_manifest(tmp_path))
        register_manifest(
            ephemeral.plane, ephemeral.instance, file, workloads=["test"], actor="HUMAN::tester"
        )
        ephemeral.publish("limits", {"most": 3})
        _bound(ephemeral, file.fingerprint)
        yield ephemeral


def _manifest(folder: Path) -> Path:
    file = folder / "manifest.json"
    file.write_text(json.dumps(MANIFEST))
    return file


def _bound(ephemeral: EphemeralPlane, fingerprint: str) -> BoundRef:
    stored = ephemeral.plane.store.put_bytes(b"{}", media_type="application/json")
    ref = ephemeral.plane.store.bind("numbers", fingerprint, stored)
    body = ArtifactBound(
        asset="numbers", manifest_fingerprint=fingerprint, attempt_id="a" * 32, artifact=ref
    )
    ephemeral.plane.ledger.append(
        EntryDraft(EntryKind.ARTIFACT_BOUND, artifact_subject(ref.ref), "SYSTEM::test", body)
    )
    return ref


# --- help -----------------------------------------------------------------------------------------


def test_the_nouns_are_those_of_the_plane() -> None:
    """Nothing is offered that does not exist yet, and every module or package has its noun."""
    cli = Path(__file__).parents[2] / "ro_platform/cli"
    modules = {path.stem for path in cli.glob("*.py")} | {
        path.parent.name for path in cli.glob("*/__init__.py")
    }
    nouns = {name.partition("_")[0] for name in modules} - {"", "declared", "main", "output"}
    assert {command[0] for command in COMMANDS} == nouns


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does(command: tuple[str, ...]) -> None:
    """A sentence, every option explained or self-explaining, and `--json` everywhere."""
    answer = _ask(*command, "--help")
    assert answer.exit_code == 0
    assert answer.output.startswith(f"Usage: ro {' '.join(command)} ")
    sentence = answer.output.split("\n\n")[1].strip()
    assert len(sentence) > 25, sentence
    assert "--json " in answer.output
    assert max(map(len, answer.output.splitlines())) <= 120


def test_help_of_the_whole_names_every_noun() -> None:
    """`ro` alone and `ro --help` list the nouns and the exit codes."""
    answer = _ask("--help")
    assert answer.exit_code == 0
    for noun in {command[0] for command in COMMANDS}:
        assert f"\n  {noun} " in answer.output
    assert "Exit codes" in answer.output


def test_a_wrong_command_line_is_told() -> None:
    """Unknown nouns, verbs and options exit with 2, as the help says."""
    assert _ask("nonsense").exit_code == 2
    assert _ask("ledger", "nonsense").exit_code == 2
    assert _ask("ledger", "verify", "--nonsense").exit_code == 2
    assert _ask("run").exit_code == 2


# --- what they print ------------------------------------------------------------------------------

READING = [
    ("manifest", "list"),
    ("artifact", "list"),
    ("artifact", "verify", "--all"),
    ("artifact", "show", "numbers@{fingerprint}"),
    ("artifact", "verify", "numbers@{fingerprint}"),
    ("config", "list"),
    ("config", "show", "limits"),
    ("gate", "list"),
    ("ledger", "log"),
    ("ledger", "verify"),
    ("ledger", "prove", "0"),
]


def _filled(plane: EphemeralPlane, command: tuple[str, ...]) -> list[str]:
    known = next(iter(plane.plane.runs.registered())).manifest_fingerprint
    return [part.format(fingerprint=known) for part in command]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_json_is_one_document(plane: EphemeralPlane, command: tuple[str, ...]) -> None:
    """Standard output holds one JSON document and nothing else."""
    answer = _ask(*_filled(plane, command), "--json")
    assert answer.exit_code == 0, answer.stderr
    assert isinstance(json.loads(answer.stdout), dict | list)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_records_nothing(plane: EphemeralPlane, command: tuple[str, ...]) -> None:
    """Looking never writes."""
    before = plane.plane.ledger.size()
    assert _ask(*_filled(plane, command)).exit_code == 0
    assert plane.plane.ledger.size() == before


@pytest.mark.parametrize("verb", ["fingerprint", "show"])
def test_a_manifest_needs_no_plane(tmp_path: Path, verb: str) -> None:
    """Identity is computed from the file alone."""
    answer = _ask("manifest", verb, _manifest(tmp_path), "--json")
    assert answer.exit_code == 0
    assert isinstance(json.loads(answer.stdout), dict)


def test_canonical_bytes_are_all_that_is_printed(tmp_path: Path) -> None:
    """`show --canonical` ends without a newline: the bytes are for hashing."""
    answer = _ask("manifest", "show", _manifest(tmp_path), "--canonical")
    assert answer.stdout_bytes.startswith(b'{"code":{"version":"1"},')
    assert answer.stdout_bytes.endswith(b"}")


def test_what_looks_like_markup_is_printed(plane: EphemeralPlane, tmp_path: Path) -> None:
    """A value in square brackets is somebody's text, not a colour."""
    assert '["[red]", "b"]' in _ask("manifest", "show", _manifest(tmp_path)).stdout
    file = tmp_path / "limits.json"
    file.write_text('{"most": 4}')
    _ask("config", "publish", "limits", file, "--reason", "[bold]draft[/bold] of [me]")
    assert "[bold]draft[/bold] of [me]" in _ask("config", "list").stdout


def test_publishing_the_same_again_is_no_new_version(plane: EphemeralPlane, tmp_path: Path) -> None:
    """Equal content, in another form, is the version that exists."""
    file = tmp_path / "limits.yaml"
    file.write_text("most: 3  # as before\n")
    answer = _ask("config", "publish", "limits", file, "--reason", "again", "--json")
    facts = json.loads(answer.stdout)
    assert (facts["published"], facts["config_version"]) == (False, 1)


def test_dropping_a_gate_nobody_has_is_refused(plane: EphemeralPlane) -> None:
    """A gate must be on record to be dropped, and the refusal is in the same form as others."""
    before = plane.plane.ledger.size()
    command = ("gate", "drop", "numbers.none", "--asset", "numbers", "--reason", "why", "--json")
    answer = _ask(*command)
    assert answer.exit_code == 4
    assert json.loads(answer.stdout)["error"]["code"] == "RO_NOT_FOUND"
    assert plane.plane.ledger.size() == before


def test_an_empty_plane_says_what_to_do(tmp_path: Path) -> None:
    """Where there is nothing yet, a list says how something comes to be."""
    settings = Settings.load({"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path)}, cwd=tmp_path)
    with settings_in_force(settings):
        assert "ro manifest register FILE" in _ask("manifest", "list").stdout
        assert "ro config publish NAME FILE" in _ask("config", "list").stdout
        assert "Nothing is bound yet" in _ask("artifact", "list").stdout
        assert _ask("ledger", "log").exit_code == 0
        assert _ask("artifact", "list", "--json").stdout == "[]\n"
    assert not list(tmp_path.iterdir())


# --- as a process ---------------------------------------------------------------------------------


def _python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False
    )


def test_starting_loads_neither_dagster_nor_pandas() -> None:
    """`ro --help`, and each noun's own help, stay fast: the heavy libraries come when needed."""
    nouns = sorted({command[0] for command in COMMANDS})
    done = _python(
        "import importlib, sys, ro_platform.cli.main\n"
        "for noun in sys.argv[1:]: importlib.import_module(f'ro_platform.cli.{noun}')\n"
        "heavy = {'dagster', 'pandas', 'psycopg2', 'pyarrow', 'sklearn', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)))",
        *nouns,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_pipe_gets_no_colour(tmp_path: Path) -> None:
    """No escape code reaches a file or a pipe, on either stream."""
    environment = {**os.environ, "RO_HOME": str(tmp_path / "home"), "TERM": "xterm-256color"}
    for command in (["--help"], ["ledger", "log"], ["run", "nowhere.yaml"], ["gate", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", "ro_platform.cli.main", *command],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.stdout + done.stderr
        assert b"\x1b" not in done.stdout + done.stderr


FAULT = """
import sys
from ro_platform.cli import main, ledger
def broken(settings): raise ZeroDivisionError("[bold] no error of the library")
ledger.shared_plane = broken
sys.argv = ["ro", "ledger", "log", *sys.argv[1:]]
main.main()
"""


def test_a_fault_of_the_program_is_called_that() -> None:
    """Exit 1 and RO_INTERNAL, with the trace: nobody takes it for a refusal."""
    done = _python(FAULT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        "RO_INTERNAL ZeroDivisionError: [bold] no error of the library\n  next: "
    )
    assert "Traceback" in done.stderr


def test_a_fault_of_the_program_is_told_in_json_too() -> None:
    """A machine gets the same ErrorResponse as for any other error."""
    done = _python(FAULT, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "RO_INTERNAL"
