"""Finding a bound artifact by what a person has in hand: a locator, an asset and a manifest, or a
digest. What is found is read through the guard, like any other read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import checked_asset, parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import ArtifactBound, BoundRef, EntryKind
from ro_platform.gates.guard import GateState, Guard
from ro_platform.gates.made import artifact_at, artifacts_on_record
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.log import Ledger
from ro_platform.runs.registry import RunRegistry

MIN_PREFIX = 6


@dataclass(frozen=True, slots=True)
class Located:
    """A bound artifact: under which asset and manifest, and its reference."""

    asset: str
    fingerprint: str
    ref: BoundRef


class Lookup:
    """Finds bound artifacts of one environment."""

    def __init__(
        self, store: ArtifactStore, ledger: Ledger, runs: RunRegistry, guard: Guard
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._runs = runs
        self._guard = guard

    def find(self, target: str) -> list[Located]:
        """All bound artifacts that ``target`` names: ``refs/...json``, ``ASSET@FINGERPRINT`` (or
        the first digits of it), or a SHA-256.

        Raises :class:`ArtifactNotFoundError` if there is none, :class:`InvalidInputError` for a
        target that is none of these or not unique.
        """
        found = list(self._candidates(target))
        if not found:
            raise errors.ArtifactNotFoundError(
                f"no artifact is bound as {target!r}.",
                next_step="See `ro artifact list`; configs and manifests have commands of their "
                "own (`ro config show`, `ro manifest show`).",
                target=target,
            )
        return found

    def readable(self, target: str) -> Located:
        """The artifact that ``target`` names, if the gates let it be read.

        Where a digest is bound in several places, one that is passed is enough: the bytes are the
        same. Raises a :class:`GateRefusedError` otherwise.
        """
        refusals: list[errors.GateRefusedError] = []
        for located in self.find(target):
            try:
                manifest = self._runs.manifest(located.fingerprint)
                self._guard.check(located.asset, manifest, located.fingerprint, located.ref)
            except errors.GateRefusedError as refusal:
                refusals.append(refusal)
            else:
                return located
        raise refusals[0]

    def standings(self, located: Located) -> list[GateState]:
        """How each gate stands towards it."""
        manifest = self._runs.manifest(located.fingerprint)
        return list(
            self._guard.standings(located.asset, manifest, located.fingerprint, located.ref)
        )

    def on_record(
        self, asset: str = "", beginning: str = ""
    ) -> Iterator[tuple[str, str, int, BoundRef]]:
        """(asset, fingerprint, revision, reference) of what is on record for an asset and those
        below it (all by default), under manifests that begin so, sorted. It reads all makings."""
        for made in artifacts_on_record(self._ledger).values():
            address = parse_binding(made.artifact.ref)
            if address is None or not address.fingerprint.startswith(beginning):
                continue
            if not asset or f"{address.asset}/".startswith(f"{checked_asset(asset)}/"):
                yield *address, made.artifact

    def makers(self, digest: str) -> Iterator[ArtifactBound]:
        """Which attempts bound these bytes, oldest first."""
        for entry in self._ledger.scan(
            kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest)
        ):
            yield body_of(entry, ArtifactBound)

    def _candidates(self, target: str) -> Iterator[Located]:
        if re.fullmatch(r"(sha256:)?[a-f0-9]{64}", target):
            yield from self._by_digest(target.removeprefix("sha256:"))
        elif address := parse_binding(target):
            if ref := artifact_at(self._ledger, address.name) or self._store.binding(*address):
                yield Located(address.asset, address.fingerprint, ref)
        elif "@" in target:
            asset, _, prefix = target.rpartition("@")
            fingerprint = self._fingerprint(prefix)
            if ref := self._guard.find(checked_asset(asset), fingerprint):
                yield Located(asset, fingerprint, ref)
        else:
            raise errors.InvalidInputError(
                f"{target!r} names no artifact.",
                next_step="Give ASSET@FINGERPRINT, a locator (refs/...json) or a SHA-256; "
                "`ro artifact list` prints them.",
            )

    def _by_digest(self, digest: str) -> Iterator[Located]:
        seen: set[str] = set()
        for bound in self.makers(digest):
            if bound.artifact.ref not in seen:
                seen.add(bound.artifact.ref)
                yield Located(bound.asset, bound.manifest_fingerprint, bound.artifact)

    def _fingerprint(self, prefix: str) -> str:
        if re.fullmatch(r"[a-f0-9]{64}", prefix):
            return prefix
        known = [item.manifest_fingerprint for item in self._runs.registered()]
        matching = [item for item in known if item.startswith(prefix)]
        if len(matching) != 1 or len(prefix) < MIN_PREFIX:
            raise errors.InvalidInputError(
                f"{prefix!r} is the beginning of {len(matching)} registered manifests.",
                next_step=f"Give at least {MIN_PREFIX} digits that only one begins with.",
            )
        return matching[0]
