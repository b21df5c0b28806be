"""``ro gate``: gates on record, their verdicts, withdrawing one, and an engine's bundles."""

from __future__ import annotations

import click

from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import Noun, asks, asks_within, public
from ro_platform.cli.gate.judging import diff, evidence, explain, receipts, run
from ro_platform.cli.gate.registration import (
    BundleChoice,
    bundle_options,
    export,
    fail_unless_passed,
    register,
    show_verdict,
)
from ro_platform.cli.gate.revocation import impact, revoke
from ro_platform.cli.output import json_option, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.plane import shared_plane


@click.group(cls=Noun)
def command() -> None:
    """List gates and verdicts, revoke a PASS, drop a gate, verify an engine's bundle."""


@command.command("list")
@json_option
@asks(Action.VIEW, "gates")
def list_gates(as_json: bool) -> None:
    """List the gates on record, by asset."""
    found = shared_plane(Settings.load()).gates.assets()
    if as_json:
        say_json(
            {asset: [rule.to_json_value() for rule in rules] for asset, rules in found.items()}
        )
        return
    table(
        ["asset", "gate", "code version", "configs"],
        [
            [asset, rule.gate_id, rule.code_version, ", ".join(rule.configs) or "-"]
            for asset, rules in sorted(found.items())
            for rule in rules
        ],
        empty="No gate is on record yet: they are when their assets are materialized.",
    )


@command.command()
@click.argument("gate_id")
@click.option("--asset", required=True, help="The asset that shall no longer have the gate.")
@click.option("--reason", required=True, help="Why it goes; it is recorded.")
@json_option
@asks_within(Action.DEPLOY)
def drop(gate_id: str, asset: str, reason: str, as_json: bool) -> None:
    """Record that an asset no longer has gate GATE_ID, which its code does not declare any more."""
    plane = shared_plane(Settings.load())
    actor = acting(plane, Action.DEPLOY, f"gate {gate_id} of {asset}")
    plane.gates.drop(asset, gate_id, reason=reason, actor=actor)
    if as_json:
        say_json({"asset": asset, "dropped": gate_id})
    else:
        out.print(f"{asset} no longer has gate {gate_id}", markup=False)


@command.command()
@bundle_options
@json_option
@public("it reads the bundle that it is given, and nothing of the plane")
def verify(chosen: BundleChoice, as_json: bool) -> None:
    """Recompute the sealed bundle in folder PATH: PASS, or FAIL with what differs and why.

    \b
    Laws
      sha256_bundle_digest                   every file of the bundle
      sha256_index_json_ascii_lex_raw_bytes  the files that index.json lists
      sha256_member_digest_concat            the digests that index.json lists
    """
    verdict = chosen.bundle().verdict()
    if as_json:
        say_json(verdict.to_json_value())
    else:
        show_verdict(verdict)
    fail_unless_passed(verdict, as_json=as_json)


for part in (impact, revoke, receipts, evidence, register, export, explain, diff, run):
    command.add_command(part)
