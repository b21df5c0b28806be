"""Versioned configuration: numbered 1, 2, 3 ..., each version named by its content's digest."""

from __future__ import annotations

from pydantic import PositiveInt

from ro_platform.contracts.artifact import Locator
from ro_platform.contracts.base import Contract, Hex64, Name, Reason


class ConfigVersionRef(Contract):
    """A version of a config. ``digest`` and ``ref`` may be absent in foreign documents."""

    config_name: Name
    config_version: PositiveInt
    digest: Hex64 | None = None
    ref: Locator | None = None


class PinnedConfigRef(ConfigVersionRef):
    """A version that a manifest pins: its digest is part of the run's identity."""

    digest: Hex64


class ConfigPublished(Contract):
    """The ledger's body for a published version."""

    version: PinnedConfigRef
    previous_digest: Hex64 | None = None
    reason: Reason
