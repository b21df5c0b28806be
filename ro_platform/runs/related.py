"""What is related to one artifact, run, attempt or event: gathered from the ledger by its indexes.

See :mod:`ro_platform.runs.trace` for what belongs to a trace and what does not.

Whom an administrative event concerns: the runs, by the names that it gives as its targets.

A name may be a run, a manifest, an attempt (or training run), a unit of work, a Dagster run, an
artifact by its locator or its bytes (a bundle is one), a verdict or a receipt, alone or behind a
word and a slash (``run/<id>``). Each is found in the ledger, and what it belongs to is a run, or
are several: the same bytes may be in many. An event that concerns a run mentions that it touched
it, so that the run's dossier and its trace show it; it is no part of the run's record, which may be
sealed. What a whole asset, gate or workload is told concerns no run in particular.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ro_platform.artifacts.addressing import BindingAddress, parse_binding, parse_receipt
from ro_platform.contracts import ArtifactBound, CorrelationIds, EntryKind, JobStatus, LedgerEntry
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.made import made_ids
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import mentions_of

_ATTEMPT_DIGITS = 32


class Relation(StrEnum):
    """How an entry is related to what is traced."""

    REGISTERED = "registered"
    RAN = "ran"
    MADE = "made"
    USED = "used"
    JUDGED = "judged"
    REVOKED = "revoked"
    BLOCKED = "blocked"
    ERASED = "erased"
    SEALED = "sealed"
    REOPENED = "reopened"
    TOUCHED = "touched"


_RELATIONS = {
    EntryKind.RUN_REGISTERED: Relation.REGISTERED,
    EntryKind.ATTEMPT_TRANSITION: Relation.RAN,
    EntryKind.ARTIFACT_BOUND: Relation.MADE,
    EntryKind.GATE_RECEIPT: Relation.JUDGED,
    EntryKind.PASS_REVOKED: Relation.REVOKED,
    EntryKind.ARTIFACT_BLOCKED: Relation.BLOCKED,
    EntryKind.ARTIFACT_ERASED: Relation.ERASED,
    EntryKind.RUN_SEALED: Relation.SEALED,
    EntryKind.RUN_REOPENED: Relation.REOPENED,
}
_ACTIONS = {"revoke_pass": Relation.REVOKED, "erase_artifact": Relation.ERASED}


def relation_of(entry: LedgerEntry) -> Relation:
    """How an entry is related to what it is about."""
    if entry.kind is EntryKind.ADMIN_EVENT:
        return _ACTIONS.get(str(entry.body["action_type"]), Relation.TOUCHED)
    return _RELATIONS.get(entry.kind, Relation.TOUCHED)


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One entry, and how it is related."""

    entry: LedgerEntry
    relation: Relation


class Gathering:
    """The entries of one trace, gathered; each is read once for each way that leads to it."""

    def __init__(self, log: LedgerReader) -> None:
        self._log = log
        self._found: dict[int, TraceLine] = {}
        self._known: set[str] = set()
        self._gates: dict[str, frozenset[str]] = {}

    def lines(self) -> tuple[TraceLine, ...]:
        """What was gathered, in the ledger's order."""
        return tuple(self._found[seq] for seq in sorted(self._found))

    def run(self, run: str) -> None:
        """Everything that carries a run's id or touches it, and what it made."""
        self._take(self._log.scan(run_id=run))
        self._take(self._log.scan(mention=names.touched_mention(run)))

    def train_run(self, identifier: str) -> None:
        """A training run: what it made, and its attempt."""
        self._take(self._log.scan(mention=names.train_run_mention(identifier)))
        if len(identifier) == _ATTEMPT_DIGITS:
            self.attempt(identifier)

    def dagster_run(self, identifier: str) -> None:
        """Everything that carries a Dagster run's id or was done to it, and what it made."""
        self._take(self._log.scan(dagster_run_id=identifier))
        self._targeted(identifier)

    def attempt(self, identifier: str) -> None:
        """The moves of an attempt, what it bound, and the verdicts it gave."""
        moves = list(moves_of(self._log, identifier))
        self._take(moves)
        self._targeted(identifier)
        runs = {move.correlation_ids.run_id for move in moves}
        for run in filter(None, runs):
            for kind in (EntryKind.ARTIFACT_BOUND, EntryKind.GATE_RECEIPT):
                of_run = self._log.scan(kind=kind, run_id=run)
                self._take([entry for entry in of_run if _attempt_of(entry) == identifier])

    def digest(self, digest: str) -> None:
        """Bytes, wherever they are bound."""
        mentioned = self._log.scan(kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest))
        self._take(mentioned)
        self._bytes(digest)

    def admin_event(self, identifier: str) -> None:
        """An administrative event, and what was recorded by it."""
        event = self._log.find(names.intent_key(identifier))
        if event is None:
            return
        self._add(event)
        for kind in (EntryKind.PASS_REVOKED, EntryKind.ARTIFACT_ERASED):
            for entry in self._log.scan(kind=kind, subject=event.subject):
                if entry.body.get("admin_event_id") == identifier:
                    self._add(entry)
                    self._blocks(entry, identifier)
        for entry in self._log.scan(mention=names.intent_key(identifier)):
            self._add(entry)
            self._blocks(entry, identifier)

    def _blocks(self, decision: LedgerEntry, event: str) -> None:
        """What a revocation blocked: recorded with it in one commit, right after its event."""
        blocked = decision.body.get("blocked")
        if isinstance(blocked, int):
            end = decision.seq + 2 + blocked
            for entry in self._log.scan(start=decision.seq + 1, end=end):
                if entry.body.get("admin_event_id") == event:
                    self._add(entry)

    def _targeted(self, name: str) -> None:
        """What was done to it by somebody who named it."""
        self._add_all(
            self._log.scan(kind=EntryKind.ADMIN_EVENT, mention=names.target_mention(name))
        )

    def _take(self, entries: Iterable[LedgerEntry]) -> None:
        """Add entries, and what is related to each artifact that they say was made."""
        made = []
        for entry in entries:
            self._add(entry)
            if entry.kind is EntryKind.ARTIFACT_BOUND:
                made.append(names.artifact_subject.part_of(entry.subject))
        for locator in made:
            self.artifact(locator)

    def artifact(self, locator: str) -> None:
        """Who made it, what was made from it, and what befell it."""
        address = parse_binding(locator)
        if address is None or locator in self._known:
            return
        self._known.add(locator)
        self._targeted(locator)
        digests = set()
        for entry in self._log.scan(
            kind=EntryKind.ARTIFACT_BOUND, subject=names.artifact_subject(locator)
        ):
            self._add(entry)
            made = body_of(entry, ArtifactBound)
            digests.add(made.artifact.digest)
            for move in moves_of(self._log, made.attempt_id):
                self._add(move)
        self._add_all(
            self._log.scan(kind=EntryKind.ARTIFACT_BLOCKED, subject=names.artifact_subject(locator))
        )
        for user in self._log.scan(
            kind=EntryKind.ARTIFACT_BOUND, mention=names.used_mention(locator)
        ):
            self._add(user, Relation.USED)
        if registered := self._log.find(names.run_key(address.fingerprint)):
            self._add(registered)
        for digest in digests:
            self._verdicts(address, digest)
            self._bytes(digest)

    def _verdicts(self, address: BindingAddress, digest: str) -> None:
        """What every gate that the asset ever had on record said of it, and what was withdrawn."""
        asset, fingerprint, _ = address
        for gate in self._gates_of(asset):
            rules = set()
            about = names.verdict_subject(gate, fingerprint, digest)
            for entry in self._log.scan(kind=EntryKind.GATE_RECEIPT, subject=about):
                self._add(entry)
                rules.add(recorded_in(entry).rule_digest)
            for rule in rules:
                revoked = names.revocation_subject(gate, fingerprint, digest, rule)
                self._decisions(EntryKind.PASS_REVOKED, revoked)

    def _bytes(self, digest: str) -> None:
        """The erasure of those bytes, and the manifests that name them as an input."""
        about = names.digest_name(digest)
        if about in self._known:
            return
        self._known.add(about)
        self._targeted(digest)
        self._decisions(EntryKind.ARTIFACT_ERASED, about)
        for run in self._log.scan(mention=names.input_mention(digest)):
            self._add(run, Relation.USED)

    def _decisions(self, kind: EntryKind, subject: str) -> None:
        """What was decided about it, and the events of the actions that decided; those of an older
        release have the decision's subject."""
        for entry in self._log.scan(kind=kind, subject=subject):
            self._add(entry)
            event = str(entry.body["admin_event_id"])
            named = map(self._log.find, (names.intent_key(event), names.outcome_key(event)))
            self._add_all(filter(None, named))
        self._add_all(self._log.scan(kind=EntryKind.ADMIN_EVENT, subject=subject))

    def _gates_of(self, asset: str) -> frozenset[str]:
        if asset not in self._gates:
            declared = self._log.scan(
                kind=EntryKind.GATE_SET_DECLARED, subject=names.asset_name(asset)
            )
            self._gates[asset] = frozenset(
                rule.gate_id for entry in declared for rule in declared_in(entry).gates
            )
        return self._gates[asset]

    def _add_all(self, entries: Iterable[LedgerEntry]) -> None:
        for entry in entries:
            self._add(entry)

    def _add(self, entry: LedgerEntry, relation: Relation | None = None) -> None:
        """Add an entry; that it only used something yields to every other relation."""
        known = self._found.get(entry.seq)
        if known is None or known.relation is Relation.USED:
            self._found[entry.seq] = TraceLine(entry, relation or relation_of(entry))


def moves_of(log: LedgerReader, attempt: str) -> Iterator[LedgerEntry]:
    """The transitions of an attempt, by their keys."""
    for status in JobStatus:
        if entry := log.find(names.attempt_key(attempt, status)):
            yield entry


def _attempt_of(entry: LedgerEntry) -> str | None:
    """Which attempt bound an artifact, or gave a verdict."""
    if entry.kind is EntryKind.ARTIFACT_BOUND:
        return body_of(entry, ArtifactBound).attempt_id
    address = parse_receipt(recorded_in(entry).receipt.ref)
    return address.attempt_id if address else None


_HEX = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-f])")
_SAID_TO_BE_A_MANIFEST = re.compile(
    rf"(?:{names.run_key.head}|manifest/|fingerprint=)([0-9a-f]{{64}})(?![0-9a-f])"
)
_SAID_TO_BE_A_RUN = re.compile(rf"{names.run_subject.head}([0-9a-f]{{32}})(?![0-9a-f])")


@dataclass(slots=True)
class Concern:
    """What the targets of an event belong to."""

    runs: set[str] = field(default_factory=set)
    dagster_runs: set[str] = field(default_factory=set)
    train_runs: set[str] = field(default_factory=set)
    bundles: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)

    @property
    def correlation_ids(self) -> CorrelationIds:
        """Those that are one each; never a ``run_id``: the event is no part of a run's record."""
        return CorrelationIds(
            train_run_id=_only(self.train_runs),
            bundle_id=_only(self.bundles),
            dagster_run_id=_only(self.dagster_runs),
        )

    @property
    def mentions(self) -> tuple[str, ...]:
        """The names by which the event is found."""
        found = {names.touched_mention(run) for run in self.runs}
        found |= {names.target_mention(name) for name in self.targets}
        found |= {names.target_mention(name) for name in self.dagster_runs}
        for train_run in self.train_runs:
            found.update(mentions_of(CorrelationIds(train_run_id=train_run)))
        for bundle in self.bundles:
            found.update(mentions_of(CorrelationIds(bundle_id=bundle)))
        return tuple(sorted(found))


def concern_of(log: LedgerReader, given: Iterable[str]) -> Concern:
    """Whom an event with these targets concerns, as far as the ledger knows them now."""
    concern = Concern()
    for name in dict.fromkeys(given):
        manifests = set(_manifests(log, name))
        concern.runs |= {run_id(manifest) for manifest in manifests}
        concern.runs |= set(_SAID_TO_BE_A_RUN.findall(name))
        concern.targets |= {name} if manifests else set()
        if parse_binding(name):
            _take_made(concern, made_ids(log, [name]))
        for token in _HEX.findall(name):
            if len(token) == 32:
                _take_work(log, concern, token)
            elif not manifests:  # a verdict on bytes under a manifest concerns no other manifest
                _take_bytes(log, concern, token)
        for candidate in {name, name.rpartition("/")[2]}:
            _take_dagster_run(log, concern, candidate)
    return concern


def concerning(log: LedgerReader, draft: EntryDraft, given: Iterable[str]) -> EntryDraft:
    """The draft as that of an entry about these targets: found by whom it concerns."""
    concern = concern_of(log, given)
    mentions = tuple(dict.fromkeys((*draft.mentions, *concern.mentions)))
    return replace(draft, correlation_ids=concern.correlation_ids, mentions=mentions)


def _manifests(log: LedgerReader, name: str) -> Iterator[str]:
    yield from _SAID_TO_BE_A_MANIFEST.findall(name)
    yield from (token for token in _HEX.findall(name) if log.find(names.run_key(token)))


def _take_work(log: LedgerReader, concern: Concern, token: str) -> None:
    """A run, an attempt or a unit of work."""
    known = next(log.scan(run_id=token, limit=1), None)
    unit = log.latest(EntryKind.ATTEMPT_TRANSITION, names.job_subject(token))
    moves = [entry for entry in (known, unit, *moves_of(log, token)) if entry is not None]
    if moves:
        concern.targets.add(token)
        concern.runs |= set(_runs_of(moves))
    if next(log.scan(mention=names.train_run_mention(token), limit=1), None):
        concern.train_runs.add(token)


def _take_bytes(log: LedgerReader, concern: Concern, digest: str) -> None:
    """Bytes: of artifacts wherever they are bound, and of inputs."""
    holders = [
        *log.scan(kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest)),
        *log.scan(kind=EntryKind.RUN_REGISTERED, mention=names.input_mention(digest)),
    ]
    if holders:
        concern.targets.add(digest)
        concern.runs |= set(_runs_of(holders))
    for holder in holders:
        _take_made(concern, holder.correlation_ids)
    if next(log.scan(mention=names.bundle_mention(digest), limit=1), None):
        concern.bundles.add(digest)


def _take_made(concern: Concern, ids: CorrelationIds) -> None:
    """The training run that made an artifact, and the bundle that it is."""
    concern.train_runs |= {ids.train_run_id} if ids.train_run_id else set()
    concern.bundles |= {ids.bundle_id} if ids.bundle_id else set()


def _take_dagster_run(log: LedgerReader, concern: Concern, name: str) -> None:
    found = set(_runs_of(log.scan(dagster_run_id=name)))
    if found:
        concern.dagster_runs.add(name)
        concern.runs |= found


def _runs_of(entries: Iterable[LedgerEntry]) -> Iterator[str]:
    return (run for entry in entries if (run := entry.correlation_ids.run_id))


def _only(given: set[str]) -> str | None:
    return next(iter(given)) if len(given) == 1 else None
