"""Gates that refuse now: the guard is asked about what lately was made, failed, revoked or blocked.

At most :data:`MOST_ASKED` artifacts are asked about, so the answer costs the same however many
there are; the newest come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from ro_platform import errors
from ro_platform.contracts import (
    ArtifactBlocked,
    ArtifactBound,
    BoundRef,
    EntryKind,
    GateStatus,
    PassRevoked,
    ReceiptRecorded,
)
from ro_platform.gates.guard import GateState
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.plane import Plane
from ro_platform.web.operations import parts
from ro_platform.web.operations.html import Html, Node, el, together

MOST_ASKED = 40
_MADE, _JUDGED, _REVOKED = 30, 100, 20
_COLUMNS = ("Asset", "Run", "Artifact", "Gate", "State", "Why", "What to do")

_Body = TypeVar("_Body", PassRevoked, ArtifactBlocked, ReceiptRecorded, ArtifactBound)
Name = tuple[str, str]
"""An asset and the fingerprint of a manifest."""


@dataclass(frozen=True, slots=True)
class Refusing:
    """A gate (or what is no gate's matter, in brackets) that stands in the way of a read."""

    asset: str
    fingerprint: str
    ref: BoundRef | None
    standing: GateState

    def cells(self) -> list[Node]:
        """A row of a table."""
        refusal = self.standing.refusal
        assert refusal is not None
        return [
            parts.asset_link(self.asset, self.fingerprint),
            parts.run_link(run_id(self.fingerprint)),
            parts.short(self.ref.digest) if self.ref else None,
            parts.gate_link(self.asset, self.standing.gate_id),
            parts.word(self.standing.word),
            parts.prose(f"{refusal.code}: {refusal.message}"),
            parts.prose(refusal.next_step),
        ]


def refusing_now(plane: Plane) -> list[Refusing]:
    """What the guard refuses now, of the artifacts that were concerned lately."""
    names = list(dict.fromkeys(_concerned(plane.ledger)))[:MOST_ASKED]
    return [found for asset, print_ in names for found in refusing(plane, asset, print_)]


def refusing(plane: Plane, asset: str, fingerprint: str) -> list[Refusing]:
    """What refuses the newest artifact of an asset under a manifest."""
    return [item for item in standings(plane, asset, fingerprint) if item.standing.refusal]


def standings(plane: Plane, asset: str, fingerprint: str) -> list[Refusing]:
    """How each gate stands towards the newest artifact of an asset under a manifest. What is stored
    and cannot be read stands in the way, too."""
    try:
        ref = plane.guard.find(asset, fingerprint)
        if ref is None:
            return []
        manifest = plane.runs.manifest(fingerprint)
        found = list(plane.guard.standings(asset, manifest, fingerprint, ref))
        return [Refusing(asset, fingerprint, ref, item) for item in found]
    except errors.RunOperateError as error:
        if error.retryable:
            raise
        refusal = errors.GateRefusedError(
            f"{error.code}: {error.message}", next_step=error.next_step
        )
        return [Refusing(asset, fingerprint, None, GateState("(store)", refusal))]


def refusing_table(found: list[Refusing]) -> Html:
    """Those gates, and how far was looked."""
    caption = "Artifacts that nobody may read now, those concerned most recently first"
    rows = [item.cells() for item in found]
    empty = "No gate refuses what was made or judged lately."
    note = f"Looked at the {MOST_ASKED} artifacts that were made, failed, revoked or blocked last."
    return together(parts.table(caption, _COLUMNS, rows, empty), el("p", note, class_="note"))


def _concerned(log: LedgerReader) -> Iterator[Name]:
    """Artifacts that may be refused, those that an entry spoke of last first."""
    found = [
        *_named(log, EntryKind.PASS_REVOKED, PassRevoked, _REVOKED),
        *_named(log, EntryKind.ARTIFACT_BLOCKED, ArtifactBlocked, _REVOKED),
        *_named(log, EntryKind.GATE_RECEIPT, ReceiptRecorded, _JUDGED),
        *_named(log, EntryKind.ARTIFACT_BOUND, ArtifactBound, _MADE),
    ]
    for _, name in sorted(found, key=lambda item: item[0], reverse=True):
        yield name


def _named(
    log: LedgerReader, kind: EntryKind, body: type[_Body], most: int
) -> Iterator[tuple[int, Name]]:
    for entry in log.scan(kind=kind, newest_first=True, limit=most):
        said = body_of(entry, body)
        if not isinstance(said, ReceiptRecorded) or said.status is not GateStatus.PASS:
            yield entry.seq, (said.asset, said.manifest_fingerprint)
