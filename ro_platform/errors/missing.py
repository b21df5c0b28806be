"""What was asked for does not exist: exit 4."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class NotFoundError(RunOperateError):
    """Nothing by that name, digest or number is recorded here."""

    code = "RO_NOT_FOUND"
    exit_code = 4


class ArtifactNotFoundError(NotFoundError):
    """No artifact is bound (or no blob stored) at that address."""

    code = "RO_ARTIFACT_NOT_FOUND"


class ManifestNotRegisteredError(NotFoundError):
    """No manifest with that fingerprint has been registered."""

    code = "RO_MANIFEST_NOT_REGISTERED"


class ConfigNotFoundError(NotFoundError):
    """No such config, or not in that version."""

    code = "RO_CONFIG_NOT_FOUND"
