"""Several people operate one deployment through its gateway, each in a browser of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.accessible import faults
from tests.browser.chromium import PATIENCE_MS, picture
from tests.browser.office import (
    BEN,
    JOBS,
    OLGA,
    PHONE,
    RITA,
    TARGET,
    WIDE,
    Office,
    launch_of,
)

pytestmark = pytest.mark.browser


def test_nobody_sees_anything_before_signing_in_by_token(office: Office) -> None:
    """Every address leads to the sign-in page; a wrong token is refused in words; the right one
    leads to what was wanted, and the UI says who one is."""
    page = office.browser.new_context(viewport={"width": 720, "height": 420}).new_page()
    page.goto(f"{office.url}/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert faults(page) == []
    picture(page, "how-to/images/sign-in")
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
    page = office.visit(RITA, f"{JOBS}/adding")
    button = page.get_by_role("button", name="Materialize all")
    expect(button).to_be_disabled(timeout=PATIENCE_MS)
    place = button.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 20, place["y"] + 10)
    expect(page.get_by_text("You do not have permission to materialize")).to_be_visible()
    picture(page, "how-to/images/refused-launch")

    status, answer = office.forced(RITA, launch_of(office.fingerprint))
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
    picture(ben, "how-to/images/directive")
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
    picture(page, "how-to/images/refused-paused")
    for width in (WIDE, PHONE):
        shown = office.visit(OLGA, "/operations/")
        shown.set_viewport_size({"width": width, "height": 1000 if width == WIDE else 844})
        expect(shown.get_by_text("The input is late, SHOP-40").first).to_be_visible()
        picture(shown, f"how-to/images/operations{'' if width == WIDE else '-phone'}")
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
