"""Readiness: for which manifests a consumer's producers have come to stand, read off the ledger.

The law. A position is a ``seq``. Appends are serialised and leave no gap, so ``seq`` order is
commit order: whatever is appended after a look has a higher ``seq`` than all that the look covered,
and nothing can appear behind a position. A manifest is asked about (of the guard, as things stand
now) whenever an entry that can make it ready is met, and a position moves past an entry only after
that. What was not ready then needs a later entry to become so, which will be met. Hence none is
skipped, however looks and restarts fall; and looking twice is harmless, because a launch is known
by the digests that it consumes.

Three kinds of entry can make a manifest ready: a verdict, an artifact (a new revision, or one made
again after it was blocked), and a gate set that lost a gate or changed a rule. The last speaks of
every manifest of the asset at once, so those are gone through again in the same bounded portions.
What is mended outside the ledger (a receipt's file put back) is not met: begin at the start again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import NonNegativeInt

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import ArtifactBound, BoundRef, EntryKind, LedgerEntry
from ro_platform.contracts.base import Contract
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.guard import Guard
from ro_platform.gates.made import artifact_in, revisions_between
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.registry import RunRegistry

_NEWS = (EntryKind.GATE_RECEIPT, EntryKind.ARTIFACT_BOUND, EntryKind.GATE_SET_DECLARED)


class ReadinessCursor(Contract):
    """How far the ledger has been dealt with: every entry before ``next``.

    ``again`` are the entries (from, to) whose artifacts are still to be asked about once more,
    because the gates of a producer were loosened by the entry at its end.
    """

    next: NonNegativeInt = 0
    again: tuple[NonNegativeInt, NonNegativeInt] | None = None

    def text(self) -> str:
        """The position as it is kept."""
        return canonical_bytes(self).decode()

    @classmethod
    def of(cls, text: str | None) -> ReadinessCursor:
        """A position that was kept; the start for none. Raises :class:`ContractError`."""
        return cls.from_json(text, where="the cursor") if text else cls()


@dataclass(frozen=True, slots=True)
class Passed:
    """A manifest for which all producers stand, and with which artifacts."""

    fingerprint: str
    producers: Mapping[str, BoundRef]

    def launch_id(self, consumer: str) -> str:
        """SHA-256 of what tells one launch of a consumer from another: its name, the manifest, and
        the digest of each producer's artifact. Neither time nor revision is part of it."""
        digests = {asset: ref.digest for asset, ref in self.producers.items()}
        return sha256_hex(
            canonical_bytes(
                {"consumer": consumer, "manifest": self.fingerprint, "producers": digests}
            )
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one look does at most: manifests passed, manifests asked about, entries dealt with."""

    passed: int = 25
    asked: int = 1_000
    entries: int = 5_000


@dataclass(slots=True)
class ReadinessScan:
    """What one look found: who passed, who is still refused and why, and where to go on."""

    bounds: Bounds
    position: ReadinessCursor
    size: int
    passed: list[Passed] = field(default_factory=list)
    refused: dict[str, errors.RunOperateError] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    entries: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the next entry must wait for the next look."""
        return (
            len(self.passed) >= self.bounds.passed
            or len(self.asked) >= self.bounds.asked
            or self.entries >= self.bounds.entries
        )


class Readiness:
    """Answers which manifests became ready for a consumer since a position."""

    def __init__(
        self,
        log: LedgerReader,
        guard: Guard,
        runs: RunRegistry,
        *,
        producers: Collection[str],
        workloads: Collection[str] | None = None,
    ) -> None:
        self._log = log
        self._guard = guard
        self._runs = runs
        self._producers = sorted(producers)
        self._subjects = {names.asset_name(asset) for asset in producers}
        self._workloads = workloads

    def look(
        self, position: ReadinessCursor, bounds: Bounds, *, is_launched: Callable[[Passed], bool]
    ) -> ReadinessScan:
        """The next manifests that passed and are not launched yet, in the ledger's order.

        It deals with entries of the kinds that matter only, found by the ledger's index (and reads
        up to a page of each ahead). Its position stays before the first entry that was not dealt
        with.

        Raises :class:`LedgerCorruptError` if the ledger ends before the position, and the
        backend's errors; the position given is then still the one to go on from.
        """
        size = self._log.size()
        if position.next > size:
            raise errors.LedgerCorruptError(
                f"the ledger was read to entry {position.next}, and now has only {size}.",
                next_step="It is another ledger, or it was rolled back: run `ro ledger verify`, "
                "then reset the cursor.",
            )
        look = ReadinessScan(bounds, position, size)
        self._go_on(look, is_launched)
        self._go_through_again(look, is_launched)
        return look

    def is_made(self, passed: Passed, makes: Mapping[str, Collection[str]]) -> bool:
        """Whether assets (each with its parents) were made from exactly what passed.

        True if each is bound under the manifest, and on record as made from the artifacts that
        its parents have now. False for no assets at all.
        """
        found = self._log.latest_of(
            [
                (EntryKind.ARTIFACT_BOUND, revisions_between(asset, passed.fingerprint))
                for asset in makes
            ]
        )
        entries = [entry for entry in found if entry is not None]
        if not makes or len(entries) < len(makes):
            return False
        now = {**passed.producers, **dict(zip(makes, map(artifact_in, entries), strict=True))}
        return all(
            _used(entry) >= {(now[name].ref, now[name].digest) for name in parents}
            for entry, parents in zip(entries, makes.values(), strict=True)
        )

    def _go_on(self, look: ReadinessScan, is_launched: Callable[[Passed], bool]) -> None:
        again = look.position.again
        for entry in self._news(look):
            if look.is_full:
                look.position = ReadinessCursor(next=entry.seq, again=again)
                return
            look.entries += 1
            if entry.kind is EntryKind.GATE_SET_DECLARED:
                if entry.subject in self._subjects and self._is_loosened(entry):
                    again = (0, entry.seq)
            else:
                self._ask_about(entry, look, is_launched)
        look.position = ReadinessCursor(next=look.size, again=again)

    def _go_through_again(self, look: ReadinessScan, is_launched: Callable[[Passed], bool]) -> None:
        if look.position.again is None or look.is_full:
            return
        start, end = look.position.again
        for entry in self._log.scan(
            kind=EntryKind.ARTIFACT_BOUND, start=start, end=end, limit=_and_one_more(look)
        ):
            if look.is_full:
                look.position = ReadinessCursor(next=look.position.next, again=(entry.seq, end))
                return
            look.entries += 1
            self._ask_about(entry, look, is_launched)
        look.position = ReadinessCursor(next=look.position.next)

    def _news(self, look: ReadinessScan) -> Iterator[LedgerEntry]:
        """Entries of the kinds that matter, in order: others are never read."""
        start, end, most = look.position.next, look.size, _and_one_more(look)
        scans = [self._log.scan(kind=kind, start=start, end=end, limit=most) for kind in _NEWS]
        return heapq.merge(*scans, key=lambda entry: entry.seq)

    def _is_loosened(self, entry: LedgerEntry) -> bool:
        """Whether a gate set lacks a rule that was in force before, or is an asset's first."""
        before = next(
            self._log.scan(
                end=entry.seq, kind=entry.kind, subject=entry.subject, newest_first=True, limit=1
            ),
            None,
        )
        return before is None or not {*declared_in(before).gates} <= {*declared_in(entry).gates}

    def _ask_about(
        self, entry: LedgerEntry, look: ReadinessScan, is_launched: Callable[[Passed], bool]
    ) -> None:
        asset, fingerprint = _about(entry)
        if asset not in self._producers or fingerprint in look.asked:
            return
        look.asked.add(fingerprint)
        try:
            passed = self._passed(fingerprint)
        except (errors.GateRefusedError, errors.NotFoundError, errors.IntegrityError) as refusal:
            if isinstance(refusal, errors.LedgerCorruptError):
                raise
            look.refused[fingerprint] = refusal
        else:
            if passed is not None and not is_launched(passed):
                look.passed.append(passed)

    def _passed(self, fingerprint: str) -> Passed | None:
        """The producers' artifacts, if all stand; None for another workload's manifest.

        Raises what :meth:`Guard.require` raises, and :class:`IntegrityError`.
        """
        manifest = self._runs.manifest(fingerprint)
        if self._workloads is not None and manifest.workload not in self._workloads:
            return None
        require = self._guard.require
        return Passed(
            fingerprint,
            {asset: require(asset, manifest, fingerprint) for asset in self._producers},
        )


def _and_one_more(look: ReadinessScan) -> int:
    """How many entries to read: one that is left over says that there is more to do."""
    return look.bounds.entries - look.entries + 1


def _about(entry: LedgerEntry) -> tuple[str | None, str]:
    """The asset and the manifest that a verdict or an artifact is about."""
    if entry.kind is EntryKind.GATE_RECEIPT:
        recorded = recorded_in(entry)
        return recorded.asset, recorded.manifest_fingerprint
    address = parse_binding(names.artifact_subject.part_of(entry.subject))
    return (address.asset, address.fingerprint) if address else (None, "")


def _used(entry: LedgerEntry) -> set[tuple[str, str]]:
    """What an artifact was made from: locators and digests."""
    body = body_of(entry, ArtifactBound)
    return {(item.ref, item.digest) for item in body.inputs or ()}
