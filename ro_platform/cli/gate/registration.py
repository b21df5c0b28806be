"""``ro gate register`` and ``ro gate export``: an engine's verdicts come in, and ours go out.

The options by which commands are told the gate law of a bundle: the same words everywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from ro_platform import errors
from ro_platform.cli.admin_authority import about
from ro_platform.cli.declared import asks_within
from ro_platform.cli.output import Cell, err, fields, json_option, out, say_error, say_json, word
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse, GateStatus, ReceiptRecorded
from ro_platform.engine_formats.laws import EngineGateVerdict
from ro_platform.engine_formats.objects import as_engine_receipt
from ro_platform.gates.guard import GateState
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.engine_bundle import SealedBundle, register_bundle
from ro_platform.runs.external import Registered
from ro_platform.runs.lookup import Located

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class BundleChoice:
    """What the command line says of a bundle and its law."""

    path: Path
    law: str
    path_base: str
    root: Path | None
    ordering: str
    without_index: bool
    flag: Path | None

    def bundle(self) -> SealedBundle:
        """The bundle that is meant. Raises :class:`InvalidInputError` for half an option."""
        if (self.path_base == "run_root") != (self.root is not None):
            raise errors.InvalidInputError(
                "--path-base run_root and --root belong together.",
                next_step="Give both, or neither.",
            )
        return SealedBundle(
            path=self.path,
            law=self.law,
            index_order=self.ordering == "index_order",
            without_index=self.without_index,
            run_root=self.root,
            flag=self.flag,
        )


_OPTIONS = (
    click.argument("path", type=click.Path(path_type=Path)),
    click.option("--law", required=True, help="The gate law, as the bundle's gate declares it."),
    click.option("--path-base", type=click.Choice(["bundle", "run_root"]), default="bundle"),
    click.option("--root", type=click.Path(path_type=Path), help="The run's root, for run_root."),
    click.option("--ordering", type=click.Choice(["path", "index_order"]), default="path"),
    click.option("--without-index", is_flag=True, help="Leave index.json out of what is hashed."),
    click.option("--flag", type=click.Path(path_type=Path), help="The flag, if not _passed.flag."),
)
_NAMES = ("path", "law", "path_base", "root", "ordering", "without_index", "flag")


def bundle_options(command: F) -> F:
    """Add PATH and the law's options; the command gets them as ``chosen``."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = BundleChoice(**{name: kwargs.pop(name) for name in _NAMES})
        return command(*args, chosen=chosen, **kwargs)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run  # type: ignore[return-value]  # what click calls takes the options by name


def fail_unless_passed(verdict: EngineGateVerdict, *, as_json: bool) -> None:
    """Exit as :class:`EngineGateFailedError` does, with its words unless a JSON document has been
    printed already."""
    try:
        verdict.require_pass()
    except errors.EngineGateFailedError as error:
        if not as_json:
            say_error(error, as_json=False)
        raise click.exceptions.Exit(error.exit_code) from None


def show_verdict(verdict: EngineGateVerdict) -> None:
    """Print a verdict for a person."""
    rows: list[list[Cell]] = [
        ["verdict", word(verdict.status)],
        ["law", " ".join([verdict.rule.law, *verdict.rule.options.chosen()])],
        ["sealed", verdict.expected_digest],
        ["computed", verdict.computed_digest or "none: a member is missing"],
        ["members", f"{verdict.members_verified} of {verdict.members_listed} verified singly"],
    ]
    if verdict.first_difference:
        rows.append(["first difference", str(verdict.first_difference)])
    if verdict.likely_cause:
        rows.append(["likely cause", verdict.likely_cause.explanation])
    rows += [["not covered", name] for name in verdict.uncovered]
    rows += [["note", remark] for remark in verdict.remarks]
    fields(rows)


@click.command()
@bundle_options
@click.option("--asset", required=True, help="The asset that the bundle is an artifact of.")
@click.option("--manifest", required=True, help="The fingerprint of a registered manifest.")
@click.option("--reason", help="Why it is brought in; it goes into the receipt's notes.")
@click.option("--new-revision", is_flag=True, help="Other bytes become the next revision.")
@json_option
@asks_within(Action.REGISTER)
def register(
    chosen: BundleChoice,
    asset: str,
    manifest: str,
    reason: str | None,
    new_revision: bool,
    as_json: bool,
) -> None:
    """Verify the bundle in folder PATH, and make it an artifact of an asset.

    What is stored is what is verified and registered. Consumers of the asset read it through the
    guard, under the gate ASSET.LAW. A bundle that does not verify leaves nothing.
    """
    plane = shared_plane(Settings.load())
    find = partial(plane.runs.manifest, manifest)
    about(plane, Action.REGISTER, f"manifest {manifest}", find, lambda _: manifest)
    actor = plane.identity.actor()
    with err.status("verifying and storing ..."):
        verdict, registered = register_bundle(
            plane.store,
            plane.external,
            chosen.bundle(),
            asset,
            manifest,
            actor=actor,
            reason=reason,
            deterministic=not new_revision,
        )
    if registered is None:
        if as_json:
            say_json({"verdict": verdict.to_json_value()})
        else:
            show_verdict(verdict)
    elif as_json:
        say_json({"verdict": verdict.to_json_value(), **_facts(registered)})
    else:
        show_verdict(verdict)
        _show(registered)
    fail_unless_passed(verdict, as_json=as_json)


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--gate", "gate_id", required=True, help="The gate whose verdict is asked for.")
@json_option
@asks_within(Action.VIEW)
def export(target: str, gate_id: str, as_json: bool) -> None:  # noqa: ARG001 - JSON either way
    """Print a gate's verdict on artifact TARGET in the engine's gate_receipt form, always JSON.

    A PASS is exported only while it stands: one that is stale, revoked or unverifiable is refused.
    """
    plane = shared_plane(Settings.load())
    find = partial(plane.lookup.find, target)
    located = about(plane, Action.VIEW, f"artifact {target}", find, _fingerprint)[0]
    receipt = as_engine_receipt(plane.receipts.read(_standing_verdict(plane, located, gate_id)))
    say_json(receipt.to_json_value())


def _fingerprint(found: list[Located]) -> str:
    return found[0].fingerprint


def _standing_verdict(plane: Plane, located: Located, gate_id: str) -> ReceiptRecorded:
    standings = {item.gate_id: item for item in plane.lookup.standings(located)}
    artifact, gate = standings.get("(artifact)"), standings.get(gate_id)
    recorded = plane.receipts.latest(gate_id, located.fingerprint, located.ref.digest)
    if gate is None:
        raise errors.NotFoundError(
            f"asset {located.asset!r} has no gate {gate_id!r} on record.",
            next_step=f"It has: {', '.join(sorted(standings)) or 'none'}.",
        )
    for refusal in _in_the_way(artifact, gate):
        raise refusal
    if recorded is None or (gate.refusal is None) != (recorded.status is GateStatus.PASS):
        raise errors.NotFoundError(
            f"gate {gate_id!r} was judged anew just now.", next_step="Ask again."
        )
    return recorded


def _in_the_way(artifact: GateState | None, gate: GateState) -> list[errors.GateRefusedError]:
    """What forbids an export: anything that a consumer would be refused for, except a FAIL, which
    is a verdict like any other."""
    found = [item.refusal for item in (artifact, gate) if item is not None and item.refusal]
    return [item for item in found if not isinstance(item, errors.GateFailedError)]


def _facts(registered: Registered) -> dict[str, Any]:
    refusal = registered.refusal
    return {
        "asset": registered.asset,
        "manifest_fingerprint": registered.fingerprint,
        "artifact": registered.artifact.to_json_value(),
        "receipts": [item.to_json_value() for item in registered.receipts],
        "registered": registered.new,
        "readable": refusal is None,
        **({"refusal": ErrorResponse.of(refusal).to_json_value()} if refusal else {}),
    }


def _show(registered: Registered) -> None:
    rows: list[list[Cell]] = [
        ["asset", registered.asset],
        ["manifest", registered.fingerprint],
        ["artifact", registered.artifact.ref],
        ["sha256", registered.artifact.digest],
    ]
    rows += [["receipt", item.receipt.ref] for item in registered.receipts]
    rows += [["readable", "yes" if registered.refusal is None else f"no: {registered.refusal}"]]
    fields(rows)
    out.print("registered" if registered.new else "was registered already")
