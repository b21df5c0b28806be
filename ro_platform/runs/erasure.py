"""Erasure: bytes that must not be kept any longer go, and their history stays.

The intent of the action is on record first. Then its decision is: a tombstone
(``artifact_erased``), which names every binding and every manifest input with that digest. From
then on the guard refuses them. Then the store gets the tombstone, too, and the blobs go: the
digest's own, and of a tree each file that nothing un-erased holds. Then the outcome is recorded. A
crash at any instruction leaves an intent without an outcome, which the same request again, or
whoever reconciles the actions, completes.

An older release began erasures without an intent: such a tombstone names an event of its own. Its
outcome is recorded by :meth:`Erasures.resume`, or by erasing those bytes again.

What goes is decided inside the ledger's transaction: whoever published before it is seen to hold
what it holds, and whoever publishes after it finds the file gone and is refused, and repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name, parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.trees import TREE
from ro_platform.contracts import (
    AdminActionType,
    ArtifactBound,
    ArtifactErased,
    ArtifactRef,
    BoundRef,
    EntryKind,
    JsonObject,
    LedgerEntry,
)
from ro_platform.gates.made import made_ids
from ro_platform.kernel.clock import Clock
from ro_platform.kernel.identity import admin_event_id, run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.events import Commission, admin_event_draft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.references import BlobReferences, Held
from ro_platform.runs.registry import RunRegistry

_AT_ONCE = 200
"""Blobs removed while the ledger is held for it."""
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure on record. ``new`` is False if it was on record before this call.

    ``blobs`` and ``size_bytes`` are what this call removed; ``kept`` are blobs that stay because
    something un-erased holds them, and what that is.
    """

    entry: LedgerEntry
    body: ArtifactErased
    new: bool
    blobs: int
    size_bytes: int
    kept: Held


class Erasures:
    """The one way by which bytes leave the plane."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        references: BlobReferences,
        runs: RunRegistry,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._holdings = references
        self._runs = runs
        self._clock = clock

    def find(self, digest: str) -> LedgerEntry | None:
        """The tombstone of that digest (64 hex), if it was erased."""
        return self._ledger.latest(EntryKind.ARTIFACT_ERASED, names.digest_name(digest))

    def erase(self, digest: str, commission: Commission, *, all_bindings: bool = False) -> None:
        """Erase the bytes with that SHA-256, of whatever they are bound to or an input of.

        Erasing them again completes what a crash left. The ``commission`` drafts the outcome, and
        raises, within the commit that decides it, if it must not be. Raises
        :class:`ArtifactNotFoundError` where nothing is bound to them and no manifest names them,
        and :class:`InvalidInputError` where several do and not ``all_bindings`` are meant, before
        anything is written.
        """
        found = self.find(digest) or self._decide(digest, commission, all_bindings=all_bindings)
        self._act(found, commission=commission)

    def _decide(self, digest: str, commission: Commission, *, all_bindings: bool) -> LedgerEntry:
        """The tombstone on record."""
        inputs = tuple(self._runs_with_input(digest))
        members = self._count_members(digest)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if log.latest(EntryKind.ARTIFACT_ERASED, names.digest_name(digest)):
                return []  # somebody else was faster by a moment
            if not commission.may_begin(log):
                return []
            bound = _bindings(log, digest)
            _require_meant(digest, [*bound, *inputs], all_bindings=all_bindings)
            draft = _tombstone(digest, bound, inputs, members, commission)
            return [replace(draft, correlation_ids=made_ids(log, list(bound)))]

        entries = self._ledger.append_with(build)
        return entries[0] if entries else self.on_record(digest).entry

    def bindings(self, digest: str) -> tuple[str, ...]:
        """The locators of everything on record with those bytes."""
        return tuple(_bindings(self._ledger, digest))

    def inputs(self, digest: str) -> tuple[str, ...]:
        """The fingerprints of the manifests that name those bytes as an input."""
        return tuple(self._runs_with_input(digest))

    def meant(
        self, digest: str, log: LedgerReader, *, all_bindings: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What erasing would concern: bindings and manifests. Raises as :meth:`erase` does."""
        bound, inputs = tuple(_bindings(log, digest)), self.inputs(digest)
        if self.find(digest) is None:
            _require_meant(digest, [*bound, *inputs], all_bindings=all_bindings)
        return bound, inputs

    def files(self, digest: str) -> tuple[str, ...]:
        """The digests of the files of a tree, while the list of them is there; of anything else,
        and afterwards, none."""
        trees = (ref for ref in _bindings(self._ledger, digest).values() if ref.media_type == TREE)
        ref = next(trees, None)
        if ref is None or not self._store.has(ref):
            return ()
        return tuple(dict.fromkeys(item.digest for item in self._store.members(ref)))

    def on_record(self, digest: str, files: Collection[str] = ()) -> Erasure:
        """An erasure as it is on record, and what of it, and of those ``files`` of a tree, stays
        because something else holds it.

        Raises :class:`ArtifactNotFoundError` where those bytes were never erased.
        """
        entry = self.find(digest)
        if entry is None:
            raise errors.ArtifactNotFoundError(f"sha256:{digest} was never erased.", digest=digest)
        body = body_of(entry, ArtifactErased)
        parts = {*files, *self._members(body), digest}
        kept = dict(self._holdings.of(parts, self._ledger))
        return Erasure(entry, body, False, 0, 0, kept)

    def completed(self, digest: str) -> ArtifactErased | None:
        """The tombstone of an erasure that is complete; None of any other."""
        found = self.find(digest)
        body = body_of(found, ArtifactErased) if found else None
        return body if body and self.is_complete(body) else None

    def resume(self, *, actor: str) -> Iterator[Erasure]:
        """Remove the bytes of every erasure that is not complete.

        The outcome of an action is left to whoever reconciles the actions. Of an erasure that an
        older release began without one, the outcome is recorded here, as the actor's.
        """
        for entry in self._ledger.scan(kind=EntryKind.ARTIFACT_ERASED):
            if not self.is_complete(body_of(entry, ArtifactErased)):
                yield self._act(entry, actor=actor)

    def is_complete(self, body: ArtifactErased) -> bool:
        """Whether the outcome is on record, and no byte is left that only this artifact held."""
        if not _has_outcome(body, self._ledger):
            return False
        if self._store.backend.size(blob_name(body.digest)) is None:
            return True
        return bool(self._holdings.of({body.digest}, self._ledger))

    def _act(
        self, entry: LedgerEntry, *, commission: Commission | None = None, actor: str = ""
    ) -> Erasure:
        """Remove what nothing else holds, files first and what lists them last. What is recorded
        with the last of it is the commission's outcome, and that of an older release's erasure."""
        body = body_of(entry, ArtifactErased)
        candidates = [*self._members(body), body.digest]
        seen = self._ledger.size()
        held = dict(self._holdings.of(candidates, self._ledger))
        blobs = size_bytes = 0
        for start in range(0, len(candidates), _AT_ONCE):
            some = candidates[start : start + _AT_ONCE]
            last = start + _AT_ONCE >= len(candidates)

            def build(
                log: LedgerReader, some: list[str] = some, last: bool = last
            ) -> Sequence[EntryDraft]:
                nonlocal blobs, size_bytes
                held.update(self._holdings.since(seen, candidates, log))
                gone = self._store.erase(body, [item for item in some if item not in held])
                blobs, size_bytes = blobs + gone[0], size_bytes + gone[1]
                after: JsonObject = {"blobs": blobs, "bytes": size_bytes, "kept": len(held)}
                if not last:
                    return []
                drafts = [] if commission is None else _outcome_of(commission, after, log)
                if _is_an_older_releases(body) and not _has_outcome(body, log):
                    by = commission.event.actor if commission else actor
                    drafts.append(self._older_outcome(body, by, after, log))
                return drafts

            self._ledger.append_with(build)
        return Erasure(entry, body, False, blobs, size_bytes, held)

    def _older_outcome(
        self, body: ArtifactErased, actor: str, after: JsonObject, log: LedgerReader
    ) -> EntryDraft:
        """The event by which an erasure ends that an older release began."""
        draft = admin_event_draft(
            AdminActionType.ERASE_ARTIFACT,
            key=names.erasure_outcome_event_key(body.digest),
            subject=names.digest_name(body.digest),
            actor=actor,
            reason=body.reason,
            moment=self._clock(),
            targets=(*body.bindings, *body.inputs),
            after=after,
        )
        ids = made_ids(log, body.bindings)
        return replace(draft, mentions=_touched(body), correlation_ids=ids)

    def _members(self, body: ArtifactErased) -> list[str]:
        """The files of an erased tree, while the list of them is still there."""
        if body.media_type != TREE:
            return []
        try:
            return list(dict.fromkeys(item.digest for item in self._store.members(_tree(body))))
        except (errors.ArtifactErasedError, errors.ArtifactNotFoundError):
            return []

    def _count_members(self, digest: str) -> int | None:
        for ref in _bindings(self._ledger, digest).values():
            if ref.media_type == TREE and self._store.has(ref):
                return sum(1 for _ in self._store.members(ref))
        return None

    def _runs_with_input(self, digest: str) -> Iterator[str]:
        for registered in self._runs.registered():
            fingerprint = registered.manifest_fingerprint
            inputs = self._runs.manifest(fingerprint).inputs
            if any(item.ref.digest == digest for item in inputs):
                yield fingerprint


def _tombstone(
    digest: str,
    bound: dict[str, BoundRef],
    inputs: tuple[str, ...],
    members: int | None,
    commission: Commission,
) -> EntryDraft:
    """The entry that decides an erasure."""
    first = next(iter(bound.values()), None)
    body = ArtifactErased(
        digest=digest,
        size_bytes=first.size_bytes if first else None,
        media_type=first.media_type if first else None,
        bindings=tuple(bound),
        inputs=inputs,
        members=members,
        reason=commission.event.reason,
        actor=commission.event.actor,
        admin_event_id=commission.event_id,
    )
    return EntryDraft(
        kind=EntryKind.ARTIFACT_ERASED,
        subject=names.digest_name(digest),
        key=names.erased_key(digest),
        actor=body.actor,
        mentions=(*_touched(body), names.intent_key(body.admin_event_id)),
        body=body,
    )


def _bindings(log: LedgerReader, digest: str) -> dict[str, BoundRef]:
    """Every binding on record with those bytes, by its locator."""
    found: dict[str, BoundRef] = {}
    for entry in log.scan(kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest)):
        body = body_of(entry, ArtifactBound)
        found[body.artifact.ref] = body.artifact
    return dict(sorted(found.items()))


def _require_meant(digest: str, concerned: list[str], *, all_bindings: bool) -> None:
    if not concerned:
        raise errors.ArtifactNotFoundError(
            f"no artifact and no input has the digest sha256:{digest}.",
            next_step="`ro artifact list` prints what is bound, `ro manifest show` the inputs.",
            digest=digest,
        )
    if len(concerned) > 1 and not all_bindings:
        named = ", ".join(concerned[:_NAMED]) + (", ..." if len(concerned) > _NAMED else "")
        raise errors.InvalidInputError(
            f"sha256:{digest} is held in {len(concerned)} places, and erasing it erases all of "
            f"them: {named}.",
            next_step="If that is meant, say so with --all-bindings.",
            digest=digest,
        )


def _touched(body: ArtifactErased) -> tuple[str, ...]:
    """The runs concerned: they are touched, and their records, sealed or not, are not added to."""
    addresses = filter(None, map(parse_binding, body.bindings))
    fingerprints = {*(address.fingerprint for address in addresses), *body.inputs}
    return tuple(sorted(names.touched_mention(run_id(print_)) for print_ in fingerprints))


def _is_an_older_releases(body: ArtifactErased) -> bool:
    """Whether it was begun without an intent: by an event whose id follows from the digest."""
    own = admin_event_id(AdminActionType.ERASE_ARTIFACT.value, names.erasure_event_key(body.digest))
    return body.admin_event_id == own


def _has_outcome(body: ArtifactErased, log: LedgerReader) -> bool:
    if _is_an_older_releases(body):
        return log.find(names.intent_key(_outcome_id(body.digest))) is not None
    return log.find(names.outcome_key(body.admin_event_id)) is not None


def _outcome_of(commission: Commission, after: JsonObject, log: LedgerReader) -> list[EntryDraft]:
    """The outcome of the action, unless it is on record."""
    return [] if commission.is_closed(log) else [commission.outcome(after)]


def _tree(body: ArtifactErased) -> ArtifactRef:
    return ArtifactRef(ref=blob_name(body.digest), digest=body.digest, media_type=body.media_type)


def _outcome_id(digest: str) -> str:
    return admin_event_id(
        AdminActionType.ERASE_ARTIFACT.value, names.erasure_outcome_event_key(digest)
    )
