"""``ro manifest``: what a manifest's identity is, and putting it on record."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import Noun, asks, asks_within, public
from ro_platform.cli.output import (
    err,
    fields,
    json_option,
    out,
    plain,
    say_json,
    short,
    table,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.identity import parameter_hash, run_id
from ro_platform.plane import shared_plane
from ro_platform.runs.changes import changed_files
from ro_platform.runs.manifest import read_manifest_file

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group(cls=Noun)
def command() -> None:
    """Fingerprint, show and register manifests."""


@command.command()
@_FILE
@json_option
@public("it reads the file that it is given, and nothing of the plane")
def fingerprint(file: Path, as_json: bool) -> None:
    """Print the manifest_fingerprint of FILE: the SHA-256 of its canonical bytes."""
    found = read_manifest_file(file)
    if as_json:
        say_json(
            {
                "manifest_fingerprint": found.fingerprint,
                "parameter_hash": parameter_hash(found.manifest),
                "run_id": run_id(found.fingerprint),
            }
        )
    else:
        click.echo(found.fingerprint)


@command.command()
@_FILE
@click.option("--canonical", is_flag=True, help="The exact bytes that are hashed, nothing else.")
@json_option
@public("it reads the file that it is given, and nothing of the plane")
def show(file: Path, canonical: bool, as_json: bool) -> None:
    """Show the manifest in FILE and its identities."""
    found = read_manifest_file(file)
    if canonical:
        sys.stdout.buffer.write(canonical_bytes(found.manifest))
        return
    if as_json:
        say_json(found.manifest.to_json_value())
        return
    manifest = found.manifest
    out.print(f"[bold]{manifest.workload}[/bold] {manifest.scenario_id or ''}".rstrip())
    rows = [
        ["manifest_fingerprint", found.fingerprint],
        ["parameter_hash", parameter_hash(manifest)],
        ["run_id", run_id(found.fingerprint)],
        ["seed", "-" if manifest.seed is None else str(manifest.seed)],
        ["code", manifest.code.version or manifest.code.git_commit or "-"],
    ]
    rows += [[f"parameter {name}", plain(value)] for name, value in manifest.parameters.items()]
    rows += [[f"input {item.name}", f"sha256:{item.ref.digest}"] for item in manifest.inputs]
    rows += [
        [f"config {pin.config_name}", f"version {pin.config_version}, sha256:{pin.digest}"]
        for pin in manifest.config_versions
    ]
    fields(rows)


@command.command()
@_FILE
@json_option
@asks_within(Action.REGISTER)
def register(file: Path, as_json: bool) -> None:
    """Put the manifest in FILE on record: its bytes, its inputs, its entry, its partition."""
    settings = Settings.load()
    found = read_manifest_file(file)
    actor = acting(
        shared_plane(settings),
        Action.REGISTER,
        f"manifest {found.fingerprint}",
        workload=found.manifest.workload,
    )
    with err.status("loading the deployment ..."):
        from ro_platform.orchestration.code_location import load_definitions, workload_names
        from ro_platform.orchestration.instances import open_instance
        from ro_platform.orchestration.partitions import register_manifest

        known = workload_names(load_definitions(settings))
        plane = shared_plane(settings)
        changed = changed_files(plane.store, plane.configs, found)
        new = register_manifest(
            shared_plane(settings),
            open_instance(settings),
            found,
            workloads=known,
            actor=actor,
            publish_first_versions=True,
        )
    if as_json:
        say_json(
            {
                "manifest_fingerprint": found.fingerprint,
                "registered": new,
                "changes": {"files": [item.facts for item in changed]},
            }
        )
    else:
        for item in changed:
            out.print(f"warning: {item.words}", style="yellow", markup=False)
        out.print(f"{found.fingerprint} {'registered' if new else 'was registered already'}")


@command.command("list")
@json_option
@asks(Action.VIEW, "manifests")
def list_manifests(as_json: bool) -> None:
    """List the registered manifests, oldest first."""
    found = list(shared_plane(Settings.load()).runs.registered())
    if as_json:
        say_json([item.to_json_value() for item in found])
        return
    table(
        ["workload", "scenario", "parameters", "manifest_fingerprint"],
        [
            [
                item.workload,
                item.scenario_id or "-",
                short(item.parameter_hash),
                item.manifest_fingerprint,
            ]
            for item in found
        ],
        empty="No manifest is registered yet: `ro manifest register FILE`.",
    )
