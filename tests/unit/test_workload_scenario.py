"""The scenario: parsing the real file's format, generating, and choosing between the two."""

from __future__ import annotations

import gzip
from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.purchases.cdnow import SCENARIO_SCHEMA, parse_master_file
from assets.purchases.generation import generate_purchases
from assets.purchases.scenario import build_scenario
from assets.purchases.settings import (
    DirtyShares,
    Generation,
    PurchasesParameters,
    require_seed,
)
from ro_platform.errors import ContractError, InvalidInputError

HEADER = " customer_id  date number_of_cds  dollar_value\r\n"
CLEAN = DirtyShares(zero_amount=0, exact_repeat=0, out_of_range=0, unparsable=0)
SHOP = Generation(
    customers=2_000,
    first_date=date(2001, 1, 1),
    last_date=date(2001, 12, 31),
    acquisition_days=60,
    dirty=CLEAN,
)


def master_file(text: str) -> bytes:
    return gzip.compress((HEADER + text).encode(), mtime=0)


def dirty_shop(**shares: float) -> Generation:
    return SHOP.model_copy(update={"dirty": CLEAN.model_copy(update=shares)})


def test_fields_are_read_as_they_stand() -> None:
    """A well-formed line gives its fields: ids keep leading zeros, money becomes whole cents."""
    table = parse_master_file(master_file(" 00004 19970101  2   29.33\r\n"))
    assert table.schema.equals(SCENARIO_SCHEMA)
    assert table.to_pylist() == [
        {
            "row_number": 1,
            "customer_id": "00004",
            "purchase_date": date(1997, 1, 1),
            "quantity": 2,
            "amount_cents": 2933,
            "raw_text": None,
        }
    ]


@pytest.mark.parametrize(
    ("amount", "cents"), [("0.00", 0), ("-0.50", -50), ("1286.01", 128601), ("0.07", 7)]
)
def test_money_is_exact(amount: str, cents: int) -> None:
    """Amounts are read as digits, never as floating point."""
    table = parse_master_file(master_file(f" 00004 19970101  2 {amount}\r\n"))
    assert table["amount_cents"].to_pylist() == [cents]


@pytest.mark.parametrize(
    "line",
    ["", "garbled", " 00004 19970101  2", " 00004 19970101  2   29.3", " 0000x 19970101 1 1.00"],
)
def test_what_cannot_be_read_is_kept_as_text(line: str) -> None:
    """A malformed line is a row of its own, with its text and with nulls for its fields."""
    table = parse_master_file(master_file(f"{line}\r\n 00001 19970102  1   11.77\r\n"))
    bad, good = table.to_pylist()
    assert bad == dict.fromkeys(bad) | {"row_number": 1, "raw_text": line}
    assert (good["row_number"], good["amount_cents"], good["raw_text"]) == (2, 1177, None)


@pytest.mark.parametrize("day", ["19970229", "19971301", "19970100"])
def test_a_date_that_does_not_exist_is_not_guessed(day: str) -> None:
    """No date is rolled over into the next month; the other fields and the text stay."""
    line = f" 00004 {day}  2   29.33"
    (row,) = parse_master_file(master_file(f"{line}\r\n")).to_pylist()
    assert (row["purchase_date"], row["raw_text"]) == (None, line)
    assert (row["customer_id"], row["quantity"], row["amount_cents"]) == ("00004", 2, 2933)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20))
def test_every_line_becomes_one_row(lines: list[bytes]) -> None:
    """Whatever bytes a line holds, nothing is dropped and rows are numbered in order."""
    data = HEADER.encode() + b"".join(line + b"\n" for line in lines)
    table = parse_master_file(gzip.compress(data))
    assert table["row_number"].to_pylist() == list(range(1, len(lines) + 1))
    for line, row in zip(lines, table.to_pylist(), strict=True):
        whole = all(value is not None for name, value in row.items() if name != "raw_text")
        text = line.decode("utf-8", "backslashreplace").removesuffix("\r")
        assert row["raw_text"] == (None if whole else text)


def test_last_line_needs_no_line_end() -> None:
    """A file that stops without a line end still gives its last row."""
    table = parse_master_file(master_file(" 00001 19970102  1   11.77"))
    assert table["amount_cents"].to_pylist() == [1177]


@pytest.mark.parametrize(
    "data",
    [
        b"plain text",
        b"",
        master_file(" 00001 19970102  1   11.77\r\n")[:-9],
        gzip.compress(b"id,day\r\n", mtime=0),
        gzip.compress(b"", mtime=0),
    ],
)
def test_another_kind_of_file_is_refused(data: bytes) -> None:
    """No gzip, a torn one, or one with another header is an error and not an empty scenario."""
    with pytest.raises(InvalidInputError) as caught:
        parse_master_file(data)
    assert caught.value.next_step


def test_generation_follows_the_seed_alone() -> None:
    """The same seed gives the same rows, another one gives others; 2^64-1 is a seed too."""
    table = generate_purchases(7, SHOP)
    assert table.schema.equals(SCENARIO_SCHEMA)
    assert table.equals(generate_purchases(7, SHOP))
    assert not table.equals(generate_purchases(8, SHOP))
    assert len(generate_purchases(2**64 - 1, SHOP)) >= SHOP.customers


def test_a_clean_shop_is_clean() -> None:
    """Without dirty shares every row is whole, dated within the period and paid for."""
    table = generate_purchases(7, SHOP)
    dates = pc.min_max(table["purchase_date"]).as_py()
    assert SHOP.first_date <= dates["min"] <= dates["max"] <= SHOP.last_date
    assert pc.min(table["amount_cents"]).as_py() > 0
    assert pc.min(table["quantity"]).as_py() == 1
    assert table["raw_text"].null_count == len(table)
    assert len(set(table["customer_id"].to_pylist())) == SHOP.customers


@pytest.mark.parametrize("kind", ["zero_amount", "exact_repeat", "out_of_range", "unparsable"])
def test_dirt_is_made_as_asked(kind: str) -> None:
    """Each kind of dirty row appears at about the share that was asked for."""
    table = generate_purchases(7, dirty_shop(**{kind: 0.2}))
    rows = table.drop_columns(["row_number"]).to_pandas()
    late = table["purchase_date"].to_numpy() > np.datetime64(SHOP.last_date)
    found = {
        "zero_amount": np.mean(rows["amount_cents"] == 0),
        "exact_repeat": 1 - len(generate_purchases(7, SHOP)) / len(rows),
        "out_of_range": np.mean((rows["quantity"] == 0) | late),
        "unparsable": np.mean(rows["raw_text"].notna() & rows["customer_id"].isna()),
    }[kind]
    assert found == pytest.approx(0.2 if kind != "exact_repeat" else 0.2 / 1.2, abs=0.03)


def test_the_input_is_taken_when_there_is_one() -> None:
    """An input alone is parsed; generation parameters alone, with a seed, are followed."""
    data = master_file(" 00001 19970102  1   11.77\r\n")
    assert build_scenario(data, None, None).equals(parse_master_file(data))
    assert build_scenario(None, 7, SHOP).equals(generate_purchases(7, SHOP))


@pytest.mark.parametrize(
    ("data", "seed", "generate", "problem"),
    [
        (None, None, None, "neither"),
        (None, 7, None, "neither"),
        (None, None, SHOP, "no seed"),
        (b"", 7, SHOP, "both"),
    ],
)
def test_the_source_is_never_guessed(
    data: bytes | None, seed: int | None, generate: Generation | None, problem: str
) -> None:
    """No source, half a source or two sources are refused with what is wrong."""
    with pytest.raises(InvalidInputError, match=problem):
        build_scenario(data, seed, generate)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"as_of": "1997-02-30"}, "as_of"),
        ({"horizon_days": 0}, "horizon_days"),
        ({"holdout_percent": 100}, "holdout_percent"),
        ({"horizon": 3}, "horizon"),
        ({"generate": {"customers": 5}}, "generate"),
    ],
)
def test_parameters_are_read_strictly(change: dict[str, Any], field: str) -> None:
    """A wrong, unknown or missing parameter is refused by name."""
    good = {"as_of": "1997-09-30", "horizon_days": 273, "holdout_percent": 30}
    assert PurchasesParameters.read(good, where="parameters").window_end == date(1998, 6, 30)
    with pytest.raises(ContractError, match=field):
        PurchasesParameters.read(good | change, where="parameters")


def test_training_needs_a_seed() -> None:
    """A manifest without a seed is told so; zero is a seed."""
    assert require_seed(0) == 0
    with pytest.raises(InvalidInputError, match="no seed"):
        require_seed(None)
