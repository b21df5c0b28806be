"""The reference pages say what the code says: commands, codes, settings, kinds and objects.

A page that differs fails with the text that belongs into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ro_platform.cli.main import ro
from ro_platform.contracts import AdminActionType, EntryKind, JobStatus
from ro_platform.contracts.schema import PUBLIC
from ro_platform.errors import RunOperateError, all_errors
from ro_platform.runs.attempt import check_move

REFERENCE = Path("docs/reference")


def error_row(kind: type[RunOperateError]) -> str:
    """The line of an error in the table."""
    family = kind.family()
    above = f"`{family.code}`" if family else "-"
    retryable = "yes" if kind.retryable else "no"
    return f"| `{kind.code}` | {above} | {kind.exit_code} | {retryable} | {kind.meaning()} |"


def all_commands(
    command: click.Command = ro, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The words of every command, a group before its members."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from all_commands(below, (*words, name))


def help_of(words: tuple[str, ...]) -> str:
    """What ``--help`` prints on a terminal of 100 columns."""
    shown = CliRunner().invoke(ro, [*words, "--help"], prog_name="ro", env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    return shown.output.rstrip()


def plain(text: str) -> str:
    """Without the line breaks, which another release of click may set elsewhere."""
    return " ".join(text.split())


def page(repository: Path, name: str) -> str:
    """The text of a reference page."""
    return (repository / REFERENCE / name).read_text()


def first_column(text: str, heading: str) -> set[str]:
    """The code words that open the rows of the table below a heading."""
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_the_table_of_errors_is_the_hierarchy(repository: Path) -> None:
    """Each error stands there with its family, exit code, retryability and meaning; no other."""
    rows = [
        error_row(kind)
        for kind in all_errors()
        if kind.__module__.startswith("ro_platform.errors.")
    ]
    written = re.findall(r"^\| `RO_.*$", page(repository, "errors.md"), re.MULTILINE)
    assert written == rows, "\n".join(rows)


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_the_help_of_each_command_is_quoted(repository: Path, words: tuple[str, ...]) -> None:
    """The page quotes what the command itself prints."""
    quoted = re.findall(r"```text\n(.*?)\n```", page(repository, "commands.md"), re.DOTALL)
    assert plain(help_of(words)) in {plain(text) for text in quoted}, help_of(words)


def test_the_page_of_commands_has_no_command_of_the_past(repository: Path) -> None:
    """There is one heading for each command, and no other."""
    headings = re.findall(r"^##+ `(ro.*)`$", page(repository, "commands.md"), re.MULTILINE)
    assert headings == [" ".join(("ro", *words)) for words in all_commands()]


def test_the_table_of_settings_is_what_is_read(repository: Path) -> None:
    """Each variable that the settings read has its row; there is no other."""
    source = repository.joinpath("ro_platform/config/settings.py").read_text()
    read = set(re.findall(r'"(RO_[A-Z_]+|DAGSTER_HOME)"', source))
    assert first_column(page(repository, "settings.md"), "## Variables") == read


def test_the_kinds_of_entries_are_listed(repository: Path) -> None:
    """The ledger's page has each kind of entry, and no other."""
    kinds = first_column(page(repository, "ledger.md"), "## Kinds")
    assert kinds == {kind.value for kind in EntryKind}


def test_the_public_objects_are_listed(repository: Path) -> None:
    """The contracts' page has each object of the schema, and no other."""
    objects = first_column(page(repository, "contracts.md"), "## Objects")
    assert objects == {model.__name__ for model in PUBLIC}


def test_the_closed_sets_are_listed(repository: Path) -> None:
    """The contracts' page has every status and every administrative action."""
    text = page(repository, "contracts.md")
    assert first_column(text, "## Statuses of an attempt") == {item.value for item in JobStatus}
    actions = re.findall(r"`([a-z_]+)`", text.split("## Administrative actions")[1])
    assert set(actions) >= {item.value for item in AdminActionType}


def test_the_moves_of_an_attempt_are_those_of_the_state_machine(repository: Path) -> None:
    """Each row names exactly the states that may follow."""
    section = page(repository, "contracts.md").split("## Statuses of an attempt")[1]
    rows = re.findall(r"^\| `([A-Z]+)` \| [^|]* \| ([^|]*) \|$", section, re.MULTILINE)
    assert len(rows) == len(JobStatus)
    for old, follow in rows:
        named = set(re.findall(r"`([A-Z]+)`", follow))
        assert named == {new.value for new in JobStatus if _moves(JobStatus(old), new)}


def _moves(old: JobStatus, new: JobStatus) -> bool:
    try:
        check_move(old, new)
    except RunOperateError:
        return False
    return True
