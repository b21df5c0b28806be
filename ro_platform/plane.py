"""The plane: the one place that wires the parts to their backends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from pydantic import ValidationError

from ro_platform.access.grants import Grants
from ro_platform.access.identity import Credentials, ProcessIdentity
from ro_platform.access.keys import access_key, launch_key, launch_verifiers
from ro_platform.access.policy import Access
from ro_platform.access.tokens import Tokens
from ro_platform.admin.administration import Administration, Dependencies
from ro_platform.admin.directives import Directives
from ro_platform.admin.intents import require_free, require_free_key
from ro_platform.admin.pauses import Pauses
from ro_platform.admin.service import AdminService
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.backends.overlay import OverlayBackend
from ro_platform.artifacts.store import ArtifactStore, blobs_at
from ro_platform.checkpoints.keys import trusted_keys
from ro_platform.checkpoints.service import CheckpointPolicy, Checkpoints
from ro_platform.config.drafts import draft_facts, require_governed_place
from ro_platform.config.policies import AccessPolicies, require_publishable
from ro_platform.config.settings import Settings
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import Action, AdminActionType, AdminEvent, JsonObject, LedgerEntry
from ro_platform.contracts.base import contract_error
from ro_platform.dossier.export import DossierExport, Notes, kept_or_issued
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import Guard
from ro_platform.gates.made import erasure_of
from ro_platform.gates.receipts import Receipts
from ro_platform.gates.revocation import Revocations
from ro_platform.kernel.clock import Clock, moment_of, system_clock
from ro_platform.kernel.identity import admin_event_id
from ro_platform.kernel.signing import SigningKey
from ro_platform.ledger import names
from ro_platform.ledger.addresses import SqliteLedger, ledger_at
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.drafted import DraftLedger, require_governed
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.events import admin_event_draft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.archive import Archive
from ro_platform.runs.audit import Audit
from ro_platform.runs.drafts import (
    DraftCatalogue,
    DraftConfigs,
    DraftGuard,
    DraftPublication,
    DraftRegistry,
    Governed,
)
from ro_platform.runs.erasure import Erasures
from ro_platform.runs.external import ExternalArtifacts
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.lookup import Lookup
from ro_platform.runs.plan import Admission, RunPlanner
from ro_platform.runs.publication import Publication
from ro_platform.runs.references import BlobReferences
from ro_platform.runs.registry import RunRegistry
from ro_platform.runs.related import concerning
from ro_platform.runs.scope import RunScope
from ro_platform.runs.seals import RunSeals
from ro_platform.runs.trace import Tracer

DAGSTER_ACTOR = "SYSTEM::dagster"
_LOCAL = CheckpointPolicy()


@dataclass(frozen=True)
class Plane:
    """Every part of one environment, open for use.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from ro_platform import Plane, Settings
    >>> home = tempfile.TemporaryDirectory()
    >>> plane = Plane.open(Settings.load({"RO_HOME": home.name}, cwd=Path(home.name)))
    >>> ref = plane.store.put_bytes(b"what is kept", media_type="text/plain")
    >>> plane.store.read(ref)
    b'what is kept'
    >>> plane.ledger.size()
    0
    >>> home.cleanup()
    """

    store: ArtifactStore
    ledger: Ledger
    configs: ConfigVersions
    policies: AccessPolicies
    access: Access
    tokens: Tokens
    grants: Grants
    identity: ProcessIdentity
    gates: GateCatalogue
    receipts: Receipts
    guard: Guard
    revocations: Revocations
    runs: RunRegistry
    publication: Publication
    external: ExternalArtifacts
    attempts: AttemptHistory
    seals: RunSeals
    admission: Admission
    planner: RunPlanner
    lookup: Lookup
    audit: Audit
    erasures: Erasures
    archive: Archive
    tracer: Tracer
    checkpoints: Checkpoints
    administration: Administration
    clock: Clock

    @property
    def pauses(self) -> Pauses:
        """What stands paused."""
        return self.administration.pauses

    @property
    def admin(self) -> AdminService:
        """The administrative actions that need no orchestrator."""
        return self.administration.service

    @property
    def directives(self) -> Directives:
        """What waits for a second person, and what became of it."""
        return self.administration.directives

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock = system_clock) -> Plane:
        """Open the backends that the settings name. Creates nothing before the first write.

        Raises :class:`DraftError` for those of a draft, unless the settings are a draft's.
        """
        if settings.draft_of is not None:
            return cls._open_draft(settings, shared_plane(settings.draft_of), clock)
        blobs = blobs_at(settings.store_url)
        require_governed_place(blobs.root, "RO_STORE_URL")
        ledger = ledger_at(settings.ledger_url)
        if isinstance(ledger, SqliteLedger):
            require_governed_place(ledger.path, "RO_LEDGER_URL")
        log = ledger.open()
        if isinstance(ledger, SqliteLedger):
            require_governed(LedgerReader(log))
        policy = CheckpointPolicy(
            settings.ledger_origin, settings.witnesses, partial(trusted_keys, settings)
        )
        return cls.over(
            blobs,
            log,
            clock=clock,
            checkpoints=policy,
            credentials=_credentials(settings),
        )

    @classmethod
    def _open_draft(cls, settings: Settings, governed: Plane, clock: Clock) -> Plane:
        """A draft's own store and ledger, over what is governed."""
        log = ledger_at(settings.ledger_url).open()
        overlay = OverlayBackend(blobs_at(settings.store_url), governed.store.backend)
        keys = Credentials.ephemeral()
        own = replace(keys, environment=settings.environment, single_user=settings.actor)

        name, workload = settings.home.name, draft_facts(settings).get("workload")
        target = governed.access.target(f"artifacts, for the draft {name}", workload=workload)

        below = Governed(
            governed.store,
            governed.guard,
            governed.gates,
            governed.runs,
            governed.configs,
            overlay,
            partial(governed.identity.require, Action.READ_ARTIFACT, target),
        )
        return cls.over(
            overlay,
            log,
            clock=clock,
            checkpoints=CheckpointPolicy(
                settings.ledger_origin, (), partial(trusted_keys, settings)
            ),
            credentials=own,
            draft=(name, below),
        )

    @classmethod
    def in_memory(cls, *, clock: Clock = system_clock) -> Plane:
        """A plane that keeps nothing, for tests."""
        return cls.over(MemoryBackend(), MemoryLedgerBackend(), clock=clock)

    @classmethod
    def over(
        cls,
        blobs: BlobBackend,
        log: LedgerBackend,
        *,
        clock: Clock = system_clock,
        checkpoints: CheckpointPolicy = _LOCAL,
        credentials: Credentials | None = None,
        draft: tuple[str, Governed] | None = None,
    ) -> Plane:
        """A plane over these backends; by default with keys that only this object has.

        ``draft`` is the name of a draft and what it is drafted on.
        """
        ledger = DraftLedger(log, clock, draft=draft[0]) if draft else Ledger(log, clock)
        store = ArtifactStore(blobs, partial(erasure_of, ledger))
        own = credentials or Credentials.ephemeral()
        where, user = own.environment, own.single_user
        rule = partial(require_publishable, environment=where)
        configs = (
            DraftConfigs(store, ledger, clock, rule, below=draft[1].configs)
            if draft
            else ConfigVersions(store, ledger, clock, rule)
        )
        policies = AccessPolicies(
            configs, environment=where, single_user=user, holders=lambda: tokens.holders()
        )
        access = Access(policies.newest, environment=where, single_user=user)
        tokens = Tokens(ledger, own.access_key, clock, access)
        gates = DraftCatalogue(ledger, draft[1]) if draft else GateCatalogue(ledger)
        receipts = Receipts(store, ledger)
        guard = DraftGuard(store, ledger, draft[1]) if draft else Guard(store, ledger)
        runs = (
            DraftRegistry(store, ledger, configs, guard, draft[1])
            if draft
            else RunRegistry(store, ledger, configs, guard)
        )
        attempts = AttemptHistory(ledger, actor=DAGSTER_ACTOR)
        publish = DraftPublication if draft else Publication
        publication = publish(store, ledger, guard, runs)
        references = BlobReferences(store, configs, runs)
        revocations = Revocations(ledger)
        erasures = Erasures(store, ledger, references, runs, clock)
        dependencies = Dependencies(
            store, ledger, configs, guard, revocations, runs, erasures, access, clock
        )
        return cls(
            store=store,
            ledger=ledger,
            configs=configs,
            policies=policies,
            access=access,
            tokens=tokens,
            grants=Grants(own.launch_key, own.launch_verifiers, where, clock),
            identity=ProcessIdentity(access, tokens, own.token),
            gates=gates,
            receipts=receipts,
            guard=guard,
            revocations=revocations,
            runs=runs,
            publication=publication,
            external=ExternalArtifacts(
                store, ledger, gates, receipts, guard, runs, publication, clock
            ),
            attempts=attempts,
            seals=RunSeals(ledger, actor=DAGSTER_ACTOR),
            admission=Admission(guard, gates, runs, attempts),
            planner=RunPlanner(store, guard),
            lookup=Lookup(store, ledger, runs, guard),
            audit=Audit(store, ledger, configs, runs, references),
            erasures=erasures,
            archive=Archive(store, ledger),
            tracer=Tracer(ledger),
            checkpoints=Checkpoints(blobs, ledger, clock, checkpoints),
            administration=Administration.of(dependencies),
            clock=clock,
        )

    def scope(self, fingerprint: str) -> RunScope:
        """One run as its assets and gates see it. Raises :class:`ManifestNotRegisteredError`."""
        manifest = self.runs.manifest(fingerprint)
        return RunScope(fingerprint, manifest, self.store, self.configs, self.runs, self.guard)

    def dossiers(self, key: SigningKey, notes: Notes | None = None) -> DossierExport:
        """What exports its runs, signed with that key, over the newest notes that were kept."""
        return DossierExport(
            self.store,
            self.ledger,
            self.configs,
            self.runs,
            self.guard,
            key=key,
            notes=notes or kept_or_issued(self.checkpoints, key),
        )

    def record_admin_event(
        self,
        action: AdminActionType,
        *,
        key: str,
        subject: str,
        actor: str,
        reason: str,
        targets: Sequence[str] = (),
        before: JsonObject | None = None,
        after: JsonObject | None = None,
        result: str = "done",
    ) -> LedgerEntry:
        """Record one administrative action; the same ``key`` is the same event.

        ``targets`` (the subject, if none are given) are what it was done to. The runs that the
        subject or a target belongs to are touched by it (:mod:`ro_platform.runs.related`): their
        dossiers and traces show it. Recorded again, the event keeps its first time.

        Raises :class:`ContractError` for a blank reason or an actor that is none,
        :class:`EntryConflictError` if the key is on record for another action, and
        :class:`InvalidInputError` for a subject whose entries are facts, or a key, that only the
        administrative service may record.
        """
        require_free(subject)
        require_free_key(key)

        def build(log: LedgerReader) -> list[EntryDraft]:
            known = log.find(names.intent_key(admin_event_id(action.value, key)))
            first = body_of(known, AdminEvent).observed_at_utc if known else None
            draft = admin_event_draft(
                action,
                key=key,
                subject=subject,
                actor=actor,
                reason=reason,
                moment=moment_of(first) if first else self.clock(),
                targets=tuple(targets),
                before=before,
                after=after,
                result=result,
            )
            return [concerning(log, draft, (subject, *targets))]

        try:
            return self.ledger.append_with(build)[0]
        except ValidationError as error:
            raise contract_error(error, kind="AdminEvent", where=f"admin event {key}") from None


def _credentials(settings: Settings) -> Credentials:
    name = f"{settings.ledger_origin}/launch"
    return Credentials(
        environment=settings.environment,
        single_user=settings.actor,
        token=settings.token,
        access_key=partial(access_key, settings.access_key),
        launch_key=partial(launch_key, settings.launch_key, name),
        launch_verifiers=partial(launch_verifiers, settings.launch_key),
    )


def shared_plane(settings: Settings) -> Plane:
    """The one plane of this process for those settings; a forked child opens its own."""
    return _opened(settings, os.getpid())


@lru_cache(maxsize=64)
def _opened(settings: Settings, _pid: int) -> Plane:
    return Plane.open(settings)
