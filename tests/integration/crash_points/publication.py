"""A governed publication, from the first byte to the seal, on a plane that is not there yet.

What is acknowledged on the way goes into a pipe at once: each entry as the ledger returned it, and
each artifact as the store did. Who reads the pipe knows what the process was told before it died.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.settings import Settings
from ro_platform.contracts import (
    AttemptTransition,
    BoundRef,
    CodeRef,
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    NamedArtifact,
    RunManifest,
)
from ro_platform.errors import RunOperateError
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import utc_text
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.log import Ledger
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.publication import Provenance

ASSET, ACTOR = "crash/artifact", "SYSTEM::dagster"
RULE = GateRule(gate_id="crash.good", code_version="1")
_write = os.write
"""The system's own, whatever is put in its place later."""


@dataclass(frozen=True)
class Pipe:
    """Where a process says what it was told. One line is one ``write``, so never torn."""

    descriptor: int | None

    def say(self, **words: Any) -> None:
        """One line of JSON."""
        if self.descriptor is not None:
            _write(self.descriptor, json.dumps(words).encode() + b"\n")

    @contextmanager
    def acknowledging(self) -> Iterator[None]:
        """Within the block, every entry that a ledger returns is said."""
        real = Ledger.append_with

        def append_with(ledger: Ledger, build: Any) -> Any:
            entries = real(ledger, build)
            for entry in entries:
                self.say(seq=entry.seq, entry=sha256_hex(canonical_bytes(entry)))
            return entries

        with mock.patch.object(Ledger, "append_with", append_with):
            yield


SILENT = Pipe(None)
"""For a try that nobody kills."""


@dataclass(frozen=True)
class Job:
    """What is published: a folder's files, under a manifest of that name, on that plane."""

    settings: Settings
    folder: Path
    name: str = "crash"

    def plane(self) -> Plane:
        """The plane, opened anew."""
        return Plane.open(self.settings)

    @property
    def file(self) -> ManifestFile:
        """The manifest."""
        code = CodeRef(version="1")
        manifest = RunManifest(kind="ro.run_manifest.v0", workload=self.name, code=code)
        return ManifestFile(manifest, manifest_fingerprint(manifest), None)

    def expected_digest(self) -> str:
        """The artifact's digest, by a store that nothing happens to."""
        return ArtifactStore(MemoryBackend()).put_tree(self.folder).digest

    def publish(
        self,
        plane: Plane,
        run: str,
        *,
        step: Callable[[str], object] = lambda _: None,
        pipe: Pipe = SILENT,
    ) -> str:
        """All of it, as the Dagster run of that id; the digest of the artifact.

        An error of the library ends the attempt as FAILED, if that can be recorded, and is raised.
        """
        step("register")
        plane.runs.register(self.file, actor=ACTOR)
        step("declare the gate")
        plane.gates.declare(ASSET, (RULE,), actor=ACTOR)
        step("queue the attempt")
        queued = plane.attempts.begin(
            self.file.fingerprint, ASSET, step_key=ASSET, dagster_run_id=run
        )
        step("start the attempt")
        attempt = plane.attempts.move(queued, JobStatus.RUNNING, dagster_run_id=run)
        ref = self._made(plane, Provenance(attempt, (), run), step, pipe)
        step("end the attempt")
        outputs: Sequence[NamedArtifact] = (NamedArtifact(name=ASSET, artifact=ref),)
        plane.attempts.move(attempt, JobStatus.SUCCEEDED, dagster_run_id=run, outputs=outputs)
        step("seal the run")
        plane.seals.seal(self.file.fingerprint)
        return ref.digest

    def _made(
        self, plane: Plane, work: Provenance, step: Callable[[str], object], pipe: Pipe
    ) -> BoundRef:
        step("put the artifact")
        stored = plane.store.put_tree(self.folder)
        pipe.say(artifact=stored.to_json_value())
        step("bind and record it")
        ref = plane.publication.publish(ASSET, stored, work, actor=ACTOR)
        step("record the PASS")
        receipt = self._receipt(plane, ref, work.attempt)
        plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())
        return ref

    def _receipt(self, plane: Plane, ref: BoundRef, attempt: AttemptTransition) -> GateReceipt:
        fingerprint = self.file.fingerprint
        return GateReceipt(
            gate_id=RULE.gate_id,
            status=GateStatus.PASS,
            subject=ref,
            scope=GateScope(
                asset=ASSET, manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)
            ),
            rule_digest=rule_digest(RULE, self.file.manifest),
            attempt_id=attempt.attempt_id,
            produced_at_utc=utc_text(plane.clock()),
        )


def give_up(plane: Plane, error: RunOperateError, run: str) -> None:
    """End what the run has begun as FAILED, as the recorder does for a step that raised."""
    for attempts in plane.attempts.of_dagster_run(run).values():
        for attempt in attempts:
            if attempt.status is JobStatus.RUNNING:
                plane.attempts.end(
                    attempt, JobStatus.FAILED, dagster_run_id=run, error_code=error.code
                )
