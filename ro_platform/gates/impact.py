"""The blast radius: every artifact that was made, directly or through others, from one artifact.

An artifact counts by its newest making alone, the newest ``artifact_bound`` entry about it: it may
have been made again, from other inputs, since. The answer is exact for one moment of the ledger,
also while others append. A small radius costs its own size, however large the ledger is; one that
reaches a good part of the ledger is found by reading its makings once, in order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import ArtifactBound, EntryKind, LedgerEntry
from ro_platform.contracts.base import contract_error
from ro_platform.ledger import names
from ro_platform.ledger.reader import LedgerReader

Progress = Callable[[int], None]
"""Is told from time to time how many makings have been read so far."""

_BATCH = 200
_FEW = 1_000
_A_GOOD_PART = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """The artifact whose radius it is: those bytes of an asset under a manifest.

    ``refs`` are the locators of all revisions that hold them; there is rarely more than one.
    """

    asset: str
    fingerprint: str
    digest: str
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImpactedArtifact:
    """One artifact in the radius. ``depth`` is 1 if it used the origin itself, else one more than
    the nearest of its inputs in the radius; ``because`` are the locators of all of those."""

    asset: str
    fingerprint: str
    ref: str
    digest: str
    depth: int
    because: tuple[str, ...]
    bundle: bool
    run_id: str | None
    dagster_run_id: str | None
    made_seq: int
    train_run_id: str | None = None


@dataclass(frozen=True)
class Impact:
    """An origin and its radius, nearest first."""

    origin: Origin
    artifacts: tuple[ImpactedArtifact, ...]

    @cached_property
    def runs(self) -> tuple[str, ...]:
        """The runs (``run_id``) whose artifacts are in the radius."""
        return _sorted(item.run_id for item in self.artifacts)

    @cached_property
    def dagster_runs(self) -> tuple[str, ...]:
        """The Dagster runs that made what is in the radius."""
        return _sorted(item.dagster_run_id for item in self.artifacts)

    @cached_property
    def bundles(self) -> tuple[ImpactedArtifact, ...]:
        """The bundles in the radius."""
        return tuple(item for item in self.artifacts if item.bundle)

    @cached_property
    def edges(self) -> dict[tuple[str, str], int]:
        """How many artifacts of the first asset went into artifacts of the second."""
        counts: Counter[tuple[str, str]] = Counter()
        for item in self.artifacts:
            counts.update((_asset_of(name), item.asset) for name in item.because)
        return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class _Making:
    """What an ``artifact_bound`` entry says that matters here, and no more: there may be many."""

    seq: int
    asset: str
    fingerprint: str
    digest: str
    inputs: frozenset[str]
    bundle: bool
    run_id: str | None
    dagster_run_id: str | None
    train_run_id: str | None


class Exploration:
    """What is known so far of the makings around an origin; nothing is read twice.

    It begins with the ledger at one size; :meth:`catch_up` brings it to another.
    """

    def __init__(self, origin: Origin, size: int, progress: Progress = lambda _count: None) -> None:
        self._origin = origin
        self._refs = set(origin.refs)
        self._size = size
        self._progress = progress
        self._read = 0
        self._makings: dict[str, _Making] = {}
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._explored: set[str] = set()
        self._knows_all = False

    def impact(self, log: LedgerReader) -> Impact:
        """The radius. Reads from ``log`` only what is not known yet."""
        depths = self._depths(log)
        reached = depths.keys() | self._refs
        artifacts = [self._impacted(ref, depth, reached) for ref, depth in depths.items()]
        artifacts.sort(key=lambda item: (item.depth, item.asset, item.fingerprint, item.ref))
        origin = self._origin
        refs = tuple(sorted(self._refs))
        return Impact(
            Origin(origin.asset, origin.fingerprint, origin.digest, refs), tuple(artifacts)
        )

    def catch_up(self, log: LedgerReader) -> bool:
        """Take in what was appended since; whether that was any making at all."""
        size, news = log.size(), False
        for entry in log.scan(start=self._size, end=size, kind=EntryKind.ARTIFACT_BOUND):
            self._take(entry)
            news = True
        self._size = size
        return news

    def _depths(self, log: LedgerReader) -> dict[str, int]:
        depths: dict[str, int] = {}
        frontier, depth = sorted(self._refs), 0
        while frontier:
            depth += 1
            self._learn(log, frontier)
            reached: set[str] = set()
            for used in frontier:
                for ref in self._users.get(used, ()):
                    if ref not in depths and used in self._makings[ref].inputs:
                        reached.add(ref)
            depths |= dict.fromkeys(reached, depth)
            frontier = sorted(reached)
        return depths

    def _impacted(self, ref: str, depth: int, reached: set[str]) -> ImpactedArtifact:
        making = self._makings[ref]
        return ImpactedArtifact(
            asset=making.asset,
            fingerprint=making.fingerprint,
            ref=ref,
            digest=making.digest,
            depth=depth,
            because=tuple(sorted(making.inputs & reached)),
            bundle=making.bundle,
            run_id=making.run_id,
            dagster_run_id=making.dagster_run_id,
            train_run_id=making.train_run_id,
            made_seq=making.seq,
        )

    def _learn(self, log: LedgerReader, refs: Sequence[str]) -> None:
        """Find who used these artifacts, and the newest making of each of those."""
        if self._knows_all:
            return
        unknown = [ref for ref in refs if ref not in self._explored]
        for start in range(0, len(unknown), _BATCH):
            ahead = len(self._explored) + len(unknown) - start
            if ahead > max(_FEW, self._size // _A_GOOD_PART):
                self._learn_all(log)
                return
            some = unknown[start : start + _BATCH]
            self._learn_some(log, some)
            self._explored.update(some)

    def _learn_some(self, log: LedgerReader, refs: Sequence[str]) -> None:
        new: set[str] = set()
        for used in refs:
            for entry in log.scan(
                kind=EntryKind.ARTIFACT_BOUND, mention=names.used_mention(used), end=self._size
            ):
                self._count()
                ref = _ref_of(entry)
                self._users[used].add(ref)
                if ref not in self._makings:
                    new.add(entry.subject)
        subjects = sorted(new)
        for start in range(0, len(subjects), _BATCH):
            some = subjects[start : start + _BATCH]
            for newest in log.latest_of([(EntryKind.ARTIFACT_BOUND, name) for name in some]):
                if newest is not None:
                    self._take(newest)

    def _learn_all(self, log: LedgerReader) -> None:
        self._knows_all = True
        for entry in log.scan(kind=EntryKind.ARTIFACT_BOUND, end=self._size):
            self._take(entry)

    def _take(self, entry: LedgerEntry) -> None:
        """Add a making; the newest of each artifact is kept."""
        self._count()
        making, ref, origin = _making(entry), _ref_of(entry), self._origin
        known = self._makings.get(ref)
        if known is None or known.seq < making.seq:
            self._makings[ref] = making
        for used in making.inputs:
            self._users[used].add(ref)
        same = (making.asset, making.fingerprint, making.digest)
        if same == (origin.asset, origin.fingerprint, origin.digest):
            self._refs.add(ref)

    def _count(self) -> None:
        self._read += 1
        if self._read % _BATCH == 0:
            self._progress(self._read)


def explore(
    log: LedgerReader,
    find_origin: Callable[[], Origin],
    progress: Progress = lambda _count: None,
) -> tuple[Exploration, Impact]:
    """The radius of an origin as of one moment during the call, and the means to bring it up to
    date later."""
    size = log.size()  # before the origin's revisions are listed: a later one is caught up with
    exploration = Exploration(find_origin(), size, progress)
    impact = exploration.impact(log)
    while exploration.catch_up(log):
        impact = exploration.impact(log)
    return exploration, impact


def _making(entry: LedgerEntry) -> _Making:
    try:
        # The entry's bytes were checked when it was read; to write and parse them again for each
        # of a hundred thousand would double the time. Lax: a JSON array is a list here.
        body = ArtifactBound.model_validate(entry.body, strict=False)
    except ValidationError as error:
        raise contract_error(error, kind="ArtifactBound", where=f"entry {entry.seq}") from None
    ids = entry.correlation_ids
    return _Making(
        seq=entry.seq,
        asset=body.asset,
        fingerprint=body.manifest_fingerprint,
        digest=body.artifact.digest,
        inputs=frozenset(item.ref for item in body.inputs or ()),
        bundle=ids.bundle_id is not None,
        run_id=ids.run_id,
        dagster_run_id=ids.dagster_run_id,
        train_run_id=ids.train_run_id,
    )


def _ref_of(entry: LedgerEntry) -> str:
    return names.artifact_subject.part_of(entry.subject)


def _asset_of(ref: str) -> str:
    address = parse_binding(ref)
    return address.asset if address else ref


def _sorted(optional: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({name for name in optional if name}))
