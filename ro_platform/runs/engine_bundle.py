"""An engine's sealed bundle as an artifact from outside, with its gate law's verdict on it.

The bundle is verified where it lies, so that what does not verify leaves nothing. Then it is
stored, and what is verified again and registered is the stored copy: nothing can change between
the verdict and the bytes that it speaks of. Stored is only what the verdict speaks of, so a file
that neither the law nor the index vouches for is a refusal.

Where the index's paths start from the run's root, the artifact is the part of that root which
belongs to the bundle: its own files and the members, each at its path below the root. The bundle
must lie below the root then. A flag that lies elsewhere is not stored; the evidence has its digest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import ArtifactRef, BoundRef, GateRule, GateStatus
from ro_platform.contracts.base import contract_error
from ro_platform.engine_formats.bundle import (
    FLAG,
    INDEX,
    Bundle,
    FilePlace,
    bundle_refused,
    open_bundle,
)
from ro_platform.engine_formats.laws import EngineGateVerdict, EngineRule, LawOptions, law_named
from ro_platform.engine_formats.verification import verify_bundle
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.files import open_file
from ro_platform.runs.external import ExternalArtifacts, Registered
from ro_platform.runs.external_checks import ExternalVerdict

EVIDENCE_SCHEMA = "ro.engine_gate_verdict.v0"


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A bundle in a folder, and the law that its gate declares. The parameters are those of
    :func:`~ro_platform.engine_formats.verification.verify_bundle`."""

    path: Path
    law: str
    index_order: bool = False
    without_index: bool = False
    run_root: Path | None = None
    flag: Path | None = None

    def verdict(self) -> EngineGateVerdict:
        """PASS or FAIL, as the folder is now. Raises :class:`BundleRefusedError`."""
        return verify_bundle(
            self.path,
            self.law,
            index_order=self.index_order,
            without_index=self.without_index,
            run_root=self.run_root,
            flag=self.flag,
        )

    @property
    def rule(self) -> EngineRule:
        """What it is judged by. Raises :class:`BundleRefusedError` for an unknown law."""
        return EngineRule(
            law=law_named(self.law).name,
            path_base="run_root" if self.run_root else "bundle",
            options=LawOptions(index_order=self.index_order, without_index=self.without_index),
        )

    @property
    def inner_path(self) -> str:
        """Where the bundle lies in what is stored: empty, or its path below the run's root."""
        if self.run_root is None:
            return ""
        below = os.path.relpath(self.path.resolve(), self.run_root.resolve())
        if below == ".." or below.startswith("../"):
            raise bundle_refused(
                f"{self.path} does not lie below {self.run_root}, so they are no one tree"
            )
        return "" if below == "." else below

    def moved_to(self, folder: Path) -> SealedBundle:
        """The same bundle in a copy of what is stored of it."""
        root = folder if self.run_root else None
        return replace(self, path=folder / self.inner_path, run_root=root)


def register_bundle(
    store: ArtifactStore,
    external: ExternalArtifacts,
    bundle: SealedBundle,
    asset: str,
    fingerprint: str,
    *,
    actor: str,
    reason: str | None = None,
    deterministic: bool = True,
) -> tuple[EngineGateVerdict, Registered | None]:
    """Register a bundle that verifies as the artifact of an asset under a manifest.

    Answers the verdict on the stored copy, which is the receipt's evidence, and how the artifact
    stands; for a FAIL the verdict and None, and the ledger has no trace of it. Raises
    :class:`BundleRefusedError` where there is no verdict, or a file that it does not speak of, and
    what :meth:`ExternalArtifacts.register` raises. A crash leaves at most blobs that nothing refers
    to, and what that method says.
    """
    rule = rule_of(asset, bundle.rule)
    external.check(asset, fingerprint, [rule])
    source = bundle.verdict()
    if source.status is GateStatus.FAIL:
        return source, None
    ref = _stored(store, bundle)
    verdict = _verdict_on(store, bundle, ref)
    if verdict.status is GateStatus.FAIL:
        return verdict, None
    if verdict != source.model_copy(update={"bundle": verdict.bundle}):
        raise bundle_refused(f"{bundle.path} changed while it was stored")
    evidence = _evidence(store, verdict)
    registered = external.register(
        asset,
        fingerprint,
        ref,
        [ExternalVerdict(rule, verdict.status, evidence)],
        actor=actor,
        reason=reason,
        deterministic=deterministic,
        bundle=True,
    )
    return verdict, registered


def rule_of(asset: str, rule: EngineRule) -> GateRule:
    """The gate of an asset whose verdicts are by that law: ``<asset, dotted>.<law>``.

    Its code version is the law with its options, joined by dots. Raises :class:`ContractError`
    where the asset's path is too long for a gate's name.
    """
    version = [rule.law, *rule.options.chosen()]
    if rule.path_base != "bundle":
        version.append(rule.path_base)
    try:
        return GateRule(
            gate_id=f"{asset.replace('/', '.')}.{rule.law}", code_version=".".join(version)
        )
    except ValidationError as error:
        raise contract_error(error, kind="GateRule", where=f"gate of asset {asset!r}") from None


def _stored(store: ArtifactStore, bundle: SealedBundle) -> BoundRef:
    with _opened(bundle) as (opened, names):
        _refuse_unvouched(opened, bundle)
        if bundle.run_root is None:
            return store.put_tree(bundle.path)
        with tempfile.TemporaryDirectory(prefix="ro-bundle-") as scratch:
            part = Path(scratch) / "root"
            for name in names:
                _place(bundle.run_root / name, part / name)
            return store.put_tree(part)


def _verdict_on(store: ArtifactStore, bundle: SealedBundle, ref: ArtifactRef) -> EngineGateVerdict:
    """The verdict on what is stored, under a name that is the same on every machine."""
    with tempfile.TemporaryDirectory(prefix="ro-bundle-") as scratch:
        copy = Path(scratch) / "copy"
        store.copy_to(ref, copy)
        verdict = bundle.moved_to(copy).verdict()
    name = "/".join(filter(None, (f"sha256:{ref.digest}", bundle.inner_path)))
    return verdict.model_copy(update={"bundle": name})


def _evidence(store: ArtifactStore, verdict: EngineGateVerdict) -> BoundRef:
    data = canonical_bytes(verdict)
    return store.put_bytes(data, media_type="application/json", schema_version=EVIDENCE_SCHEMA)


@contextmanager
def _opened(bundle: SealedBundle) -> Iterator[tuple[Bundle, list[str]]]:
    """The bundle held open, and the paths of what belongs to it in what is stored."""
    prefix = f"{bundle.inner_path}/" if bundle.inner_path else ""
    with open_bundle(bundle.path, run_root=bundle.run_root, flag=bundle.flag) as opened:
        own = {f"{prefix}{name}" for name in opened.files}
        yield opened, sorted(own.union(opened.paths if bundle.run_root else ()))


def _refuse_unvouched(opened: Bundle, bundle: SealedBundle) -> None:
    """Every file of the artifact must be hashed by the law, or have a digest of its own."""
    vouched = set(law_named(bundle.law).pieces(opened, bundle.rule.options))
    vouched |= {opened.place(member.path) for member in opened.members if member.sha256_hex}
    files = [*map(FilePlace, opened.files), *map(opened.place, opened.paths)]
    for place in files:
        if place not in vouched and not (place.in_bundle and place.path in (INDEX, FLAG)):
            raise errors.BundleRefusedError(
                f"There is a PASS, but it does not speak of {place.path!r}, which would be read "
                "with the rest.",
                next_step="Register a copy of the bundle that holds only what is listed.",
                path=place.path,
            )


def _place(source: Path, target: Path) -> None:
    """Put a file into the folder that is stored, without copying its bytes where that works."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        try:
            with open_file(source, follow=False) as read, target.open("xb") as out:
                shutil.copyfileobj(read, out)
        except OSError as error:
            raise errors.InvalidInputError(
                f"{source} cannot be read: {error.strerror}.",
                next_step="Let nothing change the bundle, and register it again.",
            ) from None
