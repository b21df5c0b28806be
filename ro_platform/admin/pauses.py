"""What is paused: a fact in the ledger, so that it survives restarts and holds for every start.

The outcome of each pause, resume and drain is about the subject ``pauses`` and carries everything
that stands paused after it. So the newest one is the whole answer: one indexed read.
"""

from __future__ import annotations

from collections.abc import Collection

from ro_platform import errors
from ro_platform.contracts import AdminEvent, EntryKind, Pause
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader

STANDING = "standing"
"""The field of such an entry's ``after`` that lists the pauses."""


class Pauses:
    """What stands paused in one environment."""

    def __init__(self, log: LedgerReader) -> None:
        self._log = log

    def standing(self) -> tuple[Pause, ...]:
        """Every pause that stands, by target."""
        return standing_in(self._log)

    def require_running(
        self,
        *,
        workload: str | None = None,
        assets: Collection[str] = (),
        consumer: tuple[str, str] | None = None,
    ) -> None:
        """Raise :class:`PausedError`, with who, why and since when, if one of them is paused.

        ``assets`` are keys, their parts joined by a slash; ``consumer`` is a stream and the name of
        a consumer of it, and whoever delivers to it asks first. Costs one indexed read.
        """
        concerned = {names.PLANE, *map(names.asset_name, assets)}
        if consumer is not None:
            concerned.add(names.consumer_target(*consumer))
        if workload is not None:
            concerned.add(names.workload_target(workload))
        for pause in self.standing():
            if pause.target in concerned:
                raise paused_error(pause)


def standing_in(log: LedgerReader) -> tuple[Pause, ...]:
    """The pauses that a log says stand, by target. Raises :class:`ContractError` for an entry about
    them that lists none: damage lets nothing start."""
    entry = log.latest(EntryKind.ADMIN_EVENT, names.PAUSES)
    if entry is None:
        return ()
    listed = (body_of(entry, AdminEvent).after or {}).get(STANDING)
    if not isinstance(listed, list):
        raise errors.ContractError(
            f"Entry {entry.seq} is about what stands paused, and does not list it.",
            next_step="See `ro ledger verify`; nothing starts before the ledger is as it was.",
            seq=entry.seq,
        )
    return tuple(Pause.from_json(canonical_bytes(item), where="pauses") for item in listed)


def paused_error(pause: Pause) -> errors.PausedError:
    """The words for what a pause stops."""
    verb = "is being drained" if pause.draining else "is paused"
    why = pause.reason.rstrip(". ")
    return errors.PausedError(
        f"{pause.target} {verb} by {pause.actor} since {pause.since}: {why}.",
        next_step=f"Nothing starts there until `ro admin resume {pause.target}`.",
        target=pause.target,
        actor=pause.actor,
        since=pause.since,
        reason=pause.reason,
    )
