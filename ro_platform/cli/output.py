"""What a command says: tables and colour for a person, the same facts as JSON for a machine.

Results go to standard output; progress and errors go to standard error.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from ro_platform import errors
from ro_platform.contracts import ErrorResponse

F = TypeVar("F", bound=Callable[..., Any])
Cell = str | Text

_PIPE_COLUMNS = 200

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_COLOURS = {
    "PASS": "green",
    "SUCCEEDED": "green",
    "FAIL": "red",
    "FAILED": "red",
    "LOST": "red",
    "REFUSED": "red",
    "REVOKED": "red",
    "BLOCKED": "red",
    "RUNNING": "cyan",
}


def json_option(command: F) -> F:
    """Add ``--json``; the command gets it as ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the facts as one JSON document."
    )(command)


def say_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
    """Print a table, or a sentence when there is nothing to show.

    No value is ever cut. Where the screen is too narrow, columns move closer, and then the last
    one goes below its row.
    """
    lines = [[_text(cell) for cell in row] for row in rows]
    if not lines:
        out.print(empty, markup=False)
        return
    heading = [Text(name, style="bold") for name in columns]
    widths = [max(cell.cell_len for cell in column) for column in zip(heading, *lines, strict=True)]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= out.width else 1
    if sum(widths) + gap * (len(widths) - 1) <= out.width or len(widths) == 1:
        for line in (heading, *lines):
            out.print(_row(line, widths, gap))
        return
    for line in (heading, *lines):
        out.print(_row(line[:-1], widths[:-1], 2))
        if line[-1].plain.strip("-"):
            out.print(Text.assemble("    ", line[-1]))


def fields(rows: Sequence[Sequence[Cell]]) -> None:
    """Print names and values, one a line; values are never cut."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        out.print(Text.assemble((f"{name!s:<{width}}", "bold"), "  ", _text(value)))


def moment(recorded_at_utc: str) -> str:
    """A recorded time for a person: to the second, UTC."""
    return recorded_at_utc[:19].replace("T", " ")


def word(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_COLOURS.get(status, "yellow"))


def plain(value: Any) -> str:
    """A JSON value in one line; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def size(count: int | None) -> str:
    """A number of bytes for a person."""
    if count is None:
        return ""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def short(digest: str | None) -> str:
    """The first 12 digits of a digest, for a table."""
    return (digest or "")[:12]


def say_error(error: errors.RunOperateError, *, as_json: bool) -> None:
    """Print an error: what happened, and what to do next."""
    if as_json:
        say_json({"error": ErrorResponse.of(error).to_json_value()})
        return
    err.print(Text.assemble((error.code, "bold red"), " ", error.message))
    if error.next_step:
        err.print(Text.assemble("  ", ("next:", "bold"), " ", error.next_step))


def fails_clearly(command: F) -> F:
    """Turn an error of the library into its words and its exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except errors.RunOperateError as error:
            say_error(error, as_json=bool(kwargs.get("as_json")))
            _record_refusal(error)
            raise click.exceptions.Exit(error.exit_code) from None

    return run  # type: ignore[return-value]  # the same signature


def _record_refusal(error: errors.RunOperateError) -> None:
    """Have a refusal on record, unless it is; where that cannot be done, say so."""
    if not isinstance(error, errors.AccessDeniedError) or error.recorded:
        return
    # Imported where it is used: most commands are refused nothing.
    from ro_platform.cli.admin_refusals import record_refusal

    try:
        record_refusal(error)
    except errors.RunOperateError as failed:
        err.print(f"The refusal could not be recorded: {failed}", style="yellow", markup=False)


def _text(cell: Cell) -> Text:
    """A cell as it is: what looks like markup in somebody's reason is no markup."""
    return cell if isinstance(cell, Text) else Text(cell)


def _row(cells: Sequence[Text], widths: Sequence[int], gap: int) -> Text:
    line = Text()
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        last = number == len(widths) - 1
        line.append_text(cell)
        line.append("" if last else " " * (width - cell.cell_len + gap))
    return line
