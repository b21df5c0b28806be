"""``ro ledger archive``: complete segments of the ledger, copied to the store and verifiable."""

from __future__ import annotations

from typing import Any

import click
from rich.progress import Progress

from ro_platform.cli.admin_authority import acting
from ro_platform.cli.declared import asks_within
from ro_platform.cli.output import (
    err,
    json_option,
    out,
    say_json,
    short,
    size,
    table,
)
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, ErrorResponse
from ro_platform.errors import IntegrityError, InvalidInputError
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.archive import SEGMENT_SIZE, CheckedSegment, Segment


@click.command()
@click.option("--upto", type=click.IntRange(min=0), help="Only entries before this SEQ.")
@click.option(
    "--segment-size",
    "count",
    type=click.IntRange(min=1),
    default=SEGMENT_SIZE,
    show_default=True,
    help="Entries in a segment: a power of two.",
)
@click.option("--verify", "verifying", is_flag=True, help="Read all copies back and check them.")
@json_option
@asks_within(Action.AUTOMATE)
def archive(upto: int | None, count: int, verifying: bool, as_json: bool) -> None:
    """Copy complete segments of the ledger to the artifact store, each verifiable by itself.

    Archiving copies: no entry is taken out of the ledger. The last entries, fewer than a segment,
    wait for the next time.
    """
    plane = shared_plane(Settings.load())
    if verifying:
        if upto is not None:
            raise InvalidInputError("--verify checks every copy; leave out --upto.")
        _say_checked(list(plane.archive.verify()), as_json=as_json)
        return
    actor = acting(plane, Action.AUTOMATE, "the ledger's archive")
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("archiving", total=None)
        found = list(
            plane.archive.archive(
                actor=actor,
                upto=upto,
                count=count,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    _say_archived(plane, found, as_json=as_json)


def _say_archived(plane: Plane, found: list[Segment], *, as_json: bool) -> None:
    end = found[-1].end if found else 0
    waiting = plane.ledger.size() - end
    if as_json:
        say_json({"segments": [_facts(item) for item in found], "not_archived": waiting})
        return
    table(
        ["entries", "root", "sha256", "size", "archived"],
        [_row(item, "now" if item.new else f"entry {item.entry.seq}") for item in found],
        empty="No segment is complete yet.",
    )
    out.print(f"{waiting:,} entries after that are in the ledger only", markup=False)


def _say_checked(checked: list[CheckedSegment], *, as_json: bool) -> None:
    bad = [item.error for item in checked if item.error]
    if as_json:
        say_json({"segments": [_checked_facts(item) for item in checked]})
    else:
        table(
            ["entries", "root", "sha256", "size", "copy"],
            [_row(item.segment, str(item.error or "verified")) for item in checked],
            empty="No segment is archived yet.",
        )
    if bad:
        error = IntegrityError(f"{len(bad)} of {len(checked)} archived segments do not verify.")
        err.print(f"{error.code} {error.message}", markup=False)
        raise click.exceptions.Exit(error.exit_code)


def _row(segment: Segment, last: str) -> list[str]:
    body = segment.body
    return [
        f"{body.first}-{segment.end - 1}",
        short(body.root),
        short(body.segment.digest),
        size(body.segment.size_bytes),
        last,
    ]


def _facts(segment: Segment) -> dict[str, Any]:
    entry = segment.entry
    return {"seq": entry.seq, "new": segment.new, "archived": segment.body.to_json_value()}


def _checked_facts(item: CheckedSegment) -> dict[str, Any]:
    error = ErrorResponse.of(item.error).to_json_value() if item.error else None
    return {**_facts(item.segment), "verified": error is None, "error": error}
