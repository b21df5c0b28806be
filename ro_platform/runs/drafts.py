"""The rooms of a draft: they write to the draft's own store and ledger, and read what is governed
through its guard, under the right of who drafts.

What the draft has made itself is its own, judged by its own verdicts. Anything else is a governed
artifact: each read asks whether the actor may read, and the governed guard, which refuses as it
refuses any consumer; only then its bytes can be read, and are not copied. Inputs that the governed
plane imported and configs that it published come from there by digest. A draft's gates may change
and disappear and its assets may give other bytes: that is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ro_platform import errors
from ro_platform.artifacts.backends.overlay import OverlayBackend
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions, PublishedConfig
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    EntryKind,
    GateRule,
    GateSetDeclared,
    ManifestInput,
    PinnedConfigRef,
    RunManifest,
)
from ro_platform.gates.catalogue import GateCatalogue, declared_in
from ro_platform.gates.guard import GateState, Guard
from ro_platform.gates.made import artifact_at, artifact_of
from ro_platform.kernel.clock import Clock
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.publication import Provenance, Publication
from ro_platform.runs.registry import RunRegistry, blob_ref


@dataclass(frozen=True)
class Governed:
    """What a draft is drafted on, and how it may be read.

    ``may_read`` raises unless the actor may read artifacts now; ``overlay`` is the draft's backend,
    which lets in what was asked for.
    """

    store: ArtifactStore
    guard: Guard
    gates: GateCatalogue
    runs: RunRegistry
    configs: ConfigVersions
    overlay: OverlayBackend
    may_read: Callable[[], object]

    def admit(self, ref: ArtifactRef) -> None:
        """Let an artifact's bytes be read: who calls this has asked the guard."""
        self.overlay.admit(blob_ref(str(ref.digest)).ref)
        for member in self.store.members(ref):
            self.overlay.admit(member.ref)


class DraftGuard(Guard):
    """The draft's verdicts for what the draft made, the governed guard for everything else."""

    def __init__(self, store: ArtifactStore, log: LedgerReader, governed: Governed) -> None:
        super().__init__(store, log)
        self._governed = governed

    def within(self, log: LedgerReader) -> Guard:
        """See :class:`Guard`. What is governed is asked as it stands outside the transaction."""
        return DraftGuard(self._store, log, self._governed)

    def require(self, asset: str, manifest: RunManifest, fingerprint: str) -> BoundRef:
        """See :class:`Guard`. Raises also what says that the actor may not read."""
        if artifact_of(self._log, asset, fingerprint) is not None:
            return super().require(asset, manifest, fingerprint)
        self._governed.may_read()
        ref = self._governed.guard.require(asset, manifest, fingerprint)
        self._require_known_gates(asset, ref)
        self._governed.admit(ref)
        return ref

    def standings(
        self, asset: str, manifest: RunManifest, fingerprint: str, ref: BoundRef
    ) -> Iterator[GateState]:
        """See :class:`Guard`."""
        if artifact_at(self._log, ref.ref) == ref:
            return super().standings(asset, manifest, fingerprint, ref)
        return self._governed.guard.standings(asset, manifest, fingerprint, ref)

    def require_unerased(self, digest: str) -> None:
        """See :class:`Guard`: erased here or there."""
        super().require_unerased(digest)
        self._governed.guard.require_unerased(digest)

    def _require_known_gates(self, asset: str, ref: BoundRef) -> None:
        """What the code of now declares must be what the governed verdicts are about: a gate that
        is new or another there would not stand, and one that is gone would have to be dropped."""
        declared = self._log.latest(EntryKind.GATE_SET_DECLARED, names.asset_name(asset))
        now = declared_in(declared).gates if declared else None
        if now is None:
            return
        recorded = {rule.gate_id: rule for rule in self._governed.gates.gates_of(asset) or ()}
        gone = recorded.keys() - {rule.gate_id for rule in now}
        gone = {name for name in gone if not recorded[name].guest}
        if gone and not (now and all(rule.guest for rule in now)):
            raise errors.GateSetShrankError(
                f"asset {asset!r} no longer declares its gate {min(gone)!r}.",
                next_step="Declare the gate again, or draft the asset as well, by a workload that "
                "makes it.",
                asset=asset,
                gate=min(gone),
            )
        for rule in now:
            known = recorded.get(rule.gate_id)
            if known is None or _other_rule(known, rule):
                kind = errors.GateAbsentError if known is None else errors.GateStaleError
                raise kind(
                    f"gate {rule.gate_id!r} has not judged sha256:{ref.digest} of asset {asset!r} "
                    "by the rule of now.",
                    next_step="Draft the asset as well, by a workload that makes it, or have the "
                    "gate judge it where it is governed.",
                    gate=rule.gate_id,
                    asset=asset,
                    digest=ref.digest,
                )


class DraftCatalogue(GateCatalogue):
    """The gates as the code of now declares them: a draft's set may shrink."""

    def __init__(self, ledger: Ledger, governed: Governed) -> None:
        super().__init__(ledger)
        self._below = governed.gates

    def declare(self, asset: str, gates: tuple[GateRule, ...], *, actor: str) -> None:
        """Record the gates that the code gives an asset, if that is news."""
        now = tuple(sorted(gates, key=lambda rule: rule.gate_id))
        if super().gates_of(asset) == now:
            return
        draft = EntryDraft(
            kind=EntryKind.GATE_SET_DECLARED,
            subject=names.asset_name(asset),
            actor=actor,
            body=GateSetDeclared(asset=asset, gates=now).to_json_value(),
        )
        self._ledger.append(draft)

    def gates_of(self, asset: str) -> tuple[GateRule, ...] | None:
        """The gates on record here, or else where the asset is governed."""
        own = super().gates_of(asset)
        return self._below.gates_of(asset) if own is None else own


class DraftConfigs(ConfigVersions):
    """A config that is published where it is governed comes from there; another may come with the
    manifest, and is published in the draft alone."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        clock: Clock,
        policy_rule: Callable[[Any], None],
        *,
        below: ConfigVersions,
    ) -> None:
        super().__init__(store, ledger, clock, policy_rule)
        self._below = below

    def find(self, name: str, version: int | None = None) -> PublishedConfig:
        """See :class:`ConfigVersions`."""
        return (
            self._below.find(name, version) if self._is_below(name) else super().find(name, version)
        )

    def read(self, pin: PinnedConfigRef) -> Any:
        """See :class:`ConfigVersions`."""
        return self._below.read(pin) if self._is_below(pin.config_name) else super().read(pin)

    def is_first_of(self, pin: PinnedConfigRef) -> bool:
        """See :class:`ConfigVersions`."""
        return not self._is_below(pin.config_name) and super().is_first_of(pin)

    def _is_below(self, name: str) -> bool:
        return self._below.newest_pin(name) is not None


class DraftRegistry(RunRegistry):
    """Manifests of the draft, over inputs and manifests of the governed plane."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        configs: ConfigVersions,
        guard: Guard,
        governed: Governed,
    ) -> None:
        super().__init__(store, ledger, configs, guard)
        self._governed = governed

    def manifest(self, fingerprint: str) -> RunManifest:
        """See :class:`RunRegistry`; one that only the governed plane has is read there."""
        if self.is_registered(fingerprint):
            return super().manifest(fingerprint)
        return self._governed.runs.manifest(fingerprint)

    def source_of(self, item: ManifestInput) -> BoundRef | None:
        """See :class:`RunRegistry`: here or, through its guard, there."""
        try:
            return super().source_of(item)
        except errors.InputMissingError:
            return self._governed_source(item)

    def is_imported(self, item: ManifestInput) -> bool:
        """See :class:`RunRegistry`: here or there."""
        if super().is_imported(item):
            return True
        if not self._governed.runs.is_imported(item):
            return False
        self._governed_source(item)
        return True

    def _governed_source(self, item: ManifestInput) -> BoundRef | None:
        self._governed.may_read()
        found = self._governed.runs.source_of(item)
        self._governed.admit(found or item.ref)
        return found


class DraftPublication(Publication):
    """In a draft an asset that gives other bytes is no conflict: they are its next revision."""

    def publish(
        self,
        asset: str,
        ref: BoundRef,
        work: Provenance,
        *,
        actor: str,
        deterministic: bool = True,  # noqa: ARG002 - a draft's bytes may always change
        bundle: bool = False,
        train_run: bool = False,
    ) -> BoundRef:
        """See :class:`Publication`."""
        return super().publish(
            asset,
            ref,
            work,
            actor=actor,
            deterministic=False,
            bundle=bundle,
            train_run=train_run,
        )


def same_gates(one: Sequence[GateRule], two: Sequence[GateRule]) -> bool:
    """Whether two sets hold the same gates under the same rules, whoever declared them."""
    by_id = {rule.gate_id: rule for rule in two}
    return {rule.gate_id for rule in one} == by_id.keys() and not any(
        _other_rule(by_id[rule.gate_id], rule) for rule in one
    )


def _other_rule(one: GateRule, two: GateRule) -> bool:
    return (one.code_version, set(one.configs)) != (two.code_version, set(two.configs))
