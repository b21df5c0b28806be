"""What starts work by itself in this deployment: a manifest inbox, and scheduled verification."""

from sensors.inbox import manifest_inbox
from sensors.verification import nightly_verification, verification

__all__ = ["manifest_inbox", "nightly_verification", "verification"]
