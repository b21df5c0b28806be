"""``ro admin status``: what stands paused, promoted and kept, what is open, and what runs."""

from __future__ import annotations

from typing import Any

import click

from ro_platform.admin.administration import Administration
from ro_platform.cli.admin_authority import say_mode
from ro_platform.cli.admin_dagster import (
    drains_of,
    orchestrator_of,
    running_facts,
    say_drain,
    say_running,
    with_orchestrator,
)
from ro_platform.cli.declared import asks
from ro_platform.cli.output import json_option, moment, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.plane import shared_plane


@click.command()
@click.option("--runs", is_flag=True, help="Also ask Dagster which runs are under way.")
@json_option
@asks(Action.VIEW, "administration")
def status(runs: bool, as_json: bool) -> None:
    """Show what is paused, open directives, channels, retention and actions without an outcome."""
    plane = shared_plane(Settings.load())
    say_mode(plane)
    administration = with_orchestrator(plane) if runs else plane.administration
    under_way = orchestrator_of(administration).running() if runs else ()
    waits = drains_of(plane, administration) if runs else ()
    if as_json:
        more = running_facts(under_way, waits) if runs else {}
        say_json({**_status_facts(administration), **more})
        return
    _say_status(administration)
    if runs:
        say_running(under_way)
    for drain in waits:
        say_drain(drain)


def _say_status(administration: Administration) -> None:
    table(
        ["paused", "how", "by", "since (UTC)", "why"],
        [
            [
                item.target,
                "draining" if item.draining else "paused",
                item.actor,
                moment(item.since),
                item.reason,
            ]
            for item in administration.pauses.standing()
        ],
        empty="Nothing is paused.",
    )
    table(
        ["channel", "sha256", "by", "since (UTC)", "why"],
        [
            [
                f"{item.name}/{item.channel}",
                item.digest,
                item.actor,
                moment(item.since),
                item.reason,
            ]
            for item in administration.channels.all()
        ],
        empty="Nothing was promoted yet.",
    )
    for name, days in administration.retentions.standing().items():
        out.print(f"retention of {name}: {days} days", markup=False)
    if due := administration.retentions.archive_due():
        out.print(f"{due:,} entries are due for the archive: `ro ledger archive`")
    waiting = len(list(administration.directives.list(only_open=True)))
    open_ = len(list(administration.service.open_intents()))
    out.print(f"open directives: {waiting}; actions without an outcome: {open_}")


def _status_facts(administration: Administration) -> dict[str, Any]:
    return {
        "single_user": administration.dependencies.access.in_force is None,
        "paused": [item.to_json_value() for item in administration.pauses.standing()],
        "channels": [item.to_json_value() for item in administration.channels.all()],
        "retention": administration.retentions.standing(),
        "archive_due": administration.retentions.archive_due(),
        "directives": [
            item.to_json_value() for item in administration.directives.list(only_open=True)
        ],
        "open_actions": [
            item.event.to_json_value() for item in administration.service.open_intents()
        ],
    }
