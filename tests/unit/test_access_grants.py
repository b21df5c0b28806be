"""Launch grants: good for one launch, here, until they expire; anything else is refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.access.grants import DEFAULT_LIFETIME, Grants
from ro_platform.access.keys import launch_key, launch_verifiers
from ro_platform.errors import ContractError, GrantRefusedError, SettingsError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.signing import SigningKey

ANN = "HUMAN::ann"
DIGEST, OTHER = "a" * 64, "b" * 64
KEY = SigningKey.generate("ro-platform/launch")


def grants(
    clock: ManualClock | None = None, *, key: SigningKey = KEY, environment: str = "local"
) -> Grants:
    """Grants that are signed and believed by one key."""
    return Grants(lambda: key, lambda: [key.verifier], environment, clock or ManualClock())


def refused(opener: Grants, text: str | None, digest: str = DIGEST) -> str:
    """What is said when it is opened."""
    with pytest.raises(GrantRefusedError) as error:
        opener.open(text, digest)
    return error.value.message


def test_a_grant_says_who_may_launch_what_where_and_until_when() -> None:
    """As long as it stands, again and again: retries and restarts open it, too."""
    opener = grants()
    for _ in range(2):
        grant = opener.open(opener.sign(ANN, DIGEST), DIGEST)
        assert (grant.actor, grant.environment, grant.launch_digest) == (ANN, "local", DIGEST)
        assert grant.issued_at_utc == "2000-01-01T00:00:00.000000Z"
        assert grant.expires_at_utc == "2000-01-02T00:00:00.000000Z"


def test_without_a_grant_nothing_is_launched() -> None:
    """Neither an absent tag nor an empty one."""
    assert refused(grants(), None) == refused(grants(), "") == "The launch grant is missing."


def test_a_grant_replayed_for_another_launch_is_refused() -> None:
    """It is bound to the digest of what it was asked for."""
    opener = grants()
    said = refused(opener, opener.sign(ANN, DIGEST), OTHER)
    assert "is for something else than what is launched" in said


def test_a_grant_of_another_environment_is_refused() -> None:
    """Even if both trust one key."""
    text = grants(environment="staging").sign(ANN, DIGEST)
    assert "is for the environment staging" in refused(grants(), text)


def test_a_grant_expires() -> None:
    """At the moment that it says, by the plane's clock."""
    clock = ManualClock()
    opener = grants(clock)
    text = opener.sign(ANN, DIGEST)
    clock.advance(DEFAULT_LIFETIME.total_seconds() - 0.000001)
    assert opener.open(text, DIGEST).actor == ANN
    clock.advance(0.000001)
    assert "expired at 2000-01-02T00:00:00.000000Z" in refused(opener, text)


def test_what_has_begun_goes_on_after_its_grant_expired() -> None:
    """And nothing else does: another launch, a forged and a missing grant are refused."""
    clock = ManualClock()
    opener = grants(clock)
    text = opener.sign(ANN, DIGEST)
    clock.advance(2 * DEFAULT_LIFETIME.total_seconds())
    assert opener.open(text, DIGEST, begun=True).actor == ANN
    stranger = grants(clock, key=SigningKey.generate(KEY.name)).sign(ANN, DIGEST)
    for tag, digest in ((text, OTHER), (stranger, DIGEST), (None, DIGEST)):
        with pytest.raises(GrantRefusedError):
            opener.open(tag, digest, begun=True)


def test_a_grant_without_a_lifetime_never_was_good() -> None:
    """Zero and less are expired at once."""
    opener = grants()
    for lifetime in (timedelta(0), timedelta(days=-1)):
        assert "expired" in refused(opener, opener.sign(ANN, DIGEST, lifetime))


def test_a_grant_from_the_future_is_refused() -> None:
    """But for the minute by which two machines' clocks may differ."""
    clock = ManualClock()
    ahead = ManualClock(clock.moment + timedelta(seconds=50))
    text = grants(ahead).sign(ANN, DIGEST)
    assert grants(clock).open(text, DIGEST).actor == ANN
    ahead.advance(20)
    assert "in the future" in refused(grants(clock), grants(ahead).sign(ANN, DIGEST))


def test_a_grant_signed_by_another_key_is_refused() -> None:
    """Also when that key carries the same name, or the trusted key's id is claimed for it."""
    stranger = SigningKey.generate(KEY.name)
    text = grants(key=stranger).sign(ANN, DIGEST)
    assert "is not signed by the launch key" in refused(grants(), text)
    posing = json.loads(text) | {"key_id": KEY.verifier.key_id.hex()}
    assert "is not signed by the launch key" in refused(grants(), json.dumps(posing))


def test_where_no_launch_key_was_ever_made_no_grant_is_believed() -> None:
    """No keys, no trust."""
    nobody = Grants(lambda: KEY, tuple, "local", ManualClock())
    assert "is not signed by the launch key" in refused(nobody, nobody.sign(ANN, DIGEST))


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "HUMAN::boss"},
        {"launch_digest": OTHER},
        {"environment": "production"},
        {"expires_at_utc": "2999-01-01T00:00:00.000000Z"},
        {"issued_at_utc": "1999-01-01T00:00:00.000000Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_grant_with_a_changed_field_is_forged(change: dict[str, Any]) -> None:
    """Whichever field it is, the signature is over all of them."""
    signed = json.loads(grants().sign(ANN, DIGEST))
    signed["grant"] |= change
    text = canonical_bytes(signed).decode()
    opener = grants(environment=signed["grant"]["environment"])
    said = refused(opener, text, signed["grant"]["launch_digest"])
    assert "is not signed by the launch key" in said


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text.replace('"key_id":"', '"key_id":"0'),
        lambda text: text.replace('"signature":"', '"signature":"é'),
        lambda text: text.replace("ro.launch_grant.v0", "ro.launch_grant.v1"),
        lambda text: json.dumps(json.loads(text) | {"more": 1}),
        lambda text: "{}",
        lambda text: "null",
        lambda text: "[" * 2000,
        lambda text: text + " " * 5000,
    ],
)
def test_what_is_no_grant_is_refused(change: Callable[[str], str]) -> None:
    """With the same error, however it is broken."""
    said = refused(grants(), change(grants().sign(ANN, DIGEST)))
    assert "cannot be read" in said or "too long" in said


@given(st.text(max_size=300))
def test_no_text_is_taken_for_a_grant(text: str) -> None:
    """Nor does one raise anything but the refusal."""
    with pytest.raises(GrantRefusedError):
        grants().open(text, DIGEST)


@given(st.integers(0, 1000), st.characters(min_codepoint=32, max_codepoint=126))
def test_no_grant_with_one_character_changed_says_anything_else(place: int, to: str) -> None:
    """It is refused, or says what it said: white space outside of the grant is no part of it."""
    opener = grants()
    text = opener.sign(ANN, DIGEST)
    place %= len(text)
    try:
        found = opener.open(text[:place] + to + text[place + 1 :], DIGEST)
    except GrantRefusedError:
        return
    assert found == opener.open(text, DIGEST)


@pytest.mark.parametrize(("actor", "digest"), [("ann", DIGEST), ("", DIGEST), (ANN, "short")])
def test_nothing_is_signed_for_nobody_or_for_no_digest(actor: str, digest: str) -> None:
    """The contract refuses it before the key is used."""
    with pytest.raises(ContractError):
        grants().sign(actor, digest)


def test_a_signature_over_something_else_is_no_grant() -> None:
    """A launch key that also signed plain bytes of a grant, as a note would be, made none."""
    signed = json.loads(grants().sign(ANN, DIGEST))
    signed["signature"] = KEY.sign(canonical_bytes(signed["grant"])).hex()
    assert "is not signed by the launch key" in refused(grants(), json.dumps(signed))


# --- the key --------------------------------------------------------------------------------------


def test_the_launch_key_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    """Mode 0600; its public half is enough to open what it signed."""
    path = tmp_path / "keys" / "launch.key"
    assert launch_verifiers(path) == ()
    key = launch_key(path, "ro-platform/local/launch")
    assert launch_key(path, "another name") == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    assert launch_verifiers(path) == (key.verifier,)


def test_a_launch_key_that_others_can_read_signs_nothing(tmp_path: Path) -> None:
    """It is taken for stolen."""
    path = tmp_path / "launch.key"
    launch_key(path, "ro-platform/local/launch")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="by others than its owner"):
        launch_key(path, "ro-platform/local/launch")


def test_a_launch_key_that_is_none_says_which_file_it_is_about(tmp_path: Path) -> None:
    """Not the key of the ledger's checkpoints, which is made and set by other words."""
    path = tmp_path / "launch.key"
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="holds no launch key") as refused:
        launch_key(path, "ro-platform/local/launch")
    assert "RO_LAUNCH_KEY" in refused.value.next_step


def test_a_public_half_that_is_none_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """It is not skipped in favour of another one."""
    path = tmp_path / "launch.key"
    launch_key(path, "ro-platform/local/launch")
    path.with_name("launch.key.pub").write_text("nonsense")
    with pytest.raises(SettingsError, match="public half"):
        launch_verifiers(path)
