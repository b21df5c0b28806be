"""``ro gate impact | revoke | receipts | evidence``: on a plane whose artifacts were published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ro_platform.cli.gate import revocation as gate_revocation
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import BoundRef
from ro_platform.plane import shared_plane
from tests.unit.small_world import FAIL, SmallWorld


class Shop(SmallWorld):
    """``orders`` became ``prices`` became the bundle ``report``, in the plane that `ro` uses."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(plane=shared_plane(settings))
        self.orders = self.made("orders")
        self.prices = self.made("prices", self.orders)
        self.report = self.made("report", self.prices, bundle=True)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings.load(
        {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    with settings_in_force(settings):
        yield Shop(settings)


def ask(*args: object) -> Result:
    return CliRunner().invoke(ro, [str(arg) for arg in args])


def facts(*args: object, code: int = 0) -> Any:
    answer = ask(*args, "--json")
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def at(shop: Shop, asset: str) -> str:
    return f"{asset}@{shop.fingerprint[:8]}"


def test_impact_lists_what_was_made_and_changes_nothing(shop: Shop) -> None:
    """A table, a line that sums up, and the same in JSON."""
    before = shop.plane.ledger.size()
    shown = ask("gate", "impact", at(shop, "orders"))
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["1", "prices"], ["2", "report"]]
    assert lines[2].endswith("bundle")
    assert lines[3] == "made from it: 2 artifacts, 2 assets, 1 run, 2 Dagster runs, 1 bundle"
    said = facts("gate", "impact", at(shop, "orders"))
    assert said["origin"]["refs"] == [shop.orders.ref]
    assert [item["ref"] for item in said["artifacts"]] == [shop.prices.ref, shop.report.ref]
    assert said["artifacts"][1]["because"] == [shop.prices.ref]
    assert said["bundles"] == [shop.report.ref]
    assert said["edges"] == [
        {"from": "orders", "to": "prices", "artifacts": 1},
        {"from": "prices", "to": "report", "artifacts": 1},
    ]
    assert shop.plane.ledger.size() == before
    assert "made from it: nothing" in ask("gate", "impact", at(shop, "report")).stdout


def test_a_long_list_says_how_many_more_there_are(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out without a word; `--all` shows it."""
    monkeypatch.setattr(gate_revocation, "_SHOWN", 1)
    shown = ask("gate", "impact", at(shop, "orders")).stdout
    assert "report" not in shown
    assert "... and 1 more" in shown
    assert "report" in ask("gate", "impact", at(shop, "orders"), "--all").stdout


def test_impact_draws_a_new_file(shop: Shop, tmp_path: Path) -> None:
    """Never over one that exists."""
    file = tmp_path / "radius.svg"
    assert f"drawn: {file}" in ask("gate", "impact", at(shop, "orders"), "--svg", file).stdout
    assert file.read_text().startswith("<svg ")
    again = facts("gate", "impact", at(shop, "orders"), "--svg", file, code=3)
    assert again["error"]["code"] == "RO_INVALID_INPUT"


def test_revoke_blocks_and_says_what(shop: Shop) -> None:
    """From then on reading is refused with exit code 5, for the consumers too."""
    shown = ask("gate", "revoke", "orders.good", at(shop, "orders"), "--reason", "[bold]wrong")
    assert shown.exit_code == 0, shown.output
    assert "revoked: the PASS of orders.good" in shown.stdout
    assert "blocked: 2 artifacts" in shown.stdout
    for asset, code in (("orders", "RO_GATE_REVOKED"), ("report", "RO_ARTIFACT_BLOCKED")):
        refused = facts("artifact", "get", at(shop, asset), "/nowhere/copy", code=5)
        assert refused["error"]["code"] == code
    log = ask("ledger", "log").stdout
    assert "orders.good on " in log
    assert "2 blocked: [bold]wrong" in log


def test_revoking_again_says_who_did(shop: Shop) -> None:
    """And is no error: it is so."""
    command = ("gate", "revoke", "orders.good", at(shop, "orders"), "--reason")
    first = facts(*command, "wrong")
    assert first["new"] is True
    assert [item["asset"] for item in first["blocked"]] == ["prices", "report"]
    assert first["revocation"]["reason"] == "wrong"
    again = facts(*command, "still wrong")
    assert (again["new"], again["seq"], again["blocked"]) == (False, first["seq"], None)
    assert "was revoked already" in ask(*command, "still wrong").stdout


def test_revoking_what_never_passed_is_not_found(shop: Shop) -> None:
    """Exit code 4; and a blank reason is 3."""
    refused = facts("gate", "revoke", "orders.x", at(shop, "orders"), "--reason", "r", code=4)
    assert refused["error"]["code"] == "RO_NOT_FOUND"
    blank = facts("gate", "revoke", "orders.good", at(shop, "orders"), "--reason", " ", code=3)
    assert blank["error"]["code"] == "RO_CONTRACT"


def test_bytes_that_are_bound_twice_name_no_artifact(shop: Shop) -> None:
    """A verdict is about one asset under one manifest: a digest may be too little."""
    shop.made("orders", under=shop.register("2"))
    refused = facts("gate", "impact", shop.orders.digest, code=3)
    assert "bound in 2 places" in refused["error"]["message"]
    assert facts("gate", "impact", shop.orders.ref)["origin"]["digest"] == shop.orders.digest


def test_receipts_are_listed_in_their_order(shop: Shop) -> None:
    """FAIL, WARN, PASS; with what withdrew a PASS, and what it stands on."""
    evidence = shop.store.put_bytes(b'{"rows": 3}', media_type="application/json")
    shop.judge(shop.orders, FAIL)
    shop.judge(shop.orders, warned=True, evidence=evidence, version="2")
    facts("gate", "revoke", "orders.good", at(shop, "orders"), "--reason", "wrong")
    said = facts("gate", "receipts", at(shop, "orders"))["verdicts"]
    assert [item["status"] for item in said] == ["PASS", "FAIL", "WARN"]
    assert [bool(item["revoked"]) for item in said] == [False, False, True]
    assert said[2]["evidence"]["digest"] == evidence.digest
    assert said[2]["revoked"]["reason"] == "wrong"
    shown = ask("gate", "receipts", at(shop, "orders")).stdout
    assert f"evidence {evidence.ref}" in shown
    assert "WARN" in shown


def test_a_receipt_that_was_altered_is_named(shop: Shop, tmp_path: Path) -> None:
    """It is listed, and believed in nothing."""
    [receipt] = facts("gate", "receipts", at(shop, "orders"))["verdicts"]
    file = tmp_path / "home" / "store" / receipt["receipt"]["ref"]
    assert file.exists()
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"PASS", b"FAIL"))
    [altered] = facts("gate", "receipts", at(shop, "orders"))["verdicts"]
    assert altered["status"] == "UNVERIFIABLE"
    assert "not what was recorded" in altered["problem"]


def test_evidence_is_copied_out(shop: Shop, tmp_path: Path) -> None:
    """The newest verdict's; where there is none, that is said."""
    command = ("gate", "evidence", at(shop, "orders"), tmp_path / "copy.json", "--gate")
    assert facts(*command, "orders.good", code=4)["error"]["code"] == "RO_NOT_FOUND"
    assert facts(*command, "orders.other", code=4)["error"]["code"] == "RO_NOT_FOUND"
    kept: BoundRef = shop.store.put_bytes(b'{"rows": 3}', media_type="application/json")
    shop.judge(shop.orders, FAIL, evidence=kept)
    said = facts(*command, "orders.good")
    assert said["evidence"]["digest"] == kept.digest
    assert (tmp_path / "copy.json").read_bytes() == b'{"rows": 3}'
    shown = ask("gate", "evidence", at(shop, "orders"), tmp_path / "two", "--gate", "orders.good")
    assert kept.digest in shown.stdout


def test_progress_is_shown_to_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; and the display is gone afterwards."""
    monkeypatch.setattr(gate_revocation, "_PATIENCE_SECONDS", 0.0)
    with gate_revocation._late_progress() as tell:
        tell(200)
    monkeypatch.setattr(gate_revocation, "_PATIENCE_SECONDS", 60.0)
    with gate_revocation._late_progress() as tell:
        tell(400)
