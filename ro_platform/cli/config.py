"""``ro config``: publish a version with a reason, and see which there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ro_platform.admin.intents import admin_request
from ro_platform.cli.admin_forms import publish_parameters
from ro_platform.cli.declared import Noun, asks, asks_within
from ro_platform.cli.output import json_option, moment, out, say_json, short, table
from ro_platform.config.settings import Settings
from ro_platform.config.versions import PublishedConfig
from ro_platform.contracts import Action, AdminActionType
from ro_platform.kernel.documents import document_bytes, parse_document
from ro_platform.plane import shared_plane


@click.group(cls=Noun)
def command() -> None:
    """Publish and show versioned configs."""


@command.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why this version exists; it is recorded.")
@json_option
@asks_within(Action.PUBLISH_CONFIG, Action.GRANT_ROLE)
def publish(name: str, file: Path, reason: str, as_json: bool) -> None:
    """Publish the content of FILE (YAML or JSON) as the next version of config NAME.

    Content equal to the newest version's is that version: nothing is recorded.
    """
    content = parse_document(document_bytes(file), str(file)).value
    plane = shared_plane(Settings.load())
    actor = plane.identity.actor()
    request = admin_request(
        AdminActionType.PUBLISH_CONFIG,
        reason=reason,
        parameters=publish_parameters(plane, name, content, reason=reason),
    )
    new = plane.admin.perform(request, actor=actor, key=plane.admin.key_for(request)).new
    published = plane.configs.find(name)
    if as_json:
        say_json({**_facts(published), "published": new})
        return
    version = published.version
    verb = "published" if new else "has that content already:"
    out.print(f"{name} {verb} version {version.config_version}, sha256:{version.digest}")


@command.command("list")
@click.argument("name", required=False)
@json_option
@asks(Action.VIEW, "configs")
def list_configs(name: str | None, as_json: bool) -> None:
    """List all versions, or those of config NAME, oldest first."""
    found = list(shared_plane(Settings.load()).configs.list(name))
    if as_json:
        say_json([_facts(item) for item in found])
        return
    table(
        ["config", "version", "digest", "published", "by", "reason"],
        [
            [
                item.version.config_name,
                str(item.version.config_version),
                short(item.version.digest),
                moment(item.published_at_utc),
                item.actor,
                item.reason,
            ]
            for item in found
        ],
        empty="No config is published yet: `ro config publish NAME FILE --reason ...`.",
    )


@command.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Which version; by default the newest.")
@json_option
@asks(Action.VIEW, "configs")
def show(name: str, version: int | None, as_json: bool) -> None:
    """Show a version of config NAME: its content, and what a manifest pins."""
    configs = shared_plane(Settings.load()).configs
    published = configs.find(name, version)
    content = configs.read(published.version)
    if as_json:
        say_json({**_facts(published), "content": content})
        return
    pin = published.version
    out.print(f"[bold]{name}[/bold] version {pin.config_version}, by {published.actor}")
    out.print(f"{published.published_at_utc}: {published.reason}", markup=False)
    out.print(f"digest: {pin.digest}")
    out.print_json(data=content)


def _facts(published: PublishedConfig) -> dict[str, Any]:
    return {
        **published.version.to_json_value(),
        "reason": published.reason,
        "actor": published.actor,
        "published_at_utc": published.published_at_utc,
    }
