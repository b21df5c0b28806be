"""``ro access``: the access policy, and why somebody may do something or not.

The policy that ``ro access init`` writes: a start that passes its check.

What ``ro access explain`` says: a decision, where it comes from, and who else is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from ro_platform import errors
from ro_platform.access.check import findings
from ro_platform.access.policy import Explanation, PolicyInForce, Target, explain, said
from ro_platform.cli.declared import Noun, asks, asks_within, public
from ro_platform.cli.output import fields, json_option, out, say_json, short, table
from ro_platform.config.policies import policy_of
from ro_platform.config.settings import Settings
from ro_platform.contracts import AccessPolicy, Action, Role, RoleBinding
from ro_platform.contracts.base import Actor, contract_error
from ro_platform.kernel.documents import document_bytes, parse_document
from ro_platform.ledger import names
from ro_platform.plane import Plane, shared_plane

_HEAD = """\
# Who may do what. What each role may do: docs/reference/access.md.
# A binding may be narrowed, for example:  scope: {environment: production, workload: purchases}
# Check it with `ro access check FILE`, publish it with `ro access publish FILE --reason ...`.
kind: ro.access_policy.v0
bindings:
"""

_TAIL = """\
# Actions that need a second person, beyond those that always do, such as cancel_run.
four_eyes: []
"""


def starter_policy(admin: str, approver: str, daemon: str) -> AccessPolicy:
    """Everything daily for the admin, a second person who approves, and Dagster's daemon."""
    daily = (Role.ADMIN, Role.OPERATOR, Role.DEPLOYER, Role.SECRET_ADMIN, Role.STREAM_ADMIN)
    bindings = (
        *(RoleBinding(actor=admin, role=role) for role in daily),
        RoleBinding(actor=approver, role=Role.APPROVER),
        RoleBinding(actor=approver, role=Role.READER),
        RoleBinding(actor=daemon, role=Role.OPERATOR),
    )
    return AccessPolicy(kind="ro.access_policy.v0", bindings=bindings)


def write_starter(path: Path, policy: AccessPolicy) -> None:
    """Write a policy as a YAML file to be edited. Raises :class:`InvalidInputError` where a file is
    already, or none can be written."""
    lines = [f'  - {{actor: "{one.actor}", role: {one.role}}}\n' for one in policy.bindings]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_HEAD + "".join(lines) + _TAIL)
    except OSError as error:
        raise errors.InvalidInputError(
            f"{path} cannot be written: {error.strerror or error}.",
            next_step="Name another file; none is overwritten.",
        ) from None


def say_explanation(found: Explanation) -> None:
    """Print it for a person: the answer first, then each role that was looked at."""
    decision = found.decision
    answer = Text("yes", style="green") if decision.allowed else Text("no", style="red")
    fields(
        [
            ("may", Text.assemble(answer, f": {decision.why}")),
            ("actor", decision.actor),
            ("action", decision.action.value),
            ("target", f"{decision.target.name} ({scope_words(_place(decision.target))})"),
            ("policy", _version(found)),
        ]
    )
    for one in found.considered:
        out.print(f"  {'+' if one.allows else '-'} {one.why}", markup=False)
    if decision.needs_second:
        out.print(f"needs a second person: {', '.join(found.approvers) or 'there is none'}")


def _version(found: Explanation) -> str:
    if found.version is None:
        return "none: single-user mode"
    return f"version {found.version}, sha256:{short(found.decision.policy_digest)}"


def explanation_facts(found: Explanation) -> dict[str, Any]:
    """The same as a JSON object."""
    decision = found.decision
    return {
        "actor": decision.actor,
        "action": decision.action.value,
        "target": {"name": decision.target.name, **_place(decision.target)},
        "allowed": decision.allowed,
        "why": decision.why,
        "by": decision.by.to_json_value() if decision.by else None,
        "policy": {"version": found.version, "digest": decision.policy_digest},
        "needs_second": decision.needs_second,
        "approvers": list(found.approvers),
        "considered": [
            {"binding": one.binding.to_json_value(), "allows": one.allows, "why": one.why}
            for one in found.considered
        ],
    }


def _place(target: Target) -> dict[str, str]:
    said_of = {
        "environment": target.environment,
        "workload": target.workload,
        "stream": target.stream,
    }
    return {key: value for key, value in said_of.items() if value is not None}


def scope_words(fields_of: Mapping[str, str]) -> str:
    """A scope in words."""
    return ", ".join(f"{key} {value}" for key, value in fields_of.items()) or "everywhere"


_FILE = click.Path(path_type=Path)
_ACTOR: TypeAdapter[str] = TypeAdapter(Actor)


@click.group(cls=Noun)
def command() -> None:
    """Write, check, publish and show the access policy; explain what it decides."""


@command.command()
@click.argument("file", type=_FILE, default="access-policy.yaml")
@click.option(
    "--approver",
    metavar="ACTOR",
    required=True,
    help="The second person, who approves what needs one: HUMAN::id.",
)
@click.option(
    "--daemon",
    metavar="ACTOR",
    default="SYSTEM::daemon",
    show_default=True,
    help="As whom Dagster's daemon acts.",
)
@json_option
@public("it writes a file to begin with, and reads nothing of the plane")
def init(file: Path, approver: str, daemon: str, as_json: bool) -> None:
    """Write a first policy to FILE (access-policy.yaml), to be edited: you as admin, and others.

    Nothing is published. An existing file is left alone.

    \b
    ro access init --approver HUMAN::ben
    """
    settings = Settings.load()
    try:
        policy = starter_policy(settings.actor, approver, daemon)
    except ValidationError as error:
        raise contract_error(error, kind="RoleBinding", where="access init") from None
    if found := findings(policy, environment=settings.environment):
        raise errors.InvalidInputError(
            f"That would be no policy: {found[0].words}", next_step="Name a second person."
        )
    write_starter(file, policy)
    if as_json:
        say_json({"file": str(file), "policy": policy.to_json_value()})
        return
    out.print(f"written: {file}", markup=False)
    out.print("Edit it, then: `ro access check FILE`, `ro access publish FILE --reason ...`.")


@command.command()
@click.argument("file", type=_FILE)
@click.option("--reason", required=True, help="Why; it is recorded.")
@json_option
@asks_within(Action.GRANT_ROLE)
def publish(file: Path, reason: str, as_json: bool) -> None:
    """Publish the first policy from FILE (YAML or JSON). It ends the single-user mode, for good.

    A policy that fails `ro access check` is refused, and so is one none of whose admins has a token
    yet: nobody could act any more. Later changes are directives, which a second person approves.

    \b
    ro token issue --for HUMAN::ann --reason "The first admin"
    ro access publish access-policy.yaml --reason "We are two now"
    """
    plane = shared_plane(Settings.load())
    policy = _policy_in(file)
    found = plane.policies.publish_first(policy, reason=reason, actor=plane.identity.actor())
    if as_json:
        say_json(_facts(found))
        return
    out.print(f"access-policy version {found.version}, sha256:{found.digest}, is in force")


@command.command()
@json_option
@asks(Action.VIEW, "access-policy")
def show(as_json: bool) -> None:
    """Show the policy in force: its version, its digest, and who has which role where."""
    plane = shared_plane(Settings.load())
    found = plane.access.in_force
    if as_json:
        say_json(_facts(found) if found else {"single_user": plane.access.single_user})
        return
    if found is None:
        out.print(_single_user(plane), markup=False)
        return
    out.print(f"access-policy version {found.version}, sha256:{found.digest}")
    table(
        ["actor", "role", "scope"],
        [
            [one.actor, one.role.value, scope_words(one.scope.to_json_value())]
            for one in _sorted(found)
        ],
        empty="",
    )
    if found.policy.four_eyes:
        out.print(f"also need a second person: {', '.join(found.policy.four_eyes)}")


@command.command()
@click.argument("file", type=_FILE, required=False)
@json_option
@public("it reads the file that it is given; for the policy in force it asks for view")
def check(file: Path | None, as_json: bool) -> None:
    """Check the policy in FILE, or the one in force: exit 3 and every finding, or nothing found.

    It fails if somebody could both propose and approve, if nobody else could approve what somebody
    may propose, if nobody could change the policy, if a service could approve, if two names differ
    in upper and lower case alone, or if something is said twice.
    """
    settings = Settings.load()
    policy = _policy_in(file) if file else _policy_in_force(shared_plane(settings))
    found = findings(policy, environment=settings.environment)
    if as_json:
        said_so = [{"code": one.code, "words": one.words, "actor": one.actor} for one in found]
        say_json({"findings": said_so})
    else:
        for one in found:
            out.print(Text.assemble((one.code, "red"), "  ", one.words))
        if not found:
            out.print("[green]sound[/green]: nobody can act alone, and somebody can act.")
    if found:
        raise click.exceptions.Exit(errors.InvalidInputError.exit_code)


@command.command("explain")
@click.argument("actor")
@click.argument("action", type=click.Choice([action.value for action in Action]), metavar="ACTION")
@click.argument("target")
@click.option("--workload", help="Of which workload the target is.")
@click.option("--stream", help="Of which stream the target is.")
@json_option
@public("about oneself anybody may ask; about others it asks for view")
def explain_command(
    actor: str, action: str, target: str, workload: str | None, stream: str | None, as_json: bool
) -> None:
    """Say whether ACTOR may do ACTION on TARGET, why, and what the policy in force says.

    TARGET is plane, workload/NAME, stream/NAME, or another name, with --workload or --stream where
    it is part of one. The exit code is 0 for yes and 11 for no.

    \b
    ro access explain HUMAN::cleo launch workload/purchases
    ro access explain HUMAN::cleo cancel_run a-run --workload purchases
    """
    actor = _actor(actor)
    plane = shared_plane(Settings.load())
    if plane.access.in_force is not None and plane.identity.actor() != actor:
        plane.identity.require(Action.VIEW, plane.access.target("access-policy"))
    place = _target(plane, target, workload, stream)
    found = explain(plane.access, actor, Action(action), place)
    if as_json:
        say_json(explanation_facts(found))
    else:
        say_explanation(found)
    if not found.decision.allowed:
        raise click.exceptions.Exit(errors.AccessDeniedError.exit_code)


def _actor(text: str) -> str:
    try:
        return _ACTOR.validate_python(text, strict=True)
    except ValidationError:
        raise errors.InvalidInputError(
            f"{text[:80]!r} is no actor.",
            next_step="Name one as HUMAN::id or SYSTEM::service; the policy tells upper from lower "
            "case.",
        ) from None


def _policy_in(file: Path) -> AccessPolicy:
    return policy_of(parse_document(document_bytes(file), str(file)).value, where=str(file))


def _policy_in_force(plane: Plane) -> AccessPolicy:
    found = plane.access.in_force
    if found is None:
        raise errors.NotFoundError(
            "No access policy was ever published.",
            next_step="Name a FILE, or write one: `ro access init`.",
        )
    plane.identity.require(Action.VIEW, plane.access.target("access-policy"))
    return found.policy


def _target(plane: Plane, text: str, workload: str | None, stream: str | None) -> Target:
    named, streamed = names.workload_target.parse(text), names.stream_target.parse(text)
    workload = workload or (named[0] if named else None)
    stream = stream or (streamed[0] if streamed else None)
    return plane.access.target(text, workload=workload, stream=stream)


def _sorted(found: PolicyInForce) -> list[Any]:
    return sorted(found.policy.bindings, key=lambda one: (one.actor, said(one)))


def _facts(found: PolicyInForce) -> dict[str, Any]:
    return {
        "version": found.version,
        "digest": found.digest,
        "policy": found.policy.to_json_value(),
    }


def _single_user(plane: Plane) -> str:
    return (
        f"No access policy was ever published: single-user mode. {plane.access.single_user} alone "
        "may act, and may do anything. Write a policy with `ro access init`."
    )
