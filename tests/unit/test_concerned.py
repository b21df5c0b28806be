"""An administrative event is found by every run that its targets belong to, and by the targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    ArtifactBound,
    BoundRef,
    LedgerEntry,
)
from ro_platform.dossier.export import sign_now
from ro_platform.errors import EntryConflictError
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.names import touched_mention
from tests.unit.dossier_world import KEY
from tests.unit.small_world import BOSS
from tests.unit.test_trace import TracedWorld


class Acted(TracedWorld):
    """A run that trained a model and made a bundle of it, sealed; and another run."""

    def __init__(self) -> None:
        super().__init__()
        self.other = self.register("2")
        self.made("unrelated", under=self.other)
        self.model = self.trained("model", self.made("source"))
        self.bundle = self.made("report", self.model, bundle=True)
        self.plane.seals.seal(self.fingerprint)

    def act(self, *targets: str, subject: str = "approval/1", key: str = "k") -> LedgerEntry:
        """Somebody asks for a replay of what is named."""
        return self.plane.record_admin_event(
            AdminActionType.REPLAY_REQUEST,
            key=key,
            subject=subject,
            targets=targets,
            actor=BOSS,
            reason="asked for",
        )

    @property
    def attempt(self) -> str:
        """The attempt that trained the model."""
        bound = next(self.plane.ledger.scan(mention=f"digest/{self.model.digest}"))
        return body_of(bound, ArtifactBound).attempt_id


def verdict(ref: BoundRef, fingerprint: str) -> str:
    """A gate's verdict on it, as a name."""
    return f"gate/model.good/{fingerprint}/{ref.digest}"


NAMES: dict[str, Callable[[Acted], str]] = {
    "run": lambda w: run_id(w.fingerprint),
    "a word and a run": lambda w: f"run/{run_id(w.fingerprint)}",
    "manifest": lambda w: w.fingerprint,
    "a word and a manifest": lambda w: f"manifest/{w.fingerprint}",
    "attempt": lambda w: w.attempt,
    "a word and an attempt": lambda w: f"attempt/{w.attempt}",
    "dagster run": lambda w: "dagster-model",
    "a word and a dagster run": lambda w: "dagster_run/dagster-model",
    "locator": lambda w: w.model.ref,
    "artifact": lambda w: f"artifact/{w.model.ref}",
    "digest": lambda w: w.model.digest,
    "a word and a digest": lambda w: f"sha256:{w.model.digest}",
    "bundle": lambda w: w.bundle.digest,
    "verdict": lambda w: verdict(w.model, w.fingerprint),
    "receipt": lambda w: f"receipts/model/fingerprint={w.fingerprint}/model.good/{'0' * 32}.json",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_event_touches_the_run_that_its_target_belongs_to(name: str, tmp_path: Path) -> None:
    """By any name of it; the run's dossier and its trace have the event, and only that run's. Its
    sealed record is not added to."""
    world = Acted()
    event = world.act(NAMES[name](world))
    run = run_id(world.fingerprint)
    touched = [item for item in event.mentions or () if item.startswith("touched/")]
    assert touched == [touched_mention(run)]
    assert event.correlation_ids.run_id is None
    assert event.seq in world.traced(run)
    assert event.seq in world.traced(world.fingerprint)
    assert event.seq not in world.traced(world.other)
    export = world.plane.dossiers(KEY, sign_now(world.plane.ledger, KEY))
    dossier = export.export(world.fingerprint, tmp_path / "d", actor=BOSS)
    assert event.seq in [line.seq for line in dossier.context]


def test_an_event_is_found_by_the_subject_alone() -> None:
    """Without targets it is what the event was done to."""
    world = Acted()
    event = world.act(subject=f"run/{run_id(world.fingerprint)}")
    assert touched_mention(run_id(world.fingerprint)) in (event.mentions or ())


def test_the_id_that_an_event_names_leads_to_it() -> None:
    """An attempt, a training run, a Dagster run, a digest, a bundle, a locator."""
    world = Acted()
    names = [world.attempt, "dagster-model", world.model.digest, world.bundle.digest]
    for number, name in enumerate([*names, world.model.ref]):
        event = world.act(name, key=str(number))
        assert event.seq in world.traced(name), name
    ids = [world.act(name, key=str(number)).correlation_ids for number, name in enumerate(names)]
    assert (ids[0].train_run_id, ids[1].dagster_run_id) == (world.attempt, "dagster-model")
    assert (ids[2].bundle_id, ids[3].bundle_id) == (None, world.bundle.digest)


def test_bytes_that_are_in_several_runs_concern_all_of_them() -> None:
    """But a verdict on them under one manifest only that one."""
    world = Acted()
    same = world.made("copy", data=b"unrelated", under=world.fingerprint)
    both = {touched_mention(run_id(one)) for one in (world.fingerprint, world.other)}
    assert both <= set(world.act(same.digest, key="1").mentions or ())
    one = world.act(verdict(same, world.other), key="2").mentions or ()
    assert both & set(one) == {touched_mention(run_id(world.other))}


def test_an_event_before_the_manifest_is_registered_is_found_by_it() -> None:
    """A name that says that it is a manifest's, or a run's, needs no record of it."""
    world = Acted()
    later = "e" * 64
    for number, name in enumerate((f"manifest/{later}", f"run/{later}", f"run/{run_id(later)}")):
        event = world.act(name, key=str(number))
        assert touched_mention(run_id(later)) in (event.mentions or ())


@pytest.mark.parametrize("name", ["workload/purchases", "plane", "asset/model", "f" * 64, "1" * 32])
def test_what_belongs_to_no_run_touches_none(name: str) -> None:
    """A workload, an asset, a digest of nothing."""
    assert Acted().act(name).mentions is None


def test_an_event_that_is_recorded_again_keeps_its_first_time_and_nothing_else_takes_its_key() -> (
    None
):
    """Later, the same is the same entry; another reason or target under its key is refused."""
    world = Acted()
    event = world.act(world.attempt)
    world.clock.advance(60)
    assert world.act(world.attempt) == event
    with pytest.raises(EntryConflictError):
        world.act(world.model.digest)
    assert body_of(event, AdminEvent).targets == (world.attempt,)
