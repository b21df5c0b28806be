"""The registry: which artifact a channel of a name points to, and how it comes to.

A promotion is a recorded fact, the newest entry about ``registry/<name>/<channel>``, and names the
bytes by digest and the receipts that vouch for them. The guard is asked inside that commit, so what
is promoted stands at that moment. It gives no right to read: whoever reads is asked again. Rolling
back is another promotion, of the bytes from before, if their evidence still stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ro_platform import errors
from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import DONE, Intent
from ro_platform.admin.located import Artifacts, Named
from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    AdminRequest,
    Contract,
    EntryKind,
    JsonObject,
    LedgerEntry,
)
from ro_platform.contracts.artifact import Locator
from ro_platform.contracts.base import Actor, Hex64, Name, Reason, UtcTimestamp
from ro_platform.gates.guard import Guard
from ro_platform.ledger import names
from ro_platform.ledger.drafted import require_governed
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader


class PromoteParameters(Contract):
    """The artifact that is bound there becomes what a channel of a name points to."""

    name: Name
    channel: Name
    ref: Locator


class Promoted(Contract):
    """What a channel points to, since when, by whom and why."""

    name: Name
    channel: Name
    ref: Locator
    digest: Hex64
    receipts: tuple[Locator, ...]
    actor: Actor
    reason: Reason
    since: UtcTimestamp


class Channels:
    """What each channel points to."""

    def __init__(self, log: LedgerReader) -> None:
        self._log = log

    def current(self, name: str, channel: str) -> Promoted | None:
        """What the channel points to; None while nothing was promoted to it."""
        entry = self._log.latest(EntryKind.ADMIN_EVENT, names.channel_subject(name, channel))
        return _promoted(entry) if entry else None

    def history(self, name: str, channel: str) -> Iterator[Promoted]:
        """Everything that the channel pointed to, newest first."""
        subject = names.channel_subject(name, channel)
        for entry in self._log.scan(kind=EntryKind.ADMIN_EVENT, subject=subject, newest_first=True):
            yield _promoted(entry)

    def all(self) -> list[Promoted]:
        """What every channel points to, by name and channel."""
        newest: dict[str, Promoted] = {}
        for entry in self._log.scan(kind=EntryKind.ADMIN_EVENT, mention=names.CHANNELS):
            newest[entry.subject] = _promoted(entry)
        return [newest[subject] for subject in sorted(newest)]


class PromoteAction(AdminAction[PromoteParameters]):
    """A channel points to an artifact that has standing PASS evidence."""

    action_type = AdminActionType.PROMOTE
    parameters = PromoteParameters

    def __init__(self, ledger: Ledger, guard: Guard, artifacts: Artifacts) -> None:
        self._ledger = ledger
        self._guard = guard
        self._artifacts = artifacts

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The channel and the artifact."""
        asked = self.asked(request)
        return (names.channel_subject(asked.name, asked.channel), asked.ref)

    def workload(self, request: AdminRequest) -> str | None:
        """That of the artifact's manifest, and of what the channel points to if it points to
        anything: a role in one workload takes no channel of another."""
        asked = self.asked(request)
        now = Channels(self._ledger).current(asked.name, asked.channel)
        refs = (asked.ref, now.ref) if now else (asked.ref,)
        return self._artifacts.workload_of(
            self._artifacts.named(ref).address.fingerprint for ref in refs
        )

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """What the channel points to, and the evidence that stands for the artifact.

        Raises a :class:`GateRefusedError` unless every gate stands, and one at least does, and
        :class:`DraftError` in a draft, of which nothing is promoted.
        """
        require_governed(log)
        asked = self.asked(request)
        now = Channels(log).current(asked.name, asked.channel)
        named = self._artifacts.named(asked.ref)
        evidence: JsonObject = {"receipts": [*self._receipts(named, log)]}
        return evidence | ({"ref": now.ref, "digest": now.digest} if now else {})

    def would(self, request: AdminRequest) -> JsonObject:
        """The artifact with its evidence."""
        named = self._artifacts.named(self.asked(request).ref)
        return self._after(named, self._receipts(named, self._ledger))

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """The fact, in the commit in which the guard said yes."""
        asked = self.asked(request)
        named = self._artifacts.named(asked.ref)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if not intent.may_begin(log):
                return []
            after = self._after(named, self._receipts(named, log))
            subject = names.channel_subject(asked.name, asked.channel)
            return [intent.outcome(after, subject=subject, mentions=(names.CHANNELS,))]

        self._ledger.append_with(build)

    def _receipts(self, named: Named, log: LedgerReader) -> list[str]:
        address, guard = named.address, self._guard.within(log)
        standings = list(
            guard.standings(address.asset, named.manifest, address.fingerprint, named.ref)
        )
        for standing in standings:
            if standing.refusal:
                raise standing.refusal
        receipts = sorted(standing.receipt for standing in standings if standing.receipt)
        if not receipts:
            raise errors.GateAbsentError(
                f"asset {address.asset!r} has no gate, so nothing vouches for "
                f"sha256:{named.ref.digest}, and it cannot be promoted.",
                next_step="Give the asset a gate, and have it judge these bytes.",
                asset=address.asset,
                digest=named.ref.digest,
            )
        return receipts

    def _after(self, named: Named, receipts: list[str]) -> JsonObject:
        return {"ref": named.ref.ref, "digest": named.ref.digest, "receipts": [*receipts]}


def _promoted(entry: LedgerEntry) -> Promoted:
    event = body_of(entry, AdminEvent)
    assert event.result == DONE, "nothing else is about a channel"
    assert event.after is not None
    asked = event.parameters or {}
    return Promoted.model_validate(
        {
            "name": asked.get("name"),
            "channel": asked.get("channel"),
            "ref": event.after["ref"],
            "digest": event.after["digest"],
            "receipts": tuple(map(str, _listed(event.after["receipts"]))),
            "actor": event.actor,
            "reason": event.reason,
            "since": entry.recorded_at_utc,
        }
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
