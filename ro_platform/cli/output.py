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
from rich.table import Table

from ro_platform.contracts import ErrorResponse
from ro_platform.errors import RunOperateError

F = TypeVar("F", bound=Callable[..., Any])

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


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table, or a sentence when there is nothing to show."""
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        last = column == columns[-1]
        shown.add_column(column, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in rows:
        shown.add_row(*row)
    if shown.row_count:
        out.print(shown, soft_wrap=False)
    else:
        out.print(empty)


def fields(rows: Sequence[Sequence[str]]) -> None:
    """Print names and values, one a line; values are never cut."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        out.print(f"[bold]{name:<{width}}[/bold]  {value}")


def moment(recorded_at_utc: str) -> str:
    """A recorded time for a person: to the second, UTC."""
    return recorded_at_utc[:19].replace("T", " ")


def word(status: str) -> str:
    """A status in its colour."""
    colour = _COLOURS.get(status, "yellow")
    return f"[{colour}]{status}[/{colour}]"


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


def say_error(error: RunOperateError, *, as_json: bool) -> None:
    """Print an error: what happened, and what to do next."""
    if as_json:
        say_json({"error": ErrorResponse.of(error).to_json_value()})
        return
    err.print(f"[bold red]{error.code}[/bold red] {_plain(error.message)}")
    if error.next_step:
        err.print(f"  [bold]next:[/bold] {_plain(error.next_step)}")


def fails_clearly(command: F) -> F:
    """Turn an error of the library into its words and its exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except RunOperateError as error:
            say_error(error, as_json=bool(kwargs.get("as_json")))
            raise click.exceptions.Exit(error.exit_code) from None

    return run  # type: ignore[return-value]  # the same signature


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
