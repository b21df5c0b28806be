"""Several people operate one deployment through its face, each in a browser of their own.

RO_SCREENSHOTS=FOLDER keeps pictures of the pages.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.acceptance.product import (
    LAUNCH,
    Deployment,
    small_deployment,
    small_manifest,
    stop,
)
from tests.browser.accessible import faults
from tests.browser.chromium import (
    PATIENCE_MS,
    PATIENCE_SECONDS,
    answers,
    free_port,
    new_browser,
    picture,
)

pytestmark = pytest.mark.browser

PEOPLE = {
    "HUMAN::ann": ("admin", "deployer"),
    "HUMAN::ben": ("approver",),
    "HUMAN::olga": ("operator",),
    "HUMAN::rita": ("reader",),
    "SYSTEM::daemon": ("operator",),
}
OLGA, BEN, RITA = "HUMAN::olga", "HUMAN::ben", "HUMAN::rita"
JOB = "/locations/__repository__@reference/jobs/adding"
TARGET = "workload/adding"
WIDE, PHONE = 1280, 390
FORCED = """async query => {
  const answer = await fetch('/graphql', {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(query)});
  return [answer.status, await answer.json()];
}"""


@dataclass
class Office:
    """A served deployment, the people's tokens, and a browser for all of them."""

    url: str
    tokens: dict[str, str]
    fingerprint: str
    run_id: str
    browser: Browser
    pages: dict[str, Page] = field(default_factory=dict)

    def visit(self, who: str, path: str) -> Page:
        """That person's page there; signed in the first time."""
        if who not in self.pages:
            self.pages[who] = self.signed_in(who)
        self.pages[who].goto(f"{self.url}{path}")
        return self.pages[who]

    def signed_in(self, who: str, **options: Any) -> Page:
        """A new context in which that person signed in by their token."""
        size = options.pop("viewport", {"width": WIDE, "height": 900})
        page = self.browser.new_context(viewport=size, **options).new_page()
        page.goto(f"{self.url}/operations/")
        page.get_by_label("Token").fill(self.tokens[who])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Operations", level=1)).to_be_visible()
        return page

    def paused(self, *, by: str = OLGA) -> None:
        """Pause the workload by the form."""
        page = self.visit(by, "/operations/act/pause")
        page.get_by_label("On", exact=True).fill(TARGET)
        page.get_by_label("Reason").fill("The input is late, SHOP-40")
        page.get_by_role("button", name="Pause now").click()
        expect(page.get_by_role("status").first).to_contain_text(f"pause of {TARGET}: done")

    def resumed(self, *, by: str = OLGA) -> Page:
        """Resume it by the form beside the pause; the page that this leads to."""
        page = self.visit(by, "/operations/")
        page.get_by_label(f"Reason to resume {TARGET}").fill("It arrived")
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(page.get_by_text("Nothing is paused.")).to_be_visible()
        return page

    def launched(self, who: str) -> tuple[Page, str]:
        """Choose the partition in Dagster's dialog and launch; the page, and the run's id."""
        page = self.visit(who, JOB)
        page.get_by_role("button", name="Materialize all").click(timeout=PATIENCE_MS)
        page.get_by_text("Select a partition or create one").click(timeout=PATIENCE_MS)
        page.get_by_text("Select all (1)").click(timeout=PATIENCE_MS)
        page.keyboard.press("Escape")
        with page.expect_response(_is_launch, timeout=PATIENCE_MS) as answer:
            page.get_by_role("button", name="Launch 1 run").click(timeout=PATIENCE_MS)
        launched = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.value.text())
        assert launched, answer.value.text()
        return page, launched[0]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The small deployment with a finished run, a policy over five, the face and the daemon."""
    folder = tmp_path_factory.mktemp("office")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    small = small_deployment(folder).with_environment(RO_UI_URL=url)
    ran = small.ro("run", small_manifest(folder), "--json").json()
    assert small.ro("ledger", "key", "--create").code == 0
    tokens = _published(small, folder)
    with (
        _served(small.with_environment(RO_TOKEN=tokens["SYSTEM::daemon"]), port, folder / "log"),
        new_browser() as browser,
    ):
        print_ = ran["manifest_fingerprint"]
        yield Office(url, tokens, print_, ran["run_id"], browser)


def _published(small: Deployment, folder: Path) -> dict[str, str]:
    tokens = {}
    for person in PEOPLE:
        answer = small.ro("token", "issue", "--for", person, "--reason", "for a test")
        tokens[person] = answer.out.strip()
    bindings = [{"actor": who, "role": role} for who, roles in PEOPLE.items() for role in roles]
    file = folder / "policy.json"
    file.write_text(json.dumps({"kind": "ro.access_policy.v0", "bindings": bindings}))
    answer = small.ro("access", "publish", file, "--reason", "We are several now")
    assert answer.code == 0, answer.err
    return tokens


@contextmanager
def _served(deployment: Deployment, port: int, log: Path) -> Iterator[None]:
    process = deployment.start("ro", "web", "--daemon", "--port", port, log=log)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert time.monotonic() < deadline, log.read_text()[-5000:]
            time.sleep(0.5)
        yield
    finally:
        stop(process)


def test_nobody_sees_anything_before_signing_in_by_token(office: Office) -> None:
    """Every address leads to the sign-in page; a wrong token is refused in words; the right one
    leads to what was wanted, and the UI says who one is."""
    page = office.browser.new_context(viewport={"width": 720, "height": 420}).new_page()
    page.goto(f"{office.url}/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert faults(page) == []
    picture(page, "sign-in")
    page.get_by_label("Token").fill("ro1_no")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Token").fill(office.tokens[RITA])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{office.url}/runs")
    expect(page.get_by_text(RITA)).to_be_visible(timeout=PATIENCE_MS)


def test_an_operator_launches_and_the_run_is_theirs(office: Office) -> None:
    """Launched in Dagster's own dialog, it runs to its end, and its page names who launched it."""
    page, run = office.launched(OLGA)
    page.goto(f"{office.url}/runs/{run}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{office.url}/runs")
    expect(page.get_by_text(f"ro/actor: {OLGA}").first).to_be_visible(timeout=PATIENCE_MS)
    shown = office.visit(OLGA, f"/operations/runs/{office.run_id}")
    expect(shown.get_by_role("rowheader", name="sums #2")).to_be_visible()


def test_a_reader_cannot_launch_and_a_forced_request_is_refused(office: Office) -> None:
    """The button is disabled and says why; the same request by hand is refused, changes nothing
    and is on record."""
    page = office.visit(RITA, JOB)
    button = page.get_by_role("button", name="Materialize all")
    expect(button).to_be_disabled(timeout=PATIENCE_MS)
    place = button.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 20, place["y"] + 10)
    expect(page.get_by_text("You do not have permission to materialize")).to_be_visible()
    picture(page, "refused-launch")

    status, answer = page.evaluate(FORCED, _launch(office.fingerprint))
    assert status == 403
    assert answer["data"] is None
    words = answer["errors"][0]["message"]
    assert "RO_ACCESS_DENIED" in words
    assert f"{RITA} may not launch" in words
    events = office.visit(RITA, f"/operations/events?action=refused&actor={RITA}")
    expect(events.get_by_role("cell", name=re.compile("RO_ACCESS_DENIED")).first).to_be_visible()


def test_two_people_pause_a_workload(office: Office) -> None:
    """One proposes, and cannot approve; another sees what would change, without JavaScript, and
    approves; then it is executed, once."""
    page = office.visit(OLGA, "/operations/act/pause")
    page.get_by_label("On", exact=True).fill(TARGET)
    page.get_by_label("Reason").fill("The schema changes tonight")
    page.get_by_role("button", name="Propose it").click()
    expect(page.get_by_text("nobody approves their own")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    tall = {"width": WIDE, "height": 1320}
    ben = office.signed_in(BEN, java_script_enabled=False, viewport=tall)
    ben.get_by_role("link", name="pause").first.click()
    change = ben.get_by_label("Difference, before to after")
    expect(change).to_contain_text(f'+    "target": "{TARGET}"')
    picture(ben, "directive")
    ben.get_by_label("Why you approve it").fill("I looked at the change")
    ben.get_by_role("button", name="Approve what is shown").click()
    expect(ben.get_by_text(f"{BEN} approved it")).to_be_visible()
    expect(ben.get_by_role("button", name="Execute it")).to_have_count(0)

    page.reload()
    page.get_by_role("button", name="Execute it").click()
    expect(page.get_by_text("It was done.")).to_be_visible()
    office.resumed()


def test_what_is_paused_is_not_launched_until_it_is_resumed(office: Office) -> None:
    """The UI shows who paused it and why, and nothing starts; after resuming, it does."""
    office.paused()
    page, run = office.launched(OLGA)
    page.goto(f"{office.url}/runs/{run}")
    refused = page.get_by_text(re.compile(f"RO_PAUSED: {TARGET} is paused by {OLGA}"))
    expect(refused.first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("STEP_START")).to_have_count(0)
    picture(page, "refused-paused")
    for width in (WIDE, PHONE):
        shown = office.visit(OLGA, "/operations/")
        shown.set_viewport_size({"width": width, "height": 1000 if width == WIDE else 844})
        expect(shown.get_by_text("The input is late, SHOP-40").first).to_be_visible()
        picture(shown, "operations" if width == WIDE else "operations-phone")
    shown.set_viewport_size({"width": WIDE, "height": 900})
    office.resumed()
    page, run = office.launched(OLGA)
    page.goto(f"{office.url}/runs/{run}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_refusal_is_shown_with_its_words_and_code(office: Office) -> None:
    """What the service refuses stands on the page of the form, with what to do next, and what was
    written is still there."""
    page = office.visit(OLGA, "/operations/act/revoke-pass")
    page.get_by_label("Gate").fill("numbers.few_enough")
    page.get_by_label("Artifact").fill("refs/nothing/rev=000001.json")
    page.get_by_label("Reason").fill("It was wrong")
    page.get_by_role("button", name="Revoke pass now").click()
    expect(page.get_by_role("alert")).to_contain_text("RO_")
    expect(page.get_by_label("Gate")).to_have_value("numbers.few_enough")
    expect(page.get_by_label("Reason")).to_have_value("It was wrong")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_every_page_is_accessible_and_fits(office: Office, width: int, scheme: Any) -> None:
    """Headings, landmarks, labels, captions, names and contrast, at both widths and in both
    colours; and the first key leads past the navigation."""
    size = {"width": width, "height": 900}
    page = office.signed_in(OLGA, viewport=size, color_scheme=scheme)
    directive = page.get_by_role("link", name="pause").first
    paths = ["/", "/attempts", "/events", "/act/pause", "/act/revoke-pass", "/act/nothing"]
    paths.append(f"/runs/{office.run_id}")
    if directive.count():
        paths.append(str(directive.get_attribute("href")).removeprefix("/operations"))
    for path in paths:
        page.goto(f"{office.url}/operations{path}")
        assert faults(page) == [], path
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", path


def test_a_dossier_is_downloaded_by_who_may_audit(office: Office, tmp_path: Path) -> None:
    """An approver gets the file; for an operator the page says why not."""
    page = office.visit(BEN, f"/operations/runs/{office.run_id}")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the dossier").click()
    file = tmp_path / "a.dossier"
    waiting.value.save_as(file)
    assert waiting.value.suggested_filename == f"{office.run_id}.dossier"
    assert file.stat().st_size > 1000
    page = office.visit(OLGA, f"/operations/runs/{office.run_id}")
    expect(page.get_by_text(f"{OLGA} may not audit it")).to_be_visible()


def _is_launch(response: Response) -> bool:
    """Whether it answers one of the mutations by which the UI launches."""
    sent = response.request.post_data or ""
    return "mutation" in sent and "aunch" in sent


def _launch(fingerprint: str) -> dict[str, Any]:
    parameters = {
        "selector": {
            "repositoryLocationName": "reference",
            "repositoryName": "__repository__",
            "jobName": "adding",
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": fingerprint}]},
    }
    return {"query": LAUNCH, "variables": {"parameters": parameters}}
