"""``ro admin`` and ``ro directive``; every command that changes something asks who does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.admin.differences import diff_lines
from ro_platform.admin.orchestrator import RunUnderWay
from ro_platform.cli import admin, admin_dagster, admin_status
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind, Role
from ro_platform.plane import Plane
from tests.unit.access_world import binding, policy, token_for
from tests.unit.admin_world import FakeOrchestrator
from tests.unit.small_world import SmallWorld

ANN, BOB, OPS = "HUMAN::ann", "HUMAN::bob", "HUMAN::ops"


class Office:
    """A deployment in a folder, and people who type commands with tokens of theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = self._settings("")
        self.plane = Plane.open(self.settings)
        self.world = SmallWorld(plane=self.plane)
        self.ref = self.world.made("orders")
        self.tokens: dict[str, str] = {}

    def govern(self) -> None:
        """Ann is admin and deployer, Bob approves, Ops operates."""
        user = self.settings.actor
        for who in (ANN, BOB, OPS):
            self.tokens[who] = token_for(self.plane, who, actor=user).text
        content = policy(
            binding(ANN, Role.ADMIN),
            binding(ANN, Role.DEPLOYER),
            binding(BOB, Role.APPROVER),
            binding(OPS, Role.OPERATOR),
        )
        self.plane.policies.publish_first(content, reason="a test", actor=user)

    def ask(self, *args: object, who: str | None = None) -> Result:
        settings = self._settings(self.tokens[who] if who else "")
        with settings_in_force(settings):
            return CliRunner().invoke(ro, [str(arg) for arg in args])

    def facts(self, *args: object, who: str | None = None, code: int = 0) -> Any:
        answer = self.ask(*args, "--json", who=who)
        assert answer.exit_code == code, answer.output
        return json.loads(answer.stdout)

    def _settings(self, token: str) -> Settings:
        env = {"RO_ROOT": str(self.folder), "RO_HOME": str(self.folder), "RO_TOKEN": token}
        return Settings.load(env, cwd=self.folder)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    found = Office(tmp_path)
    yield found
    found.plane.ledger.close()


def test_the_single_user_acts_and_is_told(office: Office) -> None:
    """Alone, with a word about it on standard error, and on record."""
    shown = office.ask("admin", "pause", "plane", "--reason", "maintenance")
    assert shown.exit_code == 0
    assert "single-user mode" in shown.stderr
    assert shown.stdout.startswith("pause of plane: done")
    status = office.facts("admin", "status")
    assert status["single_user"] is True
    assert [item["target"] for item in status["paused"]] == ["plane"]
    assert office.ask("admin", "resume", "plane", "--reason", "over").exit_code == 0
    words = office.ask("admin", "status").stdout
    assert "Nothing is paused." in words
    events = office.facts("admin", "events")
    assert [(item["action_type"], item["result"]) for item in events] == [
        ("resume", "done"),
        ("resume", "intended"),
        ("pause", "done"),
        ("pause", "intended"),
    ]
    only = office.facts("admin", "events", "--action", "pause", "--limit", "1")
    assert [item["result"] for item in only] == ["done"]


def test_a_key_makes_it_once(office: Office) -> None:
    """The same line again changes nothing; another under that key exits with 7."""
    line = ("admin", "pause", "workload/w", "--reason", "late", "--key", "k")
    assert office.facts(*line)["new"] is True
    assert office.facts(*line)["new"] is False
    other = ("admin", "pause", "plane", "--reason", "late", "--key", "k")
    assert office.facts(*other, code=7)["error"]["code"] == "RO_ENTRY_CONFLICT"


def test_two_people_promote_with_a_diff(office: Office) -> None:
    """Refused alone; proposed, shown as a diff, approved by another, executed once."""
    office.govern()
    args = (f"orders@{office.world.fingerprint[:8]}", "--to", "orders/stable", "--reason", "good")
    alone = office.facts("admin", "promote", *args, who=ANN, code=11)
    assert alone["error"]["code"] == "RO_SECOND_PERSON_REQUIRED"
    name = office.facts("directive", "propose", "promote", *args, who=ANN)["directive_id"]
    shown = office.ask("directive", "show", name[:8], who=BOB)
    assert f'+  "ref": "{office.ref.ref}"' in shown.stdout
    own = office.ask("directive", "approve", name, "--reason", "mine", who=ANN)
    assert own.exit_code == 11
    seen = office.facts("directive", "show", name, who=BOB)["state_now"]
    line = ("directive", "approve", name[:8], "--reason", "looked", "--state", seen)
    assert office.facts(*line, who=BOB)["status"] == "approved"
    assert name[:8] in office.ask("directive", "list", who=BOB).stdout
    done = office.facts("directive", "execute", name, who=ANN)
    assert (done["result"], done["after"]["digest"]) == ("done", office.ref.digest)
    assert office.facts("directive", "execute", name, who=ANN)["new"] is False
    assert "No directive is open." in office.ask("directive", "list", who=BOB).stdout
    status = office.facts("admin", "status", who=OPS)
    assert [item["ref"] for item in status["channels"]] == [office.ref.ref]


def test_a_directive_can_be_rejected(office: Office) -> None:
    """With words, that everybody reads."""
    office.govern()
    line = ("change-retention", "artifacts", "--days", "3", "--reason", "short")
    name = office.facts("directive", "propose", "--hours", "2", *line, who=ANN)["directive_id"]
    office.facts("directive", "reject", name, "--reason", "too short", who=BOB)
    assert "too short" in office.ask("directive", "show", name, who=OPS).stdout
    assert office.ask("directive", "execute", name, who=ANN).exit_code == 11
    assert office.ask("directive", "show", "abc", who=OPS).exit_code == 3
    assert office.ask("directive", "show", "abcdef0", who=OPS).exit_code == 4


CHANGING: list[tuple[str, ...]] = [
    ("gate", "drop", "orders.good", "--asset", "orders", "--reason", "r"),
    ("gate", "revoke", "orders.good", "orders@{print}", "--reason", "r"),
    ("artifact", "erase", "orders@{print}", "--reason", "r"),
    ("artifact", "erase", "--resume"),
    ("config", "publish", "limits", "{file}", "--reason", "r"),
    ("manifest", "register", "{manifest}"),
    ("run", "{manifest}"),
    ("attempts", "reconcile"),
    ("ledger", "archive", "--segment-size", "2"),
    ("ledger", "checkpoint"),
    ("ledger", "key", "--create"),
    ("admin", "pause", "plane", "--reason", "r"),
    ("admin", "resume", "plane", "--reason", "r"),
    ("admin", "drain", "plane", "--reason", "r"),
    ("admin", "revoke-pass", "orders.good", "orders@{print}", "--reason", "r"),
    ("admin", "promote", "orders@{print}", "--to", "a/b", "--reason", "r"),
    ("admin", "erase", "orders@{print}", "--reason", "r"),
    ("admin", "change-retention", "artifacts", "--days", "1", "--reason", "r"),
    ("admin", "publish-config", "limits", "{file}", "--reason", "r"),
    ("admin", "grant-role", "HUMAN::x", "reader", "--reason", "r"),
    ("admin", "revoke-role", "HUMAN::ops", "operator", "--reason", "r"),
]


@pytest.mark.parametrize("line", CHANGING, ids=lambda line: " ".join(line[:2]))
def test_no_command_changes_anything_without_authentication(
    office: Office, line: tuple[str, ...]
) -> None:
    """With a policy in force and no token, and with the token of somebody without a role for it,
    each of them exits with 11, and the plane is as it was but for the refusals on record."""
    office.govern()
    file = office.folder / "limits.yaml"
    file.write_text("most: 3\n")
    manifest = office.folder / "manifest.yaml"
    manifest.write_text(
        "kind: ro.run_manifest.v0\nworkload: w\nparameters: {}\ncode: {version: '1'}\n"
    )
    known = {"print": office.world.fingerprint[:8], "file": file, "manifest": manifest}
    filled = [part.format(**known) for part in line]
    size = office.plane.ledger.size()
    assert office.ask(*filled).exit_code == 11
    refused = office.ask(*filled, who=BOB)
    assert refused.exit_code == 11, refused.output
    nobodys, bobs = office.plane.ledger.scan(start=size)
    assert (nobodys.kind, nobodys.actor) == (EntryKind.ACCESS_REFUSED, "SYSTEM::ro")
    assert bobs.actor == BOB
    assert bobs.kind is EntryKind.ACCESS_REFUSED or bobs.body["result"] == "refused"
    assert office.world.read(office.ref) == b"orders"
    assert not office.settings.signing_key.exists()


def test_roles_by_command(office: Office) -> None:
    """Granting takes two people; taking away takes one, and holds at once."""
    office.govern()
    grant = ("grant-role", "HUMAN::new", "reader", "--workload", "w", "--reason", "hired")
    name = office.facts("directive", "propose", *grant, who=ANN)["directive_id"]
    office.facts("directive", "approve", name, "--reason", "known", who=BOB)
    assert "HUMAN::new" in "\n".join(office.facts("directive", "show", name, who=BOB)["diff"])
    office.facts("directive", "execute", name, who=ANN)
    take = ("admin", "revoke-role", OPS, "operator", "--reason", "left")
    assert office.facts(*take, who=ANN)["after"]["version"] == 3
    assert office.plane.configs.find(POLICY_CONFIG).version.config_version == 3
    assert office.ask("admin", "pause", "plane", "--reason", "r", who=OPS).exit_code == 11


@pytest.fixture
def orchestrator(monkeypatch: pytest.MonkeyPatch) -> FakeOrchestrator:
    """Stands for Dagster, whose own adapter is tested over real instances."""
    found = FakeOrchestrator()
    found.runs.append(RunUnderWay("run-1", "w", ("orders",), OPS, True))
    for module in (admin, admin_dagster, admin_status):
        monkeypatch.setattr(
            module, "with_orchestrator", lambda plane: plane.administration.over(found)
        )
    return found


def test_a_drain_is_waited_for(office: Office, orchestrator: FakeOrchestrator) -> None:
    """While something runs it is waited for, up to the limit: then it exits with 9 and names the
    run; with nothing left it says so."""
    line = ("admin", "drain", "workload/w", "--limit", "1", "--wait", "--reason", "upgrade")
    late = office.ask(*line)
    assert late.exit_code == 9
    assert "run-1 of w" in late.stdout
    shown = office.facts("admin", "status", "--runs")
    assert shown["drains"] == [{"target": "workload/w", "running": ["run-1"], "overdue": True}]
    ended = office.facts("admin", "cancel-run", "run-1", "--reason", "upgrade")
    assert ended["after"] == {"canceled": True}
    assert list(orchestrator.canceled) == ["run-1"]
    assert "workload/w is drained" in office.ask("admin", "status", "--runs").stdout
    done = office.ask(*line)
    assert done.exit_code == 0, done.output


def test_a_replay_is_shown_before_it_is_launched(
    office: Office, orchestrator: FakeOrchestrator
) -> None:
    """The dry run counts runs and bytes, and launches nothing."""
    line = ("admin", "replay", "--workload", "w", "--purpose", "audit", "--reason", "AUD-7")
    size = office.plane.ledger.size()
    plan = office.facts(*line, "--dry-run")
    assert (plan["dry_run"], plan["artifacts"], plan["size_bytes"]) == (True, 1, 6)
    assert "would replay 1 run of w: 6 B to prove" in office.ask(*line, "--dry-run").stdout
    assert (office.plane.ledger.size(), orchestrator.launches) == (size, {})
    done = office.facts(*line)
    assert done["after"]["manifests"] == [office.world.fingerprint]
    assert len(orchestrator.launches) == 1


def test_what_is_said_to_a_person(office: Office, orchestrator: FakeOrchestrator) -> None:
    """A name that nobody registered, a target that is none, a resume of nothing, and runs that are
    under way: each in words that say what to do."""
    assert [run.dagster_run_id for run in orchestrator.runs] == ["run-1"]
    slip = office.ask("admin", "pause", "workload/slip", "--reason", "late")
    assert "No manifest of a workload slip is registered yet." in slip.output
    known = office.ask("admin", "pause", "workload/w", "--reason", "late")
    assert "No manifest" not in known.output
    wrong = office.ask("admin", "pause", "everything", "--reason", "late")
    assert wrong.exit_code == 3
    assert "a target is plane, workload/NAME, asset/KEY or consumer/STREAM/NAME" in wrong.output
    assert "`ro admin pause --help`" in wrong.output
    nothing = office.ask("admin", "resume", "plane", "--reason", "late")
    assert "it had no pause of its own" in nothing.output
    shown = office.ask("admin", "status", "--runs").output
    assert "run-1  running  w" in shown
    running = office.facts("admin", "status", "--runs")["running"]
    assert {run["dagster_run_id"] for run in running} == {"run-1"}


def test_nothing_to_reconcile(office: Office) -> None:
    """It is safe at any time."""
    assert office.facts("admin", "reconcile") == {"reconciled": []}
    assert "has its outcome" in office.ask("admin", "reconcile").stdout


def test_a_diff_is_of_the_texts() -> None:
    """Two JSON values, line by line."""
    assert diff_lines({"days": 1}, {"days": 2})[2:] == [
        "@@ -1,3 +1,3 @@",
        " {",
        '-  "days": 1',
        '+  "days": 2',
        " }",
    ]
