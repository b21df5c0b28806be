"""A real Chromium, and a Dagster webserver to point it at."""

from __future__ import annotations

import os
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.acceptance.product import Deployment, stop

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE_SECONDS = 90
PATIENCE_MS = PATIENCE_SECONDS * 1000


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def webserver(deployment: Deployment, port: int, log: Path) -> Iterator[str]:
    """The deployment's webserver, up; its address."""
    url = f"http://127.0.0.1:{port}"
    process = deployment.start(
        "dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", port, log=log
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers(f"{url}/server_info"):
            assert time.monotonic() < deadline, log.read_text()[-5000:]
            time.sleep(0.5)
        yield url
    finally:
        stop(process)


@contextmanager
def new_browser() -> Iterator[Browser]:
    """A browser, for several people. Without Chromium this fails: it was asked for."""
    executable = shutil.which("chromium") or str(CHROMIUM)
    assert Path(executable).exists(), "install Chromium: apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keep a screenshot as ``name`` (a path below the documents), if somebody asked for them.

    RO_SCREENSHOTS is the folder of the documents; `make pictures` sets it.
    """
    if folder := os.environ.get("RO_SCREENSHOTS"):
        file = Path(folder) / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(1000)
        page.screenshot(path=file)


def answers(url: str) -> bool:
    """Whether something is served there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
