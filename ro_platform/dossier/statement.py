"""The in-toto Statement of a dossier: SLSA provenance v1, with an extension field of our own.

It is a function of everything else in the dossier, so a verifier computes it again and compares.
https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.contracts import BoundRef, RunManifest
from ro_platform.ledger.names import config_version_name

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ro-platform:run:v0"
DOSSIER_KIND = "ro.dossier.v0"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement says. ``receipts`` are (locator, digest); ``members`` the SHA-256 of every
    other member of the file; ``withheld`` why the bytes of an artifact, by digest, are not in it.
    """

    manifest: RunManifest
    fingerprint: str
    run_id: str
    refs: Sequence[BoundRef]
    receipts: Sequence[tuple[str, str]]
    started: str
    finished: str
    checkpoint: Checkpoint
    with_artifacts: bool
    withheld: Mapping[str, str]
    members: Mapping[str, str]


def statement(facts: Facts) -> dict[str, Any]:
    """The statement as a JSON object. Its subjects are the bound artifacts; of a run that bound
    none, the manifest."""
    subjects = [_resource(ref.ref, ref.digest) for ref in facts.refs]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects or [_resource("manifest.json", facts.fingerprint)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"manifest": facts.manifest.to_json_value()},
                "resolvedDependencies": _dependencies(facts.manifest),
            },
            "runDetails": {
                "builder": {"id": f"urn:ro-platform:log:{facts.checkpoint.origin}"},
                "metadata": {
                    "invocationId": facts.run_id,
                    "startedOn": facts.started,
                    "finishedOn": facts.finished,
                },
                "byproducts": [_resource(*receipt) for receipt in facts.receipts],
            },
            "ro_dossier": _extension(facts),
        },
    }


def _dependencies(manifest: RunManifest) -> list[dict[str, Any]]:
    inputs = [_resource(f"input/{item.name}", str(item.ref.digest)) for item in manifest.inputs]
    configs = [
        _resource(config_version_name(pin.config_name, pin.config_version), pin.digest)
        for pin in manifest.config_versions
    ]
    return inputs + configs


def _extension(facts: Facts) -> dict[str, Any]:
    return {
        "kind": DOSSIER_KIND,
        "manifest_fingerprint": facts.fingerprint,
        "run_id": facts.run_id,
        "checkpoint": {"size": facts.checkpoint.size, "root": facts.checkpoint.root.hex()},
        "with_artifacts": facts.with_artifacts,
        "withheld": dict(facts.withheld),
        "members": dict(facts.members),
    }


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}
