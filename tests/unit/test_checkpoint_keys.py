"""The settings of checkpoints: whose signatures are believed, who witnesses, and the log's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ro_platform.checkpoints.keys import (
    deployment_key,
    has_deployment_key,
    trusted_keys,
    verifier_keys,
)
from ro_platform.config.settings import Settings
from ro_platform.errors import InvalidInputError, SettingsError
from ro_platform.kernel.signing import SigningKey, create_key_file

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"


def settings(folder: Path, **more: str) -> Settings:
    return Settings.load({"RO_ROOT": str(folder), "RO_HOME": str(folder), **more}, cwd=folder)


def test_with_nothing_set_nobody_witnesses_and_nobody_is_believed(tmp_path: Path) -> None:
    """There is a name and a place for the key, and no key."""
    found = settings(tmp_path)
    assert (found.ledger_origin, found.witnesses) == ("ro-platform/local", ())
    assert found.signing_key == tmp_path / "keys" / "signing.key"
    assert not has_deployment_key(found)
    assert trusted_keys(found) == ()
    with pytest.raises(SettingsError, match="no signing key"):
        deployment_key(found)


def test_each_setting_is_taken_from_its_variable(tmp_path: Path) -> None:
    """Witnesses are parted by white space."""
    found = settings(
        tmp_path,
        RO_LEDGER_ORIGIN="ro-platform/production",
        RO_SIGNING_KEY="/etc/ro/key",
        RO_WITNESSES=" file:///a \n s3://b/c ",
        RO_TRUSTED_KEYS=f"{PETER} {ENOCH}",
    )
    assert found.ledger_origin == "ro-platform/production"
    assert found.signing_key == Path("/etc/ro/key")
    assert found.witnesses == ("file:///a", "s3://b/c")
    assert [str(key) for key in trusted_keys(found)] == [PETER, ENOCH]
    with pytest.raises(SettingsError, match="RO_SIGNING_KEY"):
        settings(tmp_path, RO_SIGNING_KEY="key")


def test_an_address_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    """A command's words or a bucket's options may be nobody's business."""
    assert "hidden" not in repr(settings(tmp_path, RO_WITNESSES="s3://hidden/x"))


def test_the_deployments_own_key_is_believed_by_its_public_half(tmp_path: Path) -> None:
    """The private file need not be readable, nor there."""
    found = settings(tmp_path)
    key = create_key_file(found.signing_key, found.ledger_origin)
    assert deployment_key(found) == key
    assert trusted_keys(found) == (key.verifier,)
    found.signing_key.unlink()
    assert trusted_keys(found) == (key.verifier,)


def test_the_key_of_another_log_signs_nothing_of_this_one(tmp_path: Path) -> None:
    """A note names its log and its key alike; a dossier under two names would be refused later."""
    found = settings(tmp_path)
    create_key_file(found.signing_key, "ro-platform/elsewhere")
    with pytest.raises(SettingsError, match="RO_LEDGER_ORIGIN"):
        deployment_key(found)


def test_keys_that_are_set_replace_the_deployments_own(tmp_path: Path) -> None:
    """Whoever sets them says exactly who is believed."""
    found = settings(tmp_path, RO_TRUSTED_KEYS=PETER)
    create_key_file(found.signing_key, found.ledger_origin)
    assert [str(key) for key in trusted_keys(found)] == [PETER]


def test_a_file_of_keys_has_one_a_line_and_comments(tmp_path: Path) -> None:
    """Blank lines do not count."""
    file = tmp_path / "keys"
    file.write_text(f"# auditors\n{PETER}  # the first\n\n{ENOCH}\n")
    assert [str(key) for key in verifier_keys(str(file))] == [PETER, ENOCH]


@pytest.mark.parametrize("content", ["", "# nobody\n", None])
def test_a_file_without_keys_is_not_trust_in_nobody(tmp_path: Path, content: str | None) -> None:
    """Empty or missing, it is a bad setting: silence would let a mistake pass."""
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError):
        verifier_keys(str(file))


@pytest.mark.parametrize("text", ["nonsense", f"{PETER} nonsense", PETER[:-1]])
def test_what_is_no_key_is_refused(text: str) -> None:
    """One bad key spoils the list."""
    with pytest.raises(InvalidInputError):
        verifier_keys(text)


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    """And is not quoted in the error."""
    secret = SigningKey.generate("name").secret_text()
    with pytest.raises(InvalidInputError) as caught:
        verifier_keys(secret)
    assert secret.split("+", 4)[4] not in str(caught.value)


def test_who_may_not_read_the_keys_is_told_which_key_to_name(tmp_path: Path) -> None:
    """Another user of the system can verify, with the key that they were given."""
    found = settings(tmp_path)
    create_key_file(found.signing_key, found.ledger_origin)
    tmp_path.chmod(0o755)
    found.signing_key.parent.chmod(0)
    own, other = os.geteuid(), 65534
    try:
        if own == 0:  # whom no folder is closed to
            os.seteuid(other)
        with pytest.raises(SettingsError, match="closed to this user") as refused:
            trusted_keys(found)
        named = settings(tmp_path, RO_TRUSTED_KEYS=PETER)
        assert [str(key) for key in trusted_keys(named)] == [PETER]
    finally:
        os.seteuid(own)
        found.signing_key.parent.chmod(0o700)
    assert "--key" in (refused.value.next_step or "")
