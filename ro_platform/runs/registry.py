"""Registered runs: a manifest becomes a run when its blob, its inputs and its entry are recorded.

Everything is checked before anything is written: the pinned configs, and each input's bytes
against its digest. A crash in between leaves at worst blobs that no entry names; registering again
completes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import (
    ArtifactBound,
    ArtifactRef,
    BoundRef,
    CorrelationIds,
    EntryKind,
    ManifestInput,
    PinnedConfigRef,
    RegisteredManifest,
    RunManifest,
)
from ro_platform.gates.guard import Guard
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import Digests, StreamingHasher, sha256_hex
from ro_platform.kernel.documents import MAX_DOCUMENT_BYTES, parse_document
from ro_platform.kernel.files import chunks_of, read_file
from ro_platform.kernel.identity import parameter_hash, run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.runs.manifest import ManifestFile

MANIFEST_MEDIA_TYPE = "application/json"
DEFAULT_MEDIA_TYPE = "application/octet-stream"
_MANIFESTS_KEPT = 256


class RunRegistry:
    """The manifests that runs of this environment are about."""

    def __init__(
        self, store: ArtifactStore, ledger: Ledger, configs: ConfigVersions, guard: Guard
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._configs = configs
        self._guard = guard
        self._verified: dict[str, bytes] = {}

    def register(
        self, file: ManifestFile, *, actor: str, publish_first_versions: bool = False
    ) -> bool:
        """Register a manifest. True if it is new; registering it again changes nothing.

        With ``publish_first_versions``, a config that was never published may come with the
        manifest: version 1, from the file that the pin's ``ref`` names, if it has the pinned
        digest. Later versions are always published on their own.

        An input comes from a file, or is an artifact of this plane named by its digest, which is
        then read like any other: through the guard.

        Raises :class:`InputMissingError`, :class:`InputMismatchError`, a
        :class:`GateRefusedError`, or what :meth:`ConfigVersions.check` raises, before anything is
        written.
        """
        manifest, fingerprint = file.manifest, file.fingerprint
        unpublished = []
        for pin in manifest.config_versions:
            if publish_first_versions and self._configs.is_first_of(pin) and pin.ref:
                unpublished.append((pin, _config_content(file, pin)))
            else:
                self._configs.check(pin)
        missing = [
            (item, path) for item in manifest.inputs if (path := self._to_import(file, item))
        ]
        if not missing and self.is_registered(fingerprint):
            return False
        for pin, content in unpublished:
            reason = f"first version, published with manifest {fingerprint}"
            self._configs.publish_first(pin.config_name, content, reason=reason, actor=actor)
        for item, path in missing:
            self._import(item, path)
        data = canonical_bytes(manifest)
        self._store.put_bytes(data, media_type=MANIFEST_MEDIA_TYPE)
        imported = tuple(names.imported_mention(str(item.ref.digest)) for item, _ in missing)
        return self._record(manifest, fingerprint, len(data), actor, imported)

    def source_of(self, item: ManifestInput) -> BoundRef | None:
        """The artifact of this plane that an input is; None if its bytes came from outside.

        Raises a :class:`GateRefusedError` if none of the artifacts with those bytes may be read,
        and :class:`InputMissingError` if the plane holds nothing that a manifest may name so.
        """
        digest = str(item.ref.digest)
        self._guard.require_unerased(digest)
        if self.is_imported(item):
            return None
        refusals: list[errors.GateRefusedError] = []
        for entry in self._ledger.scan(
            kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest), newest_first=True
        ):
            made = body_of(entry, ArtifactBound)
            fingerprint = made.manifest_fingerprint
            try:
                self._guard.check(
                    made.asset, self.manifest(fingerprint), fingerprint, made.artifact
                )
            except errors.GateRefusedError as refusal:
                refusals.append(refusal)
            else:
                return made.artifact
        if refusals:
            raise refusals[0]
        raise errors.InputMissingError(
            f"input {item.name!r}: sha256:{digest} is neither an imported input nor an artifact.",
            next_step="Put the file where the manifest's ref says, and register the manifest.",
            input=item.name,
        )

    def is_registered(self, fingerprint: str) -> bool:
        """Whether a manifest with that fingerprint is on record."""
        return self._ledger.find(names.run_key(fingerprint)) is not None

    def manifest(self, fingerprint: str) -> RunManifest:
        """A registered manifest, from its own bytes. Raises :class:`ManifestNotRegisteredError`.

        Its bytes are verified the first time; what a fingerprint names cannot change after that.
        """
        data = self._verified.get(fingerprint)
        if data is None:
            self.require_registered(fingerprint)
            data = self._store.read(blob_ref(fingerprint))
            if len(self._verified) >= _MANIFESTS_KEPT:
                self._verified.clear()
            self._verified[fingerprint] = data
        return RunManifest.from_json(data, where=f"manifest {fingerprint}")

    def require_registered(self, fingerprint: str) -> None:
        """Raise :class:`ManifestNotRegisteredError` unless that manifest is on record."""
        if fingerprint not in self._verified and not self.is_registered(fingerprint):
            raise errors.ManifestNotRegisteredError(
                f"no manifest with fingerprint {fingerprint} is registered.",
                next_step="Register it: `ro manifest register FILE`.",
                manifest_fingerprint=fingerprint,
            )

    def registered(self) -> Iterator[RegisteredManifest]:
        """All registered manifests, oldest first."""
        for entry in self._ledger.scan(kind=EntryKind.RUN_REGISTERED):
            yield body_of(entry, RegisteredManifest)

    def _to_import(self, file: ManifestFile, item: ManifestInput) -> Path | None:
        """The file to import for an input, checked; None if the store has the bytes already."""
        assert item.ref.digest is not None
        self._guard.require_unerased(item.ref.digest)
        stored = blob_ref(item.ref.digest).model_copy(update={"size_bytes": item.ref.size_bytes})
        if item.ref.blake3 is None and self.is_imported(item) and self._store.has(stored):
            self._store.verify(stored)
            return None
        path = file.locate(item.ref.ref)
        try:
            found = _digests_of_file(path)
        except OSError as error:
            if self._store.has(stored) and self.source_of(item):
                self._store.verify(stored)
                return None
            raise errors.InputMissingError(
                f"input {item.name!r}: {path} cannot be read: {error.strerror}.",
                next_step="Put the file where the manifest's ref says, beside the manifest.",
                input=item.name,
            ) from None
        if (
            found.sha256 != item.ref.digest
            or item.ref.size_bytes not in (None, found.size_bytes)
            or item.ref.blake3 not in (None, found.blake3)
        ):
            raise errors.InputMismatchError(
                f"input {item.name!r}: {path} has sha256:{found.sha256} "
                f"({found.size_bytes} bytes), the manifest names sha256:{item.ref.digest}.",
                next_step="Restore the file, or name its new digest: that is another run.",
                input=item.name,
                expected=item.ref.digest,
                found=found.sha256,
            )
        return path

    def is_imported(self, item: ManifestInput) -> bool:
        """Whether those bytes once came from a file, so that reading them passes no gate by."""
        name = names.imported_mention(str(item.ref.digest))
        return next(self._ledger.scan(mention=name, limit=1), None) is not None

    def _import(self, item: ManifestInput, path: Path) -> None:
        ref = self._store.put_file(path, media_type=item.ref.media_type or DEFAULT_MEDIA_TYPE)
        if ref.digest != item.ref.digest:
            raise errors.InputMismatchError(
                f"input {item.name!r}: {path} changed while it was read.",
                next_step="Let nothing write to the file, and register again.",
                input=item.name,
            )

    def _record(
        self,
        manifest: RunManifest,
        fingerprint: str,
        size: int,
        actor: str,
        imported: tuple[str, ...],
    ) -> bool:
        body = RegisteredManifest(
            manifest_fingerprint=fingerprint,
            parameter_hash=parameter_hash(manifest),
            workload=manifest.workload,
            scenario_id=manifest.scenario_id,
            size_bytes=size,
        )
        draft = EntryDraft(
            kind=EntryKind.RUN_REGISTERED,
            subject=names.run_subject(run_id(fingerprint)),
            key=names.run_key(fingerprint),
            actor=actor,
            correlation_ids=CorrelationIds(run_id=run_id(fingerprint)),
            body=body.to_json_value(),
            mentions=(
                *imported,
                *(names.input_mention(str(item.ref.digest)) for item in manifest.inputs),
            ),
        )
        # Asked inside the append, so that of two who register at once only one hears "new".
        return bool(
            self._ledger.append_with(
                lambda log: [] if log.find(names.run_key(fingerprint)) else [draft]
            )
        )


def _config_content(file: ManifestFile, pin: PinnedConfigRef) -> Any:
    """The content that a pin's file holds. Raises unless it has the pinned digest."""
    path = file.locate(pin.ref or "")
    try:
        content = parse_document(read_file(path, MAX_DOCUMENT_BYTES), str(path)).value
    except OSError as error:
        raise errors.InputMissingError(
            f"config {pin.config_name!r}: {path} cannot be read: {error.strerror}.",
            next_step="Put the file where the pin's ref says, or publish the config.",
            config_name=pin.config_name,
        ) from None
    if (found := sha256_hex(canonical_bytes(content))) != pin.digest:
        raise errors.InputMismatchError(
            f"config {pin.config_name!r}: {path} has content sha256:{found}, the manifest pins "
            f"sha256:{pin.digest}.",
            next_step="Restore the file, or pin its new digest: that is another run.",
            config_name=pin.config_name,
        )
    return content


def input_ref(item: ManifestInput) -> ArtifactRef:
    """The stored blob of a manifest's input: named by digest, wherever the manifest found it."""
    assert item.ref.digest is not None
    return blob_ref(item.ref.digest)


def _digests_of_file(path: Path) -> Digests:
    with StreamingHasher() as hasher:
        for chunk in chunks_of(path):
            hasher.update(chunk)
        return hasher.digests()


def blob_ref(digest: str) -> ArtifactRef:
    """A reference to the blob with that SHA-256: a manifest's, an input's."""
    return ArtifactRef(ref=blob_name(digest), digest=digest, digest_alg="sha256")
