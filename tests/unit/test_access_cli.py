"""``ro access`` and ``ro token`` as one types them, from single user to a policy in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import EntryKind
from ro_platform.plane import shared_plane

APPROVER, READER = "HUMAN::second", "HUMAN::reader"


def ask(*words: object) -> Result:
    """Type a command."""
    return CliRunner().invoke(ro, [str(word) for word in words])


def facts(*words: object, code: int = 0) -> Any:
    """What a command answers as JSON."""
    answer = ask(*words, "--json")
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A deployment of its own, in force."""
    found = Settings.load({"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path)}, cwd=tmp_path)
    with settings_in_force(found):
        yield found


@contextmanager
def signed_in(settings: Settings, token: str) -> Iterator[None]:
    """Within it, commands act by that token."""
    with settings_in_force(replace(settings, token=token)):
        yield


@pytest.fixture
def tokens(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """A token for each of the three, and the starter policy, with a reader, in force."""
    issued = {
        actor: facts("token", "issue", "--for", actor, "--reason", "start")["token"]
        for actor in (settings.actor, APPROVER, READER)
    }
    file = tmp_path / "policy.yaml"
    assert ask("access", "init", file, "--approver", APPROVER).exit_code == 0
    text = file.read_text().replace(
        "bindings:\n", f'bindings:\n  - {{actor: "{READER}", role: reader}}\n'
    )
    file.write_text(text)
    assert ask("access", "publish", file, "--reason", "we are three").exit_code == 0
    return issued


# --- the single-user mode -------------------------------------------------------------------------


def test_without_a_policy_it_is_said_who_may_act(settings: Settings) -> None:
    """In words and as JSON, and by the check, too."""
    said = ask("access", "show").stdout
    assert "single-user mode" in said
    assert settings.actor in said
    assert facts("access", "show") == {"single_user": settings.actor}
    assert facts("access", "check", code=4)["error"]["code"] == "RO_NOT_FOUND"
    explained = facts("access", "explain", settings.actor, "launch", "plane")
    assert (explained["allowed"], explained["policy"]) == (True, {"version": None, "digest": None})
    assert facts("access", "explain", READER, "launch", "plane", code=11)["allowed"] is False


def test_a_token_is_shown_once_and_alone(settings: Settings) -> None:
    """Standard output is the token; what is said about it goes to standard error."""
    answer = ask("token", "issue", "--for", READER, "--days", 3, "--reason", "a laptop")
    text = answer.stdout.strip()
    found = shared_plane(settings).tokens.authenticate(text)
    assert found.actor == READER
    assert found.token_id in answer.stderr
    assert text[-43:] not in answer.stderr
    listed = ask("token", "list")
    assert found.token_id in listed.stdout
    assert "a laptop" in listed.stdout
    assert text[-43:] not in listed.output + ask("ledger", "log", "--json").output
    for file in settings.home.rglob("*"):
        assert not file.is_file() or text[-43:].encode() not in file.read_bytes()


def test_a_token_is_revoked_by_its_id(settings: Settings) -> None:
    """And the list says so."""
    issued = facts("token", "issue", "--for", READER, "--reason", "a laptop")
    revoked = facts("token", "revoke", issued["token_id"], "--reason", "it was stolen")
    assert (revoked["state"], revoked["revoked_because"]) == ("revoked", "it was stolen")
    [listed] = facts("token", "list")
    assert listed == revoked
    assert facts("token", "revoke", "0" * 32, "--reason", "x", code=4)


def test_a_token_is_renewed_by_its_holder(settings: Settings) -> None:
    """The one in RO_TOKEN ends; without one there is nothing to renew."""
    old = facts("token", "issue", "--for", READER, "--reason", "a laptop")["token"]
    without = facts("token", "renew", code=11)["error"]
    assert without["code"] == "RO_NOT_AUTHENTICATED"
    assert "RO_TOKEN is not set" in without["message"]
    with signed_in(settings, old):
        new = facts("token", "renew", "--days", 5)
        assert new["holder"] == READER
        assert facts("token", "renew", code=11)
    assert shared_plane(settings).tokens.authenticate(new["token"]).actor == READER


@pytest.mark.parametrize("days", [0, -1, 367, "many"])
def test_a_lifetime_that_cannot_be_meant_is_a_wrong_command_line(
    settings: Settings, days: object
) -> None:
    """From one day to a year."""
    words = ("token", "issue", "--for", READER, "--days", days, "--reason", "x")
    assert ask(*words).exit_code == 2


# --- the first policy -----------------------------------------------------------------------------


def test_the_starter_policy_passes_its_check_and_is_not_published(
    settings: Settings, tmp_path: Path
) -> None:
    """It is a file to be edited; it is never overwritten."""
    file = tmp_path / "policy.yaml"
    written = facts("access", "init", file, "--approver", APPROVER)
    assert facts("access", "check", file) == {"findings": []}
    assert {one["actor"] for one in written["policy"]["bindings"]} == {
        settings.actor,
        APPROVER,
        "SYSTEM::daemon",
    }
    file.write_text("mine\n")
    assert facts("access", "init", file, "--approver", APPROVER, code=3)
    assert file.read_text() == "mine\n"
    assert facts("access", "show") == {"single_user": settings.actor}


@pytest.mark.parametrize("approver", ["nobody", "HUMAN::", "second"])
def test_a_starter_needs_somebody_as_its_approver(
    settings: Settings, tmp_path: Path, approver: str
) -> None:
    """An actor, and not oneself."""
    for name in (approver, settings.actor):
        facts("access", "init", tmp_path / "policy.yaml", "--approver", name, code=3)
    assert not (tmp_path / "policy.yaml").exists()


def test_a_policy_that_is_not_sound_is_refused_with_its_findings(
    settings: Settings, tmp_path: Path
) -> None:
    """The check prints all of them; publishing it is refused."""
    file = tmp_path / "policy.yaml"
    file.write_text(
        f'kind: ro.access_policy.v0\nbindings: [{{actor: "{settings.actor}", role: deployer}}]\n'
    )
    assert [one["code"] for one in facts("access", "check", file, code=3)["findings"]] == [
        "nobody",
        "no-admin",
    ]
    said = ask("access", "check", file)
    assert said.exit_code == 3
    assert "nobody could change the policy" in said.stdout
    assert facts("access", "publish", file, "--reason", "x", code=3)
    for text in ("bindings: [", "kind: other", "kind: ro.access_policy.v0\nbindings: [{}]"):
        file.write_text(text)
        assert facts("access", "check", file, code=3)["error"]["code"].startswith("RO_")
    file.write_text('kind: ro.access_policy.v0\nbindings: [{actor: "HUMAN::a", role: superuser}]\n')
    assert "bindings.0.role" in ask("access", "check", file).stderr


def test_nobody_is_locked_out_by_the_first_policy(settings: Settings, tmp_path: Path) -> None:
    """Without a token for its admin it is refused, with what to do."""
    file = tmp_path / "policy.yaml"
    ask("access", "init", file, "--approver", APPROVER)
    answer = ask("access", "publish", file, "--reason", "too early")
    assert answer.exit_code == 3
    assert "ro token issue" in answer.stderr


# --- a policy in force ----------------------------------------------------------------------------


def test_under_a_policy_only_tokens_say_who_acts(
    settings: Settings, tokens: dict[str, str]
) -> None:
    """Without one, with a wrong one, and with one whose holder may not: exit 11, nothing done, and
    each of it on record."""
    size = shared_plane(settings).ledger.size()
    issue = ("token", "issue", "--for", READER, "--reason", "x")
    for command in (issue, ("token", "list"), ("access", "show"), ("access", "check")):
        assert facts(*command, code=11)["error"]["code"] == "RO_NOT_AUTHENTICATED"
    with signed_in(settings, "ro1_wrong"):
        assert facts(*issue, code=11)["error"]["code"] == "RO_NOT_AUTHENTICATED"
    with signed_in(settings, tokens[READER]):
        denied = facts(*issue, code=11)["error"]
        assert denied["code"] == "RO_ACCESS_DENIED"
        assert denied["diagnostics"]["policy"] == _in_force(settings)
        assert facts("token", "list", code=11)
    added = list(shared_plane(settings).ledger.scan(start=size))
    assert {entry.kind for entry in added} == {EntryKind.ACCESS_REFUSED}
    assert [entry.actor for entry in added] == ["SYSTEM::ro"] * 5 + [READER] * 2


def test_an_admin_issues_and_lists_and_a_reader_looks(
    settings: Settings, tokens: dict[str, str]
) -> None:
    """Each as the roles say."""
    with signed_in(settings, tokens[settings.actor]):
        facts("token", "issue", "--for", "SYSTEM::daemon", "--reason", "the daemon's")
        assert len(facts("token", "list")) == 4
    with signed_in(settings, tokens[READER]):
        shown = facts("access", "show")
        assert (shown["version"], shown["digest"]) == (1, _in_force(settings))
        assert facts("access", "check") == {"findings": []}
        assert READER in ask("access", "show").stdout


def test_explaining_says_the_binding_the_version_and_who_approves(
    settings: Settings, tokens: dict[str, str]
) -> None:
    """Yes by a binding; no by what is missing; the exit code is the answer."""
    with signed_in(settings, tokens[READER]):
        yes = facts("access", "explain", settings.actor, "promote", "workload/purchases")
        assert yes["by"] == {"actor": settings.actor, "role": "deployer", "scope": {}}
        assert yes["policy"] == {"version": 1, "digest": _in_force(settings)}
        assert (yes["needs_second"], yes["approvers"]) == (True, [APPROVER])
        assert yes["target"]["workload"] == "purchases"
        no = facts("access", "explain", READER, "launch", "plane", code=11)
        assert "their roles (reader) do not allow it" in no["why"]
        said = ask("access", "explain", settings.actor, "promote", "plane")
        assert "needs a second person: HUMAN::second" in said.stdout
        assert f"version 1, sha256:{_in_force(settings)[:12]}" in said.stdout
        assert ask("access", "explain", READER, "fly", "plane").exit_code == 2


def test_somebody_without_a_role_may_ask_why_they_may_not(
    settings: Settings, tokens: dict[str, str]
) -> None:
    """About themselves, and about nobody else."""
    with signed_in(settings, tokens[settings.actor]):
        token = facts("token", "issue", "--for", "HUMAN::new", "--reason", "new")["token"]
    with signed_in(settings, token):
        own = facts("access", "explain", "HUMAN::new", "view", "plane", code=11)
        assert own["why"] == "the policy gives them no role."
        assert "error" in facts("access", "explain", READER, "view", "plane", code=11)


@pytest.mark.parametrize("actor", ["second", "HUMAN:second", "human::second", "HUMAN::s\u0435cond"])
def test_who_cannot_be_anybody_is_said_to_be_no_actor(settings: Settings, actor: str) -> None:
    """Rather than that the policy gives them no role, which would hide a slip of the finger."""
    said = facts("access", "explain", actor, "launch", "plane", code=3)
    assert "is no actor" in said["error"]["message"]


def test_the_policy_is_not_published_twice_nor_by_another_command(
    settings: Settings, tokens: dict[str, str], tmp_path: Path
) -> None:
    """Not by its admin either; what is left are directives."""
    file = tmp_path / "policy.yaml"
    file.write_text(file.read_text().replace("role: reader", "role: operator", 1))
    before = _in_force(settings)
    told = {settings.actor: "RO_SECOND_PERSON_REQUIRED", APPROVER: "RO_ACCESS_DENIED"}
    for actor, code in told.items():
        with signed_in(settings, tokens[actor]):
            assert facts("access", "publish", file, "--reason", "x", code=11)
            plain = facts("config", "publish", "access-policy", file, "--reason", "x", code=11)
            assert plain["error"]["code"] == code
    assert _in_force(settings) == before


def _in_force(settings: Settings) -> str:
    found = shared_plane(settings).access.in_force
    assert found is not None
    return found.digest
