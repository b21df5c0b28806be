"""Administrative actions from Dagster's own launchpad: the job ``ro_admin``."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import PATIENCE_MS, picture
from tests.browser.office import OLGA, RITA, TARGET, Office, run_of_press

pytestmark = pytest.mark.browser

JOB = "/locations/reference/jobs/ro_admin"
WHY = "The input is late, SHOP-41"
CONFIG = f"""ops:
  administer:
    config:
      action_type: pause
      reason: {WHY}
      parameters: {{target: {TARGET}}}
"""


def test_an_operator_pauses_by_the_launchpad(office: Office) -> None:
    """Launched with a configuration that asks for it, the run pauses the workload in the name of
    who launched it, and the page of operations says so."""
    page = office.visit(OLGA, JOB)
    tab = page.get_by_role("tab", name="Launchpad")
    expect(tab).to_be_enabled(timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")  # the page goes to its own overview once it has loaded
    tab.click()
    _configured(page)
    picture(page, "how-to/images/launchpad")
    run = run_of_press(page, "Launch Run")
    page.goto(f"{office.url}/runs/{run}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text(f"pause by {OLGA}: done").first).to_be_visible(timeout=PATIENCE_MS)

    shown = office.visit(OLGA, "/operations/")
    row = shown.get_by_role("row").filter(has=shown.get_by_role("rowheader", name=TARGET))
    expect(row).to_contain_text(OLGA)
    expect(row).to_contain_text(WHY)
    office.resumed()


def test_a_reader_is_told_that_the_launchpad_is_not_for_them(office: Office) -> None:
    """Its tab is disabled, in Dagster's own words."""
    page = office.visit(RITA, JOB)
    tab = page.get_by_role("tab", name="Launchpad")
    expect(tab).to_be_disabled(timeout=PATIENCE_MS)
    _hover(page, tab)
    expect(page.get_by_text("Insufficient permissions").first).to_be_visible()


def test_a_disabled_button_gives_the_reason_of_the_policy(office: Office) -> None:
    """Where Dagster shows the reason of a permission, it is that of the access policy."""
    page = office.visit(RITA, "/locations")
    button = page.get_by_role("button", name="Reload").first
    expect(button).to_be_disabled(timeout=PATIENCE_MS)
    _hover(page, button)
    words = f"{RITA} may not reload: their roles (reader) do not allow it."
    expect(page.get_by_text(words).first).to_be_visible()


def _hover(page: Page, element: Locator) -> None:
    """Move the mouse onto it, as a hand does: a disabled element takes no events of its own."""
    place = element.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y - 40)
    page.mouse.move(x, y, steps=5)


def _configured(page: Page) -> None:
    """Write the configuration into the launchpad's editor."""
    page.locator(".CodeMirror").first.click(timeout=PATIENCE_MS)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(CONFIG)
    expect(page.locator(".CodeMirror").first).to_contain_text(WHY)
