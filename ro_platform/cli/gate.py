"""``ro gate``: which gates stand before which assets, dropping one, and an engine's bundles."""

from __future__ import annotations

from pathlib import Path

import click

from ro_platform.cli.output import (
    Cell,
    fails_clearly,
    fields,
    json_option,
    out,
    say_error,
    say_json,
    table,
    word,
)
from ro_platform.config.settings import Settings
from ro_platform.errors import EngineGateFailedError, InvalidInputError
from ro_platform.interop.verdict import EngineGateVerdict
from ro_platform.interop.verification import verify_bundle
from ro_platform.plane import shared_plane


@click.group()
def command() -> None:
    """List gates, drop one with a reason, verify an engine's bundle."""


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


@command.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--law", required=True, help="The gate law, as the bundle's gate declares it.")
@click.option("--path-base", type=click.Choice(["bundle", "run_root"]), default="bundle")
@click.option("--root", type=click.Path(path_type=Path), help="The run's root, for run_root.")
@click.option("--ordering", type=click.Choice(["path", "index_order"]), default="path")
@click.option("--without-index", is_flag=True, help="Leave index.json out of what is hashed.")
@click.option("--flag", type=click.Path(path_type=Path), help="The flag, if not _passed.flag.")
@json_option
@fails_clearly
def verify(
    path: Path,
    law: str,
    path_base: str,
    root: Path | None,
    ordering: str,
    without_index: bool,
    flag: Path | None,
    as_json: bool,
) -> None:
    """Recompute the sealed bundle in folder PATH: PASS, or FAIL with what differs and why.

    \b
    Laws
      sha256_bundle_digest                   every file of the bundle
      sha256_index_json_ascii_lex_raw_bytes  the files that index.json lists
      sha256_member_digest_concat            the digests that index.json lists
    """
    if (path_base == "run_root") != (root is not None):
        raise InvalidInputError(
            "--path-base run_root and --root belong together.", next_step="Give both, or neither."
        )
    verdict = verify_bundle(
        path,
        law,
        index_order=ordering == "index_order",
        without_index=without_index,
        run_root=root,
        flag=flag,
    )
    if as_json:
        say_json(verdict.to_json_value())
    else:
        _show_verdict(verdict)
    try:
        verdict.require_pass()
    except EngineGateFailedError as error:
        if not as_json:
            say_error(error, as_json=False)
        raise click.exceptions.Exit(error.exit_code) from None


def _show_verdict(verdict: EngineGateVerdict) -> None:
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
