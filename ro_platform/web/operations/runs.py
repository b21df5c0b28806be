"""One run: its attempts, its gates, its entries, and its dossier to take away.

A run's dossier as a download, for who may audit.
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from ro_platform import errors
from ro_platform.checkpoints.keys import deployment_key, has_deployment_key
from ro_platform.contracts import Action, ArtifactBound, EntryKind, LedgerEntry, RegisteredManifest
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.words import entry_words
from ro_platform.plane import Plane
from ro_platform.runs.attempt import project
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.forms import button, post_form
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import BASE, Page, section
from ro_platform.web.operations.refusing import Refusing, standings

_MOVES, _ARTIFACTS, _ENTRIES = 1000, 50, 50


def registered(plane: Plane, run: str) -> LedgerEntry:
    """The entry by which a run (32 hex) was registered. Raises :class:`NotFoundError`."""
    entry = plane.ledger.latest(EntryKind.RUN_REGISTERED, names.run_subject(run))
    if entry is None:
        raise errors.NotFoundError(
            f"no run {run[:40]!r} is registered.", next_step="`ro trace ID` finds it by other ids."
        )
    return entry


def fingerprint_of(entry: LedgerEntry) -> str:
    """The fingerprint of the manifest that an entry registered."""
    return body_of(entry, RegisteredManifest).manifest_fingerprint


def run_page(services: PageServices, context: PageContext, run: str) -> Page:
    """Everything about a run. Raises :class:`NotFoundError`."""
    entry = registered(services.plane, run)
    fingerprint = fingerprint_of(entry)
    workload = body_of(entry, RegisteredManifest).workload
    body = [
        section("Run", parts.facts(_about(services, entry, run, fingerprint)), anchor="about"),
        section("Attempts", _attempts(services.plane, run), anchor="attempts"),
        section("Gates", _gates(services, context, run, fingerprint), anchor="gates"),
        section("Dossier", _dossier(services, context, run, workload), anchor="dossier"),
        section("Entries", _entries(services, context, run), anchor="entries"),
    ]
    return Page(f"{workload}, run {run[:12]}", body)


def _about(
    services: PageServices, entry: LedgerEntry, run: str, fingerprint: str
) -> list[tuple[str, Node]]:
    body = body_of(entry, RegisteredManifest)
    seal = services.plane.seals.newest(fingerprint)
    sealed = [parts.when(seal.recorded_at_utc), f" UTC, entry {seal.seq:,}"] if seal else "not yet"
    return [
        ("Workload", body.workload),
        ("Run", parts.whole(run)),
        ("Manifest", parts.whole(fingerprint)),
        ("Registered", [parts.when(entry.recorded_at_utc), f" UTC by {entry.actor}"]),
        ("Sealed", sealed),
        (
            "In Dagster",
            parts.link("/runs", "Its runs", **{"q[0]": f"tag:dagster/partition={fingerprint}"}),
        ),
    ]


def _attempts(plane: Plane, run: str) -> Node:
    moves = plane.ledger.scan(
        run_id=run, kind=EntryKind.ATTEMPT_TRANSITION, newest_first=True, limit=_MOVES
    )
    newest = list(moves)
    records = project(reversed(newest))
    rows = [
        [
            f"{item.unit} #{item.number}",
            parts.word(item.status.value),
            parts.when(item.updated_at_utc),
            parts.dagster_link(item.correlation_ids.dagster_run_id),
            parts.error_words(item.error_code, item.error),
        ]
        for item in records
    ]
    columns = ("Work", "State", "Since (UTC)", "Dagster run", "Why")
    note = f"Only the newest {_MOVES:,} moves are shown." if len(newest) == _MOVES else None
    shown = parts.table(
        "Attempts, in the order in which they began", columns, rows, "Nothing ran yet."
    )
    return [shown, el("p", note, class_="note") if note else None]


def _gates(services: PageServices, context: PageContext, run: str, fingerprint: str) -> Html:
    plane = services.plane
    made = plane.ledger.scan(run_id=run, kind=EntryKind.ARTIFACT_BOUND, newest_first=True)
    assets = dict.fromkeys(body_of(entry, ArtifactBound).asset for entry in islice(made, _MOVES))
    newest = list(reversed(list(assets)))[:_ARTIFACTS]
    found = [item for asset in newest for item in standings(plane, asset, fingerprint)]
    may_revoke, _ = services.may(context.actor, Action.REVOKE_PASS)
    columns = ("Asset", "Artifact", "Gate", "State", "Why", *([""] if may_revoke else []))
    caption = "How each gate stands towards the newest artifact"
    rows = [[*_standing(item), *([_revoke(item)] if may_revoke else [])] for item in found]
    return parts.table(caption, columns, rows, "Nothing was made yet.")


def _revoke(item: Refusing) -> Node:
    if item.standing.refusal is not None or item.ref is None:
        return None
    gate = item.standing.gate_id
    words = ["Revoke", el("span", f" the PASS of {gate}", class_="hidden"), " …"]
    return parts.link(f"{BASE}/act/revoke-pass", words, gate_id=gate, ref=item.ref.ref)


def _standing(item: Refusing) -> list[Node]:
    refusal = item.standing.refusal
    return [
        parts.asset_link(item.asset, item.fingerprint),
        parts.short(item.ref.digest) if item.ref else None,
        parts.gate_link(item.asset, item.standing.gate_id),
        parts.word(item.standing.word),
        parts.prose(f"{refusal.code}: {refusal.message} {refusal.next_step}") if refusal else None,
    ]


def _dossier(services: PageServices, context: PageContext, run: str, workload: str) -> Node:
    access = services.plane.access
    target = access.target(f"run {run}", workload=workload)
    decision = access.decide(context.actor, Action.AUDIT, target)
    if not decision.allowed:
        words = f"{context.actor} may not audit it: {decision.why}"
        return el("p", parts.prose(words), class_="note")
    if not has_deployment_key(services.settings):
        words = "There is no signing key yet: `ro ledger key --create` makes one."
        return el("p", parts.prose(words), class_="note")
    return [
        el("p", "One file that proves the run to anybody. A run that ended is sealed for it."),
        post_form(
            context,
            f"{BASE}/runs/{run}/dossier",
            el("div", button("Download the dossier"), class_="row"),
        ),
    ]


def _entries(services: PageServices, context: PageContext, run: str) -> Node:
    found = list(
        services.plane.ledger.scan(
            run_id=run, end=parts.before_of(context.query), newest_first=True, limit=_ENTRIES
        )
    )
    rows = [
        [
            str(entry.seq),
            parts.when(entry.recorded_at_utc),
            entry.kind.value.replace("_", " "),
            entry.actor,
            parts.prose(entry_words(entry)),
        ]
        for entry in found
    ]
    columns = ("Entry", "When (UTC)", "Kind", "Who", "What")
    shown = parts.table(
        "What the ledger says of the run, newest first", columns, rows, "Nothing more."
    )
    if len(found) < _ENTRIES:
        return shown
    onward = parts.link(f"{BASE}/runs/{run}", "Older ones", before=str(found[-1].seq))
    return [shown, el("p", onward)]


def dossier_download(services: PageServices, context: PageContext, run: str) -> FileResponse:
    """The file, without the artifacts' bytes. The copy that is sent is removed after it.

    Raises :class:`NotFoundError`, :class:`AccessDeniedError` (recorded), :class:`SettingsError`
    where there is no signing key, and what the export raises, such as while an attempt is open.
    """
    plane = services.plane
    fingerprint = fingerprint_of(registered(plane, run))
    workload = plane.runs.manifest(fingerprint).workload
    target = plane.access.target(f"run {run}", workload=workload)
    try:
        plane.access.require(context.actor, Action.AUDIT, target)
    except errors.RunOperateError as error:
        context.refused(error, "dossier.download")
        raise
    key = deployment_key(services.settings)
    exporter = plane.dossiers(key)
    folder = tempfile.TemporaryDirectory(prefix="ro-dossier-")
    file = Path(folder.name) / f"{run}.dossier"
    try:
        exporter.export(fingerprint, file, actor=context.actor)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        file,
        media_type="application/octet-stream",
        filename=file.name,
        background=BackgroundTask(folder.cleanup),
    )
