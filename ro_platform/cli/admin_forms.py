"""What each administrative action takes on the command line, to do it or to propose it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from ro_platform import errors
from ro_platform.admin.intents import admin_request, canonical_digest
from ro_platform.admin.pausing import TARGETS
from ro_platform.admin.replay import ReplayBasis
from ro_platform.cli.admin_authority import about
from ro_platform.cli.declared import asks_itself
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType, AdminRequest, JsonObject, Role
from ro_platform.kernel.documents import document_bytes, parse_document
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.lookup import Located

Values = dict[str, Any]
_DIGEST = re.compile(r"(sha256:)?([a-f0-9]{64})")


@dataclass(frozen=True)
class Form:
    """One action: its name, what it does in words, its options, and how they become parameters."""

    name: str
    action_type: AdminActionType
    words: str
    parameters: Callable[[Plane, Values], JsonObject]
    options: tuple[click.Parameter, ...] = ()
    extra: tuple[click.Parameter, ...] = field(default=())
    also: tuple[Action, ...] = ()  # what it needs instead, for some parameters


Finish = Callable[[Plane, AdminRequest, Values], None]


def commands(finish: Finish, *, with_extra: bool) -> list[click.Command]:
    """A command for each action, which builds the request and hands it to ``finish``."""
    return [_command(form, finish, with_extra=with_extra) for form in FORMS]


def request_of(plane: Plane, form: Form, values: Values) -> AdminRequest:
    """The request that the values of a command line are. Raises :class:`ContractError`."""
    parameters = form.parameters(plane, values)
    return admin_request(form.action_type, reason=values["reason"], parameters=parameters)


def _command(form: Form, finish: Finish, *, with_extra: bool) -> click.Command:
    @asks_itself(Action(form.action_type.value), *form.also)
    def run(**values: Any) -> None:
        plane = shared_plane(Settings.load())
        plane.identity.actor()  # before anything is kept that a request refers to
        finish(plane, request_of(plane, form, values), values)

    parameters = [*form.options, *(form.extra if with_extra else ()), *_common()]
    return click.Command(form.name, params=parameters, callback=run, help=form.words)


def _common() -> list[click.Parameter]:
    return [
        click.Option(["--reason"], required=True, help="Why; it is recorded."),
        click.Option(["--key"], help="Idempotency key: the same key is the same request, once."),
        click.Option(
            ["--json", "as_json"], is_flag=True, help="Print the facts as one JSON document."
        ),
    ]


def _target(_plane: Plane, values: Values) -> JsonObject:
    return {"target": values["target"]}


def _drain(_plane: Plane, values: Values) -> JsonObject:
    return {"target": values["target"], "limit_seconds": values["limit"]}


def _cancel(_plane: Plane, values: Values) -> JsonObject:
    return {"dagster_run_id": values["dagster_run_id"]}


def _replay(_plane: Plane, values: Values) -> JsonObject:
    query = {name: values[name] for name in ("workload", "scenario_id") if values[name]}
    listed = {"manifests": list(values["manifests"])} if values["manifests"] else {}
    return {**listed, **query, "purpose": values["purpose"], "basis": values["basis"]}


def _revoke(plane: Plane, values: Values) -> JsonObject:
    return {
        "gate_id": values["gate_id"],
        "ref": _locator(plane, Action.REVOKE_PASS, values["target"]),
    }


def _promote(plane: Plane, values: Values) -> JsonObject:
    name, _, channel = values["to"].partition("/")
    return {
        "name": name,
        "channel": channel,
        "ref": _locator(plane, Action.PROMOTE, values["target"]),
    }


def _erase(plane: Plane, values: Values) -> JsonObject:
    found = _DIGEST.fullmatch(values["target"])
    digest = (
        found[2] if found else _found(plane, Action.ERASE_ARTIFACT, values["target"])[0].ref.digest
    )
    return {"digest": digest, "all_bindings": values["all_bindings"]}


def _retention(_plane: Plane, values: Values) -> JsonObject:
    if (values["days"] is None) != values["no_period"]:
        raise errors.InvalidInputError("Give --days, or --no-period to end the period.")
    days = values["days"]
    return {"target": values["target"]} | ({} if days is None else {"days": days})


def _publish(plane: Plane, values: Values) -> JsonObject:
    file: Path = values["file"]
    content = parse_document(document_bytes(file), str(file)).value
    return publish_parameters(plane, values["name"], content, reason=values["reason"])


def publish_parameters(plane: Plane, name: str, content: Any, *, reason: str) -> JsonObject:
    """What publishes this content, which the store keeps from here on.

    Raises :class:`AccessDeniedError` (recorded) for who may not: they leave nothing in the store.
    """
    asked: JsonObject = {"name": name, "digest": canonical_digest(content)}
    request = admin_request(AdminActionType.PUBLISH_CONFIG, reason=reason, parameters=asked)
    plane.admin.authorised(plane.admin.normal(request), plane.identity.actor())
    plane.configs.keep(content)
    return asked


def _binding(_plane: Plane, values: Values) -> JsonObject:
    names = ("environment", "workload", "stream")
    scope = {name: values[name] for name in names if values[name]}
    return {"actor": values["actor"], "role": values["role"], "scope": scope}


def _found(plane: Plane, action: Action, target: str) -> list[Located]:
    """Where an artifact is bound, for somebody who may do that to its workload's."""
    find = partial(plane.lookup.find, target)
    return about(plane, action, f"artifact {target}", find, lambda found: found[0].fingerprint)


def _locator(plane: Plane, action: Action, target: str) -> str:
    """The one binding that a target names. Raises :class:`InvalidInputError` for several."""
    found = _found(plane, action, target)
    if len(found) > 1:
        raise errors.InvalidInputError(
            f"{target!r} is bound in {len(found)} places.",
            next_step=f"Name one: {', '.join(item.ref.ref for item in found[:3])}.",
        )
    return found[0].ref.ref


def _argument(name: str, **more: Any) -> click.Argument:
    return click.Argument([name], **more)


_PAUSED = f"A TARGET is {TARGETS}."
_ARTIFACT = "A TARGET is ASSET@FINGERPRINT, a locator (refs/...json) or a SHA-256."
_SCOPE = tuple(
    click.Option([f"--{name}"], help=f"Only in this {name}.")
    for name in ("environment", "workload", "stream")
)
_ROLE = (
    _argument("actor"),
    _argument("role", metavar="ROLE", type=click.Choice([role.value for role in Role])),
    *_SCOPE,
)
FORMS = (
    Form(
        "pause",
        AdminActionType.PAUSE,
        f"Start nothing on TARGET from here on; what runs goes on. {_PAUSED}",
        _target,
        (_argument("target"),),
    ),
    Form(
        "resume",
        AdminActionType.RESUME,
        f"End the pause of TARGET. {_PAUSED}",
        _target,
        (_argument("target"),),
    ),
    Form(
        "drain",
        AdminActionType.DRAIN,
        f"Start nothing on TARGET, and let what runs there finish. {_PAUSED}",
        _drain,
        (
            _argument("target"),
            click.Option(
                ["--limit"],
                type=click.IntRange(1, 7 * 86400),
                default=3600,
                show_default=True,
                help="Seconds after which the drain counts as overdue.",
            ),
        ),
        extra=(
            click.Option(["--wait"], is_flag=True, help="Wait until nothing runs there, or LIMIT."),
        ),
    ),
    Form(
        "cancel-run",
        AdminActionType.CANCEL_RUN,
        "End a run of Dagster that is under way.",
        _cancel,
        (_argument("dagster_run_id"),),
    ),
    Form(
        "replay",
        AdminActionType.REPLAY_REQUEST,
        "Execute runs again and prove every artifact identical, as one backfill of Dagster.",
        _replay,
        (
            click.Option(
                ["--manifest", "manifests"], multiple=True, help="A fingerprint; may be repeated."
            ),
            click.Option(["--workload"], help="Instead: every registered manifest of it."),
            click.Option(["--scenario", "scenario_id"], help="Only those of this scenario."),
            click.Option(["--purpose"], required=True, help="What the replay is for."),
            click.Option(
                ["--basis"],
                type=click.Choice([basis.value for basis in ReplayBasis]),
                default=ReplayBasis.RECORDED.value,
                show_default=True,
                help="Everything as recorded, or with code or runtime changed since.",
            ),
        ),
        extra=(click.Option(["--dry-run"], is_flag=True, help="Say what and how much; no more."),),
    ),
    Form(
        "revoke-pass",
        AdminActionType.REVOKE_PASS,
        f"Withdraw the PASS of gate GATE_ID on TARGET, and block what was made from it. "
        f"{_ARTIFACT}",
        _revoke,
        (_argument("gate_id"), _argument("target")),
    ),
    Form(
        "promote",
        AdminActionType.PROMOTE,
        f"Point a channel of the registry to TARGET, whose gates all stand as PASS. {_ARTIFACT}",
        _promote,
        (
            _argument("target"),
            click.Option(["--to"], required=True, metavar="NAME/CHANNEL", help="The channel."),
        ),
    ),
    Form(
        "erase",
        AdminActionType.ERASE_ARTIFACT,
        f"Erase the bytes of TARGET for good, and leave a tombstone. {_ARTIFACT}",
        _erase,
        (
            _argument("target"),
            click.Option(
                ["--all-bindings"], is_flag=True, help="Wherever they are bound or an input."
            ),
        ),
    ),
    Form(
        "change-retention",
        AdminActionType.CHANGE_RETENTION,
        "Say how many days TARGET must be kept, or archived within. A TARGET is artifacts, "
        "asset/KEY or archives.",
        _retention,
        (
            _argument("target"),
            click.Option(["--days"], type=click.IntRange(0, 36525), help="The period."),
            click.Option(["--no-period"], is_flag=True, help="End the period."),
        ),
    ),
    Form(
        "publish-config",
        AdminActionType.PUBLISH_CONFIG,
        "Publish the content of FILE (YAML or JSON) as the next version of config NAME.",
        _publish,
        (_argument("name"), _argument("file", type=click.Path(path_type=Path))),
        also=(Action.GRANT_ROLE,),
    ),
    Form(
        "grant-role",
        AdminActionType.GRANT_ROLE,
        "Give ACTOR a role, within a scope.",
        _binding,
        _ROLE,
    ),
    Form(
        "revoke-role",
        AdminActionType.REVOKE_ROLE,
        "Take a role from ACTOR: the one with exactly that scope.",
        _binding,
        _ROLE,
    ),
)
