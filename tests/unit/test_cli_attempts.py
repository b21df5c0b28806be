"""``ro attempts``: what is listed, what is shown, and what an unknown name is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ro_platform.cli.main import ro
from ro_platform.contracts import JobStatus
from ro_platform.kernel.identity import run_id
from ro_platform.testing import EphemeralPlane, ephemeral_plane

S = JobStatus


def ask(*args: str) -> Result:
    return CliRunner().invoke(ro, ["attempts", *args])


def listed(*args: str) -> list[dict[str, Any]]:
    answer = ask("list", *args, "--json")
    assert answer.exit_code == 0, answer.output
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[EphemeralPlane]:
    """Two manifests; one attempt that ended, one that failed with markup in its words, one open."""
    with ephemeral_plane(tmp_path / "home") as ephemeral:
        first = ephemeral.register(parameters={"n": 1})
        second = ephemeral.register(parameters={"n": 2})
        history = ephemeral.plane.attempts
        for unit, end in (("done", S.SUCCEEDED), ("broken", S.FAILED)):
            begun = history.begin(first, unit, step_key=unit, dagster_run_id="one")
            running = history.move(begun, S.RUNNING, dagster_run_id="one")
            facts = {"error_code": "RO_STEP_FAILED", "error": "[red]why"} if end is S.FAILED else {}
            history.move(running, end, dagster_run_id="one", **facts)
        history.begin(second, "open", step_key="open", dagster_run_id="two")
        yield ephemeral


def test_a_list_holds_what_was_asked_for(plane: EphemeralPlane) -> None:
    """All, the open ones, one status, one manifest by either name, the newest few."""
    units = [item["unit"] for item in listed()]
    assert units == ["done", "broken", "open"]
    assert [item["unit"] for item in listed("--open")] == ["open"]
    assert [item["unit"] for item in listed("--status", "FAILED")] == ["broken"]
    fingerprint = listed("--open")[0]["manifest_fingerprint"]
    for name in (fingerprint, run_id(fingerprint)):
        assert [item["unit"] for item in listed("--run", name)] == ["open"]
    assert [item["unit"] for item in listed("--limit", "2")] == ["broken", "open"]
    assert listed("--run", "0" * 64) == []


@pytest.mark.parametrize("digits", [8, 32])
def test_an_attempt_is_shown_whole(plane: EphemeralPlane, digits: int) -> None:
    """Every transition in order, and the error as it was said, by the id or its beginning."""
    named = listed("--status", "FAILED")[0]["attempt_id"][:digits]
    shown = json.loads(ask("show", named, "--json").stdout)
    statuses = [entry["body"]["status"] for entry in shown["transitions"]]
    assert statuses == ["QUEUED", "RUNNING", "FAILED"]
    assert shown["attempt"]["error"] == "[red]why"
    assert "RO_STEP_FAILED [red]why" in ask("show", named).stdout


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        (("show", "0" * 32), "RO_NOT_FOUND", 4),
        (("show", "000000"), "RO_NOT_FOUND", 4),
        (("show", "00"), "RO_INVALID_INPUT", 3),
        (("list", "--run", "abc"), "RO_INVALID_INPUT", 3),
    ],
)
def test_an_unknown_name_is_told(
    plane: EphemeralPlane, command: tuple[str, ...], code: str, exit_code: int
) -> None:
    """In the same form as any other error."""
    answer = ask(*command, "--json")
    assert answer.exit_code == exit_code
    assert json.loads(answer.stdout)["error"]["code"] == code
