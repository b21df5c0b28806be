"""The gateway acts for its visitors only, whatever token its own process was started with."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ro_platform.config.settings import Settings, forget_token
from ro_platform.errors import NotAuthenticatedError
from ro_platform.plane import Plane, shared_plane
from tests.integration.web_world import served_world
from tests.unit.access_world import token_for


def test_a_thread_that_lost_its_request_acts_as_nobody(tmp_path: Path) -> None:
    """It does not fall back to the token of the process: the daemon's, as a rule."""
    environment = {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / ".ro")}
    own = Settings.load(environment, cwd=tmp_path)
    token = token_for(Plane.open(own), "SYSTEM::daemon", actor=own.actor).text
    answers: list[str | None] = []

    def lost() -> None:
        try:
            answers.append(shared_plane(Settings.load()).identity.actor())
        except NotAuthenticatedError:
            answers.append(None)

    with served_world(tmp_path, web={"RO_TOKEN": token}):
        thread = threading.Thread(target=lost)
        thread.start()
        thread.join()
    assert answers == [None]


def test_what_the_face_starts_does_not_inherit_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code servers execute what a visitor of the UI asks for."""
    monkeypatch.setenv("RO_TOKEN", "ro1_secret")
    forget_token()
    assert Settings.load().token == ""
