"""``ro gate impact`` and ``ro gate revoke``: what was made from an artifact, and stopping it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from ro_platform import errors
from ro_platform.admin.intents import admin_request
from ro_platform.cli.declared import asks_within
from ro_platform.cli.gate.judging import one_artifact_for, target_argument
from ro_platform.cli.gate.picture import picture
from ro_platform.cli.output import err, json_option, moment, out, say_json, short, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType
from ro_platform.gates.impact import Impact, ImpactedArtifact
from ro_platform.gates.revocation import Revoked
from ro_platform.plane import shared_plane

_PATIENCE_SECONDS = 2.0
_SHOWN = 50


@click.command()
@target_argument
@click.option("--svg", type=click.Path(path_type=Path), help="Also draw it, into this new file.")
@click.option("--all", "everything", is_flag=True, help=f"List all, not only {_SHOWN}.")
@json_option
@asks_within(Action.VIEW)
def impact(target: str, svg: Path | None, everything: bool, as_json: bool) -> None:
    """List every artifact that was made from TARGET, directly or through others. Changes nothing.

    A TARGET is ASSET@FINGERPRINT, a locator (refs/...json) or a SHA-256.
    """
    plane = shared_plane(Settings.load())
    ref = one_artifact_for(plane, Action.VIEW, target)
    with _late_progress() as progress:
        found = plane.revocations.impact(ref, progress)
    if svg:
        _write(svg, picture(found))
    if as_json:
        say_json({**_facts(found), "picture": str(svg) if svg else None})
        return
    _show(found, limit=None if everything else _SHOWN)
    out.print(f"made from it: {_summary(found)}", markup=False)
    if svg:
        out.print(f"drawn: {svg}", markup=False)


@click.command()
@click.argument("gate_id")
@target_argument
@click.option("--reason", required=True, help="Why the PASS is withdrawn; it is recorded.")
@json_option
@asks_within(Action.REVOKE_PASS)
def revoke(gate_id: str, target: str, reason: str, as_json: bool) -> None:
    """Withdraw the PASS of gate GATE_ID on TARGET, and block everything that was made from it.

    What is blocked can be read again when it was made again from inputs that stand. Look first:
    `ro gate impact TARGET`.
    """
    plane = shared_plane(Settings.load())
    ref = one_artifact_for(plane, Action.REVOKE_PASS, target)
    request = admin_request(
        AdminActionType.REVOKE_PASS,
        reason=reason,
        parameters={"gate_id": gate_id, "ref": ref.ref},
    )
    with _late_progress() as progress:
        radius = plane.revocations.impact(ref, progress)
    key = plane.admin.key_for(request)
    new = plane.admin.perform(request, actor=plane.identity.actor(), key=key).new
    revoked = plane.revocations.revoked(gate_id, ref)
    if as_json:
        say_json(_revoked_facts(revoked, radius if new else None))
        return
    if not new:
        out.print(
            f"{gate_id} was revoked already: by {revoked.entry.actor} at "
            f"{moment(revoked.entry.recorded_at_utc)} ({revoked.body.reason})",
            markup=False,
        )
        return
    out.print(f"revoked: the PASS of {gate_id} on sha256:{ref.digest}", markup=False)
    _show(radius, limit=_SHOWN)
    out.print(f"blocked: {_summary(radius)}", markup=False)


def _show(found: Impact, *, limit: int | None) -> None:
    shown = found.artifacts[:limit]
    table(
        ["depth", "asset", "manifest", "sha256", "run", "Dagster run", "bundle"],
        [_row(item) for item in shown],
        empty="No artifact was made from it.",
    )
    if more := len(found.artifacts) - len(shown):
        out.print(f"... and {more:,} more: `ro gate impact --all`, or --json", markup=False)


def _row(item: ImpactedArtifact) -> list[str]:
    return [
        str(item.depth),
        item.asset,
        short(item.fingerprint),
        short(item.digest),
        short(item.run_id) or "-",
        (item.dagster_run_id or "-")[:8],
        "bundle" if item.bundle else "-",
    ]


def _summary(found: Impact) -> str:
    """The size of a radius in one line."""
    if not found.artifacts:
        return "nothing"
    counts = (
        (len(found.artifacts), "artifact"),
        (len({item.asset for item in found.artifacts}), "asset"),
        (len(found.runs), "run"),
        (len(found.dagster_runs), "Dagster run"),
        (len(found.bundles), "bundle"),
    )
    return ", ".join(f"{count:,} {name}{'s' * (count != 1)}" for count, name in counts)


def _facts(found: Impact) -> dict[str, Any]:
    origin = found.origin
    return {
        "origin": {
            "asset": origin.asset,
            "manifest_fingerprint": origin.fingerprint,
            "digest": origin.digest,
            "refs": list(origin.refs),
        },
        "artifacts": [
            {
                "depth": item.depth,
                "asset": item.asset,
                "manifest_fingerprint": item.fingerprint,
                "ref": item.ref,
                "digest": item.digest,
                "because": list(item.because),
                "bundle": item.bundle,
                "run_id": item.run_id,
                "dagster_run_id": item.dagster_run_id,
                "made_seq": item.made_seq,
            }
            for item in found.artifacts
        ],
        "runs": list(found.runs),
        "dagster_runs": list(found.dagster_runs),
        "bundles": [item.ref for item in found.bundles],
        "edges": [
            {"from": used, "to": made, "artifacts": count}
            for (used, made), count in found.edges.items()
        ],
    }


def _revoked_facts(revoked: Revoked, radius: Impact | None) -> dict[str, Any]:
    """What is on record, and the radius if this call recorded it."""
    return {
        "new": radius is not None,
        "seq": revoked.entry.seq,
        "actor": revoked.entry.actor,
        "recorded_at_utc": revoked.entry.recorded_at_utc,
        "revocation": revoked.body.to_json_value(),
        "blocked": _facts(radius)["artifacts"] if radius else None,
    }


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise errors.InvalidInputError(
            f"The picture cannot be written to {path}: {error.strerror}.",
            next_step="Name a file that does not exist yet, in a folder that can be written.",
        ) from None


@contextmanager
def _late_progress() -> Iterator[Callable[[int], None]]:
    """A count of the makings read, shown only to those who have waited for two seconds."""
    columns = TextColumn("{task.description} {task.completed:,}"), TimeElapsedColumn()
    progress = Progress(*columns, console=err, transient=True)
    task = progress.add_task("makings read:", total=None)
    timer = threading.Timer(_PATIENCE_SECONDS, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda count: progress.update(task, completed=count)
    finally:
        timer.cancel()
        timer.join()
        if progress.live.is_started:
            progress.stop()
