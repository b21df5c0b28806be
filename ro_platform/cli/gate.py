"""``ro gate``: which gates stand before which assets, and dropping one on record."""

from __future__ import annotations

import click

from ro_platform.cli.output import fails_clearly, json_option, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.plane import shared_plane


@click.group()
def command() -> None:
    """List gates, and drop one with a reason."""


@command.command("list")
@json_option
@fails_clearly
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
@fails_clearly
def drop(gate_id: str, asset: str, reason: str, as_json: bool) -> None:
    """Record that an asset no longer has gate GATE_ID, which its code does not declare any more."""
    settings = Settings.load()
    shared_plane(settings).gates.drop(asset, gate_id, reason=reason, actor=settings.actor)
    if as_json:
        say_json({"asset": asset, "dropped": gate_id})
    else:
        out.print(f"{asset} no longer has gate {gate_id}", markup=False)
