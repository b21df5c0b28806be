"""Versioned configs: published with a reason, numbered 1, 2, 3 ..., read only by pinned digest.

A version's content is a blob of the artifact store (canonical JSON); that it was published, by
whom and why, is in the ledger. The two are checked against each other on every read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ro_platform import errors
from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    AdminActionType,
    ArtifactRef,
    BoundRef,
    ConfigPublished,
    EntryKind,
    JsonObject,
    LedgerEntry,
    PinnedConfigRef,
)
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.clock import Clock
from ro_platform.kernel.digest import sha256_hex
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.events import Commission, admin_event_draft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

CONFIG_MEDIA_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class PublishedConfig:
    """A version as the ledger has it."""

    version: PinnedConfigRef
    reason: str
    actor: str
    published_at_utc: str


class ConfigVersions:
    """All published configs of one environment."""

    def __init__(
        self, store: ArtifactStore, ledger: Ledger, clock: Clock, policy_rule: Callable[[Any], None]
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._policy_rule = policy_rule

    def publish(self, name: str, content: Any, commission: Commission) -> None:
        """Publish content (any JSON value) as the next version of a config, in one commit with the
        outcome of the action, which the ``commission`` drafts.

        Content equal to the newest version's is that version: only the outcome is recorded. A crash
        leaves either the whole version or, at worst, a blob that no entry names. Raises where the
        newest version is not the one that the action was decided on.

        Of the access policy (:data:`POLICY_CONFIG`) these are the later versions: where there is
        none yet this raises :class:`AccessDeniedError`, and for one that fails its check what
        :meth:`require_sound` raises.
        """
        if name == POLICY_CONFIG:
            if self.newest_pin(name) is None:
                raise _not_like_others()
            self.require_sound(content)
        ref, event = self._stored(content), commission.event

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            previous = self._newest(log, name)
            if not commission.may_begin(log):
                return []
            if previous and previous.version.digest == ref.digest:
                return [commission.outcome(_after(previous.version))]
            body = _next_version(name, ref, previous, event.reason)
            return [_draft(body, event.actor), commission.outcome(_after(body.version))]

        self._ledger.append_with(build)

    def publish_first(
        self, name: str, content: Any, *, reason: str, actor: str, founding: bool = False
    ) -> PublishedConfig:
        """Publish content (any JSON value) as the first version of a config: one that comes with
        its manifest, whose registration was asked for, or the policy that is ``founding``.

        It is recorded in one commit with an event of its own. Again it changes nothing. Raises
        :class:`ConflictError` where another version is published already, and
        :class:`AccessDeniedError` for the access policy unless it is ``founding``.
        """
        if name == POLICY_CONFIG:
            if not founding:
                raise _not_like_others()
            self.require_sound(content)
        _checked(name, sha256_hex(canonical_bytes(content)), reason, actor, self._clock())
        ref = self._stored(content)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            previous = self._newest(log, name)
            if previous is None:
                body = _next_version(name, ref, None, reason)
                return [_draft(body, actor), _admin_draft(body, actor, self._clock())]
            if previous.version.digest != ref.digest:
                raise _not_the_first(name, previous)
            return []

        entries = self._ledger.append_with(build)
        return _published(entries[0]) if entries else self.find(name)

    def newest_pin(self, name: str, log: LedgerReader | None = None) -> PinnedConfigRef | None:
        """The newest version of a config; None where none was published. One indexed read."""
        newest = self._newest(log or self._ledger, name)
        return newest.version if newest else None

    def keep(self, content: Any) -> str:
        """Keep content (any JSON value) that may be published later; answers its SHA-256."""
        return self._stored(content).digest

    def kept(self, digest: str) -> Any:
        """Content that was kept or published, verified.

        Raises :class:`ArtifactNotFoundError` or :class:`DigestMismatchError`.
        """
        ref = ArtifactRef(ref=blob_name(digest), digest=digest, digest_alg="sha256")
        return parse_canonical(self._store.read(ref))

    def list(self, name: str | None = None) -> Iterator[PublishedConfig]:
        """All versions, or those of one config, oldest first."""
        subject = names.config_subject(name) if name else None
        for entry in self._ledger.scan(kind=EntryKind.CONFIG_PUBLISHED, subject=subject):
            yield _published(entry)

    def find(self, name: str, version: int | None = None) -> PublishedConfig:
        """One version, by default the newest. Raises :class:`ConfigNotFoundError`."""
        for published in self.list(name) if version else ():
            if published.version.config_version == version:
                return published
        newest = None if version else self._newest(self._ledger, name)
        if newest is None:
            raise errors.ConfigNotFoundError(
                f"config {name!r} has no version {version or 'at all'}.",
                next_step="See `ro config list`, or publish it with `ro config publish`.",
                config_name=name,
            )
        return newest

    def read(self, pin: PinnedConfigRef) -> Any:
        """The content of a pinned version, checked against its digest and the publication.

        Raises :class:`VersionNotPinnedError` when what was published under that number has another
        digest, :class:`DigestMismatchError` when the stored bytes were altered.
        """
        self.check(pin)
        return self.kept(pin.digest)

    def is_first_of(self, pin: PinnedConfigRef) -> bool:
        """Whether the pin is version 1 of a config that was never published."""
        return pin.config_version == 1 and self._newest(self._ledger, pin.config_name) is None

    def check(self, pin: PinnedConfigRef) -> None:
        """Raise unless that name, version and digest were published together."""
        published = self.find(pin.config_name, pin.config_version).version
        if published.digest != pin.digest:
            raise errors.VersionNotPinnedError(
                f"config {pin.config_name!r} version {pin.config_version} is pinned with digest "
                f"{pin.digest}, but was published as {published.digest}.",
                next_step=f"See `ro config show {pin.config_name} --version {pin.config_version}` "
                "and pin the digest it prints.",
                config_name=pin.config_name,
            )

    def require_sound(self, content: Any) -> None:
        """Raise :class:`ContractError` for content that is no access policy, and
        :class:`InvalidInputError` for one that fails its check."""
        self._policy_rule(content)

    def _stored(self, content: Any) -> BoundRef:
        return self._store.put_bytes(canonical_bytes(content), media_type=CONFIG_MEDIA_TYPE)

    @staticmethod
    def _newest(log: LedgerReader, name: str) -> PublishedConfig | None:
        entry = log.latest(EntryKind.CONFIG_PUBLISHED, names.config_subject(name))
        return _published(entry) if entry else None


def _after(version: PinnedConfigRef) -> JsonObject:
    return {"version": version.config_version, "digest": version.digest}


def _checked(name: str, digest: str, reason: str, actor: str, moment: datetime) -> None:
    """Refuse a bad name, an empty reason or nobody's action before anything is written."""
    try:
        version = PinnedConfigRef(config_name=name, config_version=1, digest=digest)
        body = ConfigPublished(version=version, reason=reason)
        _admin_draft(body, actor, moment)
    except ValueError:
        raise errors.ContractError(
            f"config {name!r} with reason {reason!r} cannot be published by {actor!r}.",
            next_step="A name is letters, digits, '_', '.', '-'; a reason is a sentence; an actor "
            "is HUMAN::id or SYSTEM::service.",
        ) from None


def _not_like_others() -> errors.AccessDeniedError:
    return errors.AccessDeniedError(
        f"config {POLICY_CONFIG!r} is not published like others: who could, could do all.",
        next_step="The first one: `ro access publish`. Later changes: `ro directive`.",
        config_name=POLICY_CONFIG,
    )


def _not_the_first(name: str, newest: PublishedConfig) -> errors.RunOperateError:
    words = f"config {name!r} is published already: version {newest.version.config_version}."
    if name == POLICY_CONFIG:
        return errors.AccessDeniedError(
            words,
            next_step="Change it by roles: `ro directive propose grant-role ...`.",
            config_name=name,
        )
    return errors.ConflictError(
        words, next_step=f"See `ro config show {name}`, and pin what it prints.", config_name=name
    )


def _next_version(
    name: str, ref: BoundRef, previous: PublishedConfig | None, reason: str
) -> ConfigPublished:
    before = previous.version if previous else None
    return ConfigPublished(
        version=PinnedConfigRef(
            config_name=name,
            config_version=before.config_version + 1 if before else 1,
            digest=ref.digest,
            ref=ref.ref,
        ),
        previous_digest=before.digest if before else None,
        reason=reason,
    )


def _draft(body: ConfigPublished, actor: str) -> EntryDraft:
    version = body.version
    return EntryDraft(
        kind=EntryKind.CONFIG_PUBLISHED,
        subject=names.config_subject(version.config_name),
        key=names.config_version_name(version.config_name, version.config_version),
        actor=actor,
        body=body.to_json_value(),
    )


def _admin_draft(body: ConfigPublished, actor: str, moment: datetime) -> EntryDraft:
    version = body.version
    target = names.config_version_name(version.config_name, version.config_version)
    return admin_event_draft(
        AdminActionType.PUBLISH_CONFIG,
        key=target,
        subject=names.config_subject(version.config_name),
        actor=actor,
        reason=body.reason,
        moment=moment,
        targets=(target,),
        before={"digest": body.previous_digest},
        after={"digest": version.digest},
    )


def _published(entry: LedgerEntry) -> PublishedConfig:
    body = body_of(entry, ConfigPublished)
    return PublishedConfig(body.version, body.reason, entry.actor, entry.recorded_at_utc)
