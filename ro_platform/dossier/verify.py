"""Verifying a dossier: no network, no database, no store; a public key and the file are enough.

In this order, and the first thing that does not hold is the reason: the container; the envelope's
signature; every member's digest; the checkpoint's signature; the manifest and the pinned configs;
every entry's inclusion under the checkpoint's root; the records against their seals; the attempts;
receipts, references and bytes; and last the statement, computed again from all of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.trees import TREE
from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.contracts import (
    ArtifactBound,
    BoundRef,
    EntryKind,
    GateReceipt,
    JobAttemptRecord,
    JobStatus,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.dossier import container
from ro_platform.dossier.container import refusing, require
from ro_platform.dossier.records import (
    Attempts,
    Line,
    SealedRecord,
    require_registered,
    require_related,
    sealed_records,
    split,
)
from ro_platform.dossier.signed import Facts, SignedMembers, statement
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.files import open_file
from ro_platform.kernel.identity import run_id
from ro_platform.kernel.signing import VerifierKey
from ro_platform.ledger import names
from ro_platform.ledger.drafted import draft_of


@dataclass(frozen=True, slots=True)
class DossierVerdict:
    """A gate receipt as the ledger recorded it, and the receipt itself."""

    line: Line
    recorded: ReceiptRecorded
    receipt: GateReceipt


@dataclass(frozen=True, slots=True)
class Dossier:
    """A dossier that was verified, and by which keys."""

    manifest: RunManifest
    fingerprint: str
    run_id: str
    checkpoint: Checkpoint
    witnesses: tuple[str, ...]
    records: tuple[SealedRecord, ...]
    context: tuple[Line, ...]
    attempts: tuple[JobAttemptRecord, ...]
    bound: tuple[ArtifactBound, ...]
    refs: tuple[BoundRef, ...]
    verdicts: tuple[DossierVerdict, ...]
    with_artifacts: bool
    withheld: dict[str, str]
    size_bytes: int

    @property
    def entries(self) -> int:
        """How many entries it holds."""
        return sum(len(record.lines) + 1 for record in self.records) + len(self.context)


def verify_dossier(path: Path, key: VerifierKey, witnesses: Sequence[VerifierKey] = ()) -> Dossier:
    """The dossier in that file, if all of it holds and every one of the witnesses cosigned.

    Raises :class:`DossierRefusedError` with the reason, :class:`InvalidInputError` if the file
    cannot be read.
    """
    try:
        with io.BufferedReader(open_file(path)) as source:
            return _Verification(SignedMembers(source, key, witnesses), witnesses).dossier()
    except OSError as error:
        raise errors.InvalidInputError(
            f"{path} cannot be read: {error.strerror or error}.",
            next_step="Name the file that `ro dossier export` wrote.",
        ) from None


class _Verification:
    """One verification; each step may rely on those before it."""

    def __init__(self, signed: SignedMembers, witnesses: Sequence[VerifierKey]) -> None:
        self._signed = signed
        self._witnesses = witnesses

    def dossier(self) -> Dossier:
        signed = self._signed
        with_artifacts, withheld = signed.extension()
        checkpoint = signed.checkpoint()
        manifest, fingerprint = signed.manifest()
        run = run_id(fingerprint)
        lines = signed.lines(checkpoint)
        for line in lines:
            draft = draft_of(line.entry)
            require(draft is None, f"entry {line.seq} is of the draft {draft!r}")
        own, context = split(lines, run)
        records = sealed_records(own, context, run, fingerprint)
        require_registered(own, manifest, fingerprint)
        attempts, bound, verdicts = self._work(own, run, fingerprint)
        refs = self._refs(bound)
        require_related(context, run, manifest, {item.asset for item in bound})
        self._receipts_are(verdicts, refs)
        self._bytes_are(refs, verdicts, with_artifacts=with_artifacts, withheld=withheld)
        facts = Facts(
            manifest=manifest,
            fingerprint=fingerprint,
            run_id=run,
            refs=refs,
            receipts=receipt_resources(item.recorded for item in verdicts),
            started=own[0].entry.recorded_at_utc,
            finished=records[-1].seal_line.entry.recorded_at_utc,
            checkpoint=checkpoint,
            with_artifacts=with_artifacts,
            withheld=withheld,
            members=signed.others(),
        )
        require(
            canonical_bytes(statement(facts)) == signed.payload,
            "the statement says something else than the dossier",
        )
        return Dossier(
            manifest=manifest,
            fingerprint=fingerprint,
            run_id=run,
            checkpoint=checkpoint,
            witnesses=tuple(key.name for key in self._witnesses),
            records=tuple(records),
            context=tuple(context),
            attempts=tuple(attempts),
            bound=tuple(bound),
            refs=tuple(refs),
            verdicts=tuple(verdicts),
            with_artifacts=with_artifacts,
            withheld=withheld,
            size_bytes=signed.size_bytes,
        )

    def _work(
        self, own: Sequence[Line], run: str, fingerprint: str
    ) -> tuple[list[JobAttemptRecord], list[ArtifactBound], list[DossierVerdict]]:
        """What was attempted, bound and judged, in the order in which it was."""
        attempts, bound, verdicts = Attempts(run, fingerprint), [], []
        for line in own:
            match line.entry.kind:
                case EntryKind.ATTEMPT_TRANSITION:
                    attempts.take(line)
                case EntryKind.ARTIFACT_BOUND:
                    made = line.said(ArtifactBound)
                    running = attempts.status.get(made.attempt_id) is JobStatus.RUNNING
                    require(running, f"entry {line.seq} binds what no running attempt made")
                    _require_place(line, made, fingerprint)
                    bound.append(made)
                case EntryKind.GATE_RECEIPT:
                    verdict = self._verdict(line, run, fingerprint)
                    known = verdict.receipt.attempt_id in attempts.status
                    require(known, f"entry {line.seq} is a verdict of no attempt")
                    verdicts.append(verdict)
        return attempts.ended(), bound, verdicts

    def _verdict(self, line: Line, run: str, fingerprint: str) -> DossierVerdict:
        recorded = line.said(ReceiptRecorded)
        name = container.receipt_name(recorded.receipt.digest)
        self._signed.require_digest(name, recorded.receipt.size_bytes)
        data = self._signed.document(name)
        with refusing(name):
            receipt = GateReceipt.from_json(data, where="receipt")
            require(canonical_bytes(receipt) == data, f"{name} is not in canonical form")
        scope = receipt.scope
        said = (
            receipt.gate_id,
            receipt.status,
            receipt.subject.digest,
            receipt.rule_digest,
            scope.asset,
            scope.manifest_fingerprint,
        )
        expected = (
            recorded.gate_id,
            recorded.status,
            recorded.subject_digest,
            recorded.rule_digest,
            recorded.asset,
            recorded.manifest_fingerprint,
        )
        require(said == expected, f"{name} is another verdict than entry {line.seq}")
        ours = (scope.run_id, scope.manifest_fingerprint) == (run, fingerprint)
        require(ours, f"{name} is about another run")
        return DossierVerdict(line, recorded, receipt)

    def _refs(self, bound: Sequence[ArtifactBound]) -> list[BoundRef]:
        """The references that were bound, by locator: those in refs.json, and no others."""
        known: dict[str, BoundRef] = {}
        for made in bound:
            ref = made.artifact
            require(known.setdefault(ref.ref, ref) == ref, f"{ref.ref} is bound twice over")
        refs = [known[name] for name in sorted(known)]
        expected = canonical_bytes([ref.to_json_value() for ref in refs])
        found = self._signed.document(container.REFS)
        require(found == expected, "refs.json is not what the entries say was bound")
        return refs

    def _receipts_are(self, verdicts: Sequence[DossierVerdict], refs: Sequence[BoundRef]) -> None:
        """Each verdict is on a bound artifact, and no other receipt is there."""
        digests = {ref.ref: ref.digest for ref in refs}
        expected = {container.receipt_name(item.recorded.receipt.digest) for item in verdicts}
        self._signed.require_exactly("receipts", expected)
        for item in verdicts:
            subject = item.receipt.subject
            require(
                digests.get(subject.ref) == subject.digest,
                f"entry {item.line.seq} is a verdict on what the run did not bind",
            )

    def _bytes_are(
        self,
        refs: Sequence[BoundRef],
        verdicts: Sequence[DossierVerdict],
        *,
        with_artifacts: bool,
        withheld: dict[str, str],
    ) -> None:
        """With artifacts: each is there or withheld, each tree is whole, and no others are."""
        evidence = [item.receipt.evidence for item in verdicts if item.receipt.evidence]
        known = {str(ref.digest): ref for ref in (*evidence, *refs) if ref.digest}
        for digest, code in withheld.items():
            held_back = with_artifacts and digest in known and isinstance(code, str)
            require(held_back, f"{digest} is withheld, and is no artifact of the run")
        wanted: dict[str, int | None] = {}
        for digest in sorted(known.keys() - withheld.keys()) if with_artifacts else ():
            ref = known[digest]
            wanted[digest] = ref.size_bytes
            if ref.media_type == TREE:
                wanted |= self._signed.tree(digest)
        self._signed.require_exactly(
            "artifacts", {container.artifact_name(item) for item in wanted}
        )
        for digest, size in wanted.items():
            self._signed.require_digest(container.artifact_name(digest), size)


def receipt_resources(recorded: Iterable[ReceiptRecorded]) -> list[tuple[str, str]]:
    """Locator and digest of each receipt, sorted, each once."""
    return sorted({(item.receipt.ref, item.receipt.digest) for item in recorded})


def _require_place(line: Line, made: ArtifactBound, fingerprint: str) -> None:
    """That the binding's locator is the asset's, under this manifest."""
    address = parse_binding(made.artifact.ref)
    place = address and (address.asset, address.fingerprint)
    right = place == (made.asset, fingerprint) and made.manifest_fingerprint == fingerprint
    require(right, f"entry {line.seq} binds {made.artifact.ref} somewhere else")
    subject = names.artifact_subject(made.artifact.ref)
    require(line.entry.subject == subject, f"entry {line.seq} is about {line.entry.subject}")
