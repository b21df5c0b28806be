"""Tokens: genuine and standing, or nobody; and their text is nowhere but in one answer."""

from __future__ import annotations

import json
import logging
import re
import stat
import statistics
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.access.identity import Credentials
from ro_platform.access.keys import access_key
from ro_platform.access.tokens import MAX_LIFETIME, Tokens
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import Action, EntryKind, Role, TokenIssued
from ro_platform.errors import (
    AccessDeniedError,
    ContractError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    RunOperateError,
    SettingsError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.plane import Plane
from tests.unit.access_world import (
    BOSS,
    READER,
    SECOND,
    binding,
    plane_of,
    published,
    sound_policy,
    token_for,
)

DAY = timedelta(days=1)


def secret_of(text: str) -> str:
    """The secret part of a token."""
    return text.split("_", 2)[2]


def other_secret(text: str) -> str:
    """The token's id with the secret of another one."""
    last = "A" if text[0] != "A" else "B"
    return text[:-43] + last * 43


def refusal(plane: Plane, text: str) -> str:
    """What is said to whoever comes with that."""
    with pytest.raises(NotAuthenticatedError) as refused:
        plane.tokens.authenticate(text)
    return f"{refused.value} {sorted(refused.value.diagnostics().items())}"


# --- what a token is ------------------------------------------------------------------------------


def test_a_token_says_who_its_bearer_is() -> None:
    """Its holder, its id and who issued it: nothing of what they may do."""
    plane = plane_of()
    issued = token_for(plane, READER)
    assert re.fullmatch(r"ro1_[a-f0-9]{32}_[A-Za-z0-9_-]{43}", issued.text)
    found = plane.tokens.authenticate(issued.text)
    assert (found.actor, found.token_id, found.issued_by) == (READER, issued.token_id, BOSS)


def test_no_two_tokens_share_anything() -> None:
    """Ids and secrets are drawn, 128 and 256 bits of them."""
    plane = plane_of()
    texts = [token_for(plane, READER).text for _ in range(20)]
    assert len({text[4:36] for text in texts}) == len({secret_of(text) for text in texts}) == 20


def test_a_token_is_good_until_its_expiry_and_not_one_moment_longer() -> None:
    """By the plane's clock."""
    clock = ManualClock()
    plane = plane_of(clock)
    issued = token_for(plane, READER)
    clock.advance(DAY.total_seconds() - 0.000001)
    assert plane.tokens.authenticate(issued.text).actor == READER
    clock.advance(0.000001)
    assert f"{issued.token_id} of {READER} expired" in refusal(plane, issued.text)


def test_a_revoked_token_is_refused_at_once_and_its_holders_others_are_not() -> None:
    """In every process: another plane over the same ledger says the same."""
    backend, credentials = MemoryLedgerBackend(), Credentials.ephemeral()
    planes = [
        Plane.over(MemoryBackend(), backend, clock=ManualClock(), credentials=credentials)
        for _ in range(2)
    ]
    first, other = token_for(planes[0], READER), token_for(planes[0], READER)
    assert planes[1].tokens.authenticate(first.text).actor == READER
    planes[0].tokens.revoke(first.token_id, reason="lost a laptop", actor=BOSS)
    for plane in planes:
        assert f"{first.token_id} of {READER} was revoked" in refusal(plane, first.text)
        assert plane.tokens.authenticate(other.text).actor == READER


def test_revoking_again_changes_nothing() -> None:
    """The first reason stands."""
    plane = plane_of()
    issued = token_for(plane, READER)
    plane.tokens.revoke(issued.token_id, reason="first", actor=BOSS)
    size = plane.ledger.size()
    again = plane.tokens.revoke(issued.token_id, reason="second", actor=BOSS)
    assert plane.ledger.size() == size
    assert (again.state, again.revoked_because) == ("revoked", "first")


def test_the_list_tells_the_state_of_each() -> None:
    """Standing, expired and revoked; revoked stays revoked when it would have expired."""
    clock = ManualClock()
    plane = plane_of(clock)
    standing, expired, revoked = (token_for(plane, READER, days=days) for days in (9, 1, 1))
    plane.tokens.revoke(revoked.token_id, reason="why", actor=BOSS)
    clock.advance(2 * DAY.total_seconds())
    assert {record.token_id: record.state for record in plane.tokens.list()} == {
        standing.token_id: "standing",
        expired.token_id: "expired",
        revoked.token_id: "revoked",
    }
    assert plane.tokens.holders() == {READER}


# --- what is refused ------------------------------------------------------------------------------


@given(st.text(max_size=90))
def test_no_text_that_was_not_issued_is_taken(text: str) -> None:
    """Nor does it raise anything but that nobody is authenticated."""
    with pytest.raises(NotAuthenticatedError):
        PLANE.tokens.authenticate(text)


PLANE = plane_of()
ISSUED = token_for(PLANE, READER)


@given(st.integers(0, len(ISSUED.text) - 1), st.characters(min_codepoint=32, max_codepoint=126))
def test_no_token_with_one_character_changed_is_taken(place: int, character: str) -> None:
    """Whichever it is: of the form, the id or the secret."""
    changed = ISSUED.text[:place] + character + ISSUED.text[place + 1 :]
    if changed == ISSUED.text:
        assert PLANE.tokens.authenticate(changed).actor == READER
    else:
        with pytest.raises(NotAuthenticatedError):
            PLANE.tokens.authenticate(changed)


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text + "\n",
        lambda text: text + "A",
        lambda text: " " + text,
        lambda text: text.upper(),
        lambda text: text[:-1],
        lambda text: "Bearer " + text,
        lambda text: text.replace("ro1_", "ro2_"),
        lambda text: "",
        lambda text: text * 100_000,
        lambda text: text[:-1] + "\u0660",
        lambda text: text.replace("ro1_", "\uff52o1_"),
        lambda text: text[:10] + "\x00" + text[11:],
        lambda text: text[:10] + "\ud800" + text[11:],
    ],
)
def test_a_token_has_one_form(changed: Callable[[str], str]) -> None:
    """What is almost one, is none."""
    with pytest.raises(NotAuthenticatedError):
        PLANE.tokens.authenticate(changed(ISSUED.text))


def test_an_unknown_id_and_a_wrong_secret_are_told_alike() -> None:
    """To the letter, diagnostics included, also for an id that expired or was revoked."""
    clock = ManualClock()
    plane = plane_of(clock)
    known, revoked, expired = (token_for(plane, READER, days=days) for days in (9, 9, 1))
    plane.tokens.revoke(revoked.token_id, reason="why", actor=BOSS)
    clock.advance(2 * DAY.total_seconds())
    unknown = f"ro1_{'0' * 32}_{'A' * 43}"
    said = {refusal(plane, unknown), refusal(plane, "no token at all")}
    said |= {refusal(plane, other_secret(one.text)) for one in (known, revoked, expired)}
    assert len(said) == 1


def test_an_unknown_id_and_a_wrong_secret_take_about_the_same_time() -> None:
    """The medians of interleaved attempts differ by less than a quarter."""
    unknown, wrong = f"ro1_{'0' * 32}_{'A' * 43}", other_secret(ISSUED.text)
    taken: dict[str, list[float]] = {unknown: [], wrong: []}
    for _ in range(400):
        for text, times in taken.items():
            start = perf_counter()
            with pytest.raises(NotAuthenticatedError):
                PLANE.tokens.authenticate(text)
            times.append(perf_counter() - start)
    one, other = (statistics.median(times) for times in taken.values())
    assert 0.75 < one / other < 1.33


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is hmac's own, of two whole digests, whatever was given."""
    compared: list[tuple[str, str]] = []

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("ro_platform.access.tokens.hmac.compare_digest", noted)
    for text in (ISSUED.text, other_secret(ISSUED.text), f"ro1_{'0' * 32}_{'A' * 43}"):
        try:
            PLANE.tokens.authenticate(text)
        except NotAuthenticatedError:
            continue
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 3


def test_an_entry_that_somebody_wrote_without_the_access_key_is_no_token() -> None:
    """Nor is a genuine verifier under another holder, another id or a later expiry."""
    plane = plane_of()
    issued = token_for(plane, READER)
    entry = plane.ledger.find(f"token/{issued.token_id}")
    assert entry is not None
    body = body_of(entry, TokenIssued)
    forged = [
        body.model_copy(update={"token_id": "1" * 32}),
        body.model_copy(update={"token_id": "2" * 32, "holder": BOSS}),
        body.model_copy(update={"holder": BOSS}),
        body.model_copy(update={"expires_at_utc": "2999-01-01T00:00:00.000000Z"}),
    ]
    for number, one in enumerate(forged):
        # Under the id's subject, so that it is the newest word about it.
        subject = f"token/{one.token_id}"
        plane.ledger.append(
            EntryDraft(EntryKind.TOKEN_ISSUED, subject, BOSS, one, key=f"forged/{number}")
        )
        text = f"ro1_{one.token_id}_{secret_of(issued.text)}"
        assert "no token of this deployment" in refusal(plane, text)


def test_another_deployments_token_is_none_here() -> None:
    """Even over a copy of its ledger: the access key is another one."""
    backend = MemoryLedgerBackend()
    theirs, ours = (
        Plane.over(MemoryBackend(), backend, clock=ManualClock(), credentials=one)
        for one in (Credentials.ephemeral(), Credentials.ephemeral())
    )
    issued = token_for(theirs, READER)
    assert theirs.tokens.authenticate(issued.text).actor == READER
    assert "no token of this deployment" in refusal(ours, issued.text)


# --- who may --------------------------------------------------------------------------------------


def test_only_who_may_issue_tokens_does() -> None:
    """A refusal records nothing; an admin may, also for a service."""
    plane = plane_of()
    published(plane, sound_policy(binding(READER, Role.READER)))
    size = plane.ledger.size()
    for actor in (READER, SECOND, "HUMAN::stranger"):
        with pytest.raises(AccessDeniedError):
            token_for(plane, actor, actor=actor)
    assert plane.ledger.size() == size
    token_for(plane, "SYSTEM::daemon")


def test_a_token_for_oneself_gives_no_more_than_one_has() -> None:
    """It says who one is, so the policy decides as before."""
    plane = plane_of()
    published(plane, sound_policy())
    actor = plane.tokens.authenticate(token_for(plane, BOSS).text).actor
    target = plane.access.target("it")
    assert not plane.access.decide(actor, Action.LAUNCH, target).allowed


def test_a_holder_may_revoke_their_own_and_no_other() -> None:
    """Whoever lost a token need not ask an admin."""
    plane = plane_of()
    published(plane, sound_policy(binding(READER, Role.READER)))
    mine, theirs = token_for(plane, READER), token_for(plane, SECOND)
    assert plane.tokens.revoke(mine.token_id, reason="lost", actor=READER).state == "revoked"
    with pytest.raises(AccessDeniedError):
        plane.tokens.revoke(theirs.token_id, reason="spite", actor=READER)
    assert plane.tokens.authenticate(theirs.text).actor == SECOND


@pytest.mark.parametrize(
    ("holder", "lifetime", "reason", "kind"),
    [
        ("somebody", DAY, "why", ContractError),
        ("HUMAN::", DAY, "why", ContractError),
        ("HUMAN::a\nSYSTEM::b", DAY, "why", ContractError),
        ("HUMAN::ann\n", DAY, "why", ContractError),
        (" HUMAN::ann", DAY, "why", ContractError),
        ("human::ann", DAY, "why", ContractError),
        ("HUMAN::SYSTEM::a", DAY, "why", ContractError),
        ("HUMAN::\u0430nn", DAY, "why", ContractError),
        ("HUMAN::" + "a" * 250, DAY, "why", ContractError),
        (READER, DAY, "", ContractError),
        (READER, DAY, "  ", ContractError),
        (READER, timedelta(0), "why", InvalidInputError),
        (READER, -DAY, "why", InvalidInputError),
        (READER, MAX_LIFETIME + DAY, "why", InvalidInputError),
    ],
)
def test_a_token_that_cannot_be_meant_is_not_issued(
    holder: str, lifetime: timedelta, reason: str, kind: type[RunOperateError]
) -> None:
    """And nothing is recorded."""
    plane = plane_of()
    with pytest.raises(kind):
        plane.tokens.issue(holder, lifetime=lifetime, reason=reason, actor=BOSS)
    assert plane.ledger.size() == 0


@pytest.mark.parametrize("token_id", ["0" * 32, "", "x", "token/../x", "0" * 31 + "\0"])
def test_an_unknown_id_cannot_be_revoked(token_id: str) -> None:
    """It is said, and nothing is recorded."""
    plane = plane_of()
    with pytest.raises(NotFoundError):
        plane.tokens.revoke(token_id, reason="why", actor=BOSS)
    assert plane.ledger.size() == 0


# --- renewing, and who vouches --------------------------------------------------------------------


def test_a_renewed_token_ends_and_the_new_one_is_its_holders() -> None:
    """In one commit, without any role; its reason names the new one."""
    plane = plane_of()
    published(plane, sound_policy())
    old = token_for(plane, READER)
    new = plane.tokens.renew(old.text, lifetime=DAY, reason="in time")
    assert plane.tokens.authenticate(new.text).actor == READER
    assert "was revoked" in refusal(plane, old.text)
    ended = next(item for item in plane.tokens.list() if item.token_id == old.token_id)
    assert (ended.revoked_by, ended.revoked_because) == (READER, f"renewed as {new.token_id}")
    with pytest.raises(NotAuthenticatedError):
        plane.tokens.renew(old.text, lifetime=DAY, reason="again")


def test_a_renewed_token_lasts_no_longer_than_the_one_before_it_was_issued_for() -> None:
    """A token of a day does not become one of a year; asked for less, it is less."""
    plane = plane_of(clock := ManualClock())
    token = token_for(plane, READER, days=1)
    for _ in range(3):
        clock.advance(DAY.total_seconds() / 2)
        token = plane.tokens.renew(token.text, lifetime=366 * DAY, reason="in time")
        assert token.expires_at_utc == utc_text(clock() + DAY)
    short = plane.tokens.renew(token.text, lifetime=DAY / 4, reason="in time")
    assert short.expires_at_utc == utc_text(clock() + DAY / 4)


def test_of_two_who_renew_a_token_at_once_one_has_the_new_one() -> None:
    """The other has none: a stolen token that was renewed is missed by its holder."""
    plane = plane_of()
    old = token_for(plane, READER)

    def renew(_: int) -> str | None:
        try:
            return plane.tokens.renew(old.text, lifetime=DAY, reason="mine").text
        except NotAuthenticatedError:
            return None

    with ThreadPoolExecutor(4) as pool:
        renewed = [text for text in pool.map(renew, range(4)) if text]
    assert len(renewed) == 1
    assert plane.tokens.holders() == {READER}


def test_who_issued_a_token_vouches_for_it_also_when_it_is_renewed() -> None:
    """However often; they could be its bearer, so it makes nobody a second person to them."""
    plane = plane_of()
    published(plane, sound_policy())
    token = token_for(plane, SECOND)
    for _ in range(3):
        assert plane.tokens.vouched_by(token.token_id) == BOSS
        token = plane.tokens.renew(token.text, lifetime=DAY, reason="in time")
    with pytest.raises(NotFoundError):
        plane.tokens.vouched_by("0" * 32)


def test_tokens_from_before_the_first_policy_have_nobody_who_vouches() -> None:
    """Nor has what renews them later: the single user alone could say who is who."""
    plane = plane_of()
    early = token_for(plane, SECOND)
    assert plane.tokens.vouched_by(early.token_id) is None
    published(plane, sound_policy())
    renewed = plane.tokens.renew(early.text, lifetime=DAY, reason="in time")
    assert plane.tokens.vouched_by(renewed.token_id) is None


# --- the way back in ------------------------------------------------------------------------------


def test_when_no_admin_has_a_token_any_more_the_deployments_user_gives_one_out() -> None:
    """For an admin of the policy, with a reason, on record."""
    plane = plane_of(clock := ManualClock())
    published(plane, sound_policy(binding(READER, Role.READER)))
    token_for(plane, READER, days=9)
    clock.advance(2 * DAY.total_seconds())
    issued = plane.tokens.recover(BOSS, lifetime=DAY, reason="all expired", actor=BOSS)
    assert plane.tokens.authenticate(issued.text).actor == BOSS
    assert plane.tokens.vouched_by(issued.token_id) == BOSS
    assert [record.reason for record in plane.tokens.list()][-1] == "all expired"


def test_tokens_of_a_lost_access_key_keep_nobody_out() -> None:
    """The list says that they are lost, and the deployment's user recovers."""
    blobs, log, clock = MemoryBackend(), MemoryLedgerBackend(), ManualClock()
    published(Plane.over(blobs, log, clock=clock), sound_policy())
    plane = Plane.over(blobs, log, clock=clock)
    assert [record.state for record in plane.tokens.list()] == ["lost"]
    issued = plane.tokens.recover(BOSS, lifetime=DAY, reason="the key is gone", actor=BOSS)
    assert plane.tokens.authenticate(issued.text).actor == BOSS


@pytest.mark.parametrize(
    ("holder", "actor", "days"),
    [(BOSS, BOSS, 0), (READER, BOSS, 2), (BOSS, SECOND, 2), (BOSS, READER, 2)],
    ids=["an admin has one", "no admin", "not the user", "nor another"],
)
def test_there_is_no_other_way_around_an_admin(holder: str, actor: str, days: int) -> None:
    """As long as one has a token, for another than an admin, and for anybody else: refused."""
    plane = plane_of(clock := ManualClock())
    published(plane, sound_policy())
    clock.advance(days * DAY.total_seconds())
    size = plane.ledger.size()
    with pytest.raises(AccessDeniedError, match="nothing to recover"):
        plane.tokens.recover(holder, lifetime=DAY, reason="why", actor=actor)
    assert plane.ledger.size() == size


@pytest.mark.parametrize("holder", [BOSS, READER])
def test_who_may_not_read_the_access_key_hears_nothing_by_recovering(holder: str) -> None:
    """Neither who is an admin, nor who has a token: the key is asked for first."""
    plane = plane_of()
    published(plane, sound_policy())

    def unreadable() -> bytes:
        raise SettingsError("The access key cannot be read.")

    tokens = Tokens(plane.ledger, unreadable, plane.clock, plane.access)
    with pytest.raises(SettingsError, match="cannot be read"):
        tokens.recover(holder, lifetime=DAY, reason="locked out", actor=BOSS)


def test_without_a_policy_there_is_nothing_to_recover() -> None:
    """The single user issues tokens as they like."""
    with pytest.raises(AccessDeniedError, match="nothing to recover"):
        plane_of().tokens.recover(BOSS, lifetime=DAY, reason="why", actor=BOSS)


# --- where its text is not ------------------------------------------------------------------------


def test_the_text_of_a_token_is_nowhere_but_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in the ledger, the log, a repr, an error, its diagnostics or its traceback's words."""
    caplog.set_level(logging.DEBUG)
    plane = plane_of(clock := ManualClock())
    issued = token_for(plane, READER)
    found = plane.tokens.authenticate(issued.text)
    told = [refusal(plane, other_secret(issued.text))]
    clock.advance(2 * DAY.total_seconds())
    try:
        plane.tokens.authenticate(issued.text)
    except NotAuthenticatedError as error:
        told += ["".join(traceback.format_exception(error)), json.dumps(error.diagnostics())]
    plane.tokens.revoke(issued.token_id, reason="why", actor=BOSS)
    told += [repr(issued), str(issued), repr(found), repr(plane), repr(list(plane.tokens.list()))]
    told += [canonical_bytes(entry).decode() for entry in plane.ledger.scan()]
    told.append(caplog.text)
    assert secret_of(issued.text) not in "\n".join(told)


# --- the key --------------------------------------------------------------------------------------


def test_the_access_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Mode 0600 from its first moment, and the same for all who ask at once."""
    path = tmp_path / "keys" / "access.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: access_key(path), range(16)))
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["access.key"]


@pytest.mark.parametrize("content", ["", "x", "RO+ACCESS+KEY+", "RO+ACCESS+KEY+" + "0" * 62])
def test_a_file_that_holds_no_access_key_is_refused(tmp_path: Path, content: str) -> None:
    """And left as it is."""
    path = tmp_path / "access.key"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(SettingsError, match="holds no access key"):
        access_key(path)
    assert path.read_text() == content


def test_an_access_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """It does not say what it is."""
    path = tmp_path / "access.key"
    key = access_key(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="by others than its owner") as refused:
        access_key(path)
    assert key.hex() not in f"{refused.value} {refused.value.diagnostics()}"


def test_a_place_that_cannot_hold_a_key_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """A file where a folder should be, or a folder where the file should be."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "access.key", tmp_path / "folder"):
        with pytest.raises(SettingsError, match="key file"):
            access_key(path)
