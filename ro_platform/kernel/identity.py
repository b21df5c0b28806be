"""Identities: computed from content alone, so anyone can recompute them with two public tools.

None contains time, chance, a host or a user. ``LF`` is one line feed, byte 0x0A.
"""

from __future__ import annotations

from ro_platform.contracts.manifest import RunManifest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex


def manifest_fingerprint(manifest: RunManifest) -> str:
    """SHA-256 (64 hex) of the manifest's canonical bytes."""
    return sha256_hex(canonical_bytes(manifest))


def parameter_hash(manifest: RunManifest) -> str:
    """SHA-256 (64 hex) of the canonical ``parameters``."""
    return sha256_hex(canonical_bytes(manifest.parameters))


def run_id(fingerprint: str) -> str:
    """First 32 hex of SHA-256("ro/run/v0" LF fingerprint)."""
    return _named("ro/run/v0", fingerprint)


def job_id(run: str, unit: str) -> str:
    """First 32 hex of SHA-256("ro/job/v0" LF run_id LF unit). The unit is the asset key (its parts
    joined by a slash), or for a gate the asset key, ``#`` and the gate's name."""
    return _named("ro/job/v0", run, unit)


def attempt_id(job: str, number: int) -> str:
    """First 32 hex of SHA-256("ro/attempt/v0" LF job_id LF attempt number, from 1)."""
    return _named("ro/attempt/v0", job, str(number))


def admin_event_id(action: str, key: str) -> str:
    """First 32 hex of SHA-256("ro/admin/v0" LF action LF idempotency key)."""
    return _named("ro/admin/v0", action, key)


def directive_id(key: str) -> str:
    """First 32 hex of SHA-256("ro/directive/v0" LF idempotency key)."""
    return _named("ro/directive/v0", key)


def _named(*parts: str) -> str:
    return sha256_hex("\n".join(parts).encode())[:32]
