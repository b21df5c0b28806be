"""Ed25519 keys and C2SP signed notes, against another implementation's vectors and OpenSSL."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.errors import CheckpointRefusedError, InvalidInputError, SettingsError
from ro_platform.kernel.signing import (
    SigningKey,
    VerifierKey,
    cosign,
    create_key_file,
    open_note,
    open_signed,
    parse_note,
    read_key_file,
    sign_note,
)

GO: dict[str, Any] = json.loads(
    Path(__file__).with_name("vectors").joinpath("notes/go-sumdb.json").read_text()
)
PETER = VerifierKey.parse(GO["verifier_key"])
ENOCH = VerifierKey.parse(GO["other_verifier_key"])
LOG = VerifierKey.parse(GO["log_verifier_key"])
NOTE: bytes = (GO["text"] + "\n" + GO["signature"]).encode()
BOTH: bytes = NOTE + GO["other_signature"].encode()


# --- the other implementation --------------------------------------------------------------------


def test_its_key_signs_its_note_byte_for_byte() -> None:
    """Ed25519 is deterministic: the same key and text give the note that Go's package gives."""
    key = SigningKey.parse(GO["signing_key"])
    assert sign_note(GO["text"], key) == NOTE
    assert str(key.verifier) == GO["verifier_key"]
    assert key.secret_text() == GO["signing_key"]


def test_its_notes_verify_under_each_key_and_both() -> None:
    """A line of a key that is not trusted is ignored, not refused."""
    assert open_note(NOTE, [PETER]) == GO["text"]
    assert open_signed(BOTH, [PETER]) == (GO["text"], [PETER])
    assert open_signed(BOTH, [ENOCH]) == (GO["text"], [ENOCH])
    assert open_signed(BOTH, [ENOCH, PETER]) == (GO["text"], [PETER, ENOCH])


@pytest.mark.parametrize("found", GO["log_checkpoints"], ids=lambda found: str(found["size"]))
def test_checkpoints_of_a_public_log_verify(found: dict[str, Any]) -> None:
    """What sum.golang.org published is a signed note over a checkpoint."""
    checkpoint = Checkpoint.parse(open_note(found["note"].encode(), [LOG]))
    assert (checkpoint.origin, checkpoint.size) == ("go.sum database tree", found["size"])
    assert found["note"].startswith(checkpoint.text())


@pytest.mark.parametrize("what", GO["malformed"])
def test_its_malformed_notes_are_refused(what: str) -> None:
    """Each of them, whoever is trusted."""
    for trusted in ([PETER], []):
        with pytest.raises(CheckpointRefusedError):
            open_note(GO["malformed"][what].encode(), trusted)


@pytest.mark.parametrize("what", GO["not_genuine"])
def test_its_false_signatures_are_refused(what: str) -> None:
    """A line that names a trusted key and is not its signature spoils the note."""
    with pytest.raises(CheckpointRefusedError, match="not genuine"):
        open_note(GO["not_genuine"][what].encode(), [PETER])


@pytest.mark.parametrize("what", GO["bad_verifier_keys"])
def test_its_bad_verifier_keys_are_refused(what: str) -> None:
    """A key id that fits does not make a key."""
    with pytest.raises(InvalidInputError):
        VerifierKey.parse(GO["bad_verifier_keys"][what])


def test_no_part_and_no_change_of_a_key_is_a_key() -> None:
    """Every cut of both ends, and every character one further."""
    for whole, parse in ((GO["verifier_key"], VerifierKey.parse), (GO["signing_key"], _signing)):
        cuts = [whole[i:j] for i in range(len(whole)) for j in range(i + 1, len(whole) + 1)]
        changed = [whole[:i] + chr(ord(whole[i]) + 1) + whole[i + 1 :] for i in range(len(whole))]
        for text in {*cuts, *changed} - {whole}:
            with pytest.raises(InvalidInputError):
                parse(text)


def _signing(text: str) -> SigningKey:
    return SigningKey.parse(text)


def test_openssl_verifies_what_we_sign_and_we_what_it_signs(tmp_path: Path) -> None:
    """The bytes under a note's signature are plain Ed25519 over the note's text."""
    key = SigningKey.generate("openssl")
    text = tmp_path / "text"
    text.write_text("one line\n")
    public = Ed25519PublicKey.from_public_bytes(key.verifier.public)
    (tmp_path / "public.pem").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "signature").write_bytes(parse_note(sign_note("one line\n", key)).signatures[0][2])
    verified = _openssl(
        tmp_path, "-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "signature"
    )
    assert b"Verified Successfully" in verified

    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", "theirs.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    der = subprocess.run(
        ["openssl", "pkey", "-in", "theirs.pem", "-pubout", "-outform", "DER"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    ).stdout
    theirs = VerifierKey("theirs.example/log", der[-32:])
    _openssl(tmp_path, "-sign", "-inkey", "theirs.pem", "-out", "theirs.sig")
    signed = base64.b64encode(theirs.key_id + (tmp_path / "theirs.sig").read_bytes()).decode()
    note = f"one line\n\n— {theirs.name} {signed}\n".encode()
    assert open_note(note, [theirs]) == "one line\n"


def _openssl(folder: Path, *words: str) -> bytes:
    command = ["openssl", "pkeyutl", *words, "-rawin", "-in", "text"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


# --- laws ----------------------------------------------------------------------------------------

KEY = SigningKey.generate("ro-platform/test")
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n")).map(
    lambda text: text + "\n"
)


@given(text=texts)
def test_what_was_signed_is_what_is_opened(text: str) -> None:
    """Any text of printable lines, empty lines among them, and with a second key's line too."""
    note = sign_note(text, KEY)
    other = SigningKey.generate("witness")
    both = cosign(note, other)
    assert open_note(note, [KEY.verifier]) == text
    assert open_signed(both, [other.verifier, KEY.verifier])[1] == [KEY.verifier, other.verifier]


@given(bit=st.integers(0, 8 * len(BOTH) - 1))
def test_any_flipped_bit_is_refused_or_in_a_line_that_nobody_trusts(bit: int) -> None:
    """No bit of text or trusted signature can change; the untrusted line may only be ignored."""
    changed = bytearray(BOTH)
    changed[bit // 8] ^= 1 << bit % 8
    if bit // 8 < len(NOTE):
        with pytest.raises(CheckpointRefusedError):
            open_note(bytes(changed), [PETER])
    with pytest.raises(CheckpointRefusedError):
        open_signed_by_both(bytes(changed))


def open_signed_by_both(note: bytes) -> None:
    """Both have to have signed: what a reader asks for who trusts two."""
    if len(open_signed(note, [PETER, ENOCH])[1]) < 2:
        raise CheckpointRefusedError("One signature is missing.")


@given(bit=st.integers(0, 511))
def test_no_flipped_bit_of_a_signature_verifies(bit: int) -> None:
    """The 64 bytes are one signature, whole."""
    signature = bytearray(KEY.sign(b"data"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not KEY.verifier.verifies(b"data", bytes(signature))


@pytest.mark.parametrize(
    "note",
    [
        NOTE + GO["signature"].encode(),
        NOTE.replace(b"\n\n", b"\n\n\n"),
        NOTE.replace(b"\n\n", b"\n"),
        NOTE + b"\n",
        b"\n" + NOTE,
        NOTE.replace(b"\n", b"\r\n"),
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace(b"AM=", b"AN="),
        NOTE.replace(b"AM=", b"AM"),
        NOTE.replace(b"x08go", b" x08go"),
        b"\xff" + NOTE,
        NOTE + b"x" * (1 << 20),
        b"",
    ],
    ids=[
        "signed twice",
        "two blank lines",
        "no blank line",
        "a line after",
        "a line before",
        "carriage returns",
        "a hyphen for the dash",
        "base64 in another form",
        "base64 without its end",
        "another space",
        "not UTF-8",
        "too large",
        "nothing",
    ],
)
def test_a_note_in_another_form_is_refused(note: bytes) -> None:
    """There is one form; near misses are not read leniently."""
    with pytest.raises(CheckpointRefusedError):
        open_note(note, [PETER])


def test_a_key_of_the_same_name_or_id_is_another_key() -> None:
    """Name and key id have to fit together; neither alone is trust."""
    namesake = SigningKey.generate("PeterNeumann").verifier
    with pytest.raises(CheckpointRefusedError, match="none of the trusted"):
        open_note(NOTE, [namesake])
    with pytest.raises(CheckpointRefusedError, match="none of the trusted"):
        open_note(NOTE, [VerifierKey("Peter", PETER.public)])
    with pytest.raises(CheckpointRefusedError, match="none of the trusted"):
        open_note(NOTE, [])


@pytest.mark.parametrize("text", ["no line feed", "a\ttab\n", "", "a\x00\n"])
def test_a_text_that_cannot_be_a_note_is_not_signed(text: str) -> None:
    """So nothing is signed that would be refused when it is read."""
    with pytest.raises(InvalidInputError):
        sign_note(text, KEY)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\tb"])
def test_a_name_that_would_break_a_line_is_refused(name: str) -> None:
    """A key has no such name."""
    with pytest.raises(InvalidInputError):
        SigningKey.generate(name)


# --- key files -----------------------------------------------------------------------------------


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, the public key beside it, no temporary file left, and never overwritten."""
    path = tmp_path / "keys" / "signing.key"
    key = create_key_file(path, "ro-platform/test")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path) == key
    assert VerifierKey.parse((tmp_path / "keys/signing.key.pub").read_text()[:-1]) == key.verifier
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="already"):
        create_key_file(path, "ro-platform/test")
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "signing.key",
        "signing.key.pub",
    ]


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """It may have been copied; the error says so and quotes nothing of it."""
    path = tmp_path / "signing.key"
    create_key_file(path, "ro-platform/test")
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="others than its owner") as caught:
        read_key_file(path)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a key\n", b"\xff\xfe", b"PRIVATE+KEY+a+b+c\n"])
def test_a_file_that_is_no_key_is_refused_unquoted(tmp_path: Path, content: bytes) -> None:
    """A key file that was damaged may hold most of a secret."""
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="holds no signing key"):
        read_key_file(path)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    """The error's next step is the command."""
    with pytest.raises(SettingsError) as caught:
        read_key_file(tmp_path / "signing.key")
    assert "ro ledger key --create" in caught.value.next_step


def test_a_signing_key_does_not_print_its_secret() -> None:
    """Neither as text nor in a data class's form."""
    seed = KEY.secret_text().rpartition("+")[2]
    assert seed not in repr(KEY)
    assert seed not in str(KEY)
