"""Nothing that changed since is passed over without a word: an input file, a config file, code."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import ROOT, Answer, Deployment

CODE = """
import io

import dagster as dg
import pandas as pd

from ro_platform.orchestration import PlaneResource, gate, govern


@dg.asset(code_version="1")
def orders(context: dg.AssetExecutionContext, plane: PlaneResource) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(plane.run(context).input_bytes("orders")))


@dg.asset(code_version="1")
def customers(orders: pd.DataFrame) -> pd.DataFrame:
    return orders.groupby("customer", as_index=False)["cents"].sum()


@dg.asset(code_version="1")
def report(customers: pd.DataFrame) -> dict[str, float]:
    return {"mean_cents": float(customers["cents"].mean())}


@gate(asset=customers, code_version="1")
def enough(customers: pd.DataFrame) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=len(customers) >= 2)


defs = govern(
    dg.Definitions(
        assets=[orders, customers, report],
        asset_checks=[enough],
        jobs=[dg.define_asset_job("shop")],
    )
)
"""
ORDERS = b"customer,cents\nann,1200\nbob,300\nann,800\n"


@dataclass(frozen=True)
class Shop:
    """A shop's deployment with one run, its code, its manifest and its input."""

    deployment: Deployment
    manifest: Path

    @property
    def code(self) -> Path:
        return self.deployment.root / "definitions.py"

    @property
    def orders(self) -> Path:
        return self.manifest.with_name("orders.csv")

    def run(self, *options: str) -> Answer:
        return self.deployment.ro("run", self.manifest, *options)

    def facts(self, *options: str) -> dict[str, Any]:
        answer = self.run("--json", *options)
        assert answer.code == 0, answer.err
        found: dict[str, Any] = answer.json()
        return found

    def edit(self, asset: str, old: str, new: str, *, version: str | None = "2") -> None:
        """Change an asset's body, and its code version with it."""
        text = self.code.read_text().replace(old, new)
        if version:
            mark = f'@dg.asset(code_version="1")\ndef {asset}('
            assert mark in text
            text = text.replace(mark, mark.replace('"1"', f'"{version}"'))
        self.code.write_text(text)


@pytest.fixture(scope="module")
def first_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """After its first run. Not to touch."""
    folder = tmp_path_factory.mktemp("shop")
    root = folder / "deployment"
    root.mkdir()
    (root / "definitions.py").write_text(CODE)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    (root / "orders.csv").write_bytes(ORDERS)
    manifest = {
        "kind": "ro.run_manifest.v0",
        "workload": "shop",
        "inputs": [
            {
                "name": "orders",
                "ref": {"ref": "orders.csv", "digest": sha256(ORDERS).hexdigest()},
            }
        ],
        "code": {"version": "1"},
    }
    (root / "shop.json").write_text(json.dumps(manifest))
    shop = Shop(Deployment(root, folder / "home"), root / "shop.json")
    assert shop.run().code == 0
    return shop


@pytest.fixture
def shop(first_shop: Shop, tmp_path: Path) -> Shop:
    """After its first run, in folders of its own."""
    first = first_shop.deployment
    root = shutil.copytree(first.root, tmp_path / "deployment")
    home = shutil.copytree(first.home, tmp_path / "home")
    return Shop(Deployment(root, home), root / "shop.json")


def test_where_nothing_changed_nothing_is_said(shop: Shop) -> None:
    """Strict or not, and nothing is computed."""
    answer = shop.run("--strict")
    assert answer.code == 0
    assert "warning" not in answer.out
    facts = shop.facts("--recompute-changed")
    assert facts["changes"] == {"files": [], "assets": [], "recomputed_from": None}
    assert facts["executed"] == []


def test_an_input_file_that_changed_is_told_by_name_and_the_stored_bytes_are_used(
    shop: Shop,
) -> None:
    """In words, as facts, also for another manifest with that digest; to be strict refuses it, and
    registers nothing."""
    shop.orders.write_bytes(ORDERS + b"eve,1\n")
    pinned = sha256(ORDERS).hexdigest()
    words = (
        f"warning: orders.csv is not the pinned file any more (input orders: sha256 {pinned}, now "
        f"{len(ORDERS) + 6} bytes instead of {len(ORDERS)}): the stored bytes of the pinned digest "
        "are used."
    )
    assert words in shop.run().out
    other = json.loads(shop.manifest.read_text()) | {"code": {"version": "10"}}
    shop.manifest.write_text(json.dumps(other))
    before = shop.deployment.evidence()
    refused = shop.run("--strict", "--json")
    assert refused.code == 3
    assert refused.json()["error"]["code"] == "RO_INPUT_MISMATCH"
    assert shop.deployment.evidence() == before
    facts = shop.facts()
    assert facts["executed"] == ["orders", "customers", "report"]
    assert [item["ref"] for item in facts["changes"]["files"]] == ["orders.csv"]


def test_code_that_changed_is_told_with_what_was_made_from_it(shop: Shop) -> None:
    """By asset, attempt, old and new version; strict refuses and changes nothing."""
    shop.edit("customers", ".sum()", ".max()")
    answer = shop.run()
    assert answer.code == 0
    assert "everything stands: nothing was computed" in answer.out
    lines = [line for line in answer.out.splitlines() if line.startswith("warning: ")]
    assert [line.split(" ", 1)[1].split(" (")[0] for line in lines] == ["customers", "report"]
    assert lines[0].endswith("made by other code than now: 1 -> 2")
    assert lines[1].endswith("made from customers, which other code made")
    before = shop.deployment.evidence()
    refused = shop.run("--strict")
    assert refused.code == 3
    assert "RO_CODE_CHANGED 2 assets stand" in refused.err
    assert shop.deployment.evidence() == before


def test_what_changed_is_recomputed_under_a_manifest_of_its_own(shop: Shop) -> None:
    """It says so, writes it where it was asked to, computes under it once; the old one stands."""
    old = shop.facts()
    shop.edit("customers", ".sum()", ".max()")
    written = shop.manifest.with_name("shop-now.json")
    answer = shop.run("--recompute-changed", "--write", str(written))
    assert answer.code == 0, answer.err
    new = json.loads(written.read_text())
    assert new.pop("code")["version"].startswith("workload1-")
    assert new == {k: v for k, v in json.loads(shop.manifest.read_text()).items() if k != "code"}
    fingerprint = shop.deployment.ro("manifest", "fingerprint", written).out.strip()
    assert f"this is another manifest, {fingerprint}" in answer.err
    assert f"{old['manifest_fingerprint']} stands as it was" in answer.err
    assert "computed 3 of 3 assets" in answer.out

    again = shop.facts("--recompute-changed")
    assert again["manifest_fingerprint"] == fingerprint
    assert again["changes"]["recomputed_from"] == old["manifest_fingerprint"]
    assert again["executed"] == []
    stands = {item["asset"]: item["artifact"]["digest"] for item in shop.facts()["assets"]}
    assert stands == {item["asset"]: item["artifact"]["digest"] for item in old["assets"]}
    got = shop.deployment.ro("run", written, "--strict", "--json").json()
    assert got["changes"]["assets"] == []
    digests = {item["asset"]: item["artifact"]["digest"] for item in got["assets"]}
    assert digests["orders"] == stands["orders"]
    assert digests["customers"] != stands["customers"]


def test_a_replay_that_proves_the_bytes_makes_them_those_of_the_code_of_now(shop: Shop) -> None:
    """Then nothing is left to tell, and strict is content."""
    shop.edit("customers", ".sum()", ".agg('sum')")
    assert shop.run("--strict").code == 3
    assert shop.run("--replay").code == 0
    assert shop.run("--strict").code == 0


def test_a_package_that_changed_is_told_by_name(shop: Shop) -> None:
    """Here one that was installed since."""
    folder = shop.deployment.root / "newcomer-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.5\n")
    shop = Shop(
        shop.deployment.with_environment(PYTHONPATH=str(shop.deployment.root)), shop.manifest
    )
    words = "warning: orders, customers, report made with newcomer (not there) -> 1.5"
    assert words in shop.run().out
    refused = shop.run("--strict", "--json").json()["error"]
    assert refused["code"] == "RO_CODE_CHANGED"
    assert shop.facts("--recompute-changed")["executed"] == ["orders", "customers", "report"]


def test_options_that_cannot_be_meant_together_are_refused(shop: Shop) -> None:
    """And a file that is there is not written over."""
    assert shop.run("--strict", "--recompute-changed").code == 2
    assert shop.run("--write", "x.json").code == 2
    shop.edit("customers", ".sum()", ".max()")
    answer = shop.run("--recompute-changed", "--write", str(shop.orders))
    assert answer.code == 3
    assert "cannot be written" in answer.err
    assert shop.orders.read_bytes() == ORDERS
