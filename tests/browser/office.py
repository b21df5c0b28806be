"""A deployment in which several people work, each in a browser of their own.

Starting one takes longest of all that the tests here do, so they share it; each test undoes what it
paused.
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

from playwright.sync_api import Browser, Page, Response, expect

from tests.acceptance.product import (
    LAUNCH,
    Deployment,
    small_deployment,
    small_manifest,
    stop,
)
from tests.browser.chromium import PATIENCE_MS, PATIENCE_SECONDS, answers, free_port

PEOPLE = {
    "HUMAN::ann": ("admin", "deployer"),
    "HUMAN::ben": ("approver",),
    "HUMAN::olga": ("operator",),
    "HUMAN::rita": ("reader",),
    "SYSTEM::daemon": ("operator",),
}
OLGA, BEN, RITA = "HUMAN::olga", "HUMAN::ben", "HUMAN::rita"
JOBS = "/locations/__repository__@reference/jobs"
TARGET = "workload/adding"
WIDE, PHONE = 1280, 390
_FORCED = """async query => {
  const answer = await fetch('/graphql', {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(query)});
  return [answer.status, await answer.json()];
}"""


@dataclass
class Office:
    """A served deployment with a finished run, the people's tokens, and a browser for all."""

    deployment: Deployment
    folder: Path
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
        page = self.visit(who, f"{JOBS}/adding")
        page.get_by_role("button", name="Materialize all").click(timeout=PATIENCE_MS)
        page.get_by_text("Select a partition or create one").click(timeout=PATIENCE_MS)
        page.get_by_text(self.fingerprint).first.click(timeout=PATIENCE_MS)
        page.keyboard.press("Escape")
        return page, run_of_press(page, "Launch 1 run")

    def forced(self, who: str, query: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A request to GraphQL by hand, from that person's browser; the status and the answer."""
        status, answer = self.visit(who, "/runs").evaluate(_FORCED, query)
        return status, answer


def run_of_press(page: Page, button: str) -> str:
    """Press a button of Dagster's that launches a run; its id."""
    with page.expect_response(_is_launch, timeout=PATIENCE_MS) as answer:
        page.get_by_role("button", name=button).click(timeout=PATIENCE_MS)
    launched = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.value.text())
    assert launched, answer.value.text()
    return launched[0]


def launch_of(fingerprint: str, **selector: Any) -> dict[str, Any]:
    """The request by which the UI launches the job for a manifest."""
    job = {
        "repositoryLocationName": "reference",
        "repositoryName": "__repository__",
        "jobName": "adding",
    }
    tags = [{"key": "dagster/partition", "value": fingerprint}]
    parameters = {
        "selector": {**job, **selector},
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }
    return {"query": LAUNCH, "variables": {"parameters": parameters}}


@contextmanager
def opened_office(folder: Path, browser: Browser) -> Iterator[Office]:
    """The small deployment with a finished run, a policy over five, the gateway and the daemon."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    small = small_deployment(folder).with_environment(RO_UI_URL=url)
    _fitted(small)
    ran = small.ro("run", small_manifest(folder), "--json").json()
    assert small.ro("ledger", "key", "--create").code == 0
    tokens = _published(small, folder)
    with _served(small.with_environment(RO_TOKEN=tokens["SYSTEM::daemon"]), port, folder / "log"):
        print_, run = ran["manifest_fingerprint"], ran["run_id"]
        yield Office(small, folder, url, tokens, print_, run, browser)


def _fitted(small: Deployment) -> None:
    """With the job ``ro_admin``; and steps in their run's process, because how they are executed is
    not what is looked at here."""
    file = small.root / "definitions.py"
    text = file.read_text()
    assert text.count("    dg.Definitions(\n") == 1
    changed = "    dg.Definitions(\n        executor=dg.in_process_executor,\n"
    text = text.replace("    dg.Definitions(\n", changed).replace("jobs=[", "jobs=[admin_job,")
    wanted = "from ro_platform.orchestration.admin_job import admin_job\n"
    file.write_text(text.replace("import dagster as dg\n", f"import dagster as dg\n{wanted}"))


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


def _is_launch(response: Response) -> bool:
    """Whether it answers one of the mutations by which the UI launches."""
    sent = response.request.post_data or ""
    return "mutation" in sent and "aunch" in sent
