"""Revocation: a PASS withdrawn, and all that was made from those bytes blocked until made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ro_platform.contracts import (
    AdminEvent,
    ArtifactBlocked,
    BoundRef,
    EntryKind,
    LedgerEntry,
    PassRevoked,
)
from ro_platform.errors import (
    ArtifactBlockedError,
    ConflictError,
    ContractError,
    GateRevokedError,
    NotFoundError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from tests.acting import Withdrawn, revoke_pass
from tests.unit.older_entries import older_revocation
from tests.unit.small_world import BOSS, FAIL, InterruptedLedger, SmallWorld


class Chain(SmallWorld):
    """``raw`` became ``clean`` became the bundle ``report``; ``other`` has its own source."""

    def __init__(self, log: InterruptedLedger | SqliteLedgerBackend | None = None) -> None:
        super().__init__(log)
        self.raw = self.made("raw")
        self.clean = self.made("clean", self.raw)
        self.report = self.made("report", self.clean, self.raw, bundle=True)
        self.source = self.made("source")
        self.other = self.made("other", self.source)

    def revoke(self, ref: BoundRef | None = None, reason: str = "a broken sensor") -> Withdrawn:
        """Withdraw the PASS on ``raw``, or on another."""
        subject = ref or self.raw
        gate = f"{subject.ref.split('/')[1]}.good"
        return revoke_pass(self.plane, gate, subject, reason=reason)

    def words(self) -> dict[str, str]:
        """How each artifact stands."""
        every = {
            "raw": self.raw,
            "clean": self.clean,
            "report": self.report,
            "source": self.source,
            "other": self.other,
        }
        return {name: self.word(ref) for name, ref in every.items()}


ALL_STAND = dict.fromkeys(["raw", "clean", "report", "source", "other"], "PASS")
RAW_REVOKED = ALL_STAND | {"raw": "REVOKED", "clean": "BLOCKED", "report": "BLOCKED"}


@pytest.fixture
def chain() -> Chain:
    return Chain()


def meanwhile(log: InterruptedLedger, somebody_elses: Callable[[], object]) -> None:
    """Let somebody else do something after the intent, and before the commit that revokes."""
    log.before += [lambda: None, somebody_elses]


def entries(world: SmallWorld, kind: EntryKind) -> list[LedgerEntry]:
    return list(world.plane.ledger.scan(kind=kind))


def test_revoking_refuses_the_artifact_and_blocks_all_that_was_made_from_it(chain: Chain) -> None:
    """Each with its own error; what has another source is untouched."""
    assert chain.words() == ALL_STAND
    revoked = chain.revoke()
    assert chain.words() == RAW_REVOKED
    with pytest.raises(GateRevokedError, match=r"HUMAN::boss \('a broken sensor'\)"):
        chain.read(chain.raw)
    for ref, first in ((chain.clean, "raw"), (chain.report, "clean")):
        with pytest.raises(ArtifactBlockedError, match=rf"refs/{first}/.*revocation reached"):
            chain.read(ref)
    assert chain.read(chain.other) == b"other"
    assert revoked.impact is not None
    assert [item.asset for item in revoked.impact.artifacts] == ["clean", "report"]


def test_a_revocation_is_one_commit_with_its_event_and_its_blocks(chain: Chain) -> None:
    """After the intent: PASS_REVOKED, the outcome, then a block for each artifact, saying why."""
    before = chain.plane.ledger.size()
    chain.revoke()
    intent, *new = chain.plane.ledger.scan(start=before)
    assert intent.body["result"] == "intended"
    assert [entry.kind.value for entry in new] == [
        "pass_revoked",
        "admin_event",
        "artifact_blocked",
        "artifact_blocked",
    ]
    assert {entry.actor for entry in new} == {BOSS}
    body = PassRevoked.from_json(canonical_bytes(new[0].body))
    event = AdminEvent.from_json(canonical_bytes(new[1].body))
    blocked = [ArtifactBlocked.from_json(canonical_bytes(entry.body)) for entry in new[2:]]
    assert (body.reason, body.blocked, body.subject_digest) == (
        "a broken sensor",
        2,
        chain.raw.digest,
    )
    assert event.action_type.value == "revoke_pass"
    assert event.targets == ("raw.good", chain.raw.ref)
    assert event.after == {"verdict": "REVOKED", "blocked": 2}
    assert {item.admin_event_id for item in blocked} == {event.admin_event_id}
    assert body.admin_event_id == event.admin_event_id
    assert [item.because for item in blocked] == [
        (chain.raw.ref,),
        (chain.clean.ref, chain.raw.ref),
    ]


def test_revoking_again_answers_what_is_on_record(chain: Chain) -> None:
    """Whatever the second reason: nothing more is recorded."""
    first = chain.revoke()
    size = chain.plane.ledger.size()
    again = chain.revoke(reason="another reason")
    assert (again.entry, again.body, again.impact) == (first.entry, first.body, None)
    assert chain.plane.ledger.size() == size


def test_what_an_older_release_revoked_stays_revoked(chain: Chain) -> None:
    """Its decision has an event of its own: it refuses and blocks, and revoking it again finds it
    so and records nothing; its trace shows decision, event and blocks."""
    body = older_revocation(chain.plane, "raw.good", chain.raw)
    assert chain.words() == RAW_REVOKED
    size = chain.plane.ledger.size()
    assert chain.revoke().body == body
    assert chain.plane.ledger.size() == size
    kinds = [line.entry.kind for line in chain.plane.tracer.trace(chain.raw.ref).lines]
    assert kinds.count(EntryKind.PASS_REVOKED) == kinds.count(EntryKind.ADMIN_EVENT) == 1
    caused = chain.plane.tracer.trace(body.admin_event_id).lines
    assert [line.entry.kind for line in caused] == [
        EntryKind.PASS_REVOKED,
        EntryKind.ADMIN_EVENT,
        EntryKind.ARTIFACT_BLOCKED,
        EntryKind.ARTIFACT_BLOCKED,
    ]


def test_judging_again_by_the_same_rule_changes_nothing(chain: Chain) -> None:
    """Nor does making the same bytes again."""
    chain.revoke()
    chain.judge(chain.raw)
    assert chain.words() == RAW_REVOKED
    chain.made("raw")
    assert chain.words() == RAW_REVOKED


def test_a_new_rule_and_remaking_in_order_lifts_it(chain: Chain) -> None:
    """What was revoked needs another rule; what was blocked needs to be made again, in order."""
    chain.revoke()
    chain.plane.gates.declare("raw", (chain.rule("raw", "2"),), actor=BOSS)
    assert chain.words() == RAW_REVOKED | {"raw": "STALE"}
    chain.judge(chain.raw, version="2")
    assert chain.words() == RAW_REVOKED | {"raw": "PASS"}
    with pytest.raises(ArtifactBlockedError):
        chain.made("report", chain.clean, chain.raw, bundle=True)
    chain.made("clean", chain.raw)
    assert chain.words() == ALL_STAND | {"report": "BLOCKED"}
    chain.made("report", chain.clean, chain.raw, bundle=True)
    assert chain.words() == ALL_STAND


def test_nothing_is_made_again_before_its_inputs_stand(chain: Chain) -> None:
    """Publication refuses, and the block stays."""
    chain.revoke()
    with pytest.raises(GateRevokedError):
        chain.made("clean", chain.raw)
    assert chain.words() == RAW_REVOKED


def test_what_was_made_again_from_other_inputs_is_not_in_the_radius(chain: Chain) -> None:
    """Its newest making counts, and its older one no more; what came through it neither."""
    chain.made("clean", chain.source)
    revoked = chain.revoke()
    assert revoked.impact is not None
    assert [item.asset for item in revoked.impact.artifacts] == ["report"]
    assert chain.words() == RAW_REVOKED | {"clean": "PASS"}


def test_revisions_are_told_apart(chain: Chain) -> None:
    """A consumer is blocked for the revision it used, not for another."""
    one = chain.made("dice", data=b"1", deterministic=False)
    first = chain.made("first", one)
    two = chain.made("dice", data=b"2", deterministic=False)
    second = chain.made("second", two)
    chain.revoke(one)
    assert [chain.word(ref) for ref in (one, first, two, second)] == [
        "REVOKED",
        "BLOCKED",
        "PASS",
        "PASS",
    ]


def test_all_revisions_that_hold_the_bytes_are_revoked(chain: Chain) -> None:
    """A verdict speaks of bytes: the consumers of each revision that has them are reached."""
    one = chain.made("dice", data=b"1", deterministic=False)
    first = chain.made("first", one)
    chain.made("dice", data=b"2", deterministic=False)
    three = chain.made("dice", data=b"1", deterministic=False)
    third = chain.made("third", three)
    assert three.ref != one.ref
    revoked = chain.revoke(one)
    assert revoked.impact is not None
    assert revoked.impact.origin.refs == (one.ref, three.ref)
    words = [chain.word(ref) for ref in (one, first, three, third)]
    assert words == ["REVOKED", "BLOCKED", "REVOKED", "BLOCKED"]


def test_the_same_bytes_under_another_manifest_are_untouched(chain: Chain) -> None:
    """A PASS counts for one manifest, and so does its withdrawal."""
    other = chain.register("2")
    raw = chain.made("raw", under=other)
    clean = chain.made("clean", raw, under=other)
    assert raw.digest == chain.raw.digest
    chain.revoke()
    assert (chain.word(raw), chain.word(clean)) == ("PASS", "PASS")


def test_consumers_under_other_manifests_are_reached(chain: Chain) -> None:
    """The radius crosses runs."""
    later = chain.made("later", chain.clean, under=chain.register("2"))
    revoked = chain.revoke()
    assert revoked.impact is not None
    assert len(revoked.impact.runs) == 2
    assert chain.word(later) == "BLOCKED"


def test_two_revocations_are_both_in_force(chain: Chain) -> None:
    """Each blocks its whole radius, and making again from what stands lifts both."""
    chain.revoke()
    second = chain.revoke(chain.clean)
    assert second.body.blocked == 1
    assert chain.words() == RAW_REVOKED
    blocks = entries(chain, EntryKind.ARTIFACT_BLOCKED)
    assert [entry.body["asset"] for entry in blocks] == ["clean", "report", "report"]
    chain.made("report", chain.source, bundle=True)
    assert chain.words() == RAW_REVOKED | {"report": "PASS"}


@pytest.mark.parametrize("status", [None, FAIL])
def test_only_a_pass_is_revoked(chain: Chain, status: object) -> None:
    """Never judged, or FAIL: there is nothing to withdraw, and nothing is recorded."""
    ref = chain.made("fresh", passed=False)
    if status is FAIL:
        chain.judge(ref, FAIL)
    before = chain.plane.ledger.size()
    with pytest.raises(NotFoundError, match=r"no PASS to revoke: gate 'fresh\.good'"):
        chain.revoke(ref)
    assert chain.plane.ledger.size() == before


def test_what_is_bound_to_no_asset_has_no_pass(chain: Chain) -> None:
    """A blob's own reference names no binding."""
    blob = chain.store.put_bytes(b"loose", media_type="text/plain")
    with pytest.raises(NotFoundError, match="bound to no asset"):
        chain.plane.revocations.impact(blob)


def test_a_revocation_needs_a_reason(chain: Chain) -> None:
    """Without one nothing is recorded."""
    before = chain.plane.ledger.size()
    with pytest.raises(ContractError):
        chain.revoke(reason=" ")
    assert chain.plane.ledger.size() == before
    assert chain.words() == ALL_STAND


# --- while others work ----------------------------------------------------------------------------


def test_what_is_published_meanwhile_is_blocked_too() -> None:
    """Between finding the radius and the commit somebody makes one more, and one from that."""
    log = InterruptedLedger()
    chain = Chain(log)
    late: list[BoundRef] = []

    def publish() -> None:
        late.append(chain.made("late", chain.clean))
        late.append(chain.made("later", late[0]))

    meanwhile(log, publish)
    revoked = chain.revoke()
    assert revoked.body.blocked == 4
    assert [chain.word(ref) for ref in late] == ["BLOCKED", "BLOCKED"]


def test_what_is_made_again_meanwhile_leaves_the_radius_or_enters_it() -> None:
    """The newest making at the commit decides, with all that hangs on it."""
    log = InterruptedLedger()
    chain = Chain(log)
    below = chain.made("below", chain.other)

    def publish() -> None:
        chain.made("clean", chain.source)
        chain.made("report", chain.clean, bundle=True)
        chain.made("other", chain.raw)

    meanwhile(log, publish)
    revoked = chain.revoke()
    assert revoked.impact is not None
    assert [item.asset for item in revoked.impact.artifacts] == ["other", "below"]
    assert chain.words() == ALL_STAND | {"raw": "REVOKED", "other": "BLOCKED"}
    assert chain.word(below) == "BLOCKED"


def test_a_revision_bound_meanwhile_is_part_of_the_origin() -> None:
    """The same bytes, bound anew while the radius is sought: who used them is reached."""
    log = InterruptedLedger()
    chain = Chain(log)
    one = chain.made("dice", data=b"1", deterministic=False)
    chain.made("dice", data=b"2", deterministic=False)
    late: list[BoundRef] = []

    def publish() -> None:
        three = chain.made("dice", data=b"1", deterministic=False, passed=False)
        late.append(chain.made("late", three))

    meanwhile(log, publish)
    revoked = chain.revoke(one)
    assert revoked.body.blocked == 1
    assert chain.word(late[0]) == "BLOCKED"


def test_two_who_revoke_at_once_record_one() -> None:
    """The slower one hears what the faster one recorded, or that what it intended is not so now."""
    log = InterruptedLedger()
    chain = Chain(log)
    faster: list[Withdrawn] = []
    log.before.append(lambda: faster.append(chain.revoke(reason="first")))
    slower = chain.revoke(reason="second")
    assert slower.entry == faster[0].entry
    assert slower.impact is None
    log = InterruptedLedger()
    chain = Chain(log)
    meanwhile(log, lambda: chain.revoke(reason="first"))
    with pytest.raises(ConflictError):
        chain.revoke(reason="second")
    [revoked] = entries(chain, EntryKind.PASS_REVOKED)
    assert revoked.body["reason"] == "first"


def test_a_pass_is_revoked_though_a_fail_came_after_it() -> None:
    """Somebody may have read under the PASS: what they made is blocked all the same."""
    log = InterruptedLedger()
    chain = Chain(log)
    meanwhile(log, lambda: chain.judge(chain.raw, FAIL))
    revoked = chain.revoke()
    assert revoked.body.blocked == 2
    words = chain.words()
    assert (words["raw"], words["clean"], words["report"]) == ("FAIL", "BLOCKED", "BLOCKED")


def test_a_publication_that_the_revocation_overtakes_is_refused() -> None:
    """Its input stood when it began, and no more when it is recorded."""
    log = InterruptedLedger()
    chain = Chain(log)

    stored = chain.store.put_bytes(b"late", media_type="text/plain")
    work = chain.begun("late", chain.raw)
    log.before.append(chain.revoke)
    with pytest.raises(GateRevokedError):
        chain.plane.publication.publish("late", stored, work, actor=BOSS)
    bound = chain.store.binding("late", chain.fingerprint)
    assert bound is not None
    assert chain.word(bound) == "UNRECORDED"


KILLED = """
import os, signal, sys
from pathlib import Path
from ro_platform.ledger.backends import sqlite
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from tests.unit.test_revocation import Chain

chain = Chain(SqliteLedgerBackend(Path(sys.argv[1])))
insert = sqlite._SqliteTransaction.insert

def killed(transaction, rows, *more):
    insert(transaction, rows, *more)
    if rows[0].kind == "pass_revoked":  # every row is written, and the commit never comes
        os.kill(os.getpid(), signal.SIGKILL)

sqlite._SqliteTransaction.insert = killed
print(chain.plane.ledger.size(), flush=True)
chain.revoke()
"""


def test_a_kill_before_the_commit_leaves_nothing_of_it(tmp_path: Path) -> None:
    """Neither the revocation nor one of its blocks: only the intent, which stays open."""
    path = tmp_path / "ledger.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    world = SmallWorld(SqliteLedgerBackend(path))  # its manifest is on record: it adds nothing
    assert world.plane.ledger.verify().size == int(done.stdout) + 1
    assert entries(world, EntryKind.PASS_REVOKED) == []
    assert entries(world, EntryKind.ARTIFACT_BLOCKED) == []
    [left] = world.plane.admin.open_intents()
    assert left.event.reason == "a broken sensor"
