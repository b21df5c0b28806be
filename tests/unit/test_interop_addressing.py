"""Hive segments: their keys, order, values and spellings, templates, and locators by them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.engine_formats.locators import (
    KEYS,
    Template,
    check_equal,
    check_locator,
    check_order,
    hive_path,
    partitions_of,
)
from ro_platform.engine_formats.objects import Digest, EngineOutputLocator
from ro_platform.errors import (
    ArtifactNotFoundError,
    DigestMismatchError,
    InvalidInputError,
    RunOperateError,
)

WORLD, PARAMETERS, RUN = "ab" * 32, "cd" * 32, "ef" * 16
VALUES = {
    "seed": st.integers(0, 2**64 - 1).map(str),
    "parameter_hash": st.just(PARAMETERS),
    "manifest_fingerprint": st.just(WORLD),
    "scenario_id": st.text("abcXYZ019_.- é", min_size=1, max_size=9).filter(
        lambda text: text not in (".", "..")
    ),
    "run_id": st.just(RUN),
    "utc_day": st.dates().map(str),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_is_written_reads_back(values: dict[str, str]) -> None:
    """Any set of values is written in the one order, and read as it was, byte for byte."""
    path = hive_path(dict(reversed(values.items())))
    assert partitions_of(path) == values
    assert list(partitions_of(path)) == [key for key in KEYS if key in values]
    check_order(partitions_of(path), path)
    assert "manifest_fingerprint=" not in path


def test_both_spellings_are_read_and_the_older_is_written() -> None:
    """``fingerprint=`` and ``manifest_fingerprint=`` are one key."""
    for key in ("fingerprint", "manifest_fingerprint"):
        assert partitions_of(f"a/{key}={WORLD}/b") == {"manifest_fingerprint": WORLD}
        assert hive_path({key: WORLD, "seed": 7}) == f"seed=7/fingerprint={WORLD}"


@pytest.mark.parametrize(
    "path",
    [
        f"fingerprint={WORLD}/manifest_fingerprint={WORLD}",
        "seed=1/seed=1",
        "colour=red",
        "seed=",
        "seed=07",
        "seed=+7",
        "seed=-1",
        "seed=１",  # noqa: RUF001 - a digit that is not ASCII
        f"seed={2**64}",
        f"fingerprint={WORLD.upper()}",
        f"fingerprint={WORLD[:-1]}",
        f"run_id={WORLD}",
        "utc_day=2026-02-30",
        "utc_day=20260201",
        "scenario_id=..",
        "scenario_id=a=b",
        "seed=1/../seed=2",
        "a\\seed=1",
        "a\nseed=1",
    ],
)
def test_a_path_that_breaks_a_rule_is_refused(path: str) -> None:
    """An unknown or doubled key, a value out of form, and a way out of the folder."""
    with pytest.raises(InvalidInputError):
        partitions_of(path)


def test_the_order_is_one() -> None:
    """Keys out of order are refused, with the order that they should have."""
    path = f"fingerprint={WORLD}/seed=1"
    with pytest.raises(InvalidInputError, match="seed, manifest_fingerprint"):
        check_order(partitions_of(path), path)


@pytest.mark.parametrize("row", [{"seed": 7}, {"seed": "7"}, {}, {"seed": None}, {"other": 1}])
def test_equal_bytes_in_path_and_row_are_accepted(row: dict[str, object]) -> None:
    """A number is its decimal digits; what the row does not have is not compared."""
    check_equal({"seed": "7"}, row, "p")


@pytest.mark.parametrize(
    ("key", "value", "row"),
    [
        ("seed", "7", {"seed": 8}),
        ("seed", "7", {"seed": "07"}),
        ("seed", "1", {"seed": True}),
        ("seed", "7", {"seed": 7.0}),
        ("scenario_id", "True", {"scenario_id": True}),
        ("manifest_fingerprint", WORLD, {"manifest_fingerprint": WORLD.upper()}),
        ("manifest_fingerprint", WORLD, {"fingerprint": PARAMETERS}),
        ("scenario_id", "é", {"scenario_id": "e\u0301"}),
    ],
)
def test_other_bytes_in_the_row_are_refused(key: str, value: str, row: dict[str, object]) -> None:
    """Nothing is normalised: case, zeros, types and Unicode forms all count."""
    with pytest.raises(InvalidInputError, match="same bytes"):
        check_equal({key: value}, row, "p")


TEMPLATE = "data/seed={seed}/fingerprint={manifest_fingerprint}/part-*.parquet"
PATH = f"data/seed=7/fingerprint={WORLD}/part-00.parquet"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_templates_stray_line_end_is_dropped(end: str) -> None:
    """A template read from a YAML block ends with a line feed that is none of it."""
    Template.parse(TEMPLATE + end, partitions=["fingerprint", "seed"]).check(PATH)
    Template.parse(TEMPLATE + end).check(PATH.replace("fingerprint", "manifest_fingerprint"))


@pytest.mark.parametrize(
    "path",
    [
        "data/part-00.parquet",
        f"data/seed=7/fingerprint={WORLD}/sub/part-00.parquet",
        f"data/seed=7/fingerprint={WORLD}/part-00.parquet\n",
        f"other/seed=7/fingerprint={WORLD}/part-00.parquet",
        f"data/fingerprint={WORLD}/seed=7/part-00.parquet",
        f"data/seed=7/run_id={RUN}/part-00.parquet",
    ],
)
def test_a_path_that_does_not_follow_its_template_is_refused(path: str) -> None:
    """Neither a placeholder nor a star reaches across a slash, and no part may be left out."""
    with pytest.raises(InvalidInputError):
        Template.parse(TEMPLATE).check(path)


def test_the_templates_order_counts_and_a_list_is_a_set() -> None:
    """The order comes from the template; the list beside it says only which."""
    template = Template.parse(
        "x/fingerprint={manifest_fingerprint}/seed={seed}", ["seed", "manifest_fingerprint"]
    )
    assert template.order == ("manifest_fingerprint", "seed")
    assert template.departs
    template.check(f"x/fingerprint={WORLD}/seed=7")
    with pytest.raises(InvalidInputError, match="they go manifest_fingerprint, seed"):
        template.check(f"x/seed=7/fingerprint={WORLD}")
    with pytest.raises(InvalidInputError, match="the list beside it"):
        Template.parse(TEMPLATE, partitions=["seed"])


def test_a_name_that_stands_twice_in_a_template_has_one_value() -> None:
    """The same placeholder means the same bytes."""
    template = Template.parse("{state}/seed={seed}/{state}.csv")
    template.check("S1/seed=1/S1.csv")
    with pytest.raises(InvalidInputError):
        template.check("S1/seed=1/S2.csv")


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "x/colour={colour}", "seed={seed}/seed={seed}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    """Empty, of several lines, or with a key that is unknown or stands twice."""
    with pytest.raises(InvalidInputError):
        Template.parse(text).check("seed=1")


def locator(path: str = PATH, data: bytes | None = None, seed: int = 7) -> EngineOutputLocator:
    """A locator of that path; with ``data``, for exactly these bytes."""
    bare = EngineOutputLocator(output_id="o", path=path, manifest_fingerprint=WORLD, seed=seed)
    if data is None:
        return bare
    content = Digest(algo="sha256", hex=hashlib.sha256(data).hexdigest())
    return bare.model_copy(update={"content_digest": content})


def test_a_locator_and_its_bytes(tmp_path: Path) -> None:
    """Form, path, template and bytes are right, and each is said."""
    file = tmp_path / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rows")
    found = check_locator(locator(data=b"rows"), template=TEMPLATE, root=tmp_path)
    assert found.partitions == {"seed": "7", "manifest_fingerprint": WORLD}
    assert (found.exists, found.content_verified) == (True, True)
    unsaid = check_locator(locator(), root=tmp_path)
    assert (unsaid.content, unsaid.content_verified) == (hashlib.sha256(b"rows").hexdigest(), False)
    assert check_locator(locator()).exists is None
    folder = check_locator(locator(path=f"data/seed=7/fingerprint={WORLD}/"), root=tmp_path)
    assert (folder.exists, folder.content) == (True, None)


def test_a_locator_that_is_wrong_is_refused(tmp_path: Path) -> None:
    """Other values than its path's, other bytes, nothing there, a link, a way out: refused."""
    file = tmp_path / "root" / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rows")
    (tmp_path / "secret").write_bytes(b"rows")
    (file.parent / "link").symlink_to(tmp_path / "secret")
    beside = PATH.replace("part-00.parquet", "")
    wrong: list[tuple[EngineOutputLocator, type[RunOperateError]]] = [
        (locator(seed=8), InvalidInputError),
        (locator(data=b"other"), DigestMismatchError),
        (locator(path=f"{beside}gone"), ArtifactNotFoundError),
        (locator(path=f"{beside}link"), InvalidInputError),
        (locator(path="../secret"), InvalidInputError),
        (locator(path=str(tmp_path / "secret")), InvalidInputError),
        (locator(path=beside, data=b"rows"), InvalidInputError),
    ]
    for one, error in wrong:
        with pytest.raises(error):
            check_locator(one, root=tmp_path / "root")
