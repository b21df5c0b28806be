"""The names that entries are found by: each kind is declared once, built and parsed by its form.

An entry has a subject, may have a key, and mentions further names; an administrative event has an
idempotency key of its own (its id is computed from it) and names its targets. What is fixed in a
name comes first, so that it says of what kind it is, and within each place no two kinds share a
name. Stored names never change: another one is another form, beside the one that was stored.

>>> sealed_key("0" * 32, 2)
'sealed/00000000000000000000000000000000/2'
>>> sealed_key.parse("sealed/00000000000000000000000000000000/2")
('00000000000000000000000000000000', 2)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar, TypeVarTuple, overload

from ro_platform.contracts.admin import AdminActionType, DirectiveStatus
from ro_platform.contracts.attempt import JobStatus

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E", bound=StrEnum)
Parts = TypeVarTuple("Parts")

_PLACEHOLDER = re.compile(r"<[a-z_0-9]+>")


@dataclass(frozen=True, slots=True)
class Part(Generic[A]):
    """What varies in a name: the pattern that it matches, and how it is read from its text."""

    pattern: str
    read: Callable[[str], A]


class NameForm(Generic[*Parts]):
    """One kind of name: called with its parts it builds the name, and :meth:`parse` undoes that.

    ``template`` has ``<part>`` for each part. Building checks nothing: what is asked for by a name
    that nothing can have is simply not found.
    """

    def __init__(self, template: str, parts: tuple[Part[Any], ...]) -> None:
        self.template = template
        self.parts = parts
        fixed = _PLACEHOLDER.split(template)
        assert len(fixed) == len(parts) + 1, f"{template} has other parts than it says"
        self.head = fixed[0]
        """What every name of this kind begins with: the fixed words before its first part."""
        self._format = _PLACEHOLDER.sub("%s", template)
        patterns = tuple(f"({part.pattern})" for part in parts)
        self._pattern = re.compile("%s".join(map(re.escape, fixed)) % patterns, re.DOTALL)

    def __call__(self, *parts: *Parts) -> str:
        """The name with those parts."""
        return self._format % parts

    def parse(self, name: str) -> tuple[*Parts] | None:
        """The parts of a name, as they were given; None for a name of another kind."""
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        read: Any = tuple(
            part.read(text) for part, text in zip(self.parts, found.groups(), strict=True)
        )
        return read  # type: ignore[no-any-return]

    def part_of(self: NameForm[str], name: str) -> str:
        """The one part of a name; the name itself where it is of another kind, so that what reads
        a damaged ledger can still say what it read."""
        found = self.parse(name)
        return found[0] if found else name

    def __repr__(self) -> str:
        return f"NameForm({self.template!r})"


@overload
def _form(template: str, a: Part[A], /) -> NameForm[A]: ...
@overload
def _form(template: str, a: Part[A], b: Part[B], /) -> NameForm[A, B]: ...
@overload
def _form(template: str, a: Part[A], b: Part[B], c: Part[C], /) -> NameForm[A, B, C]: ...
@overload
def _form(
    template: str, a: Part[A], b: Part[B], c: Part[C], d: Part[D], /
) -> NameForm[A, B, C, D]: ...
def _form(template: str, /, *parts: Part[Any]) -> NameForm[*tuple[Any, ...]]:
    return NameForm(template, parts)


def _one_of(values: type[E]) -> Part[E]:
    return Part("|".join(re.escape(value) for value in values), values)


_HEX32, _HEX64 = Part(r"[a-f0-9]{32}", str), Part(r"[a-f0-9]{64}", str)
_NAME = Part(r"[A-Za-z0-9_.\-]+", str)
_DAY = Part(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str)
_NUMBER = Part(r"0|[1-9][0-9]*", int)
_WORD = Part(r"[^/]+", str)
_TEXT = Part(r".+", str)

# Runs, and the attempts at their units of work.
run_subject = _form("run/<run_id>", _HEX32)
"""A run's registration, its seals and its reopenings."""
run_key = _form("run/<fingerprint>", _HEX64)
"""The registration of a manifest."""
job_subject = _form("job/<job_id>", _HEX32)
"""The transitions of every attempt at a unit of work."""
attempt_key = _form("attempt/<attempt_id>/<status>", _HEX32, _one_of(JobStatus))
"""That an attempt reached a state."""
sealed_key = _form("sealed/<run_id>/<record>", _HEX32, _NUMBER)
"""The seal of a run's record; records count from 1."""
reopened_key = _form("reopened/<run_id>/<record>", _HEX32, _NUMBER)
"""The reopening that begins that record."""
touched_mention = _form("touched/<run_id>", _HEX32)
"""What touches a run, without being part of its record."""
input_mention = _form("input/<sha256>", _HEX64)
"""The manifests that name those bytes as an input."""
imported_mention = _form("imported/<sha256>", _HEX64)
"""The manifests with which those bytes came from a file."""
train_run_mention = _form("train_run/<train_run_id>", _TEXT)
"""What a training run made, and how it ended."""
bundle_mention = _form("bundle/<bundle_id>", _TEXT)
"""Who made a bundle."""

# Artifacts and the verdicts on them. A binding's locator says which revision.
artifact_subject = _form("artifact/<binding>", _TEXT)
"""One revision of an asset's artifact under a manifest: who made it, and what blocks it."""
bound_key = _form("bound/<attempt_id>/<binding>", _HEX32, _TEXT)
"""That an attempt bound an artifact."""
digest_name = _form("digest/<sha256>", _HEX64)
"""Bytes: whatever holds them mentions it, and their erasure is about it."""
used_mention = _form("used/<binding>", _TEXT)
"""Whatever was made from that artifact."""
erased_key = _form("erased/<sha256>", _HEX64)
"""The erasure of those bytes."""
asset_name = _form("asset/<asset>", _TEXT)
"""An asset, its key's parts joined by a slash: the subject of its gate sets, and a target."""
verdict_subject = _form("gate/<gate_id>/<fingerprint>/<sha256>", _NAME, _HEX64, _HEX64)
"""What a gate said of those bytes under that manifest."""
revocation_subject = _form(
    "gate/<gate_id>/<fingerprint>/<sha256>/<rule_digest>", _NAME, _HEX64, _HEX64, _HEX64
)
"""The withdrawal of a PASS that was given under that rule."""
receipt_key = _form("receipt/<attempt_id>/<gate_id>", _HEX32, _NAME)
"""The verdict of a gate's attempt."""
revoked_key = _form("revoked/<subject>", _TEXT)
"""The one withdrawal of a PASS, by its subject."""

# Configs, copies of the ledger, tokens.
config_subject = _form("config/<name>", _NAME)
"""The versions of a config."""
config_version_name = _form("config/<name>/<version>", _NAME, _NUMBER)
"""One version of a config: the key of its publication, and a target."""
segment_subject = _form("ledger/segment/<first>", _NUMBER)
"""The copies of the ledger's entries from that one on."""
segment_key = _form("segment/<first>/<count>", _NUMBER, _NUMBER)
"""The copy of so many entries from that one on."""
token_name = _form("token/<token_id>", _HEX32)
"""A token: the subject of its issue and its end, and the key of its issue."""
token_end_key = _form("token/<token_id>/revoked", _HEX32)
"""The end of a token, or of a session."""

# Administrative actions: intent and outcome, and the facts that they change.
action_subject = _form("admin/<action_type>", _one_of(AdminActionType))
"""An action that changes no state of its own, and every intent."""
intent_key = _form("admin/<admin_event_id>", _HEX32)
"""An event: of the intent, where an outcome follows. What is done by it mentions it."""
outcome_key = _form("admin/<admin_event_id>/outcome", _HEX32)
"""The outcome of an event that was intended first."""
INTENTS = "admin/intents"
"""Mentioned by every intent, so that those without an outcome are found without a full scan."""
PAUSES = "pauses"
"""The subject of every entry that says what stands paused."""
channel_subject = _form("registry/<name>/<channel>", _NAME, _NAME)
"""What a channel points to."""
CHANNELS = "registry"
"""Mentioned by whatever changes a channel."""
retention_subject = _form("retention/<target>", _TEXT)
"""For how long something is kept."""
RETENTIONS = "retention"
"""Mentioned by whatever changes a period."""
directive_name = _form("directive/<directive_id>", _HEX32)
"""A directive: the subject of its moves, and the idempotency key under which it is executed."""
move_key = _form("directive/<directive_id>/<status>", _HEX32, _one_of(DirectiveStatus))
"""That a directive reached a state."""
target_mention = _form("target/<name>", _TEXT)
"""The administrative events that had it as their target."""
draft_mention = _form("draft/<name>", Part(r".*", str))  # refused even without a name
"""Mentioned by every entry of a draft's ledger."""

# Refusals: of commands and of the gateway, of launches, of reports on an asset.
access_subject = _form("access/<who>", _TEXT)
"""Who was refused: an actor, an address, or ``command``."""
launch_subject = _form("launch/<dagster_run_id>", _WORD)
"""A launch that was refused."""
backfill_launch_subject = _form("launch/backfill/<backfill_id>", _WORD)
"""A backfill that was refused."""
report_subject = _form("report/<who>/<day>", _WORD, _DAY)
"""The reports on assets by one actor that were refused on one day."""
refusal_key = _form("refused/<subject>", Part(r"(?:launch|report)/.+", str))
"""The one refusal about a subject."""
command_refusal_key = _form("refused/command/<sha256>", _HEX64)
"""The one refusal of a command, by what is known of it."""

# Idempotency keys of administrative events; whoever asks may give another.
action_refusal_event_key = _form("refused/<sha256>", _HEX64)
"""The refusal of an action, by what is known of it."""
unnamed_event_key = _form("auto/<sha256>", _HEX64)
"""A request that came without a key."""
form_event_key = _form("web/<sha256>", _HEX64)
"""A form that was sent."""
erasure_event_key = _form("erase/<sha256>", _HEX64)
"""An erasure that no action asked for."""
erasure_outcome_event_key = _form("erase/<sha256>/outcome", _HEX64)
"""The outcome of such an erasure."""
ledger_grant_event_key = _form("ledger/<role>/<size>", _TEXT, _NUMBER)
"""What a database role was granted when the ledger had that size."""
ledger_schema_name = _form("ledger-schema/<version>", _NUMBER)
"""The ledger's tables of a version: what a migration is about, and its event's key."""

# Targets: what an action is on, and what access is asked for.
PLANE = "plane"
"""Everything."""
workload_target = _form("workload/<workload>", _TEXT)
"""A workload."""
consumer_target = _form("consumer/<stream>/<consumer>", _WORD, _TEXT)
"""What is delivered to a consumer of a stream."""
stream_target = _form("stream/<stream>", _TEXT)
"""A stream."""
role_target = _form("role/<role>", _TEXT)
"""A role of the access policy."""
ledger_role_name = _form("ledger-role/<role>", _TEXT)
"""A role of the ledger's database server: a target, and the subject of what it was granted."""
dagster_run_target = _form("dagster_run/<dagster_run_id>", _TEXT)
"""A run of Dagster's."""
backfill_target = _form("backfill/<backfill_id>", _TEXT)
"""A backfill of Dagster's."""

SUBJECTS: tuple[NameForm[*tuple[Any, ...]] | str, ...] = (
    run_subject,
    job_subject,
    artifact_subject,
    digest_name,
    asset_name,
    verdict_subject,
    revocation_subject,
    config_subject,
    segment_subject,
    token_name,
    action_subject,
    PAUSES,
    channel_subject,
    retention_subject,
    directive_name,
    access_subject,
    launch_subject,
    backfill_launch_subject,
    report_subject,
    ledger_role_name,
    ledger_schema_name,
)
KEYS: tuple[NameForm[*tuple[Any, ...]] | str, ...] = (
    run_key,
    attempt_key,
    sealed_key,
    reopened_key,
    bound_key,
    erased_key,
    receipt_key,
    revoked_key,
    config_version_name,
    segment_key,
    token_name,
    token_end_key,
    intent_key,
    outcome_key,
    move_key,
    refusal_key,
    command_refusal_key,
)
MENTIONS: tuple[NameForm[*tuple[Any, ...]] | str, ...] = (
    touched_mention,
    input_mention,
    imported_mention,
    train_run_mention,
    bundle_mention,
    digest_name,
    used_mention,
    intent_key,
    INTENTS,
    CHANNELS,
    RETENTIONS,
    target_mention,
    draft_mention,
)
EVENT_KEYS: tuple[NameForm[*tuple[Any, ...]] | str, ...] = (
    revocation_subject,
    config_version_name,
    directive_name,
    action_refusal_event_key,
    unnamed_event_key,
    form_event_key,
    erasure_event_key,
    erasure_outcome_event_key,
    ledger_grant_event_key,
    ledger_schema_name,
)
TARGETS: tuple[NameForm[*tuple[Any, ...]] | str, ...] = (
    PLANE,
    workload_target,
    asset_name,
    consumer_target,
    stream_target,
    role_target,
    ledger_role_name,
    ledger_schema_name,
    dagster_run_target,
    backfill_target,
    config_subject,
    config_version_name,
    channel_subject,
)
PLACES = {
    "subject": SUBJECTS,
    "key": KEYS,
    "mention": MENTIONS,
    "event key": EVENT_KEYS,
    "target": TARGETS,
}
"""Where each kind of name stands; one that is fixed, whole, is a text."""
