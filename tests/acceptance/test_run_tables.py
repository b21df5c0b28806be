"""``ro run`` beside others and beside what stands: who computed what, and when, is told apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import ROOT, Deployment

pytestmark = pytest.mark.timeout(300)

DEFINITIONS = """
import os, time
import dagster as dg
from ro_platform.orchestration import gate, govern

@dg.asset
def orders() -> list[int]:
    if os.environ.get("FAIL"):
        raise RuntimeError("the source is away")
    time.sleep(float(os.environ.get("TAKES", "0")))
    return [1, 2]

@gate(asset=orders)
def ok(orders: list[int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)

@dg.asset
def total(orders: list[int]) -> int:
    return sum(orders)

@dg.multi_asset(
    outs={"perhaps": dg.AssetOut(dagster_type=int, is_required=False)}, deps=[orders])
def gives_perhaps():
    open("executed", "a").write("x")
    if os.path.exists("give"):
        yield dg.Output(1, "perhaps")

@gate(asset="perhaps")
def perhaps_ok(perhaps: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)

@dg.asset(deps=["perhaps"])
def after() -> int:
    return 1

defs = govern(dg.Definitions(
    assets=[orders, total, gives_perhaps, after], asset_checks=[ok, perhaps_ok],
    jobs=[dg.define_asset_job("shop", selection=["orders", "total"]),
          dg.define_asset_job("maybe", selection=["orders", "perhaps", "after"])]))
"""
MANIFEST = "kind: ro.run_manifest.v0\nworkload: %s\ncode: {version: '1'}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Deployment:
    """Two workloads over one asset that may take its time, or fail."""
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    for name in ("shop", "maybe"):
        (tmp_path / f"{name}.yaml").write_text(MANIFEST % name)
    return Deployment(tmp_path, tmp_path / "home")


def rows(answer: Any) -> Mapping[str, Any]:
    """The assets of ``ro run --json`` by name."""
    return {item["asset"]: item for item in answer["assets"]}


def test_two_who_launch_one_manifest_at_once_both_end_well(shop: Deployment) -> None:
    """One binding each, every attempt ended, and both tables true: each says what it computed
    itself, and names the attempt that made what stands."""
    slow = Deployment(shop.root, shop.home, {"TAKES": "4"})
    logs = [shop.root / f"out{number}.json" for number in (1, 2)]
    both = [slow.start("ro", "run", "shop.yaml", "--json", log=log) for log in logs]
    codes = [process.wait(120) for process in both]

    said = [log.read_text() for log in logs]
    assert codes == [0, 0], said
    answers = [json.loads(text[text.index("{\n") :]) for text in said]
    attempts = shop.ro("attempts", "list", "--all", "--json").json()
    assert {item["status"] for item in attempts} == {"SUCCEEDED"}
    assert not [*shop.store.glob("refs/orders/*/rev=000002.json")]
    assert len({answer["dagster_run_id"] for answer in answers}) == 2
    by_id = {item["attempt_id"]: item for item in attempts}
    digests = set()
    for answer in answers:
        for row in rows(answer).values():
            maker = by_id[row["made_by"]["attempt_id"]]
            digests.add((row["asset"], row["artifact"]["digest"]))
            made = {item["artifact"]["digest"] for item in maker["outputs"]}
            assert made == {row["artifact"]["digest"]}
            mine = row["this_call"]
            assert row["result"] == ("computed" if mine else "by another run")
            assert mine is None or mine["dagster_run_id"] == answer["dagster_run_id"]
    assert len(digests) == 2
    assert shop.ro("ledger", "verify").code == 0


def test_a_replay_that_fails_leaves_what_stands_and_says_both(shop: Deployment) -> None:
    """Attempt, status, digest and gates are of what stands; the result is the replay's."""
    assert shop.ro("run", "shop.yaml").code == 0
    before = rows(shop.ro("run", "shop.yaml", "--json").json())

    broken = Deployment(shop.root, shop.home, {"FAIL": "1"})
    replayed = broken.ro("run", "shop.yaml", "--replay", "--json")

    assert replayed.code == 9
    after = rows(replayed.json())
    assert after["orders"]["artifact"] == before["orders"]["artifact"]
    assert after["orders"]["result"] == "FAILED #2"
    assert after["orders"]["made_by"]["number"] == 1
    assert after["orders"]["this_call"]["status"] == "FAILED"
    assert (after["total"]["result"], after["total"]["made_by"]["number"]) == ("CANCELED #2", 1)
    shown = shop.ro("run", "shop.yaml").out.splitlines()
    (row,) = (line.split() for line in shown if line.startswith("orders"))
    assert (row[1], row[3], row[4]) == ("#1", "SUCCEEDED", "kept")


def test_a_skipped_output_is_shown_so_and_not_executed_again(shop: Deployment) -> None:
    """It fails nothing, and without news it is left alone; a replay tries it again, and then what
    depends on it is made."""
    executed = shop.root / "executed"
    first = shop.ro("run", "maybe.yaml", "--json")
    second = shop.ro("run", "maybe.yaml")

    assert (first.code, second.code) == (0, 0), first.out + second.err
    assert [rows(first.json())[name]["result"] for name in ("perhaps", "after")] == ["skipped"] * 2
    assert executed.read_text() == "x"
    assert "nothing was computed" in second.out
    assert second.out.count("SKIPPED") == 2
    listed = shop.ro("attempts", "list", "--all").out
    assert (listed.count(" SKIPPED "), listed.count("CANCELED")) == (3, 0)
    (shop.root / "give").touch()
    again = shop.ro("run", "maybe.yaml", "--replay", "--json")
    assert again.code == 0, again.out
    assert rows(again.json())["after"]["result"] == "computed"
