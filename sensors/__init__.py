"""What works by itself in this deployment: a manifest inbox, scheduled verification, and the
reconciliation of attempts."""

from sensors.checkpoints import checkpoint, checkpoint_by_size, hourly_checkpoint
from sensors.inbox import manifest_inbox
from sensors.reconciliation import attempt_reconciliation
from sensors.verification import nightly_verification, verification

__all__ = [
    "attempt_reconciliation",
    "checkpoint",
    "checkpoint_by_size",
    "hourly_checkpoint",
    "manifest_inbox",
    "nightly_verification",
    "verification",
]
