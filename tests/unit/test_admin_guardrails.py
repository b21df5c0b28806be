"""No sequence of administrative actions makes unpassed bytes readable, changes an identity, edits
or drops a record, or happens without somebody who did it and why.

The world and its law are those of the no-PASS machine; here people administer it in between.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from ro_platform.access.identity import EPHEMERAL_USER
from ro_platform.admin.intents import admin_request
from ro_platform.artifacts.addressing import BindingAddress, parse_binding
from ro_platform.contracts import AdminActionType, AdminEvent, BoundRef, EntryKind, JsonObject
from ro_platform.errors import RunOperateError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.ledger.entry import body_of
from tests.effort import times
from tests.unit.test_no_pass_machine import ASSETS, GATED, RUNS, NoPassNoRead, Place

WHO = st.sampled_from([EPHEMERAL_USER, "HUMAN::somebody"])


class Administered(NoPassNoRead):
    """The plane against the model, with administration in between."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = itertools.count()
        self.leaves: list[bytes] = []

    @rule(actor=WHO, kind=st.sampled_from(["pause", "resume", "drain"]), asset=ASSETS)
    def stop_and_go(self, actor: str, kind: str, asset: str) -> None:
        """Pauses come and go."""
        self._act(AdminActionType(kind), {"target": f"asset/{asset}"}, actor)

    @rule(actor=WHO, asset=ASSETS, run=RUNS)
    def promote(self, actor: str, asset: str, run: int) -> None:
        """Only what may be read, and has a gate, can be promoted."""
        ref, place = self._newest(asset, run), Place(asset, run)
        if ref is None:
            return
        parameters: JsonObject = {"name": "m", "channel": "c", "ref": ref.ref}
        done = self._act(AdminActionType.PROMOTE, parameters, actor)
        allowed = actor == EPHEMERAL_USER and asset in GATED and self.model.readable(place)
        assert done == allowed

    @rule(actor=WHO, days=st.integers(0, 2))
    def keep(self, actor: str, days: int) -> None:
        """Periods change."""
        parameters: JsonObject = {"target": "artifacts", "days": days}
        assert self._act(AdminActionType.CHANGE_RETENTION, parameters, actor) == (
            actor == EPHEMERAL_USER
        )

    @rule(actor=WHO, content=st.integers(0, 2))
    def configure(self, actor: str, content: int) -> None:
        """Configs get versions."""
        digest = self.plane.configs.keep({"limit": content})
        self._act(AdminActionType.PUBLISH_CONFIG, {"name": "limits", "digest": digest}, actor)

    @rule(actor=WHO, asset=st.sampled_from(GATED), run=RUNS)
    def withdraw(self, actor: str, asset: str, run: int) -> None:
        """A PASS is withdrawn by the service instead of directly."""
        ref, place = self._newest(asset, run), Place(asset, run)
        if ref is None:
            return
        passed = self.model.passes.get((asset, run, ref.digest))
        parameters: JsonObject = {"gate_id": f"{asset}.ok", "ref": ref.ref}
        done = self._act(AdminActionType.REVOKE_PASS, parameters, actor)
        assert done == (actor == EPHEMERAL_USER and passed is not None)
        if not done or passed is None:
            return
        withdrawn = (asset, run, ref.digest, passed)
        if withdrawn not in self.model.revoked:
            self.model.revoked.add(withdrawn)
            bound = self.model.bound[self.model.newest[place]]
            self._block({name for name in self.model.bound if self._holds(name, place, bound)})

    @rule(parameters=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
    def nonsense(self, parameters: dict[str, str]) -> None:
        """What no action takes leaves nothing."""
        size = self.plane.ledger.size()
        for kind in self.plane.admin.offered:
            assert not self._act(kind, dict(parameters), EPHEMERAL_USER)
        assert self.plane.ledger.size() == size

    @invariant()
    def records_only_grow(self) -> None:
        """Every entry that was there is there, byte for byte: none is edited, none is dropped."""
        rows = self.plane.ledger.scan(start=0, end=len(self.leaves))
        assert [canonical_bytes(entry) for entry in rows] == self.leaves
        for entry in self.plane.ledger.scan(start=len(self.leaves)):
            self.leaves.append(canonical_bytes(entry))

    @invariant()
    def identities_stay(self) -> None:
        """A manifest has the fingerprint it had, and every binding the digest it had."""
        for manifest, fingerprint in self.manifests:
            assert self.plane.runs.manifest(fingerprint) == manifest
            assert manifest_fingerprint(manifest) == fingerprint
        for locator, bound in self.model.bound.items():
            asset, fingerprint, revision = self._address(locator)
            assert self.plane.store.binding(asset, fingerprint, revision) == bound.ref
            assert sha256_hex(self.plane.store.read(bound.ref)) == bound.ref.digest

    @invariant()
    def somebody_did_it_and_said_why(self) -> None:
        """Every event has an actor and a reason, and every intent one outcome."""
        open_, ended = set[str](), list[str]()
        for entry in self.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT):
            event = body_of(entry, AdminEvent)
            assert event.actor
            assert event.reason.strip()
            if event.key is None or event.result == "refused":
                continue
            if event.result == "intended":
                open_.add(event.admin_event_id)
            else:
                ended.append(event.admin_event_id)
        assert sorted(ended) == sorted(open_)

    def _act(self, kind: AdminActionType, parameters: dict[str, Any], actor: str) -> bool:
        request = admin_request(kind, reason="the machine says so", parameters=parameters)
        try:
            self.plane.admin.perform(request, actor=actor, key=str(next(self.keys)))
        except RunOperateError:
            return False
        return True

    def _newest(self, asset: str, run: int) -> BoundRef | None:
        locator = self.model.newest.get(Place(asset, run))
        return self.model.bound[locator].ref if locator else None

    def _address(self, locator: str) -> BindingAddress:
        address = parse_binding(locator)
        assert address is not None
        return address


TestAdministered = Administered.TestCase
TestAdministered.settings = settings(max_examples=times(60), stateful_step_count=30, deadline=None)
