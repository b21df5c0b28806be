"""What a person sees in the Dagster UI after a governed run, in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.product import ROOT, TUTORIAL, Deployment
from tests.browser.chromium import PATIENCE_MS, free_port, picture, webserver

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Ui:
    """The UI over one finished run: its address, the run's facts, and a page to look at it."""

    url: str
    facts: Any
    page: Page

    def asset(self, name: str) -> dict[str, Any]:
        """What `ro run --json` said of an asset."""
        found: dict[str, Any] = next(a for a in self.facts["assets"] if a["asset"] == name)
        return found

    def visit(self, path: str, text: str | re.Pattern[str]) -> None:
        """Open a page and wait until that text is on it."""
        self.page.goto(f"{self.url}{path}")
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)

    def picture(self, name: str) -> None:
        """Keep a screenshot, if somebody asked for them."""
        picture(self.page, f"tutorial/images/{name}")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A webserver over a finished run of the tutorial's manifest: its address, the run's facts."""
    folder = tmp_path_factory.mktemp("ui")
    deployment = Deployment(ROOT, folder / "home")
    facts = deployment.ro("run", TUTORIAL / "purchases.yaml", "--json").json()
    with webserver(deployment, free_port(), folder / "log") as url:
        yield url, facts


@pytest.fixture
def ui(finished_run: tuple[str, Any], browser: Browser) -> Iterator[Ui]:
    """A new page on that webserver."""
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        yield Ui(*finished_run, context.new_page())


def test_a_materialization_shows_what_it_made(ui: Ui) -> None:
    """Digest, size, locator, schema and the first rows of the table stand on the asset's page."""
    made = ui.asset("scenario")["artifact"]
    fingerprint = ui.facts["manifest_fingerprint"]
    ui.visit(f"/assets/scenario?view=partitions&partition={fingerprint}", made["digest"])
    ui.picture("materialization")

    text = ui.page.inner_text("body")
    for name in ("ro/sha256", "ro/blake3", "ro/locator", "size_bytes", "dagster/column_schema"):
        assert name in text, name
    assert made["blake3"] in text
    assert made["ref"] in text
    assert f"{made['size_bytes']:,}" in text or str(made["size_bytes"]) in text
    assert "preview" in text


def test_the_preview_is_the_table(ui: Ui) -> None:
    """The first purchases stand there as a table, and the schema names every column and type."""
    fingerprint = ui.facts["manifest_fingerprint"]
    digest = ui.asset("scenario")["artifact"]["digest"]
    ui.visit(f"/assets/scenario?view=partitions&partition={fingerprint}", digest)
    first_purchase = ui.page.get_by_role("row").filter(has_text="1177").last
    assert first_purchase.inner_text().split() == ["1", "00001", "1997-01-01", "1", "1177"]

    ui.page.get_by_text("Show Table Schema").first.click()
    shown = ui.page.get_by_role("dialog")
    expect(shown.get_by_text("purchase_date").first).to_be_visible(timeout=PATIENCE_MS)
    for word in ("customer_id", "amount_cents", "date32", "int64"):
        assert word in shown.inner_text(), word


def test_a_check_shows_its_verdict_and_digest(ui: Ui) -> None:
    """The gate's page says PASS, for which bytes, under which rule."""
    digest = ui.asset("evaluation")["artifact"]["digest"]
    ui.visit(
        "/assets/evaluation?view=checks&checkDetail=evaluation_is_good_enough", "ro/subject_sha256"
    )
    ui.picture("check")
    text = ui.page.inner_text("body")
    assert "Passed" in text
    assert "PASS" in text
    assert digest in text
    assert "ro/rule_digest" in text


def test_the_run_page_shows_every_step(ui: Ui) -> None:
    """The address that `ro run` prints leads to the run, with its 18 steps."""
    ui.visit(f"/runs/{ui.facts['dagster_run_id']}", "Success")
    expect(ui.page.get_by_text("feature_snapshot").first).to_be_visible(timeout=PATIENCE_MS)
    text = ui.page.inner_text("body")
    for name in ("scenario", "quarantine", "admitted", "labels", "model", "bundle"):
        assert name in text, name
    assert "STEP_SUCCESS" in text


def test_the_graph_shows_the_workload(ui: Ui) -> None:
    """All eight assets hang together in one lineage graph."""
    ui.visit("/asset-groups", "feature_snapshot")
    ui.picture("lineage")
    text = ui.page.inner_text("body")
    for asset in ui.facts["assets"]:
        assert asset["asset"] in text, json.dumps(asset)
