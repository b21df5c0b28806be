"""Bound artifacts as actions name them: by their binding's locator, under their manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import BindingAddress, parse_binding
from ro_platform.contracts import BoundRef, RunManifest
from ro_platform.gates.made import artifact_at
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.registry import RunRegistry


@dataclass(frozen=True, slots=True)
class Named:
    """An artifact, where it is bound, and the manifest it was made under."""

    address: BindingAddress
    ref: BoundRef
    manifest: RunManifest


class Artifacts:
    """Finds what actions are about."""

    def __init__(self, log: LedgerReader, runs: RunRegistry) -> None:
        self._log = log
        self._runs = runs

    def named(self, locator: str) -> Named:
        """The artifact bound there. Raises :class:`ArtifactNotFoundError`."""
        address = parse_binding(locator)
        ref = artifact_at(self._log, locator) if address else None
        if address is None or ref is None:
            raise errors.ArtifactNotFoundError(
                f"no artifact is bound as {locator!r}.",
                next_step="Give a binding's locator (refs/...json): `ro artifact list`.",
                target=locator,
            )
        return Named(address, ref, self._runs.manifest(address.fingerprint))

    def workload_of(self, fingerprints: Iterable[str]) -> str | None:
        """The one workload of all these manifests; None if there are several, or none."""
        found = set()
        for fingerprint in fingerprints:
            try:
                found.add(self._runs.manifest(fingerprint).workload)
            except errors.ManifestNotRegisteredError:
                return None
        return found.pop() if len(found) == 1 else None
