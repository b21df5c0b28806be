"""What a person sees of a run that was refused: why, and where the evidence is, or is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.product import Deployment, small_manifest
from tests.browser.chromium import PATIENCE_MS, picture
from tests.browser.office import OLGA, Office, launch_of

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Refused:
    """A UI over two refused runs: one after a FAIL, one where no verdict is on record."""

    url: str
    failed: str
    absent: str
    page: Page

    def open_run(self, run: str) -> None:
        """The page of a run, with its log."""
        self.page.goto(f"{self.url}/runs/{run}")
        expect(self.page.get_by_text("RUN_CANCELED").first).to_be_visible(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def refused(office: Office) -> Iterator[Refused]:
    """An operator's page, after both runs were refused."""
    deployment = office.deployment.with_environment(RO_TOKEN=office.tokens[OLGA])
    # The FAIL last: the page of the check shows the newest verdict.
    unjudged = _refused(office, _unjudged(deployment, office))
    failed = _refused(office, _failed(deployment, office))
    page = office.signed_in(OLGA, viewport={"width": 1440, "height": 1000})
    yield Refused(office.url, failed, unjudged, page)
    page.context.close()


def _refused(office: Office, fingerprint: str) -> str:
    """The consumer alone, as the UI launches it; answers the run's id."""
    only = {"assetSelection": [{"path": ["sums"]}], "assetCheckSelection": []}
    status, answer = office.forced(OLGA, launch_of(fingerprint, **only))
    assert status == 200, answer
    run = answer["data"]["launchRun"]["run"]
    assert run["status"] == "CANCELED"
    return str(run["runId"])


def _failed(deployment: Deployment, office: Office) -> str:
    """A manifest whose gate said FAIL."""
    answer = deployment.ro("run", small_manifest(office.folder, count=20), "--json")
    assert answer.code == 5
    return str(answer.json()["manifest_fingerprint"])


def _unjudged(deployment: Deployment, office: Office) -> str:
    """A manifest whose artifact was made, and whose gate could not judge: it lacks its config."""
    manifest = json.loads(small_manifest(office.folder, count=3).read_text())
    del manifest["config_versions"]
    file = office.folder / "without-config.json"
    file.write_text(json.dumps(manifest))
    answer = deployment.ro("run", file, "--json")
    assert answer.code != 0
    return str(answer.json()["manifest_fingerprint"])


def test_a_refused_run_says_why(refused: Refused) -> None:
    """Its log names the gate, the digest and what to do, in so many words; nothing started."""
    refused.open_run(refused.failed)
    log = refused.page.get_by_text(
        re.compile("RO_GATE_FAILED: gate 'numbers.few_enough' FAILED for")
    )
    expect(log.first).to_be_visible()
    expect(refused.page.get_by_text("ENGINE_EVENT").first).to_be_visible()
    expect(refused.page.get_by_text("STEP_START")).to_have_count(0)
    picture(refused.page, "how-to/images/refused-run")


def test_it_links_to_the_verdict(refused: Refused) -> None:
    """The link in the log leads to the check's page, with the receipt that the log names."""
    refused.open_run(refused.failed)
    link = refused.page.get_by_role("link", name=re.compile("checkDetail=few_enough"))
    expect(link.first).to_be_visible()
    address = link.first.get_attribute("href")
    receipt = refused.page.get_by_text(re.compile(r"^receipts/numbers/fingerprint=")).first
    expect(receipt).to_be_visible()
    named = receipt.inner_text()
    refused.page.goto(address or "")
    expect(refused.page.get_by_text(named).first).to_be_visible(timeout=PATIENCE_MS)


def test_an_absent_verdict_is_said_to_be_absent(refused: Refused) -> None:
    """Where no gate has judged, the log says that no receipt is on record."""
    refused.open_run(refused.absent)
    words = refused.page.get_by_text(
        re.compile("RO_GATE_ABSENT: gate 'numbers.few_enough' has never")
    )
    expect(words.first).to_be_visible()
    expect(refused.page.get_by_text("none is on record").first).to_be_visible()
    picture(refused.page, "how-to/images/refused-unjudged")


def test_the_list_of_runs_can_be_filtered_by_refusal(refused: Refused) -> None:
    """The tag `ro/refused` finds the runs refused for that reason, and no others."""
    refused.page.goto(f"{refused.url}/runs?q[0]=tag%3Aro%2Frefused%3DRO_GATE_FAILED")
    expect(refused.page.get_by_text(refused.failed[:8]).first).to_be_visible(timeout=PATIENCE_MS)
    expect(refused.page.get_by_text(refused.absent[:8])).to_have_count(0)
