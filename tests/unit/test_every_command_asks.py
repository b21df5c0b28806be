"""Every command of ``ro`` by everybody: what is declared is asked, and who may not learns nothing.

The rows are the command tree's leaves, so a new command is in the table without being listed; one
that declares nothing does not import.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ro_platform.access.roles import actions_of
from ro_platform.admin.intents import admin_request
from ro_platform.cli.declared import Declared, Noun, asks, declared_by, public
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import AccessRefused, Action, AdminActionType, EntryKind, Role
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from tests.acting import publish_config
from tests.unit.access_world import binding, policy, token_for
from tests.unit.other_user import as_somebody_else, readable_folder
from tests.unit.small_world import SmallWorld

NOBODY, REVOKED, NO_ROLE, ELSEWHERE = "no token", "revoked token", "no role", "reader elsewhere"
ALL_ELSEWHERE, HERE_ONLY, HERE = "everything elsewhere", "reader here", "w"
PEOPLE = [NOBODY, REVOKED, NO_ROLE, ELSEWHERE, *(role.value for role in Role)]
ASK_THEMSELVES = {"token renew", "token recover", "access explain", "artifact verify"}
"""Public commands that need a token or a key, or a role for some of what they are asked: they
refuse by themselves."""
REFUSALS = {"RO_ACCESS_DENIED", "RO_NOT_AUTHENTICATED"}


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, as one types it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


assert isinstance(ro, click.Group)
COMMANDS = dict(leaves(ro))


def declared(name: str) -> Declared:
    found = declared_by(COMMANDS[name])
    assert found is not None, f"{name} declares nothing"
    return found


@dataclass(frozen=True)
class Answer:
    """What somebody saw."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def code(self) -> str | None:
        """The code of the error, if it was one."""
        try:
            found = json.loads(self.stdout)
        except ValueError:
            return None
        return found["error"]["code"] if isinstance(found, dict) and "error" in found else None


class House:
    """A plane with an artifact, a gate's PASS, a config and a directive, and one person a role."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.environment = folder, environment
        settings = self.settings("")
        self.plane = Plane.open(settings)
        self.world = SmallWorld(plane=self.plane)
        self.world.made("orders")
        publish_config(self.plane, "limits", {"most": 3}, reason="start")
        user = settings.actor
        self.tokens = {NOBODY: ""}
        for who in (*PEOPLE[1:], ALL_ELSEWHERE, HERE_ONLY):
            self.tokens[who] = token_for(self.plane, self.actor(who), actor=user).text
        revoked, spare = (
            self.plane.tokens.authenticate(self.tokens[REVOKED]).token_id,
            token_for(self.plane, "HUMAN::spare", actor=user),
        )
        self.plane.tokens.revoke(revoked, reason="lost", actor=user)
        self.plane.policies.publish_first(
            policy(
                *(binding(self.actor(role.value), role) for role in Role),
                binding(self.actor(ELSEWHERE), Role.READER, workload="elsewhere"),
                binding(self.actor(HERE_ONLY), Role.READER, workload=HERE),
                *(
                    binding(self.actor(ALL_ELSEWHERE), role, workload="elsewhere")
                    for role in Role
                    if role is not Role.APPROVER  # nobody both proposes and approves
                ),
            ),
            reason="a test",
            actor=user,
        )
        file = folder / "file.json"
        file.write_text("{}")
        fingerprint = self.world.fingerprint
        request = admin_request(
            AdminActionType.CHANGE_RETENTION,
            reason="short",
            parameters={"target": "artifacts", "days": 3},
        )
        proposed = self.plane.administration.directives.propose(
            request, actor=self.actor("admin"), key="k"
        )
        self.there = {
            "target": f"orders@{fingerprint[:8]}",
            "identifier": fingerprint,
            "run": fingerprint,
            "manifest": fingerprint,
            "name": "limits",
            "directive": proposed.directive_id,
            "token_id": spare.token_id,
            "file": str(file),
            "path": str(folder),
            "destination": str(folder / "new"),
            "to": "orders/stable",
            "seq": "0",
        }
        self.missing = {
            **self.there,
            "target": "orders@ffffffff",
            "identifier": "f" * 64,
            "run": "f" * 64,
            "manifest": "f" * 64,
            "name": "nothing",
            "directive": "f" * 32,
            "token_id": "f" * 32,
            "seq": "999999",
        }

    @staticmethod
    def actor(who: str) -> str:
        return f"HUMAN::{who.replace(' ', '_')}"

    def settings(self, token: str) -> Settings:
        env = {"RO_ROOT": str(self.folder), "RO_HOME": str(self.folder / "h"), "RO_TOKEN": token}
        return Settings.load({**env, **self.environment}, cwd=self.folder)

    def line(self, name: str, values: dict[str, str]) -> list[str]:
        """The command with a value for all that it requires."""
        words = name.split()
        for item in COMMANDS[name].params:
            required = item.required or (isinstance(item, click.Argument) and item.name in values)
            if not required or item.name == "as_json":
                continue
            value = self._value(item, values)
            words += [value] if isinstance(item, click.Argument) else [item.opts[0], value]
        return [*words, "--json"]

    def _value(self, item: click.Parameter, values: dict[str, str]) -> str:
        if isinstance(item.type, click.Choice):
            return str(next(iter(item.type.choices)))
        if isinstance(item.type, click.types.IntParamType):
            return values.get(str(item.name), "1")
        fixed = {"actor": "HUMAN::zed", "holder": "HUMAN::zed", "approver": "HUMAN::zed"}
        fixed |= {"key_text": "x", "days": "3", "role": "reader", "purpose": "x"}
        return values.get(str(item.name)) or fixed.get(str(item.name), "x")

    def ask(self, who: str, words: list[str]) -> Answer:
        with settings_in_force(self.settings(self.tokens[who])):
            done = CliRunner().invoke(ro, words)
        return Answer(done.exit_code, done.stdout, done.stderr)

    def refusals(self) -> int:
        """How many refusals are on record."""
        kind = EntryKind.ACCESS_REFUSED
        found = self.plane.ledger.scan(kind=kind)
        return sum(body_of(entry, AccessRefused).count for entry in found)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("house"))
    yield found
    found.plane.ledger.close()


def test_every_command_says_what_it_needs() -> None:
    """Each names actions, or why it is public; those of a role are the closed set's."""
    for name in COMMANDS:
        said = declared(name)
        assert bool(said.actions) != bool(said.why), name


def test_a_command_that_says_nothing_does_not_import() -> None:
    """Its noun refuses it, by name; so it can be in no table."""

    @click.group(cls=Noun)
    def noun() -> None: ...

    with pytest.raises(TypeError, match="'secret' does not say what it needs"):

        @noun.command("secret")
        def secret() -> None: ...

    @noun.command("open")
    @public("a test")
    def opened() -> None: ...

    assert [*noun.commands] == ["open"]


def may(who: str, said: Declared) -> bool:
    """Whether that person holds one of the actions in the whole plane."""
    roles = [role for role in Role if role.value == who]
    return any(action in actions_of(role) for role in roles for action in said.actions)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "web"])
def test_a_command_is_done_for_whom_it_is_declared_and_for_nobody_else(
    house: House, name: str
) -> None:
    """No token, a revoked one, no role, one elsewhere, and each role; who is refused sees the same
    of what is there and of what is not, and is on record."""
    require_as_declared(house, name, PEOPLE)


def require_as_declared(house: House, name: str, people: Sequence[str]) -> None:
    """The command by each of these people does what it declares, or refuses them."""
    said = declared(name)
    for who in people:
        there = house.line(name, house.there)
        if said.why:
            if who == NOBODY and name not in ASK_THEMSELVES:
                answer = house.ask(who, there)
                assert answer.code not in REFUSALS, answer
            continue
        if said.by_service and who not in (NOBODY, REVOKED):
            continue  # by each role with requests of its own: test_who_may_do_what.py
        if may(who, said):
            answer = house.ask(who, there)
            one_of_many = len(said.actions) > 1  # which of them is needed, what is named decides
            assert one_of_many or answer.code not in REFUSALS, (who, answer)
            continue
        before = house.refusals()
        answers = [house.ask(who, line) for line in (there, house.line(name, house.missing))]
        code = "RO_NOT_AUTHENTICATED" if who in (NOBODY, REVOKED) else "RO_ACCESS_DENIED"
        assert {(answer.exit_code, answer.code) for answer in answers} == {(11, code)}, (
            who,
            answers,
        )
        assert seen(answers[0], house.there) == seen(answers[1], house.missing), who
        assert house.refusals() > before


def seen(answer: Answer, values: dict[str, str]) -> str:
    """What was seen, without what the person typed."""
    text = answer.stdout + answer.stderr
    for value in sorted((one for one in values.values() if len(one) > 5), key=len, reverse=True):
        text = text.replace(value, "…")
    return text


def test_a_refusal_of_a_read_is_on_record(house: House) -> None:
    """With who, what and where from: it is one entry for a flood of them."""
    house.ask("secret-admin", ["artifact", "get", house.there["target"], "nowhere"])
    bodies = [
        entry.body
        for entry in house.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
        if entry.body.get("actor") == house.actor("secret-admin")
    ]
    assert "RO_ACCESS_DENIED" in {body["code"] for body in bodies}


SPOT = [
    ("reader", "artifact get", True),
    ("auditor", "artifact get", True),
    ("approver", "artifact get", False),
    ("admin", "artifact get", False),
    ("secret-admin", "artifact show", True),
    ("reader", "ledger log", True),
    ("reader", "dossier export", False),
    ("auditor", "dossier export", True),
    ("auditor", "token list", True),
    ("reader", "token list", False),
    ("no role", "gate list", False),
    ("no token", "config show", False),
    ("no token", "ledger verify", True),
    ("no token", "artifact verify", False),
    ("reader", "artifact verify", True),
    ("reader elsewhere", "artifact list", False),
    ("publisher", "gate evidence", False),
]


@pytest.mark.parametrize(("who", "name", "allowed"), SPOT)
def test_what_the_names_of_the_roles_say(house: House, who: str, name: str, allowed: bool) -> None:
    """Written down by hand, so that the table cannot be wrong with the declarations."""
    answer = house.ask(who, house.line(name, house.there))
    assert (answer.code not in REFUSALS) is allowed, answer


@pytest.mark.parametrize(
    "name",
    [
        *("artifact show", "artifact get", "attempts show"),
        *("gate evidence", "gate export", "gate impact", "gate receipts"),
        *("gate register", "gate revoke"),
        *(f"admin {name}" for name in ("erase", "promote", "revoke-pass")),
        *(f"directive propose {name}" for name in ("erase", "promote", "revoke-pass")),
    ],
)
def test_a_role_in_one_workload_tells_nothing_of_another(house: House, name: str) -> None:
    """What is there and not theirs is refused in the words of what is not there."""
    lines = [house.line(name, values) for values in (house.there, house.missing)]
    one, two = (house.ask(ALL_ELSEWHERE, line) for line in lines)
    assert one.code == two.code == "RO_ACCESS_DENIED", (one, two)
    assert seen(one, house.there) == seen(two, house.missing)


def test_a_role_in_one_workload_holds_there(house: House) -> None:
    """Its own workload's artifacts are looked at and read; a list of all is not."""
    manifest = house.plane.runs.manifest(house.world.fingerprint)
    assert manifest.workload == HERE
    for name in ("artifact show", "artifact get", "gate receipts"):
        answer = house.ask(HERE_ONLY, house.line(name, house.there))
        assert answer.code not in REFUSALS, (name, answer)
    assert house.ask(HERE_ONLY, ["artifact", "list", "--json"]).code == "RO_ACCESS_DENIED"


def test_verification_tells_no_content(house: House) -> None:
    """Without any token: sizes, root and verdict, and no entry, asset or value."""
    for name in ("ledger verify", "artifact verify"):
        words = [*name.split(), *(["--all"] if name.startswith("artifact") else [])]
        answer = house.ask(NOBODY, words)
        assert answer.exit_code == 0, answer
        assert house.world.fingerprint not in answer.stdout + answer.stderr
        assert "HUMAN::" not in answer.stdout + answer.stderr


def test_an_outsider_verifies_a_copy(house: House) -> None:
    """Another user, with a copy of store and ledger where nothing may be written, and without keys,
    a token or a home: all of it verifies, and what is listed still asks."""
    assert house.ask(NOBODY, ["artifact", "verify", "--all"]).exit_code == 0  # all is imported now
    home = house.folder / "h"
    with readable_folder() as folder:
        shutil.copytree(home / "store", folder / "store")
        with (
            closing(sqlite3.connect(home / "ledger.sqlite")) as source,
            closing(sqlite3.connect(folder / "ledger.sqlite")) as copy,
        ):
            source.backup(copy)
        for path in (*folder.rglob("*"), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        places = {
            "RO_ROOT": str(folder),
            "RO_HOME": str(folder / "none"),
            "RO_STORE_URL": f"file://{folder}/store",
            "RO_LEDGER_URL": f"sqlite://{folder}/ledger.sqlite",
        }
        with as_somebody_else(), settings_in_force(Settings.load(places, cwd=folder)):
            lines = (["artifact", "verify", "--all"], ["ledger", "verify"], ["artifact", "list"])
            codes = [CliRunner().invoke(ro, line).exit_code for line in lines]
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
    assert codes == [0, 0, 11]


UNEQUAL = (
    ("artifact verify", NO_ROLE),
    ("directive approve", NO_ROLE),
    ("directive execute", NO_ROLE),
    ("directive reject", NO_ROLE),
    ("token revoke", NO_ROLE),
    *((name, ELSEWHERE) for name in ("artifact verify", "directive approve", "token revoke")),
    *((name, ALL_ELSEWHERE) for name in ("artifact verify", "directive execute")),
)


@pytest.mark.parametrize(("name", "who"), UNEQUAL, ids=lambda item: str(item))
def test_permission_is_asked_before_anything_is_looked_up(
    house: House, name: str, who: str
) -> None:
    """Who may not hears of a directive, a token or an artifact that is there byte for byte what
    they hear of one that is not; and that they were refused is on record."""
    lines = [house.line(name, values) for values in (house.there, house.missing)]
    answers = [house.ask(who, line) for line in lines]
    assert {answer.code for answer in answers} == {"RO_ACCESS_DENIED"}, answers
    assert seen(answers[0], house.there) == seen(answers[1], house.missing)
    refused = [
        entry.body.get("code") or entry.body.get("result")
        for kind in (EntryKind.ACCESS_REFUSED, EntryKind.ADMIN_EVENT)
        for entry in house.plane.ledger.scan(kind=kind)
        if entry.body.get("actor") == house.actor(who)
    ]
    assert {"RO_ACCESS_DENIED", "refused"} & set(refused)


@pytest.mark.parametrize("who", [NO_ROLE, ELSEWHERE, ALL_ELSEWHERE])
@pytest.mark.parametrize("move", ["approve", "execute", "reject"])
def test_a_directive_that_needs_dagster_is_hidden_as_well(
    house: House, who: str, move: str
) -> None:
    """Where Dagster cannot be reached: its fault would tell that the directive is there."""
    request = admin_request(
        AdminActionType.REPLAY_REQUEST,
        reason="an audit",
        parameters={
            "manifests": [house.world.fingerprint],
            "purpose": "an audit",
            "basis": "recorded",
        },
    )
    directives = house.plane.administration.directives
    found = directives.propose(request, actor=house.actor("operator"), key="replay")
    answers = []
    for name in (found.directive_id, house.missing["directive"]):
        more = [] if move == "execute" else ["--reason", "x"]
        answer = house.ask(who, ["directive", move, name, *more, "--json"])
        assert answer.code == "RO_ACCESS_DENIED", answer
        answers.append(seen(answer, {"directive": name}))
    assert answers[0] == answers[1]


def test_a_token_is_its_holders_to_end(house: House) -> None:
    """Whatever their role, and nobody else's."""
    issued = token_for(house.plane, house.actor("reader"), actor=house.actor("admin"))
    words = ["token", "revoke", issued.token_id, "--reason", "lost", "--json"]
    assert house.ask("auditor", words).code == "RO_ACCESS_DENIED"
    assert house.ask("reader", words).exit_code == 0
    assert [one.state for one in house.plane.tokens.list() if one.token_id == issued.token_id] == [
        "revoked"
    ]


def test_a_directive_is_withdrawn_by_who_proposed_it_and_looks_at_no_other(house: House) -> None:
    """An admin who may view is told what is not there; nobody's prefix tells who has which."""
    missing = house.missing["directive"]
    assert house.ask("admin", ["directive", "execute", missing, "--json"]).code == "RO_NOT_FOUND"
    short = house.there["directive"][:7]
    answer = house.ask(NO_ROLE, ["directive", "reject", short, "--reason", "x", "--json"])
    assert answer.code == "RO_ACCESS_DENIED"
    assert house.there["directive"] not in answer.stdout + answer.stderr


def test_a_declaration_names_its_target() -> None:
    """So that a refusal says what was refused."""

    @asks(Action.VIEW, "a place")
    def command() -> None: ...

    assert command.ro_declared == Declared((Action.VIEW,), "a place")  # type: ignore[attr-defined]


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "access.md"
BEGIN, END = "<!-- commands: generated from the declarations -->\n", "<!-- end: commands -->"


def reference() -> str:
    """What the reference says each command needs."""
    rows = ["| command | needs |", "|---|---|"]
    for name in sorted(COMMANDS):
        said = declared(name)
        needs = " or ".join(f"`{action}`" for action in said.actions) or f"nothing: {said.why}"
        if len(said.actions) > 2:
            needs = "the action of what is named" + (
                ", or `automate`" if Action.AUTOMATE in said.actions else ""
            )
        own = "; of what is one's own, nothing" if said.or_own else ""
        rows.append(f"| `ro {name}` | {needs}{own} |")
    return "\n".join(rows) + "\n"


def test_the_reference_says_what_each_command_needs() -> None:
    """The table is the declarations, and nothing by hand."""
    text = PAGE.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    if os.environ.get("RO_WRITE_TABLE"):
        PAGE.write_text(text[:begin] + reference() + text[end:])
        return
    assert text[begin:end] == reference()
