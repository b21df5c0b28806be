"""A run's records in a dossier: whole, linked, and nothing in them that does not belong.

Pure: entries in, facts out, :class:`DossierRefusedError` where they contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ro_platform.contracts import (
    AdminActionType,
    AttemptTransition,
    ConfigPublished,
    Contract,
    EntryKind,
    JobAttemptRecord,
    JobStatus,
    LedgerEntry,
    PinnedConfigRef,
    RegisteredManifest,
    RunManifest,
    RunReopened,
    RunSealed,
)
from ro_platform.dossier.container import refusing, require
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.identity import admin_event_id, attempt_id, job_id, parameter_hash
from ro_platform.kernel.merkle import fold, leaf_hash
from ro_platform.ledger import names
from ro_platform.runs.attempt import check_move, is_open, project

C = TypeVar("C", bound=Contract)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a dossier: as it reads, and its canonical bytes."""

    entry: LedgerEntry
    data: bytes

    @property
    def seq(self) -> int:
        """Its place in the log."""
        return self.entry.seq

    @property
    def leaf(self) -> bytes:
        """Its leaf hash."""
        return leaf_hash(self.data)

    def said(self, contract: type[C]) -> C:
        """Its body as that contract. Raises :class:`DossierRefusedError`."""
        with refusing(f"entry {self.seq}"):
            return contract.from_json(canonical_bytes(self.entry.body), where=self.entry.kind)


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """One record: its entries in order, and the seal on them."""

    lines: tuple[Line, ...]
    seal_line: Line
    seal: RunSealed


def split(lines: Iterable[Line], run: str) -> tuple[list[Line], list[Line]]:
    """The entries of the run's records, and those that only touch it or explain it."""
    own, context = [], []
    for line in lines:
        ids = line.entry.correlation_ids
        if ids.run_id == run:
            own.append(line)
        else:
            require(ids.run_id is None, f"entry {line.seq} belongs to another run, {ids.run_id}")
            context.append(line)
    return own, context


def sealed_records(
    own: Sequence[Line], context: Sequence[Line], run: str, fingerprint: str
) -> list[SealedRecord]:
    """The records, each checked against its seal and linked to the one before; and what touched
    the run, against each seal that came after it."""
    touching = [
        line for line in context if names.touched_mention(run) in (line.entry.mentions or ())
    ]
    records: list[SealedRecord] = []
    begun: list[Line] = []
    for line in own:
        kind = line.entry.kind
        if kind is EntryKind.RUN_SEALED:
            records.append(_closed(begun, line, records, run, fingerprint))
            _require_touches(records[-1], touching)
            begun = []
            continue
        opens = bool(records) and not begun
        require(
            (kind is EntryKind.RUN_REOPENED) == opens,
            f"entry {line.seq} follows a seal and reopens nothing"
            if opens
            else f"entry {line.seq} reopens a run that is open",
        )
        if opens:
            _linked(line, records[-1], run, fingerprint)
        begun.append(line)
    require(bool(records), "it has no seal")
    require(not begun, f"the entries from {begun[0].seq if begun else 0} on are not sealed")
    return records


def _closed(
    begun: list[Line], line: Line, before: list[SealedRecord], run: str, fingerprint: str
) -> SealedRecord:
    seal = line.said(RunSealed)
    where = f"the seal in entry {line.seq}"
    require(bool(begun), f"{where} is on nothing")
    require(line.entry.subject == names.run_subject(run), f"{where} is about {line.entry.subject}")
    require((seal.run_id, seal.manifest_fingerprint) == (run, fingerprint), f"{where} names a run")
    require(seal.record == len(before) + 1, f"{where} is of record {seal.record}")
    previous = before[-1].seal_line.seq if before else None
    require(seal.previous == previous, f"{where} follows the seal {seal.previous}")
    require(
        seal.count == len(begun),
        f"{where} is on {seal.count} entries, {len(begun)} are here: the record is not complete",
    )
    require(seal.first == begun[0].seq, f"{where} begins with entry {seal.first}")
    found = fold([item.leaf for item in begun]).hex()
    require(seal.root == found, f"{where} has another root than the entries before it")
    return SealedRecord(tuple(begun), line, seal)


def _require_touches(record: SealedRecord, touching: Sequence[Line]) -> None:
    where = f"the seal in entry {record.seal_line.seq}"
    before = [line.leaf for line in touching if line.seq < record.seal_line.seq]
    require(
        record.seal.touched == len(before),
        f"{where} covers {record.seal.touched} entries that touched the run, {len(before)} are "
        "here: what touched it is not complete",
    )
    found = fold(before).hex()
    require(record.seal.touched_root == found, f"{where} covers other entries that touched the run")


def _linked(line: Line, last: SealedRecord, run: str, fingerprint: str) -> None:
    body = line.said(RunReopened)
    link = (body.run_id, body.manifest_fingerprint, body.record, body.sealed)
    require(
        link == (run, fingerprint, last.seal.record + 1, last.seal_line.seq),
        f"the reopening in entry {line.seq} does not link to the seal in {last.seal_line.seq}",
    )


def require_registered(own: Sequence[Line], manifest: RunManifest, fingerprint: str) -> None:
    """That the records register exactly this manifest, once."""
    found = [line for line in own if line.entry.kind is EntryKind.RUN_REGISTERED]
    require(len(found) == 1, f"the run is registered {len(found)} times")
    body = found[0].said(RegisteredManifest)
    require(
        (body.manifest_fingerprint, body.workload, body.parameter_hash)
        == (fingerprint, manifest.workload, parameter_hash(manifest)),
        f"entry {found[0].seq} registers another manifest",
    )


@dataclass(slots=True)
class Attempts:
    """The attempts of a run, taken entry by entry: their moves exist, none is missing."""

    run: str
    fingerprint: str
    status: dict[str, JobStatus] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _lines: list[LedgerEntry] = field(default_factory=list)

    def take(self, line: Line) -> None:
        """One transition."""
        move, where = line.said(AttemptTransition), f"entry {line.seq}"
        job = job_id(self.run, move.unit)
        identity = (job, attempt_id(job, move.number), self.fingerprint)
        require(
            (move.job_id, move.attempt_id, move.manifest_fingerprint) == identity,
            f"{where} names an attempt that is not the one it is about",
        )
        with refusing(where):
            check_move(self.status.get(move.attempt_id), move.status)
        if move.attempt_id not in self.status:
            expected = self._numbers.get(job, 0) + 1
            require(move.number == expected, f"attempt {expected} of {move.unit} is missing")
            self._numbers[job] = expected
        self.status[move.attempt_id] = move.status
        self._lines.append(line.entry)

    def ended(self) -> list[JobAttemptRecord]:
        """All of them, in the order in which they began; refused while one is open."""
        for attempt, status in self.status.items():
            require(not is_open(status), f"attempt {attempt} did not end: it is {status}")
        return project(self._lines)


def require_related(
    context: Sequence[Line], run: str, manifest: RunManifest, assets: set[str]
) -> None:
    """That each entry outside the records touches the run, or explains what does: the publication
    of a config it pins, the gate set of an asset it bound, the decision behind a block. And that no
    config's publication is missing."""
    pins = {
        names.config_version_name(pin.config_name, pin.config_version): pin
        for pin in manifest.config_versions
    }
    events = {admin_event_id(AdminActionType.PUBLISH_CONFIG.value, name) for name in pins}
    touched = names.touched_mention(run)
    for line in context:
        if touched in (line.entry.mentions or ()) and "admin_event_id" in line.entry.body:
            events.add(str(line.entry.body["admin_event_id"]))
    published = set[str]()
    for line in context:
        entry, body = line.entry, line.entry.body
        if touched in (entry.mentions or ()):
            continue
        match entry.kind:
            case EntryKind.CONFIG_PUBLISHED:
                published.add(_published(line, pins))
            case EntryKind.GATE_SET_DECLARED:
                require(body.get("asset") in assets, _foreign(line))
            case EntryKind.ADMIN_EVENT | EntryKind.PASS_REVOKED:
                require(body.get("admin_event_id") in events, _foreign(line))
            case _:
                require(False, _foreign(line))
    missing = sorted(pins.keys() - published)
    require(not missing, f"the publication of {missing[:1]} is missing")


def _published(line: Line, pins: dict[str, PinnedConfigRef]) -> str:
    version = line.said(ConfigPublished).version
    name = names.config_version_name(version.config_name, version.config_version)
    require(name in pins and pins[name].digest == version.digest, _foreign(line))
    return name


def _foreign(line: Line) -> str:
    return f"entry {line.seq} ({line.entry.kind}) has nothing to do with the run"
