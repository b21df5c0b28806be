"""Checkpoints: their form, when one is signed, who gets it, what they show of a tampered log."""

from __future__ import annotations

import base64
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.checkpoints.notes import (
    Checkpoint,
    SignedCheckpoint,
    checked_origin,
    name_of,
    size_in,
)
from ro_platform.checkpoints.service import CheckpointPolicy, Checkpoints
from ro_platform.checkpoints.witnesses.local import folder_witness
from ro_platform.contracts.ledger import EntryKind
from ro_platform.errors import (
    CheckpointRefusedError,
    IntegrityError,
    InvalidInputError,
    LedgerCorruptError,
    SettingsError,
)
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.signing import SigningKey, sign_note
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger

ORIGIN = "ro-platform/test"
KEY = SigningKey.generate(ORIGIN)
THIEF = SigningKey.generate(ORIGIN)
ROOT = bytes(range(32))
MOMENT = "2026-11-21T04:01:52.000000Z"


# --- the form ------------------------------------------------------------------------------------

lines = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


@given(
    origin=lines,
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    extensions=st.lists(lines, max_size=3),
)
def test_a_checkpoint_is_read_as_it_was_written(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    """Origin, size, root and extension lines, any of them."""
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


def test_a_checkpoint_carries_its_time_under_the_signature() -> None:
    """As an extension line, and only in the one form of a time."""
    assert Checkpoint.at(ORIGIN, 1, ROOT, MOMENT).moment == MOMENT
    assert Checkpoint(ORIGIN, 1, ROOT).moment is None
    assert Checkpoint(ORIGIN, 1, ROOT, ("time yesterday",)).moment is None
    assert Checkpoint(ORIGIN, 1, ROOT, (f"time {MOMENT}", f"time {MOMENT}")).moment is None


WHOLE = Checkpoint(ORIGIN, 120, ROOT).text()
ROOT_LINE = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE[:-1],
        WHOLE + "\n",
        "\n" + WHOLE,
        WHOLE.replace("120", "0120"),
        WHOLE.replace("120", "+120"),
        WHOLE.replace("120", "-1"),
        WHOLE.replace("120", "1_20"),
        WHOLE.replace("120", "\uff11\uff12\uff10"),
        WHOLE.replace("120", " 120"),
        WHOLE.replace("120", str(2**63)),
        WHOLE.replace("120", ""),
        WHOLE.replace(ROOT_LINE, ROOT_LINE[:-1]),
        WHOLE.replace(ROOT_LINE, ROOT_LINE + "A"),
        WHOLE.replace(ROOT_LINE, ROOT_LINE[:-2] + "9="),
        WHOLE.replace(ROOT_LINE, ROOT.hex()),
        WHOLE.replace(ROOT_LINE, base64.b64encode(ROOT + b"x").decode()),
        f"{ORIGIN}\n120\n",
        f"\n120\n{ROOT_LINE}\n",
        f"{WHOLE}extension\n\n",
        WHOLE.replace("\n", "\r\n"),
    ],
)
def test_what_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    """Sizes, roots and lines have one form each."""
    with pytest.raises(CheckpointRefusedError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 0, ROOT), ("a\nb", 0, ROOT), ("a", -1, ROOT), ("a", 2**63, ROOT), ("a", 0, b"short")],
)
def test_what_has_no_text_is_no_checkpoint(origin: str, size: int, root: bytes) -> None:
    """So nothing is signed that could be read in another way."""
    with pytest.raises(InvalidInputError):
        Checkpoint(origin, size, root)


@given(size=st.integers(0, 2**63 - 1))
def test_names_say_the_size_and_sort_by_it(size: int) -> None:
    """And a name of another log, or of nothing, has no size here."""
    name = name_of(ORIGIN, size)
    assert size_in(name, ORIGIN) == size
    assert size_in(name, "ro-platform") is None
    assert size_in(name + "x", ORIGIN) is None
    assert name_of(ORIGIN, 0) <= name


@pytest.mark.parametrize("origin", ["", "a b", "/a", "a/", "a//b", "../a", "a/.b", "a+b", "é"])
def test_an_origin_that_cannot_be_a_name_is_a_bad_setting(origin: str) -> None:
    """It would not fit a folder, a key of S3 or a signature line."""
    with pytest.raises(SettingsError):
        checked_origin(origin)


# --- a world: a ledger, a store, a witness outside -----------------------------------------------


def draft(number: int, word: str = "fact") -> EntryDraft:
    return EntryDraft(EntryKind.ADMIN_EVENT, f"s-{number}", "SYSTEM::test", {word: number})


class World:
    """A ledger in a file, its store, and a folder outside that witnesses it."""

    def __init__(self, folder: Path, witnesses: Sequence[str] = ()) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.file = folder / "ledger.sqlite"
        self.outside = folder / "outside"
        addresses = (self.outside.as_uri(), *witnesses)
        self.policy = CheckpointPolicy(ORIGIN, addresses, lambda: (KEY.verifier,))
        self.open()

    def open(self) -> None:
        """As a new process would: nothing remembered."""
        self.ledger = Ledger(SqliteLedgerBackend(self.file), self.clock)
        self.store = FilesystemBackend(self.folder / "store")
        self.checkpoints = Checkpoints(self.store, self.ledger, self.clock, self.policy)

    def grow(self, to: int, word: str = "fact") -> None:
        """Append until there are that many entries; each has its own second."""
        for number in range(self.ledger.size(), to):
            self.clock.moment = ManualClock().moment.replace(year=2001)
            self.clock.advance(number)
            self.ledger.append(draft(number, word))

    def sign(self, *, deliver: bool = True, key: SigningKey = KEY) -> SignedCheckpoint:
        signed = self.checkpoints.issue(key)
        if deliver:
            assert not any(delivery.error for delivery in self.checkpoints.deliver())
        return signed

    def verify(self, *files: bytes, outside: bool = True) -> None:
        """`ro ledger verify`, with these files and (or not) the configured witnesses."""
        witnesses = self.checkpoints.witnesses() if outside else []
        given = [(f"file-{number}", note) for number, note in enumerate(files)]
        trusted = self.policy.trusted()
        self.ledger.verify(against=self.checkpoints.kept(trusted, files=given, witnesses=witnesses))

    def wipe(self) -> None:
        """The ledger and our own checkpoints are gone, as from the disk of their administrator."""
        self.ledger.close()
        for path in self.folder.glob("ledger.sqlite*"):
            path.unlink()
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        self.open()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- issuing and handing over --------------------------------------------------------------------


def test_a_checkpoint_says_what_the_ledger_is_and_is_kept_in_both_places(world: World) -> None:
    """Size, root and time, under the key's signature, in the store and outside."""
    world.grow(20)
    signed = world.sign()
    said = signed.checkpoint
    assert (said.origin, said.size, said.root) == (ORIGIN, 20, world.ledger.root())
    assert said.moment == "2001-01-01T00:00:19.000000Z"
    assert (world.folder / "store/checkpoints" / signed.name).read_bytes() == signed.note
    assert (world.outside / signed.name).read_bytes() == signed.note
    assert world.checkpoints.latest() == signed
    world.verify(signed.note)


def test_a_ledger_that_did_not_grow_keeps_its_checkpoint(world: World) -> None:
    """The same note, with the time at which it was first signed."""
    world.grow(3)
    signed = world.sign()
    world.clock.advance(3600)
    assert world.sign() == signed


def test_an_empty_ledger_is_not_signed(world: World) -> None:
    """There is nothing that anybody could extend or cut."""
    with pytest.raises(InvalidInputError, match="nothing to sign"):
        world.sign()


def test_due_counts_entries_since_the_last_one(world: World) -> None:
    """The first is due with the first entry."""
    assert not world.checkpoints.due(5)
    world.grow(1)
    assert world.checkpoints.due(5)
    world.sign()
    world.grow(5)
    assert not world.checkpoints.due(5)
    world.grow(6)
    assert world.checkpoints.due(5)


def test_a_witness_that_fails_holds_up_nobody_and_gets_all_it_lacks_later(tmp_path: Path) -> None:
    """Two witnesses, the second not writable for a while: the first is served, then both are."""
    second = tmp_path / "second"
    second.write_text("a file where the folder should be")
    world = World(tmp_path, [second.as_uri()])
    for size in (2, 5, 9):
        world.grow(size)
        world.checkpoints.issue(KEY)
    good, bad = world.checkpoints.deliver()
    assert (good.delivered, good.missing, good.error) == ((2, 5, 9), (), None)
    assert (bad.delivered, bad.missing) == ((), (2, 5, 9))
    assert bad.error is not None

    second.unlink()
    world.grow(11)
    world.checkpoints.issue(KEY)
    good, bad = world.checkpoints.deliver()
    assert (good.delivered, bad.delivered) == ((11,), (2, 5, 9, 11))
    held = world.checkpoints.holdings()
    assert [holding.sizes for holding in held] == [(2, 5, 9, 11)] * 3


def test_the_quicker_of_two_signers_stands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both answer the note that is in the store."""
    world.grow(4)
    first = world.checkpoints.issue(KEY)
    world.clock.advance(1)
    monkeypatch.setattr(world.checkpoints, "latest", lambda trusted=None: None)
    monkeypatch.setattr(world.checkpoints, "_newest_at_witnesses", lambda trusted: [])
    assert world.checkpoints.issue(KEY) == first


@pytest.mark.parametrize("where", ["store", "witness"])
def test_nothing_is_signed_that_contradicts_what_was_signed(world: World, where: str) -> None:
    """Whether our own last checkpoint is left or only the witness's: a rewritten ledger that is
    shorter, as long or longer gets no signature."""
    world.grow(20)
    world.sign()
    for size in (10, 20, 30):
        world.wipe()
        if where == "store":
            shutil.copytree(world.outside, world.folder / "store/checkpoints")
        world.grow(size, "lie")
        with pytest.raises(CheckpointRefusedError, match="does not extend"):
            world.checkpoints.issue(KEY)


# --- adversaries: what each does to the ledger, and what verification says -----------------------


def edited(world: World) -> None:
    """Entry 12's bytes, by an administrator who takes the triggers away and puts them back."""
    _by_sql(
        world,
        "UPDATE entry SET entry = CAST(replace(entry, 'fact', 'FACT') AS BLOB) WHERE seq = 12",
    )


def deleted(world: World) -> None:
    """Entry 12."""
    _by_sql(world, "DELETE FROM entry WHERE seq = 12")


def inserted(world: World) -> None:
    """A copy of entry 12 as entry 40."""
    _by_sql(
        world,
        "INSERT INTO entry SELECT 40, entry, leaf, kind, subject, key, run_id, dagster_run_id "
        "FROM entry WHERE seq = 12",
    )


def reordered(world: World) -> None:
    """Entries 12 and 13, as they are."""
    _by_sql(
        world,
        "UPDATE entry SET seq = 999 WHERE seq = 12",
        "UPDATE entry SET seq = 12 WHERE seq = 13",
        "UPDATE entry SET seq = 13 WHERE seq = 999",
    )


def truncated(world: World) -> None:
    """The last ten entries, and the nodes over them."""
    _by_sql(
        world,
        "DELETE FROM entry WHERE seq >= 30",
        "DELETE FROM node WHERE level = 4 AND position >= 1",
        "DELETE FROM mention WHERE seq >= 30",
    )


def rolled_back(world: World) -> None:
    """The file is an older copy of itself."""
    _rewritten(world, 25, from_entry=40)


def rolled_back_and_regrown(world: World) -> None:
    """The older copy went on otherwise, to the same length."""
    _rewritten(world, 40, from_entry=25)


def rewritten_from_12(world: World) -> None:
    """Consistently: every later hash was computed anew."""
    _rewritten(world, 40, from_entry=12)


def rewritten_whole(world: World) -> None:
    """From the first entry, and longer than before."""
    _rewritten(world, 60, from_entry=0)


def rewritten_with_the_stolen_key(world: World) -> None:
    """Rewritten, and all our own checkpoints signed anew with the real key."""
    _rewritten(world, 40, from_entry=12)
    shutil.rmtree(world.folder / "store")
    world.open()
    alone = Checkpoints(
        world.store, world.ledger, world.clock, CheckpointPolicy(ORIGIN, (), world.policy.trusted)
    )
    alone.issue(KEY)


def emptied(world: World) -> None:
    """No ledger any more."""
    world.wipe()


def _by_sql(world: World, *statements: str) -> None:
    world.ledger.close()
    database = sqlite3.connect(world.file)
    triggers = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        database.execute(statement)
    for _, sql in triggers:
        database.execute(sql)
    database.commit()
    database.close()
    world.open()


def _rewritten(world: World, size: int, *, from_entry: int) -> None:
    store = world.folder / "store"
    kept = world.folder / "store-kept"
    store.rename(kept)
    world.wipe()
    kept.rename(store)
    world.open()
    world.grow(min(from_entry, size))
    world.grow(size, "lie")


Adversary = Callable[[World], None]
ADVERSARIES: list[tuple[Adversary, str]] = [
    (edited, "Entry 12 is not what was recorded"),
    (deleted, "Entry 12 is missing"),
    (inserted, "Entry 40 is not what was recorded"),
    (reordered, "Entry 12 is not what was recorded"),
    (truncated, "fewer than the 40 of checkpoint 40"),
    (rolled_back, "The ledger has 25 entries, fewer than the 40 of checkpoint 40"),
    (rolled_back_and_regrown, "first difference is among entries 20 to 39"),
    (rewritten_from_12, "first difference is among entries 10 to 19"),
    (rewritten_whole, "The first 10 entries have the root"),
    (rewritten_with_the_stolen_key, "Two views of the first 40 entries"),
    (emptied, "The ledger has 0 entries, fewer than the 10 of checkpoint 10"),
]


@pytest.mark.parametrize(
    ("adversary", "reason"), ADVERSARIES, ids=[adversary.__name__ for adversary, _ in ADVERSARIES]
)
def test_an_outside_checkpoint_shows_every_adversary(
    world: World, adversary: Adversary, reason: str
) -> None:
    """Signed at 10, 20 and 40 entries and kept outside: found, with the entry or the two
    checkpoints between which the first difference lies."""
    for size in (10, 20, 40):
        world.grow(size)
        world.sign()
    world.verify()
    adversary(world)
    with pytest.raises(IntegrityError, match=reason):
        world.verify()


def test_since_when_names_both_checkpoints_with_their_times(world: World) -> None:
    """The last that still holds and the first that does not."""
    for size in (10, 20):
        world.grow(size)
        world.sign()
    rewritten_from_12(world)
    with pytest.raises(LedgerCorruptError) as caught:
        world.verify()
    assert "checkpoint 20 of 2001-01-01T00:00:19Z" in caught.value.message
    assert "Up to entry 9 it is as checkpoint 10 of 2001-01-01T00:00:09Z" in caught.value.message
    assert caught.value.diagnostics()["seq"] == "10"


def test_without_an_outside_checkpoint_a_stolen_key_hides_a_rewrite(world: World) -> None:
    """Which is why the witness is outside, and why the command says what it did not see."""
    world.grow(40)
    world.sign(deliver=False)
    rewritten_with_the_stolen_key(world)
    world.verify(outside=False)


def test_a_forked_view_is_shown_by_the_two_notes(tmp_path: Path) -> None:
    """Two copies of a ledger went on apart under one key: of one size, and of different sizes."""
    ours, theirs = World(tmp_path / "ours"), World(tmp_path / "theirs")
    for world, word in ((ours, "fact"), (theirs, "lie")):
        world.grow(10)
        world.grow(20, word)
    same_size = theirs.sign()
    ours.sign()
    with pytest.raises(CheckpointRefusedError, match="Two views of the first 20 entries"):
        ours.verify(same_size.note)
    theirs.grow(25, "lie")
    ours.grow(30)
    with pytest.raises(LedgerCorruptError, match="first 25 entries have the root"):
        ours.verify(theirs.sign().note)


# --- forged checkpoints --------------------------------------------------------------------------


def test_a_checkpoint_of_another_key_or_log_is_refused(world: World) -> None:
    """Even where its size and root are right."""
    world.grow(5)
    said = Checkpoint(ORIGIN, 5, world.ledger.root())
    world.verify(sign_note(said.text(), KEY))
    with pytest.raises(CheckpointRefusedError, match="none of the trusted keys"):
        world.verify(sign_note(said.text(), THIEF))
    other = Checkpoint("ro-platform/other", 5, said.root)
    with pytest.raises(CheckpointRefusedError, match="'ro-platform/other', and this is"):
        world.verify(sign_note(other.text(), KEY))
    with pytest.raises(CheckpointRefusedError, match="not a checkpoint"):
        world.verify(sign_note("another text\n", KEY))


SIGNED = SignedCheckpoint.sign(Checkpoint.at(ORIGIN, 5, ROOT, MOMENT), KEY).note


@given(bit=st.integers(0, 8 * len(SIGNED) - 1))
def test_any_flipped_bit_of_a_checkpoint_is_refused(bit: int) -> None:
    """In origin, size, root, time, blank line, dash, name, key id or signature."""
    changed = bytearray(SIGNED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointRefusedError):
        SignedCheckpoint.open(bytes(changed), [KEY.verifier], ORIGIN)


@given(line=st.integers(0, SIGNED.count(b"\n") - 1), action=st.sampled_from(["twice", "gone"]))
def test_no_line_of_a_checkpoint_can_be_doubled_or_left_out(line: int, action: str) -> None:
    """Not the signature's either."""
    parts = SIGNED.splitlines(keepends=True)
    parts[line : line + 1] = parts[line : line + 1] * 2 if action == "twice" else []
    with pytest.raises(CheckpointRefusedError):
        SignedCheckpoint.open(b"".join(parts), [KEY.verifier], ORIGIN)


def test_a_size_that_lies_is_found_though_it_is_signed(world: World) -> None:
    """A thief of the key signs the right root under another size."""
    world.grow(6)
    root = world.ledger.root()
    for size in (5, 7, 2**63 - 1):
        with pytest.raises(LedgerCorruptError):
            world.verify(sign_note(Checkpoint(ORIGIN, size, root).text(), KEY))


def test_a_note_under_another_name_is_refused(world: World) -> None:
    """Whoever can write the witness's folder cannot pass an old checkpoint off as a later one."""
    world.grow(5)
    signed = world.sign()
    folder_witness(world.outside).keep(name_of(ORIGIN, 9), signed.note)
    with pytest.raises(CheckpointRefusedError, match="is of size 5"):
        world.verify()


def test_our_own_checkpoints_are_believed_by_signature_only(world: World) -> None:
    """A note put into the store by somebody without the key stops verification and signing."""
    world.grow(5)
    false = Checkpoint(ORIGIN, 5, world.ledger.root())
    world.store.create(f"checkpoints/{name_of(ORIGIN, 5)}", sign_note(false.text(), THIEF))
    with pytest.raises(CheckpointRefusedError, match="none of the trusted"):
        world.verify()
    with pytest.raises(CheckpointRefusedError, match="none of the trusted"):
        world.checkpoints.issue(KEY)
