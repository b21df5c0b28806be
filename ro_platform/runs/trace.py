"""Tracing: everything on record that made, used, judged or touched what one id names, in order.

An id names either a piece of work (a run, a training run, a Dagster run, an attempt), or bytes (a
bundle, a digest, one binding of it), or an administrative event. The trace of it is

- what carries the id, or mentions it;
- for every artifact among that: who else made it, what was made from it, every verdict on it and
  every revocation of one, what blocked it, the erasure of its bytes, and the registration of the
  manifest it was made under;
- for bytes: the manifests that name them as an input.

It goes no further: what was made from what was made from it is `ro gate impact`. Each question is
asked of an index of the ledger, so a trace costs what it shows, however large the ledger is. Two
exceptions read more: the beginning of a fingerprint is looked for among all registrations, and an
attempt's artifacts and verdicts among those of its run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ro_platform import errors
from ro_platform.artifacts.addressing import checked_asset, parse_binding
from ro_platform.contracts import EntryKind
from ro_platform.gates.made import artifact_of
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.lookup import MIN_PREFIX
from ro_platform.runs.related import Gathering, TraceLine, moves_of

_HEX32, _HEX64 = re.compile(r"[a-f0-9]{32}"), re.compile(r"(sha256:)?[a-f0-9]{64}")
_PREFIX = re.compile(rf"[a-f0-9]{{{MIN_PREFIX},63}}")
_LONGEST = 1024
_SHOWN = 4


class TraceKind(StrEnum):
    """What an id can be the id of."""

    MANIFEST = "manifest"
    RUN = "run"
    TRAIN_RUN = "train_run"
    BUNDLE = "bundle"
    DAGSTER_RUN = "dagster_run"
    ATTEMPT = "attempt"
    ARTIFACT = "artifact"
    DIGEST = "digest"
    ADMIN_EVENT = "admin_event"


@dataclass(frozen=True, slots=True)
class Trace:
    """What an id was taken for, its full form, and everything related, in the ledger's order."""

    kind: TraceKind
    identifier: str
    lines: tuple[TraceLine, ...]


class Tracer:
    """Traces ids through one environment's ledger."""

    def __init__(self, log: LedgerReader) -> None:
        self._log = log

    def trace(self, identifier: str, kind: TraceKind | None = None) -> Trace:
        """Everything related to what ``identifier`` names (as a ``kind``, where it is several).

        Raises :class:`NotFoundError` for an id that nothing on record carries, and
        :class:`InvalidInputError` for one that is ambiguous or of a kind that is not traced.
        """
        if not identifier.isprintable() or not 0 < len(identifier) <= _LONGEST:
            raise _unknown(identifier, kind)
        meanings = [
            (found, full)
            for found, full in self._meanings(identifier)
            if kind is None or found is kind
        ]
        if not meanings:
            raise _unknown(identifier, kind)
        if len(meanings) > 1:
            raise _ambiguous(identifier, meanings)
        [(found, full)] = meanings
        gathering = Gathering(self._log)
        _WAYS[found](gathering, full)
        return Trace(found, full, gathering.lines())

    def _meanings(self, identifier: str) -> Iterator[tuple[TraceKind, str]]:
        """Everything that the id is the id of, with its full form."""
        if "::" in identifier:
            raise errors.InvalidInputError(
                f"{identifier!r} is an actor, and entries are not indexed by who acted.",
                next_step="Trace what was acted on; `ro ledger log` shows who did what.",
            )
        if parse_binding(identifier) or "@" in identifier:
            yield from self._artifacts(identifier)
            return
        if _HEX64.fullmatch(identifier):
            yield from self._by_64(identifier)
        elif _HEX32.fullmatch(identifier):
            yield from self._by_32(identifier)
        yield from self._by_name(identifier)
        if _PREFIX.fullmatch(identifier):
            for fingerprint in self._fingerprints(identifier):
                yield TraceKind.MANIFEST, fingerprint

    def _artifacts(self, identifier: str) -> Iterator[tuple[TraceKind, str]]:
        if address := parse_binding(identifier):
            if self._any(
                kind=EntryKind.ARTIFACT_BOUND, subject=names.artifact_subject(address.name)
            ):
                yield TraceKind.ARTIFACT, identifier
            return
        asset, _, beginning = identifier.rpartition("@")
        full = re.fullmatch(r"[a-f0-9]{64}", beginning)
        for fingerprint in [beginning] if full else self._fingerprints(beginning):
            if ref := artifact_of(self._log, checked_asset(asset), fingerprint):
                yield TraceKind.ARTIFACT, ref.ref

    def _by_64(self, identifier: str) -> Iterator[tuple[TraceKind, str]]:
        digest = identifier.removeprefix("sha256:")
        if identifier == digest and self._log.find(names.run_key(digest)):
            yield TraceKind.MANIFEST, digest
        if self._any(mention=names.bundle_mention(digest)):
            yield TraceKind.BUNDLE, digest
        elif (
            self._any(mention=names.digest_name(digest))
            or self._any(mention=names.input_mention(digest))
            or self._log.latest(EntryKind.ARTIFACT_ERASED, names.digest_name(digest))
        ):
            yield TraceKind.DIGEST, digest

    def _by_32(self, identifier: str) -> Iterator[tuple[TraceKind, str]]:
        if self._any(run_id=identifier) or self._any(mention=names.touched_mention(identifier)):
            yield TraceKind.RUN, identifier
        if self._any(mention=names.train_run_mention(identifier)):
            yield TraceKind.TRAIN_RUN, identifier
        elif any(moves_of(self._log, identifier)):
            yield TraceKind.ATTEMPT, identifier
        if self._log.find(names.intent_key(identifier)):
            yield TraceKind.ADMIN_EVENT, identifier

    def _by_name(self, identifier: str) -> Iterator[tuple[TraceKind, str]]:
        if self._any(dagster_run_id=identifier):
            yield TraceKind.DAGSTER_RUN, identifier

    def _fingerprints(self, beginning: str) -> Iterator[str]:
        """The registered manifests that begin so: the one question no index answers."""
        if _PREFIX.fullmatch(beginning):
            for entry in self._log.scan(kind=EntryKind.RUN_REGISTERED):
                fingerprint = str(entry.body["manifest_fingerprint"])
                if fingerprint.startswith(beginning):
                    yield fingerprint

    def _any(
        self,
        *,
        kind: EntryKind | None = None,
        subject: str | None = None,
        run_id: str | None = None,
        dagster_run_id: str | None = None,
        mention: str | None = None,
    ) -> bool:
        found = self._log.scan(
            kind=kind,
            subject=subject,
            run_id=run_id,
            dagster_run_id=dagster_run_id,
            mention=mention,
            limit=1,
        )
        return next(found, None) is not None


_WAYS: dict[TraceKind, Callable[[Gathering, str], None]] = {
    TraceKind.MANIFEST: lambda gathering, fingerprint: gathering.run(run_id(fingerprint)),
    TraceKind.RUN: Gathering.run,
    TraceKind.TRAIN_RUN: Gathering.train_run,
    TraceKind.BUNDLE: Gathering.digest,
    TraceKind.DAGSTER_RUN: Gathering.dagster_run,
    TraceKind.ATTEMPT: Gathering.attempt,
    TraceKind.ARTIFACT: Gathering.artifact,
    TraceKind.DIGEST: Gathering.digest,
    TraceKind.ADMIN_EVENT: Gathering.admin_event,
}


def _unknown(identifier: str, kind: TraceKind | None) -> errors.NotFoundError:
    return errors.NotFoundError(
        f"nothing on record is known as {identifier!r}{f', as a {kind}' if kind else ''}.",
        next_step="Give a run_id, a manifest fingerprint or its beginning, a train_run_id, a "
        "bundle_id, a Dagster run's id, an attempt_id, an admin_event_id, a SHA-256, a locator "
        "(refs/...json) or ASSET@MANIFEST.",
        identifier=identifier,
    )


def _ambiguous(identifier: str, meanings: list[tuple[TraceKind, str]]) -> errors.InvalidInputError:
    named = ", ".join(f"{kind} {full}" for kind, full in meanings[:_SHOWN])
    kinds = {kind for kind, _ in meanings}
    return errors.InvalidInputError(
        f"{identifier!r} is ambiguous: {named}{', ...' if len(meanings) > _SHOWN else ''}.",
        next_step="Say which with --as KIND." if len(kinds) > 1 else "Give more digits.",
        identifier=identifier,
    )
