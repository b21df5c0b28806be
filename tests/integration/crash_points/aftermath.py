"""What must hold of a plane whatever has died on it, and what a crash left there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ro_platform.artifacts.addressing import digest_of_blob
from ro_platform.contracts import (
    ArtifactBound,
    BoundRef,
    EntryKind,
    GateStatus,
    JobStatus,
)
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.ledger.entry import body_of
from ro_platform.plane import Plane
from ro_platform.runs.attempt import is_open, transition_of
from ro_platform.runs.reconciliation import Phase, Reconciliation, RunFacts
from tests.integration.crash_points.publication import ACTOR

_OVER = RunFacts(Phase.ENDED, "FAILURE")


class AllRunsAreOver:
    """The orchestrator's records after a crash: whatever run is asked for has ended."""

    def facts(self, runs: Collection[str]) -> Mapping[str, RunFacts]:
        """See :class:`RunRecords`."""
        return dict.fromkeys(runs, _OVER)

    def end_run(self, run: str, words: str, *, canceled: bool) -> None:
        """See :class:`RunRecords`."""
        raise AssertionError(f"{run} is over already, and should end: {words} {canceled}")

    def release(self, run: str) -> None:
        """See :class:`RunRecords`."""


@dataclass(frozen=True)
class Said:
    """What a process said before it died: the lines of its pipe."""

    lines: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, text: bytes) -> Said:
        """The lines of that text."""
        return cls([json.loads(line) for line in text.splitlines()])

    def last(self, word: str) -> Any:
        """The last value said under that word; None if it was never said."""
        found = [line[word] for line in self.lines if word in line]
        return found[-1] if found else None


def require_acknowledged(plane: Plane, said: Said) -> None:
    """Never an acknowledged entry lost or changed, nor an artifact that a ``put`` returned."""
    for line in said.lines:
        if "seq" in line:
            entry = plane.ledger.get(line["seq"])
            assert sha256_hex(canonical_bytes(entry)) == line["entry"], line
        if "artifact" in line:
            require_whole(plane, BoundRef.model_validate(line["artifact"]))


def require_sound(plane: Plane) -> None:
    """A ledger that verifies, bytes for all that is on record, and never half an object."""
    plane.ledger.verify()
    require_recorded(plane)
    require_whole_objects(plane)


def require_recorded(plane: Plane, *, start: int = 0) -> None:
    """Never a PASS without bytes: what was recorded since ``start`` is there, byte by byte."""
    refs = {
        body_of(entry, ArtifactBound).artifact
        for entry in plane.ledger.scan(kind=EntryKind.ARTIFACT_BOUND, start=start)
    }
    for entry in plane.ledger.scan(kind=EntryKind.GATE_RECEIPT, start=start):
        receipt = plane.receipts.read(recorded_in(entry))
        assert receipt.status is GateStatus.PASS
        refs.add(receipt.subject)
    for ref in refs:
        require_whole(plane, ref)


def require_whole(plane: Plane, ref: BoundRef) -> None:
    """Every byte of it, and of its members, is what both digests say."""
    for one in (ref, *plane.store.members(ref)):
        assert sha256_hex(plane.store.read(one)) == one.digest


def require_whole_objects(plane: Plane) -> None:
    """Whatever has a name is whole, recorded or not: a blob is what its name says."""
    for name in plane.store.backend.names("blobs/"):
        with plane.store.backend.open(name) as file:
            assert sha256_hex(file.read()) == digest_of_blob(name), name
    for _, _, _, ref in plane.store.bindings():
        require_whole(plane, ref)


@contextmanager
def closing(plane: Plane) -> Iterator[Plane]:
    """The plane, and its connections closed at the end."""
    try:
        yield plane
    finally:
        plane.ledger.close()


def reconcile(plane: Plane, *, start: int = 0) -> None:
    """Reconciliation: no attempt stays open, every run that began anything since ``start`` is
    sealed, and a second pass finds nothing to do."""
    passes = Reconciliation(plane.ledger, AllRunsAreOver(), plane.clock, actor=ACTOR)
    passes.run()
    size = plane.ledger.size()
    again = passes.run()
    assert (again.ended, again.open, plane.ledger.size()) == ((), (), size)
    moves = plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION, start=start)
    for fingerprint in {transition_of(entry).manifest_fingerprint for entry in moves}:
        ended(plane, fingerprint)


def standing(plane: Plane, fingerprint: str, home: Path) -> str:
    """What a crash left of a publication, in few words. What is only in the way is removed."""
    words = [*_on_record(plane, fingerprint), *_unrecorded(plane)]
    if plane.store.sweep(plane.clock(), lease_seconds=0):
        words.append("temporary file")
    if any(home.glob(".ledger-*")):
        words.append("unfinished ledger")
    return ", ".join(words) or "nothing"


def _on_record(plane: Plane, fingerprint: str) -> list[str]:
    attempts = plane.attempts.of_run(fingerprint)
    words = [str(attempts[-1].status)] if attempts else []
    if any(plane.ledger.scan(kind=EntryKind.GATE_RECEIPT)):
        words.append("PASS")
    if plane.seals.newest(fingerprint):
        words.append("sealed")
    if not words and plane.runs.is_registered(fingerprint):
        words.append("registered")
    return words


def _unrecorded(plane: Plane) -> list[str]:
    """Objects that no entry names yet: whoever reads must go by an entry, so nobody reads them."""
    recorded, names = plane.ledger.scan, plane.store.backend.names
    words = []
    if any(names("refs/")) and not any(recorded(kind=EntryKind.ARTIFACT_BOUND)):
        words.append("binding without entry")
    if any(names("receipts/")) and not any(recorded(kind=EntryKind.GATE_RECEIPT)):
        words.append("receipt without entry")
    return words


def ended(plane: Plane, fingerprint: str) -> tuple[JobStatus, ...]:
    """How the attempts of a run ended, in order: all have, and it is sealed."""
    states = tuple(record.status for record in plane.attempts.of_run(fingerprint))
    assert not any(map(is_open, states)), states
    assert plane.seals.newest(fingerprint) is not None
    return states
