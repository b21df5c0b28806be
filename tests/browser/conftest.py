"""One browser and one deployment for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import new_browser
from tests.browser.office import Office, opened_office


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with new_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Office]:
    """The deployment in which several people work."""
    with opened_office(tmp_path_factory.mktemp("office"), browser) as opened:
        yield opened
