"""What a gate judges by is shown, compared and judged by again, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import ROOT, Deployment

CODE = """
import dagster as dg

from ro_platform.orchestration import gate, govern


@dg.asset
def orders() -> list[int]:
    return [1, 2, 3]


@dg.asset
def total(orders: list[int]) -> int:
    return sum(orders)


def at_least(asset, number):
    @gate(asset=asset, name="at_least")
    def check(rows: list[int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(rows) >= number)

    return check


def as_large_as(number):
    @gate(asset=total, name="adds_up", additional_ins={"orders": dg.AssetIn("orders")})
    def check(total: int, orders: list[int]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=total >= number and total == sum(orders))

    return check


LEAST = 2
defs = govern(
    dg.Definitions(
        assets=[orders, total],
        asset_checks=[at_least(orders, LEAST), as_large_as(LEAST)],
        jobs=[dg.define_asset_job("shop")],
    )
)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Deployment:
    """A deployment after its first run, whose two gates passed under the number 2."""
    (tmp_path / "definitions.py").write_text(CODE)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    manifest = {"kind": "ro.run_manifest.v0", "workload": "shop", "code": {"version": "1"}}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    deployment = Deployment(tmp_path, tmp_path / "home")
    assert deployment.ro("run", tmp_path / "run.json").code == 0
    return deployment


def set_least(shop: Deployment, number: int) -> None:
    """Edit the line that the factories take their number from."""
    code = shop.root / "definitions.py"
    code.write_text(CODE.replace("LEAST = 2", f"LEAST = {number}"))


def judged(shop: Deployment, *options: str) -> tuple[int, dict[str, str]]:
    """The exit code of `ro gate run`, and each gate's verdict."""
    answer = shop.ro("gate", "run", "--json", *options)
    found: list[dict[str, Any]] = answer.json()
    return answer.code, {item["gate_id"]: item["status"] for item in found}


def test_one_call_judges_again_what_a_changed_rule_made_stale(shop: Deployment) -> None:
    """A gate that reads another asset waits for that one's verdict; then nothing is left to
    judge, and nothing was made."""
    assert judged(shop) == (0, {})
    set_least(shop, 3)
    assert judged(shop, "--asset", "orders") == (0, {"orders.at_least": "PASS"})
    assert judged(shop) == (0, {"total.adds_up": "PASS"})
    set_least(shop, 1)
    assert judged(shop) == (0, {"orders.at_least": "PASS", "total.adds_up": "PASS"})
    assert judged(shop) == (0, {})
    assert shop.ro("run", shop.root / "run.json", "--json").json()["executed"] == []


def test_a_gate_that_says_fail_under_its_rule_of_now_is_told_by_the_exit_code(
    shop: Deployment,
) -> None:
    """FAIL is exit 5, as wherever a read is refused."""
    set_least(shop, 5)
    code, verdicts = judged(shop, "--gate", "orders.at_least")
    assert (code, verdicts) == (5, {"orders.at_least": "FAIL"})


def test_a_person_sees_what_a_gate_judges_by_and_what_changed(shop: Deployment) -> None:
    """The listing with its captured number, what is not covered, and both numbers in the diff."""
    set_least(shop, 7)
    shown = shop.ro("gate", "explain", "orders.at_least")
    assert shown.code == 0, shown.err
    assert "closure number = 7" in shown.out
    assert "len(rows) >= number" in shown.out
    for covered in ("files", "network", "environment", "reflection", "native code"):
        assert covered in shown.out

    facts = shop.ro("gate", "explain", "orders.at_least", "--json").json()
    assert facts["rule"].startswith("rule1-")
    assert facts["on_record"] != [facts["rule"]]
    diff = shop.ro("gate", "diff", "orders.at_least").out
    assert "-  closure number = 2" in diff
    assert "+  closure number = 7" in diff
    both = shop.ro("gate", "diff", facts["on_record"][0], facts["on_record"][0])
    assert "the same" in both.out


def test_an_unknown_gate_is_told(shop: Deployment) -> None:
    """Neither on record nor in the code."""
    answer = shop.ro("gate", "explain", "orders.nothing")
    assert answer.code != 0
    assert "orders.nothing" in answer.err
