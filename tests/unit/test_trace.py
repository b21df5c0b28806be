"""Tracing: complete, exact, in order, and no dearer than what it shows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    CodeRef,
    EntryKind,
    JobStatus,
    LedgerEntry,
    ManifestInput,
    NamedArtifact,
    RunManifest,
)
from ro_platform.errors import InvalidInputError, NotFoundError, RunOperateError
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.backends.base import Row, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import shared_plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.related import Relation
from ro_platform.runs.trace import TraceKind
from tests.acting import erase_bytes, revoke_pass
from tests.effort import times
from tests.unit.small_world import BOSS, DAGSTER, FAIL, SmallWorld

Related = dict[int, Relation]


class TracedWorld(SmallWorld):
    """A small world in which models are trained."""

    def trained(self, asset: str, *inputs: BoundRef, under: str | None = None) -> BoundRef:
        """Make an asset's artifact by a training run."""
        work = self.begun(asset, *inputs, under=under)
        ref = self.plane.publication.publish(
            asset,
            self.store.put_bytes(asset.encode(), media_type="text/plain"),
            work,
            actor=DAGSTER,
            train_run=True,
        )
        self.plane.attempts.move(
            work.attempt,
            JobStatus.SUCCEEDED,
            dagster_run_id=work.dagster_run_id,
            outputs=(NamedArtifact(name=asset, artifact=ref),),
        )
        self.judge(ref)
        return ref

    def traced(self, identifier: str, kind: TraceKind | None = None) -> Related:
        """The trace of an id, as relations by ``seq``."""
        found = self.plane.tracer.trace(identifier, kind)
        assert [line.entry.seq for line in found.lines] == sorted(
            line.entry.seq for line in found.lines
        )
        return {line.entry.seq: line.relation for line in found.lines}

    def revoke(self, ref: BoundRef, gate: str) -> None:
        revoke_pass(self.plane, gate, ref, reason="wrong")

    def erase(self, ref: BoundRef) -> None:
        erase_bytes(self.plane, ref.digest, reason="asked", all_bindings=True)


class Naive:
    """The same relations by reading the bodies of the whole ledger, with no index and no key."""

    def __init__(self, world: SmallWorld) -> None:
        self.entries = list(world.plane.ledger.scan())

    def of_kind(self, kind: EntryKind) -> list[LedgerEntry]:
        return [entry for entry in self.entries if entry.kind is kind]

    def events(self, decisions: Collection[LedgerEntry]) -> list[LedgerEntry]:
        """The events of the actions that decided so."""
        ids = {entry.body["admin_event_id"] for entry in decisions}
        events = self.of_kind(EntryKind.ADMIN_EVENT)
        return [e for e in events if e.body["admin_event_id"] in ids]

    def artifact(self, ref: str) -> Related:
        address = parse_binding(ref)
        assert address is not None
        asset, fingerprint, _ = address
        bound = self.of_kind(EntryKind.ARTIFACT_BOUND)
        makings = [entry for entry in bound if _artifact(entry)["ref"] == ref]
        attempts = {entry.body["attempt_id"] for entry in makings}
        digests = {_artifact(entry)["digest"] for entry in makings}

        def about(entry: LedgerEntry) -> bool:
            body = entry.body
            return (body["asset"], body["manifest_fingerprint"]) == (asset, fingerprint) and body[
                "subject_digest"
            ] in digests

        used = [e for e in bound if any(item["ref"] == ref for item in _inputs(e))]
        revoked = [e for e in self.of_kind(EntryKind.PASS_REVOKED) if about(e)]
        erased = [e for e in self.of_kind(EntryKind.ARTIFACT_ERASED) if e.body["digest"] in digests]
        blocked = [
            e for e in self.of_kind(EntryKind.ARTIFACT_BLOCKED) if _artifact(e)["ref"] == ref
        ]
        registered = [
            e
            for e in self.of_kind(EntryKind.RUN_REGISTERED)
            if e.body["manifest_fingerprint"] == fingerprint
        ]
        ran = [
            e
            for e in self.of_kind(EntryKind.ATTEMPT_TRANSITION)
            if e.body["attempt_id"] in attempts
        ]
        return _united(
            _as(Relation.USED, used),
            _as(Relation.REGISTERED, registered),
            _as(Relation.RAN, ran),
            _as(Relation.MADE, makings),
            _as(Relation.JUDGED, [e for e in self.of_kind(EntryKind.GATE_RECEIPT) if about(e)]),
            _as(Relation.REVOKED, [*revoked, *self.events(revoked)]),
            _as(Relation.BLOCKED, blocked),
            _as(Relation.ERASED, [*erased, *self.events(erased)]),
        )

    def work(self, entries: Sequence[LedgerEntry]) -> Related:
        """Entries of one piece of work, and everything about each artifact that they made."""
        made = [e for e in entries if e.kind is EntryKind.ARTIFACT_BOUND]
        own = {e.seq: RELATIONS[e.kind] for e in entries}
        return _united(*(self.artifact(str(_artifact(e)["ref"])) for e in made), own)

    def run(self, run: str) -> Related:
        """A run: what carries its id, and the decisions whose bodies name its manifest."""
        carrying = [e for e in self.entries if e.correlation_ids.run_id == run]
        decided = [
            e
            for e in self.entries
            if e.kind in (EntryKind.PASS_REVOKED, EntryKind.ARTIFACT_BLOCKED)
            and run_id(str(e.body["manifest_fingerprint"])) == run
        ]
        erased = [
            e
            for e in self.of_kind(EntryKind.ARTIFACT_ERASED)
            if any(_run_of(ref) == run for ref in e.body.get("bindings", ()))  # type: ignore[union-attr]
        ]
        revoked = [e for e in decided if e.kind is EntryKind.PASS_REVOKED]
        return _united(
            self.work(carrying),
            {e.seq: RELATIONS[e.kind] for e in [*decided, *erased]},
            _as(Relation.REVOKED, self.events(revoked)),
            _as(Relation.ERASED, self.events(erased)),
        )

    def attempt(self, attempt: str) -> Related:
        return self.work([e for e in self.entries if e.body.get("attempt_id") == attempt])

    def dagster_run(self, name: str) -> Related:
        return self.work([e for e in self.entries if e.correlation_ids.dagster_run_id == name])

    def digest(self, digest: str) -> Related:
        bound = self.of_kind(EntryKind.ARTIFACT_BOUND)
        return self.work([e for e in bound if _artifact(e)["digest"] == digest])


RELATIONS = {
    EntryKind.RUN_REGISTERED: Relation.REGISTERED,
    EntryKind.ATTEMPT_TRANSITION: Relation.RAN,
    EntryKind.ARTIFACT_BOUND: Relation.MADE,
    EntryKind.GATE_RECEIPT: Relation.JUDGED,
    EntryKind.PASS_REVOKED: Relation.REVOKED,
    EntryKind.ARTIFACT_BLOCKED: Relation.BLOCKED,
    EntryKind.ARTIFACT_ERASED: Relation.ERASED,
    EntryKind.RUN_SEALED: Relation.SEALED,
    EntryKind.RUN_REOPENED: Relation.REOPENED,
}


def _artifact(entry: LedgerEntry) -> dict[str, Any]:
    found = entry.body["artifact"]
    assert isinstance(found, dict)
    return found


def _inputs(entry: LedgerEntry) -> list[Any]:
    found = entry.body.get("inputs", [])
    assert isinstance(found, list)
    return found


def _run_of(ref: object) -> str:
    address = parse_binding(str(ref))
    assert address is not None
    return run_id(address.fingerprint)


def _as(relation: Relation, entries: Sequence[LedgerEntry]) -> Related:
    return dict.fromkeys((entry.seq for entry in entries), relation)


def _united(*parts: Related) -> Related:
    """That something was only used yields to every other relation."""
    whole: Related = {}
    for part in parts:
        for seq, relation in part.items():
            if whole.get(seq, Relation.USED) is Relation.USED:
                whole[seq] = relation
    return whole


@settings(max_examples=times(40), deadline=None)
@given(st.data())
def test_a_trace_is_complete_and_exact(data: st.DataObject) -> None:
    """Law: for every id of a random world, the trace by indexes is that of a scan of everything."""
    world = TracedWorld()
    manifests = [world.fingerprint, world.register("2")]
    refs: list[BoundRef] = []
    for _ in range(data.draw(st.integers(1, 9))):
        act = data.draw(
            st.sampled_from(["make", "make", "train", "again", "judge", "revoke", "erase", "seal"])
        )
        ref = data.draw(st.sampled_from(refs)) if refs else None
        under = data.draw(st.sampled_from(manifests))
        asset = data.draw(st.sampled_from("abc"))
        inputs = [ref] if ref and data.draw(st.booleans()) else []
        with suppress(RunOperateError):  # a refusal is on record, too, or nothing is
            if act == "make":
                refs.append(world.made(asset, *inputs, under=under, bundle=asset == "c"))
            elif act == "train":
                refs.append(world.trained(asset, *inputs, under=under))
            elif act == "again":
                other = data.draw(st.sampled_from([b"1", b"2"]))
                refs.append(
                    world.made(asset, *inputs, under=under, data=other, deterministic=False)
                )
            elif act == "seal":
                world.plane.seals.seal(under)
            elif ref and act == "judge":
                world.judge(ref, FAIL)
            elif ref and act == "revoke":
                address = parse_binding(ref.ref)
                assert address is not None
                world.revoke(ref, f"{address.asset}.good")
            elif ref and act == "erase":
                world.erase(ref)
    naive = Naive(world)
    for fingerprint in manifests:
        assert world.traced(fingerprint) == naive.run(run_id(fingerprint))
        assert world.traced(run_id(fingerprint)) == naive.run(run_id(fingerprint))
    for ref in refs:
        assert world.traced(ref.ref) == naive.artifact(ref.ref)
        assert world.traced(f"sha256:{ref.digest}") == naive.digest(ref.digest)
    for entry in naive.of_kind(EntryKind.ATTEMPT_TRANSITION):
        attempt, dagster = str(entry.body["attempt_id"]), entry.correlation_ids.dagster_run_id
        assert world.traced(attempt) == naive.attempt(attempt)
        assert dagster is not None
        assert world.traced(dagster) == naive.dagster_run(dagster)
    for event in naive.of_kind(EntryKind.ADMIN_EVENT):
        name = event.body["admin_event_id"]
        caused = [e for e in naive.entries if e.body.get("admin_event_id") == name]
        assert set(world.traced(str(name))) == {e.seq for e in caused}


class Counting(MemoryLedgerBackend):
    """Counts the rows that it hands out."""

    rows = 0

    def by_keys(self, keys: Collection[str]) -> dict[str, Row]:
        found = super().by_keys(keys)
        self.rows += len(found)
        return found

    def latest(self, kind: str, subject: str) -> Row | None:
        found = super().latest(kind, subject)
        self.rows += found is not None
        return found

    def page(self, selection: Selection, limit: int) -> list[Row]:
        found = super().page(selection, limit)
        self.rows += len(found)
        return found


def test_a_trace_costs_what_it_shows() -> None:
    """Among 10,000 irrelevant entries, only what is shown is read, a few times at most."""
    log = Counting()
    world = TracedWorld(log)
    inputs = [world.made("a"), world.made("b")]
    model = world.trained("model", *inputs)
    bundle = world.made("report", model, bundle=True)
    world.revoke(model, "model.good")
    event = next(world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT))
    noise = [
        EntryDraft(kind, f"{kind}/{n}", DAGSTER, {"n": n}, mentions=(f"digest/{n}",))
        for n in range(5_000)
        for kind in (EntryKind.ARTIFACT_BOUND, EntryKind.GATE_RECEIPT)
    ]
    world.plane.ledger.append_many(noise)
    attempt = next(world.plane.lookup.makers(model.digest)).attempt_id
    for identifier in (
        world.fingerprint,
        run_id(world.fingerprint),
        attempt,
        bundle.digest,
        model.ref,
        "dagster-model",
        str(event.body["admin_event_id"]),
    ):
        log.rows = 0
        shown = len(world.traced(identifier))
        assert shown > 1
        assert log.rows <= 5 * shown + 30, (identifier, shown, log.rows)


def test_every_id_is_taken_for_what_it_is() -> None:
    """Each kind of id leads to the making of what it names."""
    world = TracedWorld()
    model = world.trained("model", world.made("a"))
    bundle = world.made("report", model, bundle=True)
    [made] = world.plane.lookup.makers(model.digest)
    trained = made.attempt_id
    expected = {
        world.fingerprint: TraceKind.MANIFEST,
        world.fingerprint[:8]: TraceKind.MANIFEST,
        run_id(world.fingerprint): TraceKind.RUN,
        trained: TraceKind.TRAIN_RUN,
        bundle.digest: TraceKind.BUNDLE,
        "dagster-model": TraceKind.DAGSTER_RUN,
        model.ref: TraceKind.ARTIFACT,
        f"model@{world.fingerprint}": TraceKind.ARTIFACT,
        f"model@{world.fingerprint[:6]}": TraceKind.ARTIFACT,
        model.digest: TraceKind.DIGEST,
        f"sha256:{model.digest}": TraceKind.DIGEST,
    }
    for identifier, kind in expected.items():
        found = world.plane.tracer.trace(identifier)
        assert found.kind is kind, identifier
        about = {line.entry.subject for line in found.lines}
        named = bundle if kind is TraceKind.BUNDLE else model
        assert f"artifact/{named.ref}" in about, identifier
    assert world.plane.tracer.trace(world.fingerprint[:8]).identifier == world.fingerprint


def test_training_runs_and_bundles_are_on_every_entry_that_concerns_them() -> None:
    """The binding and the end of its attempt carry the ids, and mention them."""
    world = TracedWorld()
    model = world.trained("model")
    [made] = world.plane.lookup.makers(model.digest)
    found = list(world.plane.ledger.scan(mention=f"train_run/{made.attempt_id}"))
    assert [entry.kind for entry in found] == [
        EntryKind.ARTIFACT_BOUND,
        EntryKind.ATTEMPT_TRANSITION,
    ]
    assert {entry.correlation_ids.train_run_id for entry in found} == {made.attempt_id}
    [record] = world.plane.attempts.of_run(world.fingerprint)
    assert record.correlation_ids.train_run_id == made.attempt_id
    bundle = world.made("report", model, bundle=True)
    [bound] = world.plane.ledger.scan(mention=f"bundle/{bundle.digest}")
    assert bound.correlation_ids.bundle_id == bundle.digest


def test_training_again_is_another_training_run() -> None:
    """The same bytes, another attempt: two ids, each with its own."""
    world = TracedWorld()
    world.trained("model")
    ref = world.trained("model")
    first, second = (item.attempt_id for item in world.plane.lookup.makers(ref.digest))
    assert first != second
    for name in (first, second):
        assert world.plane.tracer.trace(name).kind is TraceKind.TRAIN_RUN
    carried = {
        entry.correlation_ids.train_run_id
        for entry in world.plane.ledger.scan(mention=f"train_run/{second}")
    }
    assert carried == {second}


def test_an_input_is_traced_to_the_manifests_that_name_it(tmp_path: Path) -> None:
    """Also by the second manifest, which imported nothing."""
    world = TracedWorld()
    (tmp_path / "in").write_bytes(b"input")
    digest = world.store.put_file(tmp_path / "in").digest
    for version in ("2", "3"):
        item = ManifestInput(name="in", ref=ArtifactRef(ref="in", digest=digest))
        manifest = RunManifest(
            kind="ro.run_manifest.v0", workload="w", inputs=(item,), code=CodeRef(version=version)
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), tmp_path)
        world.plane.runs.register(file, actor=BOSS)
    found = world.plane.tracer.trace(digest)
    assert found.kind is TraceKind.DIGEST
    assert [line.relation for line in found.lines] == [Relation.USED, Relation.USED]


@pytest.mark.parametrize(
    "identifier",
    [
        "f" * 64,
        "f" * 32,
        "sha256:" + "f" * 64,
        "nobody",
        "ffffff",
        "fff",
        "a@ffffff",
        "refs/a/fingerprint=" + "f" * 64 + "/rev=000001.json",
        "",
        "\0",
    ],
)
def test_an_unknown_id_is_said_to_be_unknown(identifier: str) -> None:
    """Not found, with what an id can be."""
    world = TracedWorld()
    world.made("a")
    with pytest.raises(NotFoundError, match="known as") as refused:
        world.plane.tracer.trace(identifier)
    assert "run_id" in refused.value.next_step


def test_an_actor_is_not_traced() -> None:
    """That would read the whole ledger: it is refused, with another way."""
    with pytest.raises(InvalidInputError, match="actor"):
        TracedWorld().plane.tracer.trace(BOSS)


def test_an_ambiguous_id_needs_more() -> None:
    """Two manifests with one beginning, or an id of two kinds: which ones, and how to tell."""
    world = TracedWorld()
    fingerprint = world.register("2")
    world.plane.ledger.append(
        EntryDraft(
            EntryKind.ADMIN_EVENT,
            "digest",
            BOSS,
            {"action_type": "pause"},
            mentions=(f"digest/{fingerprint}",),
        )
    )
    with pytest.raises(InvalidInputError, match=r"ambiguous: manifest .*, digest") as refused:
        world.plane.tracer.trace(fingerprint)
    assert "--as" in refused.value.next_step
    assert world.plane.tracer.trace(fingerprint, TraceKind.MANIFEST).kind is TraceKind.MANIFEST
    with pytest.raises(NotFoundError, match="as a bundle"):
        world.plane.tracer.trace(fingerprint, TraceKind.BUNDLE)
    prefix = fingerprint[:6]
    clone = prefix + "0" * 58
    world.plane.ledger.append(
        EntryDraft(EntryKind.RUN_REGISTERED, "run/x", BOSS, {"manifest_fingerprint": clone})
    )
    with pytest.raises(InvalidInputError, match="ambiguous") as refused:
        world.plane.tracer.trace(prefix)
    assert refused.value.next_step == "Give more digits."


# --- ro trace ------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TracedWorld]:
    chosen = Settings.load(
        {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    with settings_in_force(chosen):
        yield TracedWorld(plane=shared_plane(chosen))


def ask(*args: object) -> Result:
    return CliRunner().invoke(ro, ["trace", *(str(arg) for arg in args)])


def test_the_command_shows_who_did_what_in_order(world: TracedWorld) -> None:
    """First what it took the id for, then a table; and the same entries in JSON."""
    source = world.made("a")
    world.made("b", source)
    world.revoke(source, "a.good")
    answer = ask(f"a@{world.fingerprint[:8]}")
    assert answer.exit_code == 0, answer.output
    first, heading, *lines = answer.stdout.splitlines()
    assert first == f"artifact {source.ref}"
    assert heading.split()[:2] == ["seq", "recorded"]
    words = ("registered", "ran", "made", "judged", "used", "revoked")
    assert [word for word in words if any(f" {word} " in line for line in lines)] == list(words)
    said = json.loads(ask(source.ref, "--json").stdout)
    assert (said["kind"], said["id"]) == ("artifact", source.ref)
    assert len(said["entries"]) == sum(line[0].isdigit() for line in lines)
    seqs = [item["entry"]["seq"] for item in said["entries"]]
    assert seqs == sorted(seqs)
    unknown = ask("f" * 64)
    assert unknown.exit_code == 4
    assert "known as" in unknown.stderr
    assert ask(world.fingerprint, "--as", "digest").exit_code == 4
