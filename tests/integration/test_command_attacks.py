"""Attacks on the commands: a token that is none, and what it would be used for. Each is refused,
each is on record, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind
from ro_platform.plane import Plane
from tests.unit.admin_world import ADMIN, OPS, READER, people

WHY = ("--reason", "an attack", "--json")
COMMANDS = {
    "pause": ("admin", "pause", "plane", *WHY),
    "propose": ("directive", "propose", "grant-role", "HUMAN::x", "admin", *WHY),
    "issue": ("token", "issue", "--for", ADMIN, *WHY),
    "revoke": ("admin", "revoke-role", OPS, "operator", *WHY),
    "publish": ("config", "publish", "limits", "{file}", *WHY),
}


@dataclass(frozen=True)
class Attacked:
    """A governed deployment, and a file to publish."""

    settings: Settings
    plane: Plane
    tokens: dict[str, str]
    file: Path

    def store(self) -> list[Path]:
        """What is in the store."""
        return sorted((self.settings.home / "store").rglob("*"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One deployment, and every token that somebody might try."""
    root = tmp_path_factory.mktemp("attacked")
    settings = Settings.load({"RO_ROOT": str(root), "RO_HOME": str(root / ".ro")}, cwd=root)
    plane = Plane.open(settings)
    user = settings.actor
    day, moment = timedelta(days=1), timedelta(microseconds=1)
    good = plane.tokens.issue(ADMIN, lifetime=day, reason="a test", actor=user)
    other = plane.tokens.issue(OPS, lifetime=day, reason="a test", actor=user)
    expired = plane.tokens.issue(ADMIN, lifetime=moment, reason="a test", actor=user)
    ended = plane.tokens.issue(ADMIN, lifetime=day, reason="a test", actor=user)
    reader = plane.tokens.issue(READER, lifetime=day, reason="a test", actor=user)
    plane.tokens.revoke(ended.token_id, reason="a test", actor=user)
    plane.policies.publish_first(people(), reason="a test", actor=user)
    file = root / "limits.json"
    file.write_text(json.dumps({"most": 1_000_000}))
    tokens = {
        "none": "",
        "no token": "x",
        "cut": good.text[:-1],
        "one character": good.text[:-1] + ("A" if good.text[-1] != "A" else "B"),
        "another's secret": good.text[:37] + other.text[37:],
        "an unknown id": "ro1_" + "0" * 32 + good.text[36:],
        "expired": expired.text,
        "revoked": ended.text,
        "a reader's": reader.text,
    }
    yield Attacked(settings, plane, tokens, file)
    said = json.dumps([entry.to_json_value() for entry in plane.ledger.scan()])
    assert not any(text in said for text in tokens.values() if len(text) > 1)
    plane.ledger.verify()
    plane.ledger.close()


NAMES = ["none", "no token", "cut", "one character", "another's secret", "an unknown id"]
NAMES += ["expired", "revoked", "a reader's"]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_token_does_nothing_and_is_on_record(
    attacked: Attacked, name: str, words: tuple[str, ...]
) -> None:
    """Exit code 11, and not a byte more in the store; the same again that day is the same entry."""
    said = [word.format(file=attacked.file) for word in words]
    size, store = attacked.plane.ledger.size(), attacked.store()
    with settings_in_force(replace(attacked.settings, token=attacked.tokens[name])):
        answer = CliRunner().invoke(ro, said)
    expected = "RO_ACCESS_DENIED" if name == "a reader's" else "RO_NOT_AUTHENTICATED"
    assert (answer.exit_code, json.loads(answer.stdout)["error"]["code"]) == (11, expected)
    assert attacked.store() == store
    recorded = list(attacked.plane.ledger.scan(start=size))
    kinds = (EntryKind.ACCESS_REFUSED, EntryKind.ADMIN_EVENT)
    assert all(entry.kind in kinds for entry in recorded)
    results = [entry.body.get("result", "refused") for entry in recorded]
    assert results in ([], ["refused"])
    assert _on_record(attacked, expected, "ro." + ".".join(words[:2]), words[1])


def _on_record(attacked: Attacked, code: str, operation: str, action: str) -> bool:
    for entry in attacked.plane.ledger.scan():
        body = entry.body
        if entry.kind is EntryKind.ACCESS_REFUSED and body["code"] == code:
            if str(body["operation"]).startswith(operation):
                return True
        elif entry.kind is EntryKind.ADMIN_EVENT and body.get("result") == "refused":
            asked = str(body["action_type"])
            if asked == action.replace("-", "_") or action in ("propose", "publish"):
                return True
    return False
