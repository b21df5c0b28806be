"""What is not any more what made a run: files beside its manifest, code, packages.

What stands is what it was made of, and stays so: nothing here decides whether it may be read. A
person who edited a file or an asset is told that what they see was made before the edit.

Code is compared by the code versions that attempts record and the code location declares, packages
by the runtime's fingerprint. An artifact's attempt is the newest that gave exactly its bytes: a
replay that proves them under today's code makes them today's.

What executes: the interpreter, the platform and a digest over every installed package.

The digest is that of the listing of packages, which :func:`keep_packages` puts into the store: so
two runtimes of which both listings were kept can be compared package by package.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import (
    ArtifactRef,
    CodeRef,
    GateRule,
    JobAttemptRecord,
    JobStatus,
    RuntimeFingerprint,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.documents import MAX_DOCUMENT_BYTES, parse_document
from ro_platform.kernel.files import chunks_of, read_file
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.plan import AssetState
from ro_platform.runs.registry import blob_ref

_MEDIA_TYPE = "text/plain"


@lru_cache(maxsize=1)
def runtime_fingerprint() -> RuntimeFingerprint:
    """This process's runtime. Packages are hashed as sorted ``name==version`` lines."""
    return RuntimeFingerprint(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system().lower()}-{platform.machine()}",
        packages_digest=sha256_hex(_listing()),
    )


def keep_packages(store: ArtifactStore) -> None:
    """Keep the listing that this process's fingerprint is the digest of, unless it is kept."""
    if not store.has(_ref(runtime_fingerprint().packages_digest)):
        store.put_bytes(_listing(), media_type=_MEDIA_TYPE)


def packages_of(store: ArtifactStore, fingerprint: RuntimeFingerprint) -> dict[str, str] | None:
    """The packages of a runtime, versions by name; None where its listing was not kept."""
    if fingerprint == runtime_fingerprint():
        lines = _listing().decode()
    else:
        try:
            lines = store.read(_ref(fingerprint.packages_digest)).decode()
        except errors.RunOperateError:
            return None
    named = (line.partition("==") for line in lines.splitlines())
    return {name: version for name, _, version in named}


def _listing() -> bytes:
    lines = {f"{item.name.lower()}=={item.version}" for item in distributions() if item.name}
    return "\n".join(sorted(lines)).encode()


def _ref(digest: str) -> ArtifactRef:
    return ArtifactRef(ref=blob_name(digest), digest=digest, digest_alg="sha256")


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file beside the manifest that is not what the manifest pins, while the plane has that.

    ``what`` is ``input orders`` or ``config limits``; ``found`` says what the file is now.
    """

    what: str
    ref: str
    pinned: str
    found: str

    @property
    def words(self) -> str:
        """One sentence for a person."""
        return (
            f"{self.ref} is not the pinned file any more ({self.what}: sha256 {self.pinned}, now "
            f"{self.found}): the stored bytes of the pinned digest are used."
        )

    @property
    def facts(self) -> dict[str, str]:
        """The same for a machine."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AssetChange:
    """What stands of an asset was not made by what is here now.

    ``made_from`` are inputs of it that other code made; ``code_now`` is None where the code
    location declares no version of the asset. An attempt without a version is from before code
    digests were recorded: by which code it was made is not known. ``job_config_now`` is the digest
    of the run config that the code gives the job; None where it gives none.
    """

    asset: str
    attempt: JobAttemptRecord
    code_now: str | None
    made_from: tuple[str, ...]
    runtime_now: RuntimeFingerprint
    job_config_now: str | None = None

    @property
    def code_before(self) -> str | None:
        """The code version on record."""
        return self.attempt.code_version

    @property
    def is_known(self) -> bool:
        """Whether it is on record by which code it was made, or nothing is declared to compare."""
        return self.code_before is not None or self.code_now is None

    @property
    def by_other_code(self) -> bool:
        """Whether its own code is another, or cannot be known to be the same."""
        return self.code_before != self.code_now

    @property
    def by_other_config(self) -> bool:
        """Whether the code gave its job another config."""
        return self.attempt.job_config_digest != self.job_config_now

    @property
    def by_other_packages(self) -> bool:
        """Whether the interpreter, the platform or a package is another."""
        return self.attempt.runtime not in (None, self.runtime_now)

    @property
    def is_one(self) -> bool:
        """Whether there is anything to tell."""
        return _is_other(self) or self.by_other_packages


@dataclass(frozen=True, slots=True)
class RuntimeChange:
    """One thing of a runtime that differs; None where it was or is not there."""

    name: str
    before: str | None
    now: str | None


def changed_files(
    store: ArtifactStore, configs: ConfigVersions, file: ManifestFile
) -> list[FileChange]:
    """The files that a manifest names beside it and that changed, while the plane has the pinned
    bytes and will use those. A file that is not there is no change: none is needed.

    A file of another size is not read; one of the same size is hashed.
    """
    return [*_changed_inputs(store, file), *_changed_configs(configs, file)]


def changed_assets(
    standings: Sequence[AssetState],
    attempts: Iterable[JobAttemptRecord],
    code_now: Mapping[str, str | None],
    job_config_now: str | None = None,
) -> list[AssetChange]:
    """Those of the bound artifacts (producers first) that other code or packages made, or that
    were made with another config of the job."""
    by_unit: dict[str, list[JobAttemptRecord]] = {}
    for attempt in attempts:
        by_unit.setdefault(attempt.unit, []).append(attempt)
    changed: dict[str, AssetChange] = {}
    for item in standings:
        made = maker_of(by_unit.get(item.asset, []), item)
        if made is not None:
            sources = (source.name for source in made.inputs)
            since = AssetChange(
                item.asset,
                made,
                code_now.get(item.asset),
                tuple(sorted({name for name in sources if _is_other(changed.get(name))})),
                runtime_fingerprint(),
                job_config_now,
            )
            if since.is_one:
                changed[item.asset] = since
    return list(changed.values())


def maker_of(attempts: Sequence[JobAttemptRecord], standing: AssetState) -> JobAttemptRecord | None:
    """The newest attempt that gave exactly the bytes that are bound; one that lists none may have.

    ``attempts`` are in the order in which they began, of this asset or of any.
    """
    for attempt in reversed(attempts):
        gave = [item.artifact.digest for item in attempt.outputs]
        if (
            standing.ref is not None
            and (attempt.unit, attempt.status) == (standing.asset, JobStatus.SUCCEEDED)
            and (standing.ref.digest in gave or not gave)
        ):
            return attempt
    return None


def changed_runtime(
    store: ArtifactStore, before: RuntimeFingerprint, now: RuntimeFingerprint
) -> list[RuntimeChange]:
    """What differs between two runtimes, by name. Where a listing of packages was not kept, the
    digests of both stand for it."""
    found = [
        RuntimeChange(name, getattr(before, name), getattr(now, name))
        for name in ("implementation", "python", "platform")
        if getattr(before, name) != getattr(now, name)
    ]
    if before.packages_digest == now.packages_digest:
        return found
    old, new = packages_of(store, before), packages_of(store, now)
    if old is None or new is None:
        return [*found, RuntimeChange("packages", before.packages_digest, now.packages_digest)]
    return found + [
        RuntimeChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def require_unchanged(files: Sequence[FileChange], assets: Sequence[AssetChange]) -> None:
    """Raise :class:`InputMismatchError` or :class:`CodeChangedError` unless all is as it was."""
    if files:
        raise errors.InputMismatchError(
            f"{len(files)} files beside the manifest changed: {files[0].words}",
            next_step="Restore the file, or name its new digest: that is another run. Without "
            "--strict the stored bytes are used.",
            files=[item.ref for item in files],
        )
    if assets:
        names = ", ".join(item.asset for item in assets)
        raise errors.CodeChangedError(
            f"{len(assets)} assets stand that were not made by the code and packages of now, as "
            f"far as is recorded: {names}.",
            next_step="`ro run FILE` tells which and how; --recompute-changed makes another "
            "manifest for the code of now, --replay proves that it gives the same bytes.",
            assets=[item.asset for item in assets],
        )


def code_of_now(
    assets: Mapping[str, str | None],
    gates: Iterable[GateRule],
    job_config: str | None = None,
) -> CodeRef:
    """The ``code`` of a manifest that is about the code and the runtime of now.

    ``workload1-`` and the SHA-256 of the canonical JSON of each asset's and each gate's code
    version, the runtime's fingerprint and, where the code gives the job one, its config's digest:
    equal wherever those are equal.
    """
    facts = {
        "assets": dict(assets),
        "gates": {rule.gate_id: rule.code_version for rule in gates},
        "runtime": runtime_fingerprint().to_json_value(),
        **({"job_config": job_config} if job_config else {}),
    }
    return CodeRef(version=f"workload1-{sha256_hex(canonical_bytes(facts))}")


def under_code(file: ManifestFile, code: CodeRef) -> ManifestFile:
    """The same manifest but for its ``code``; its files are found where they were."""
    manifest = file.manifest.model_copy(update={"code": code})
    return ManifestFile(manifest, manifest_fingerprint(manifest), file.folder)


def _is_other(change: AssetChange | None) -> bool:
    return change is not None and (
        change.by_other_code or change.by_other_config or bool(change.made_from)
    )


def _changed_inputs(store: ArtifactStore, file: ManifestFile) -> Iterator[FileChange]:
    for item in file.manifest.inputs:
        digest = str(item.ref.digest)
        if path := _beside(file, item.ref.ref):
            stored = store.backend.size(blob_ref(digest).ref)
            if stored is not None and (found := _other_than(path, digest, stored)):
                yield FileChange(f"input {item.name}", item.ref.ref, digest, found)


def _changed_configs(configs: ConfigVersions, file: ManifestFile) -> Iterator[FileChange]:
    for pin in file.manifest.config_versions:
        path = _beside(file, pin.ref) if pin.ref else None
        if path is None or configs.is_first_of(pin):
            continue
        try:
            content = parse_document(read_file(path, MAX_DOCUMENT_BYTES), str(path)).value
            found = f"sha256 {sha256_hex(canonical_bytes(content))}"
        except OSError as error:
            found = f"unreadable: {error.strerror}"
        except errors.RunOperateError as error:
            found = error.message
        if found != f"sha256 {pin.digest}":
            yield FileChange(f"config {pin.config_name}", str(pin.ref), pin.digest, found)


def _beside(file: ManifestFile, ref: str) -> Path | None:
    """The file that a ref names beside the manifest, if something is there."""
    try:
        path = file.locate(ref)
    except errors.InputMissingError:
        return None
    return path if os.path.lexists(path) else None


def _other_than(path: Path, digest: str, size: int) -> str | None:
    """What a file is, unless it has that digest."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "no regular file"
        if found.st_size != size:
            return f"{found.st_size} bytes instead of {size}"
        hashed = hashlib.sha256()
        for chunk in chunks_of(path):
            hashed.update(chunk)
        now = hashed.hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return None if now == digest else f"sha256 {now}"
