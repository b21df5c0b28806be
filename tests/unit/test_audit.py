"""The audit: what the ledger says was stored is there, byte for byte, or it is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.contracts import (
    ArtifactBound,
    ArtifactRef,
    BoundRef,
    CodeRef,
    CorrelationIds,
    EntryKind,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    ManifestInput,
    RunManifest,
)
from ro_platform.errors import BindingCorruptError, IntegrityError, RunOperateError
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.kernel.code.listing import RULE
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject
from ro_platform.plane import Plane
from ro_platform.runs.audit import AuditFinding
from ro_platform.runs.changes import keep_packages, runtime_fingerprint
from ro_platform.runs.manifest import ManifestFile
from tests.acting import publish_config

ACTOR = "SYSTEM::test"
INPUT = b"the input's bytes"


def _plane(folder: Path) -> tuple[Plane, BoundRef]:
    """A plane with one of each: config, manifest, input, artifact and receipt."""
    plane = Plane.over(
        FilesystemBackend(folder / "store"), MemoryLedgerBackend(), clock=ManualClock()
    )
    pin = publish_config(plane, "limits", {"most": 3}, reason="first").version
    (folder / "in.txt").write_bytes(INPUT)
    item = ManifestInput(name="in", ref=ArtifactRef(ref="in.txt", digest=sha256_hex(INPUT)))
    manifest = RunManifest(
        kind="ro.run_manifest.v0",
        workload="w",
        inputs=(item,),
        config_versions=(pin,),
        code=CodeRef(version="1"),
    )
    fingerprint = manifest_fingerprint(manifest)
    plane.runs.register(ManifestFile(manifest, fingerprint, folder), actor=ACTOR)
    blob = plane.store.put_bytes(b"an artifact's bytes", media_type="application/octet-stream")
    ref = plane.store.bind("made", fingerprint, blob)
    bound = ArtifactBound(
        asset="made", manifest_fingerprint=fingerprint, attempt_id="a" * 32, artifact=ref
    )
    plane.ledger.append(
        EntryDraft(EntryKind.ARTIFACT_BOUND, artifact_subject(ref.ref), ACTOR, bound, key="bound")
    )
    receipt = GateReceipt(
        gate_id="made.good",
        status=GateStatus.PASS,
        subject=ref,
        scope=GateScope(asset="made", manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)),
        rule_digest="b" * 64,
        attempt_id="a" * 32,
        produced_at_utc=utc_text(plane.clock()),
    )
    plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())
    return plane, ref


def _wrong(plane: Plane) -> list[AuditFinding]:
    return [finding for finding in plane.audit.everything() if finding.error]


def _change(path: Path) -> None:
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def test_a_whole_plane_is_found_whole(tmp_path: Path) -> None:
    """One finding for each stored thing, and nothing wrong with any."""
    plane, _ = _plane(tmp_path)
    kinds = sorted(finding.kind for finding in plane.audit.everything(full=True))
    assert kinds == ["artifact", "config", "input", "manifest", "receipt"]
    assert _wrong(plane) == []


@pytest.mark.parametrize("kind", ["artifact", "config", "input", "manifest", "receipt"])
@pytest.mark.parametrize(
    "harm",
    [_change, Path.unlink, _pipe, _device],
    ids=["altered", "deleted", "a pipe instead", "a device instead"],
)
def test_whatever_is_altered_or_deleted_is_named(tmp_path: Path, kind: str, harm: object) -> None:
    """One changed, removed or replaced file of any kind is found, as that kind, at once; and the
    rest is verified."""
    plane, ref = _plane(tmp_path)
    assert callable(harm)
    harm(_file(plane, tmp_path / "store", ref, kind))
    wrong = _wrong(Plane.over(plane.store.backend, plane.ledger._backend, clock=plane.clock))
    assert [finding.kind for finding in wrong] == [kind]
    assert all(isinstance(finding.error, RunOperateError) for finding in wrong)


def test_a_binding_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Deleting a binding hides an artifact from the store, but not from the ledger."""
    plane, ref = _plane(tmp_path)
    (tmp_path / "store" / ref.ref).unlink()
    wrong = _wrong(plane)
    assert [finding.locator for finding in wrong] == [ref.ref]
    assert isinstance(wrong[0].error, IntegrityError)


def test_a_binding_to_other_bytes_is_found(tmp_path: Path) -> None:
    """Bytes that verify are not enough: they must be those that the ledger recorded."""
    plane, ref = _plane(tmp_path)
    path = tmp_path / "store" / ref.ref
    path.unlink()
    other = plane.store.put_bytes(b"other bytes", media_type="application/octet-stream")
    _, _, fingerprint, _ = ref.ref.split("/")
    plane.store.bind("made", fingerprint.removeprefix("fingerprint="), other)
    wrong = _wrong(plane)
    assert [finding.locator for finding in wrong] == [ref.ref]
    assert f"it says digest '{other.digest}'" in str(wrong[0].error)
    assert isinstance(wrong[0].error, BindingCorruptError)
    finding = plane.audit.artifact("made", ref)
    assert isinstance(finding.error, BindingCorruptError), "asked about it alone, too"


def _file(plane: Plane, store: Path, ref: BoundRef, kind: str) -> Path:
    """The file that holds the one stored thing of that kind."""
    if kind == "receipt":
        return next(path for path in (store / "receipts").rglob("*.json"))
    [registered] = plane.runs.registered()
    digest = {
        "artifact": ref.digest,
        "config": plane.configs.find("limits").version.digest,
        "input": sha256_hex(INPUT),
        "manifest": registered.manifest_fingerprint,
    }[kind]
    return store / "blobs" / "sha256" / digest[:2] / digest[2:]


@pytest.mark.parametrize("harm", [_change, Path.unlink], ids=["altered", "deleted"])
def test_the_listing_of_a_rule_on_record_is_read(tmp_path: Path, harm: object) -> None:
    """What a rule's code version is the digest of is verified, also that of a rule before the one
    in force; a rule that its author vouches for has none."""
    plane, _ = _plane(tmp_path)
    listings = [plane.store.put_bytes(data, media_type="x/y") for data in (b"before", b"now")]
    for version in (*(f"{RULE}{ref.digest}" for ref in listings), "1"):
        rule = GateRule(gate_id="made.good", code_version=version)
        plane.gates.declare("made", (rule,), actor=ACTOR)
    kinds = [finding.kind for finding in plane.audit.everything()]
    assert kinds.count("listing") == 2
    assert _wrong(plane) == []
    assert callable(harm)
    harm(tmp_path / "store" / listings[0].ref)
    wrong = _wrong(plane)
    assert [(item.kind, item.locator) for item in wrong] == [("listing", listings[0].ref)]


def test_a_kept_listing_of_packages_is_read(tmp_path: Path) -> None:
    """The packages that an attempt ran under are verified where their listing was kept; where none
    was kept, nothing is missed."""
    plane, _ = _plane(tmp_path)
    runtime = runtime_fingerprint()
    plane.attempts.begin("c" * 64, "made", step_key="made", dagster_run_id=None, runtime=runtime)
    assert "listing" not in {finding.kind for finding in plane.audit.everything()}
    keep_packages(plane.store)
    assert "listing" in {finding.kind for finding in plane.audit.everything()}
    _change(tmp_path / "store" / blob_name(runtime.packages_digest))
    assert [finding.kind for finding in _wrong(plane)] == ["listing"]
