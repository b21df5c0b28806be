"""Where an export gets its checkpoint: the newest one that covers the run, or one signed now."""

from __future__ import annotations

from contextlib import suppress

from ro_platform.checkpoints.service import Checkpoints
from ro_platform.dossier.export import Notes
from ro_platform.errors import RunOperateError
from ro_platform.kernel.signing import SigningKey


def kept_or_issued(checkpoints: Checkpoints, key: SigningKey) -> Notes:
    """Our newest checkpoint if it is large enough; otherwise one is issued and handed to the
    witnesses. It carries the signatures that witnesses answered; one that does not answer now
    delays nothing."""

    def note(least: int) -> bytes:
        kept = checkpoints.latest((*checkpoints.policy.trusted(), key.verifier))
        if kept is None or kept.checkpoint.size < least:
            kept = checkpoints.issue(key)
            checkpoints.deliver()
        with suppress(RunOperateError):
            return checkpoints.cosigned(kept.checkpoint.size)
        return kept.note

    return note
