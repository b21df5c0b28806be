"""Exporting a run as a dossier: everything about it that is on record, in one deterministic file.

The same state of the ledger and of the store gives the same bytes. What is written is verified
before it gets its name, so a dossier that exists verifies; a crash leaves at most a hidden
neighbour named ``.ro-…``. Artifacts' bytes leave the store through the guard, here as anywhere: one
that may not be read is named with the reason, and its bytes are withheld.

Where an export gets its checkpoint: the newest one that covers the run, or one signed now.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name, parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.trees import TREE, member_ref, tree_of
from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.checkpoints.service import Checkpoints
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import (
    AdminActionType,
    ArtifactBound,
    ArtifactRef,
    BoundRef,
    EntryKind,
    LedgerEntry,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.dossier import container
from ro_platform.dossier.container import Content, sealed_envelope
from ro_platform.dossier.records import Line
from ro_platform.dossier.signed import Facts, statement
from ro_platform.dossier.verify import Dossier, receipt_resources, verify_dossier
from ro_platform.gates.guard import Guard
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import admin_event_id, run_id
from ro_platform.kernel.signing import SigningKey, open_note, sign_note
from ro_platform.ledger import names
from ro_platform.ledger.drafted import require_governed
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.log import Ledger
from ro_platform.runs.registry import RunRegistry
from ro_platform.runs.seals import RunSeals

Notes = Callable[[int], bytes]
"""Gives a signed checkpoint of the log at some size, at least the one asked for."""

_CHUNK = 1 << 20
_EXPLAINING = (EntryKind.ADMIN_EVENT, EntryKind.PASS_REVOKED)
"""Of an action that touched the run: its events, and what it decided about another run's."""
Member = tuple[str, int, Content]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What goes into one dossier, but for the bytes of artifacts."""

    manifest: RunManifest
    fingerprint: str
    own: list[LedgerEntry]
    context: list[LedgerEntry]
    note: bytes
    checkpoint: Checkpoint

    def of_kind(self, kind: EntryKind) -> Iterator[LedgerEntry]:
        return (entry for entry in self.own if entry.kind is kind)

    @property
    def bound(self) -> list[ArtifactBound]:
        return [body_of(entry, ArtifactBound) for entry in self.of_kind(EntryKind.ARTIFACT_BOUND)]

    @property
    def recorded(self) -> list[ReceiptRecorded]:
        return [body_of(entry, ReceiptRecorded) for entry in self.of_kind(EntryKind.GATE_RECEIPT)]


class DossierExport:
    """Exports the runs of one environment, signed with its key."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        configs: ConfigVersions,
        runs: RunRegistry,
        guard: Guard,
        *,
        key: SigningKey,
        notes: Notes,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._configs = configs
        self._runs = runs
        self._guard = guard
        self._key = key
        self._notes = notes

    def export(
        self, fingerprint: str, target: Path, *, actor: str, with_artifacts: bool = False
    ) -> Dossier:
        """Write the run's dossier to a new file, and answer it as it verified.

        A run that ended and is not sealed yet, or was touched since, is sealed by ``actor``. Raises
        :class:`ManifestNotRegisteredError`; :class:`InvalidInputError` while an attempt is open, or
        if ``target`` exists or cannot be written; and the errors of the store and the ledger where
        what is stored is not what was recorded. A draft has none: :class:`DraftError`.
        """
        require_governed(self._ledger)
        if target.exists():
            raise _bad_target(target, "something is there already")
        gathered = self._gather(fingerprint, actor)
        try:
            with tempfile.TemporaryDirectory(prefix=".ro-", dir=target.parent) as folder:
                fresh = Path(folder) / target.name
                self._write(fresh, gathered, with_artifacts=with_artifacts)
                dossier = verify_dossier(fresh, self._key.verifier)
                fresh.rename(target)
        except OSError as error:
            raise _bad_target(target, error.strerror or str(error)) from error
        return dossier

    def _gather(self, fingerprint: str, actor: str) -> _Gathered:
        manifest, run = self._runs.manifest(fingerprint), run_id(fingerprint)
        seal = RunSeals(self._ledger, actor=actor).seal_with_touches(fingerprint)
        if seal is None:
            raise _still_open(fingerprint)
        own = list(self._ledger.scan(run_id=run, end=seal.seq + 1))
        newest = self._ledger.scan(mention=names.touched_mention(run), newest_first=True, limit=1)
        note = self._notes(max(seal.seq, *(entry.seq for entry in newest), 0) + 1)
        checkpoint = Checkpoint.parse(open_note(note, [self._key.verifier]))
        context = self._context(manifest, run, own, checkpoint.size)
        return _Gathered(manifest, fingerprint, own, context, note, checkpoint)

    def _context(
        self, manifest: RunManifest, run: str, own: Sequence[LedgerEntry], size: int
    ) -> list[LedgerEntry]:
        """What touched the run and what explains it, as the log stood at that size."""
        touching = list(self._ledger.scan(mention=names.touched_mention(run), end=size))
        found = {entry.seq: entry for entry in touching}
        events = [str(e.body["admin_event_id"]) for e in touching if "admin_event_id" in e.body]
        for event in dict.fromkeys(events):
            decided = self._ledger.scan(mention=names.intent_key(event), end=size)
            found |= {e.seq: e for e in decided if e.kind in _EXPLAINING and not _is_of_a_run(e)}
        keys = [*map(names.intent_key, events)]
        for pin in manifest.config_versions:
            name = names.config_version_name(pin.config_name, pin.config_version)
            event = admin_event_id(AdminActionType.PUBLISH_CONFIG.value, name)
            keys += [name, names.intent_key(event)]
        for key in dict.fromkeys(keys):
            entry = self._ledger.find(key)
            if entry is not None and not _is_of_a_run(entry):
                found[entry.seq] = entry
                older = self._ledger.find(names.revoked_key(entry.subject))
                found |= {older.seq: older} if older else {}
        for asset in {str(e.body["asset"]) for e in own if e.kind is EntryKind.ARTIFACT_BOUND}:
            declared = self._ledger.scan(
                kind=EntryKind.GATE_SET_DECLARED, subject=names.asset_name(asset), end=own[-1].seq
            )
            found |= {entry.seq: entry for entry in declared}
        mine = {entry.seq for entry in own}
        return [found[seq] for seq in sorted(found) if seq < size and seq not in mine]

    def _write(self, path: Path, gathered: _Gathered, *, with_artifacts: bool) -> None:
        refs = self._refs(gathered.bound)
        members = self._documents(gathered, refs)
        withheld: dict[str, str] = {}
        if with_artifacts:
            members += self._artifacts(gathered, refs, withheld)
        digests = {name: _digest(name, content) for name, _, content in members}
        facts = Facts(
            manifest=gathered.manifest,
            fingerprint=gathered.fingerprint,
            run_id=run_id(gathered.fingerprint),
            refs=refs,
            receipts=receipt_resources(gathered.recorded),
            started=gathered.own[0].recorded_at_utc,
            finished=gathered.own[-1].recorded_at_utc,
            checkpoint=gathered.checkpoint,
            with_artifacts=with_artifacts,
            withheld=withheld,
            members=digests,
        )
        envelope = sealed_envelope(canonical_bytes(statement(facts)), self._key)
        with path.open("xb") as target:
            container.write(target, [*members, (container.STATEMENT, len(envelope), envelope)])

    def _documents(self, gathered: _Gathered, refs: Sequence[BoundRef]) -> list[Member]:
        entries = sorted((*gathered.own, *gathered.context), key=lambda entry: entry.seq)
        lines = [Line(entry, canonical_bytes(entry)) for entry in entries]
        paths = self._ledger.inclusion_paths([line.seq for line in lines], gathered.checkpoint.size)
        proofs = {str(seq): [step.hex() for step in path] for seq, path in paths.items()}
        documents = {
            container.CHECKPOINT: gathered.note,
            container.ENTRIES: b"".join(line.data + b"\n" for line in lines),
            container.MANIFEST: canonical_bytes(gathered.manifest),
            container.PROOFS: canonical_bytes(proofs),
            container.REFS: canonical_bytes([ref.to_json_value() for ref in refs]),
        }
        for pin in gathered.manifest.config_versions:
            content = canonical_bytes(self._configs.read(pin))
            documents[container.config_name(pin.digest)] = content
        for recorded in gathered.recorded:
            content = canonical_bytes(self._store.read_receipt(recorded.receipt))
            documents[container.receipt_name(recorded.receipt.digest)] = content
        return [(name, len(data), data) for name, data in documents.items()]

    def _refs(self, bound: Sequence[ArtifactBound]) -> list[BoundRef]:
        """The artifacts on record, by locator; the store must have each binding as it is there.

        Raises :class:`BindingCorruptError`, which names each field that differs.
        """
        refs = {made.artifact.ref: made.artifact for made in bound}
        for ref in refs.values():
            self._store.compare(ref)
        return [refs[name] for name in sorted(refs)]

    def _artifacts(
        self, gathered: _Gathered, refs: Sequence[BoundRef], withheld: dict[str, str]
    ) -> list[Member]:
        """The bytes of what may be read, trees with their members, and of the evidence."""
        wanted: dict[str, ArtifactRef] = {}
        for ref in refs:
            try:
                address = parse_binding(ref.ref)
                assert address is not None
                self._guard.check(address.asset, gathered.manifest, gathered.fingerprint, ref)
                wanted |= self._blobs(ref)
            except errors.GateRefusedError as refusal:
                withheld[ref.digest] = refusal.code
        for recorded in gathered.recorded:
            evidence = self._store.read_receipt(recorded.receipt).evidence
            if evidence and evidence.digest and recorded.subject_digest not in withheld:
                try:
                    wanted |= self._blobs(evidence)
                except errors.ArtifactErasedError as refusal:
                    withheld[evidence.digest] = refusal.code
            elif evidence and evidence.digest:
                withheld[evidence.digest] = withheld[recorded.subject_digest]
        for digest in withheld.keys() & wanted.keys():
            del withheld[digest]
        return [self._member(ref) for ref in wanted.values()]

    def _blobs(self, ref: ArtifactRef) -> dict[str, ArtifactRef]:
        """The blobs of an artifact by digest. Raises :class:`ArtifactErasedError`."""
        self._guard.require_unerased(str(ref.digest))
        found = {str(ref.digest): ref}
        if ref.media_type == TREE:
            tree = tree_of(self._store.blobs, ref)
            found |= {member.digest: member_ref(member) for member in tree.members}
            for member in tree.members:
                self._guard.require_unerased(member.digest)
        return found

    def _member(self, ref: ArtifactRef) -> Member:
        """A blob as a member, streamed from a verified copy each time it is asked for."""
        blob = ref.model_copy(update={"media_type": None, "ref": blob_name(str(ref.digest))})
        size = ref.size_bytes
        if size is None:
            size = len(self._store.read(blob))

        def chunks() -> Iterator[bytes]:
            with self._store.open_verified(blob) as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk

        return container.artifact_name(str(ref.digest)), size, chunks


def sign_now(ledger: Ledger, key: SigningKey) -> Notes:
    """Signs the log as it stands, when it is asked; without a time, so that the same state gives
    the same bytes."""

    def note(_least: int) -> bytes:
        size = ledger.size()
        return sign_note(Checkpoint(key.name, size, ledger.root(size)).text(), key)

    return note


def _digest(name: str, content: Content) -> str:
    """A document's SHA-256; an artifact's is in its name, and is verified as it is written."""
    return sha256_hex(content) if isinstance(content, bytes) else name.rpartition("/")[2]


def _still_open(fingerprint: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"The run of manifest {fingerprint} has an attempt that did not end: it has no seal.",
        next_step="Wait for it; what vanished is ended by `ro attempts reconcile`.",
        manifest_fingerprint=fingerprint,
    )


def _bad_target(target: Path, reason: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"The dossier cannot be written to {target}: {reason}.",
        next_step="Name a file that does not exist yet, with -o.",
        target=target,
    )


def _is_of_a_run(entry: LedgerEntry) -> bool:
    """Whether it is part of a run's own record."""
    return entry.correlation_ids.run_id is not None


def kept_or_issued(checkpoints: Checkpoints, key: SigningKey) -> Notes:
    """Our newest checkpoint if it is large enough; otherwise one is issued and handed to the
    witnesses. It carries the signatures that witnesses answered; one that does not answer now
    delays nothing."""

    def note(least: int) -> bytes:
        kept = checkpoints.latest((*checkpoints.policy.trusted(), key.verifier))
        if kept is None or kept.checkpoint.size < least:
            kept = checkpoints.issue(key)
            checkpoints.deliver()
        with suppress(errors.RunOperateError):
            return checkpoints.cosigned(kept.checkpoint.size)
        return kept.note

    return note
