"""Pause, resume, drain: what nothing may start on, changed in one commit with its event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent
from ro_platform.admin.pauses import STANDING, standing_in
from ro_platform.contracts import AdminActionType, AdminRequest, Contract, JsonObject, Pause
from ro_platform.kernel.clock import moment_of, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

_NAME, _KEY = r"[A-Za-z0-9_.\-]{1,128}", r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*"
_FORMS = (
    names.PLANE,
    names.workload_target(_NAME),
    names.asset_name(_KEY),
    names.consumer_target(_NAME, _NAME),
)
_TARGET = re.compile("|".join(_FORMS))
TARGETS = "plane, workload/NAME, asset/KEY or consumer/STREAM/NAME"
"""The targets in words."""


def _is_target(text: str) -> str:
    if len(text) > 512 or not _TARGET.fullmatch(text):
        raise ValueError(f"a target is {TARGETS}")
    return text


PauseTarget = Annotated[str, AfterValidator(_is_target), Field(description=f"{TARGETS}.")]


class PauseParameters(Contract):
    """On what."""

    target: PauseTarget


class DrainParameters(PauseParameters):
    """On what, and how long what runs there is waited for, in seconds."""

    limit_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] = 3600

    @field_validator("target")
    @classmethod
    def _can_be_seen_to_end(cls, target: str) -> str:
        if names.consumer_target.parse(target):
            raise ValueError("runs are drained; a consumer of a stream is paused")
        return target


class _Pausing(AdminAction[PauseParameters]):
    """What the three have in common: the fact is the list of everything that stands paused."""

    parameters: type[PauseParameters] = PauseParameters

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """What is paused."""
        return (self.asked(request).target,)

    def workload(self, request: AdminRequest) -> str | None:
        """The workload, where the target is one."""
        found = names.workload_target.parse(self.asked(request).target)
        return found[0] if found else None

    def stream(self, request: AdminRequest) -> str | None:
        """The stream, where the target is a consumer of one."""
        found = names.consumer_target.parse(self.asked(request).target)
        return found[0] if found else None

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The pause that stands on the target, if any."""
        name = self.asked(request).target
        found = [pause for pause in standing_in(log) if pause.target == name]
        return {"pause": found[0].to_json_value()} if found else {}

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """The new list, in one commit with the event."""

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if not intent.may_begin(log):
                return []
            name = self.asked(request).target
            others = [pause for pause in standing_in(log) if pause.target != name]
            own = self._pause(intent, request)
            standing = sorted([*others, *own], key=lambda pause: pause.target)
            after: JsonObject = {STANDING: [pause.to_json_value() for pause in standing]}
            if own:
                after["pause"] = own[0].to_json_value()
            return [intent.outcome(after, subject=names.PAUSES)]

        self._ledger.append_with(build)

    def would(self, request: AdminRequest) -> JsonObject:
        """The target's own pause, as it would stand."""
        return {"pause": {"target": self.asked(request).target, "reason": request.reason}}

    def _pause(self, intent: Intent, request: AdminRequest) -> list[Pause]:
        event = intent.event
        return [
            Pause(
                target=self.asked(request).target,
                actor=event.actor,
                reason=event.reason,
                since=event.observed_at_utc,
            )
        ]


class PauseAction(_Pausing):
    """Nothing starts on the target from here on; what runs goes on."""

    action_type = AdminActionType.PAUSE


class ResumeAction(_Pausing):
    """The target's own pause ends. Another that covers it, such as the plane's, stands."""

    action_type = AdminActionType.RESUME

    def would(self, request: AdminRequest) -> JsonObject:
        """No pause."""
        self.asked(request)
        return {}

    def _pause(self, intent: Intent, request: AdminRequest) -> list[Pause]:  # noqa: ARG002
        return []


class DrainAction(_Pausing):
    """As a pause; and what runs there is waited for, until it has ended or the limit is reached."""

    action_type = AdminActionType.DRAIN
    parameters = DrainParameters

    def _pause(self, intent: Intent, request: AdminRequest) -> list[Pause]:
        asked = self.asked(request)
        assert isinstance(asked, DrainParameters)
        (pause,) = super()._pause(intent, request)
        until = moment_of(pause.since) + timedelta(seconds=asked.limit_seconds)
        return [pause.model_copy(update={"draining": True, "until": utc_text(until)})]
