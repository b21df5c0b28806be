"""Materialize, check, re-materialize, revoke, change rules and read, in any order: bytes come out
only under a valid PASS, and only if all they were made from is valid too."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ro_platform.contracts import (
    AttemptTransition,
    BoundRef,
    CodeRef,
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    NamedArtifact,
    RunManifest,
)
from ro_platform.errors import ArtifactNotFoundError, GateRefusedError, NotFoundError
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.publication import Provenance
from tests.acting import revoke_pass
from tests.effort import times

ACTOR = "SYSTEM::machine"
PARENTS = {"source": (), "middle": ("source",), "aside": ("source",), "end": ("middle", "aside")}
GATED = ("source", "middle", "end")  # "aside" has no gate of its own
ASSETS = st.sampled_from(sorted(PARENTS))
RUNS = st.sampled_from([0, 1])
CONTENTS = st.sampled_from([b"one", b"two", b"three"])


class Place(NamedTuple):
    """An asset under one of the manifests."""

    asset: str
    run: int


@dataclass
class Bound:
    """What the model knows of a place: the newest artifact, its inputs, when it was made and when
    a revocation reached it."""

    ref: BoundRef
    inputs: dict[Place, str]
    made: int
    blocked: int = -1


@dataclass
class Model:
    """The law, said once more in the plainest way."""

    newest: dict[Place, str] = field(default_factory=dict)
    bound: dict[str, Bound] = field(default_factory=dict)
    verdicts: dict[tuple[str, int, str], tuple[GateStatus, int]] = field(default_factory=dict)
    passes: dict[tuple[str, int, str], int] = field(default_factory=dict)
    revoked: set[tuple[str, int, str, int]] = field(default_factory=set)
    rules: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GATED, 1))

    def passed(self, place: Place, digest: str) -> bool:
        if place.asset not in GATED:
            return True
        verdict = self.verdicts.get((place.asset, place.run, digest))
        rule = self.rules[place.asset]
        return verdict == (GateStatus.PASS, rule) and (
            (place.asset, place.run, digest, rule) not in self.revoked
        )

    def readable(self, place: Place) -> bool:
        locator = self.newest.get(place)
        return locator is not None and self.stands(place, locator)

    def stands(self, place: Place, locator: str) -> bool:
        bound = self.bound[locator]
        return bound.made > bound.blocked and self.passed(place, bound.ref.digest)


class Begun(NamedTuple):
    """Work under way: where it will be published, and what it was given."""

    place: Place
    work: Provenance
    used: dict[Place, str]


class NoPassNoRead(RuleBasedStateMachine):
    """The plane against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.plane = Plane.in_memory(clock=ManualClock())
        self.model = Model()
        self.begun: list[Begun] = []
        self.moment = itertools.count()
        self.steps = itertools.count()
        self.manifests = [self._registered(n) for n in (0, 1)]
        for asset in PARENTS:
            self.plane.gates.declare(asset, self._rules(asset), actor=ACTOR)

    @rule(asset=ASSETS, run=RUNS)
    def begin(self, asset: str, run: int) -> None:
        """Read what an asset is made from; refused exactly when the model says so."""
        place = Place(asset, run)
        parents = [Place(parent, run) for parent in PARENTS[asset]]
        allowed = all(map(self.model.readable, parents))
        manifest, fingerprint = self.manifests[run]
        attempt = self._attempt(asset, fingerprint)
        try:
            inputs = [
                NamedArtifact(
                    name=parent.asset,
                    artifact=self.plane.guard.require(parent.asset, manifest, fingerprint),
                )
                for parent in parents
            ]
        except (GateRefusedError, ArtifactNotFoundError):
            assert not allowed
            return
        assert allowed
        used = {parent: self.model.newest[parent] for parent in parents}
        self.begun.append(Begun(place, Provenance(attempt, inputs), used))

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), content=CONTENTS)
    def finish(self, data: st.DataObject, content: bytes) -> None:
        """Publish what was begun some time ago, if all it was given stands still."""
        begun = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        allowed = all(self.model.stands(*item) for item in begun.used.items())
        stored = self.plane.store.put_bytes(content, media_type="text/plain")
        try:
            ref = self.plane.publication.publish(
                begun.place.asset, stored, begun.work, actor=ACTOR, deterministic=False
            )
        except GateRefusedError:
            assert not allowed
            return
        assert allowed
        self.model.newest[begun.place] = ref.ref
        before = self.model.bound.get(ref.ref)
        self.model.bound[ref.ref] = Bound(
            ref, begun.used, next(self.moment), before.blocked if before else -1
        )

    @rule(asset=st.sampled_from(GATED), run=RUNS, passes=st.booleans())
    def check(self, asset: str, run: int, passes: bool) -> None:
        """Judge the newest bytes under the rule in force."""
        place = Place(asset, run)
        if place not in self.model.newest:
            return
        ref = self.model.bound[self.model.newest[place]].ref
        manifest, fingerprint = self.manifests[run]
        (gate,) = self._rules(asset)
        status = GateStatus.PASS if passes else GateStatus.FAIL
        receipt = GateReceipt(
            gate_id=gate.gate_id,
            status=status,
            subject=ref,
            scope=GateScope(
                asset=asset, manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)
            ),
            rule_digest=rule_digest(gate, manifest),
            attempt_id=self._attempt(f"{asset}#ok", fingerprint).attempt_id,
            produced_at_utc=utc_text(self.plane.clock()),
        )
        self.plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())
        self.model.verdicts[asset, run, ref.digest] = (status, self.model.rules[asset])
        if passes:
            self.model.passes[asset, run, ref.digest] = self.model.rules[asset]

    @rule(asset=st.sampled_from(GATED), run=RUNS)
    def revoke(self, asset: str, run: int) -> None:
        """Withdraw the PASS of the newest bytes: all made from them is blocked."""
        place = Place(asset, run)
        if place not in self.model.newest:
            return
        bound = self.model.bound[self.model.newest[place]]
        passed = self.model.passes.get((asset, run, bound.ref.digest))
        try:
            done = revoke_pass(self.plane, f"{asset}.ok", bound.ref, reason="found out")
        except NotFoundError:
            assert passed is None
            return
        assert passed is not None
        withdrawn = (asset, run, bound.ref.digest, passed)
        assert (done.impact is None) == (withdrawn in self.model.revoked)
        if withdrawn in self.model.revoked:
            return
        self.model.revoked.add(withdrawn)
        self._block({name for name in self.model.bound if self._holds(name, place, bound)})

    @rule(asset=st.sampled_from(GATED))
    def change_rule(self, asset: str) -> None:
        """The gate's code changes: older verdicts are stale."""
        self.model.rules[asset] += 1
        self.plane.gates.declare(asset, self._rules(asset), actor=ACTOR)

    @invariant()
    def bytes_come_out_only_under_a_valid_pass(self) -> None:
        """Each place is readable exactly when the model says so, with exactly its bytes."""
        for place in itertools.starmap(Place, itertools.product(PARENTS, (0, 1))):
            manifest, fingerprint = self.manifests[place.run]
            try:
                ref = self.plane.guard.require(place.asset, manifest, fingerprint)
            except (GateRefusedError, ArtifactNotFoundError):
                assert not self.model.readable(place), place
                continue
            assert self.model.readable(place), place
            assert ref == self.model.bound[self.model.newest[place]].ref
            assert self.plane.store.read(ref) in (b"one", b"two", b"three")

    def _holds(self, locator: str, place: Place, bound: Bound) -> bool:
        same = self.model.bound[locator].ref.digest == bound.ref.digest
        _, fingerprint = self.manifests[place.run]
        return same and locator.startswith(f"refs/{place.asset}/fingerprint={fingerprint}/")

    def _block(self, reached: set[str]) -> None:
        """Everything whose newest making used something reached, until nothing is added."""
        moment, blocked = next(self.moment), set[str]()
        while True:
            more = {
                name
                for name, bound in self.model.bound.items()
                if name not in blocked and set(bound.inputs.values()) & (reached | blocked)
            }
            if not more:
                break
            blocked |= more
        for name in blocked:
            self.model.bound[name].blocked = moment

    def _registered(self, n: int) -> tuple[RunManifest, str]:
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="machine",
            parameters={"n": n},
            code=CodeRef(version="1"),
        )
        fingerprint = manifest_fingerprint(manifest)
        self.plane.runs.register(ManifestFile(manifest, fingerprint, folder=None), actor=ACTOR)
        return manifest, fingerprint

    def _rules(self, asset: str) -> tuple[GateRule, ...]:
        if asset not in GATED:
            return ()
        return (GateRule(gate_id=f"{asset}.ok", code_version=str(self.model.rules[asset])),)

    def _attempt(self, unit: str, fingerprint: str) -> AttemptTransition:
        return self.plane.attempts.begin(
            fingerprint,
            unit,
            step_key=unit,
            dagster_run_id=f"run-{next(self.steps)}",
            status=JobStatus.RUNNING,
        )


TestNoPassNoRead = NoPassNoRead.TestCase
TestNoPassNoRead.settings = settings(max_examples=times(300), stateful_step_count=50)
