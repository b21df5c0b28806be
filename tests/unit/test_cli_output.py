"""Tables for a person: nothing is cut, whatever the width of the screen."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from ro_platform.cli import output

CELLS = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=40)


def _printed(width: int, columns: list[str], rows: list[list[str]]) -> list[str]:
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        console = Console(file=screen, width=width, highlight=False, soft_wrap=True)
        patch.setattr(output, "out", console)
        output.table(columns, rows, empty="none")
    return screen.getvalue().splitlines()


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5),
    width=st.integers(20, 200),
)
def test_no_value_is_cut(rows: list[list[str]], width: int) -> None:
    """Every cell is printed whole, in the order of its row, at any width."""
    lines = _printed(width, ["one", "two", "three"], rows)
    text = "\n".join(lines)
    for row in rows:
        position = 0
        for cell in row:
            if cell.strip("-"):
                assert cell in text[position:]
    assert not any(line.endswith("…") for line in lines)


def test_columns_line_up_where_there_is_room() -> None:
    """One line a row; each column begins below its heading."""
    lines = _printed(80, ["a", "b", "c"], [["1", "22", "333"], ["4444", "5", "6"]])
    assert lines == ["a     b   c", "1     22  333", "4444  5   6"]


def test_columns_move_closer_first() -> None:
    """A row that fits with single gaps stays one line."""
    assert _printed(11, ["a", "b"], [["12345", "67890"]]) == ["a     b", "12345 67890"]


def test_the_last_column_goes_below() -> None:
    """On a narrow screen the last value stands below its row, and a dash is left out."""
    rows = [["12345", "67890", "a long reason"], ["1", "2", "-"]]
    assert _printed(14, ["x", "y", "why"], rows) == [
        "x      y",
        "    why",
        "12345  67890",
        "    a long reason",
        "1      2",
    ]


def test_nothing_to_show_is_a_sentence() -> None:
    """An empty table has no heading."""
    assert _printed(80, ["a"], []) == ["none"]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, ""),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (573366, "559.9 KiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_sizes_are_for_people(count: int | None, words: str) -> None:
    """Binary units, one decimal."""
    assert output.size(count) == words


def test_a_status_has_its_colour() -> None:
    """The text itself carries no codes; the colour is beside it."""
    assert output.word("PASS") == Text("PASS", style="green")
    assert output.word("PASS").plain == "PASS"
