"""The operations pages behind the real gateway: who reaches them, and which forms are taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from ro_platform.contracts import EntryKind
from ro_platform.web.operations.routes import operations
from tests.integration.web_world import World, form_token, served_world

OPERATOR = "HUMAN::operator"
PAUSE = {"target": "plane", "reason": "for a test", "how": "do", "shown": "1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment with its operations pages."""
    with served_world(tmp_path_factory.mktemp("operated"), operations=operations) as served:
        yield served


@pytest.mark.parametrize("path", ["", "/", "/events", "/act/pause", "/runs/x", "/nothing"])
def test_nobody_reaches_them(world: World, path: str) -> None:
    """Without a token there is no page and no word of one; a browser is led to the sign-in page."""
    with world.client() as client:
        assert client.get(f"/operations{path}").status_code == 401
        browser = client.get(f"/operations{path}", headers={"Accept": "text/html"})
        assert browser.headers["location"].startswith("/signin")
        assert client.post(f"/operations{path}", data=PAUSE).status_code == 401


def test_a_form_of_another_page_is_refused(world: World) -> None:
    """In a browser a form needs the token that was shown to that session: without it, with that of
    another, or from another origin, nothing is done."""
    with (
        closing(world.browser(OPERATOR)) as client,
        closing(world.browser("HUMAN::narrow")) as other,
    ):
        token = form_token(client.get("/operations/act/pause").text)
        stolen = form_token(other.get("/operations/act/pause").text)
        for forged in ({}, {"form_token": ""}, {"form_token": stolen}):
            answer = client.post("/operations/act/pause", data={**PAUSE, **forged})
            assert answer.status_code == 403, forged
        foreign = client.post(
            "/operations/act/pause",
            data={**PAUSE, "form_token": token},
            headers={"Origin": "http://elsewhere"},
        )
        assert foreign.status_code == 403
    assert world.plane.pauses.standing() == ()


def test_a_pause_by_the_form_is_its_visitors(world: World) -> None:
    """It is done once, in the name of who is signed in, and ends by the form beside it."""
    with closing(world.browser(OPERATOR)) as client:
        token = form_token(client.get("/operations/act/pause").text)
        answer = client.post("/operations/act/pause", data={**PAUSE, "form_token": token})
        assert answer.status_code == 303, answer.text
        (standing,) = world.plane.pauses.standing()
        assert (standing.actor, standing.target) == (OPERATOR, "plane")
        shown = client.get(answer.headers["location"]).text
        assert "pause of plane" in shown
        data = {"target": "plane", "reason": "done", "shown": "1", "form_token": token}
        assert client.post("/operations/act/resume", data=data).status_code == 303
    assert world.plane.pauses.standing() == ()


def test_what_a_reader_forces_is_refused_and_on_record(world: World) -> None:
    """By an API client, too: 403 with the words, and one entry more."""
    before = len(list(world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)))
    with world.client("HUMAN::reader") as client:
        answer = client.post("/operations/act/pause", data=PAUSE)
    assert answer.status_code == 403
    assert "RO_ACCESS_DENIED" in answer.text
    refused = list(world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT))[before:]
    assert [entry.body["result"] for entry in refused] == ["refused"]
    assert world.plane.pauses.standing() == ()


def test_who_may_not_approve_is_refused_and_on_record(world: World) -> None:
    """A decision on a directive that the services refuse is recorded by the gateway."""
    with world.client(OPERATOR) as client:
        proposed = client.post("/operations/act/pause", data={**PAUSE, "how": "propose"})
        place = proposed.headers["location"]
        answer = client.post(f"{place}/approve", data={"reason": "mine", "seen": "0" * 64})
    assert answer.status_code == 403
    assert "nobody approves their own" in answer.text
    assert "RO_DIRECTIVE_REFUSED" in [body["code"] for body in world.refusals()]
