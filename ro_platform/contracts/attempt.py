"""Attempts: every execution of a unit of work, as a history of transitions and its projection."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, PositiveInt

from ro_platform.contracts.artifact import NamedArtifact
from ro_platform.contracts.base import Contract, Hex32, Hex64, Name, UtcTimestamp
from ro_platform.contracts.config import PinnedConfigRef


class JobStatus(StrEnum):
    """The states of an attempt. Which moves exist is said in :mod:`ro_platform.runs.attempt`."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    LOST = "LOST"
    REFUSED = "REFUSED"


class CorrelationIds(Contract):
    """The names by which one piece of work is known, here and in Dagster."""

    run_id: Hex32 | None = None
    train_run_id: Name | None = None
    bundle_id: Name | None = None
    dagster_run_id: Name | None = None


class RuntimeFingerprint(Contract):
    """What executed: the interpreter, the platform, and a digest over all installed packages."""

    python: str
    implementation: str
    platform: str
    packages_digest: Hex64


class AttemptTransition(Contract):
    """The ledger's body for one move of one attempt."""

    job_id: Hex32
    attempt_id: Hex32
    unit: str = Field(description="The asset key, or for a gate the asset key, '#' and its name.")
    step_key: str
    manifest_fingerprint: Hex64
    number: PositiveInt
    status: JobStatus
    error_code: str | None = None
    error: str | None = None
    retryable: bool | None = None
    runtime: RuntimeFingerprint | None = None
    code_version: str | None = None
    job_config_digest: Hex64 | None = Field(
        default=None,
        description="SHA-256 of the run config that the code gives the job; absent if none.",
    )
    config_versions: tuple[PinnedConfigRef, ...] | None = None
    inputs: tuple[NamedArtifact, ...] | None = None
    outputs: tuple[NamedArtifact, ...] | None = None


class JobAttemptRecord(Contract):
    """An attempt as it stands: the projection of its transitions."""

    job_id: Hex32
    attempt_id: Hex32
    status: JobStatus
    created_at_utc: UtcTimestamp
    updated_at_utc: UtcTimestamp
    unit: str
    step_key: str
    manifest_fingerprint: Hex64
    number: PositiveInt
    correlation_ids: CorrelationIds = Field(default_factory=CorrelationIds)
    error_code: str | None = None
    error: str | None = None
    retryable: bool | None = None
    runtime: RuntimeFingerprint | None = None
    code_version: str | None = None
    job_config_digest: Hex64 | None = Field(
        default=None,
        description="SHA-256 of the run config that the code gives the job; absent if none.",
    )
    config_versions: tuple[PinnedConfigRef, ...] = ()
    secret_versions: tuple[Name, ...] = ()
    inputs: tuple[NamedArtifact, ...] = ()
    outputs: tuple[NamedArtifact, ...] = ()
