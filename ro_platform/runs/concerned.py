"""Whom an administrative event concerns: the runs, by the names that it gives as its targets.

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

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import CorrelationIds, EntryKind, LedgerEntry
from ro_platform.gates.made import made_ids
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import (
    bundle_mention,
    digest_name,
    input_mention,
    job_subject,
    run_key,
    run_subject,
    target_mention,
    touched_mention,
    train_run_mention,
)
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.correlation import mentions_of
from ro_platform.runs.related import moves_of

_HEX = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-f])")
_SAID_TO_BE_A_MANIFEST = re.compile(
    rf"(?:{run_key.head}|manifest/|fingerprint=)([0-9a-f]{{64}})(?![0-9a-f])"
)
_SAID_TO_BE_A_RUN = re.compile(rf"{run_subject.head}([0-9a-f]{{32}})(?![0-9a-f])")


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
        found = {touched_mention(run) for run in self.runs}
        found |= {target_mention(name) for name in self.targets}
        found |= {target_mention(name) for name in self.dagster_runs}
        for train_run in self.train_runs:
            found.update(mentions_of(CorrelationIds(train_run_id=train_run)))
        for bundle in self.bundles:
            found.update(mentions_of(CorrelationIds(bundle_id=bundle)))
        return tuple(sorted(found))


def concern_of(log: LedgerReader, names: Iterable[str]) -> Concern:
    """Whom an event with these targets concerns, as far as the ledger knows them now."""
    concern = Concern()
    for name in dict.fromkeys(names):
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


def concerning(log: LedgerReader, draft: EntryDraft, names: Iterable[str]) -> EntryDraft:
    """The draft as that of an entry about these targets: found by whom it concerns."""
    concern = concern_of(log, names)
    mentions = tuple(dict.fromkeys((*draft.mentions, *concern.mentions)))
    return replace(draft, correlation_ids=concern.correlation_ids, mentions=mentions)


def _manifests(log: LedgerReader, name: str) -> Iterator[str]:
    yield from _SAID_TO_BE_A_MANIFEST.findall(name)
    yield from (token for token in _HEX.findall(name) if log.find(run_key(token)))


def _take_work(log: LedgerReader, concern: Concern, token: str) -> None:
    """A run, an attempt or a unit of work."""
    known = next(log.scan(run_id=token, limit=1), None)
    unit = log.latest(EntryKind.ATTEMPT_TRANSITION, job_subject(token))
    moves = [entry for entry in (known, unit, *moves_of(log, token)) if entry is not None]
    if moves:
        concern.targets.add(token)
        concern.runs |= set(_runs_of(moves))
    if next(log.scan(mention=train_run_mention(token), limit=1), None):
        concern.train_runs.add(token)


def _take_bytes(log: LedgerReader, concern: Concern, digest: str) -> None:
    """Bytes: of artifacts wherever they are bound, and of inputs."""
    holders = [
        *log.scan(kind=EntryKind.ARTIFACT_BOUND, mention=digest_name(digest)),
        *log.scan(kind=EntryKind.RUN_REGISTERED, mention=input_mention(digest)),
    ]
    if holders:
        concern.targets.add(digest)
        concern.runs |= set(_runs_of(holders))
    for holder in holders:
        _take_made(concern, holder.correlation_ids)
    if next(log.scan(mention=bundle_mention(digest), limit=1), None):
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


def _only(names: set[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None
