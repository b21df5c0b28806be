"""What happens beside a run: a producer made again, and an asset made outside Dagster.

The interloper is a resource of every consumer. When a process has begun to work on a manifest that
``race.json`` names, it makes the producer's next revision, which no gate has judged: after
admission, before the consumer reads.
"""

import json
from contextlib import suppress
from pathlib import Path

import dagster as dg

from ro_platform.artifacts.encodings import encode
from ro_platform.config.settings import Settings
from ro_platform.contracts import (
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    NamedArtifact,
)
from ro_platform.errors import ConflictError
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import utc_text
from ro_platform.kernel.identity import run_id
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.publication import Provenance
from tests.acceptance.many_ways.cells import content

ACTOR = "SYSTEM::outside"
_TAGS = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)


def publish(plane: Plane, asset: str, fingerprint: str, edition: int) -> None:
    """Make an asset outside Dagster, from the origin that its manifest has."""
    attempt = plane.attempts.begin(
        fingerprint,
        asset,
        step_key="outside",
        dagster_run_id="outside",
        status=JobStatus.RUNNING,
    )
    origin = plane.guard.require("origin", plane.runs.manifest(fingerprint), fingerprint)
    work = Provenance(attempt, [NamedArtifact(name="origin", artifact=origin)], "outside")
    ref = encode(plane.store, content(asset, fingerprint, edition))
    plane.publication.publish(asset, ref, work, actor=ACTOR, deterministic=False)
    plane.attempts.move(attempt, JobStatus.SUCCEEDED, dagster_run_id="outside")


def judge(plane: Plane, asset: str, fingerprint: str, rule: GateRule, status: GateStatus) -> None:
    """Record a verdict that was given outside Dagster on what is bound."""
    unit = f"{asset}#{rule.gate_id.rpartition('.')[2]}"
    attempt = plane.attempts.begin(
        fingerprint, unit, step_key="outside", dagster_run_id="outside", status=JobStatus.RUNNING
    )
    subject = artifact_of(plane.ledger, asset, fingerprint)
    assert subject is not None
    receipt = GateReceipt(
        gate_id=rule.gate_id,
        status=status,
        subject=subject,
        scope=GateScope(asset=asset, manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)),
        rule_digest=rule_digest(rule, plane.runs.manifest(fingerprint)),
        attempt_id=attempt.attempt_id,
        produced_at_utc=utc_text(plane.clock()),
    )
    plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())
    plane.attempts.move(attempt, JobStatus.SUCCEEDED, dagster_run_id="outside")


class Interloper(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Makes a producer again while a consumer's process starts."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Once for each manifest that is named."""
        settings = Settings.load()
        settings = settings.draft_of or settings  # a draft's consumer is raced where it reads
        armed = settings.home / "race.json"
        if context.run is None or not armed.exists():
            return
        races: dict[str, str] = json.loads(armed.read_text())
        plane = shared_plane(settings)
        for fingerprint in {context.run.tags.get(tag, "") for tag in _TAGS} & races.keys():
            asset = races[fingerprint]
            if plane.store.binding(asset, fingerprint, 2) is None:
                with suppress(ConflictError):  # a second process of the same run was faster
                    publish(plane, asset, fingerprint, 2)


def arm(home: Path, races: dict[str, str]) -> None:
    """Name the manifests, and the producer of each that is to be made again."""
    (home / "race.json").write_text(json.dumps(races))
