"""One suite for every witness: a folder, a bucket with and without Object Lock, a git clone with
and without an upstream, and a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.checkpoints.witnesses.addresses import witness_at
from ro_platform.checkpoints.witnesses.base import Witness
from ro_platform.checkpoints.witnesses.local import CommandWitness
from ro_platform.errors import (
    BackendUnavailableError,
    CheckpointRefusedError,
    InvalidInputError,
    NotFoundError,
    SettingsError,
)
from ro_platform.kernel.signing import SigningKey, cosign, open_signed, sign_note
from tests.ceph import REGION, S3Server

ORIGIN = "ro-platform/test"
NAMES = [f"{ORIGIN}/{size:020d}.note" for size in (1, 20, 300)]
NOTE, OTHER = b"a note\n", b"another note\n"
KINDS = ["folder", "s3", "s3-locked", "git", "git-pushed", "command"]


@pytest.fixture
def s3_account(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, and its owner's credentials in the environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3


def git(folder: Path, *words: str) -> str:
    """A git command as an auditor gives it."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, check=True, text=True
    )
    return done.stdout


def clone_with_upstream(folder: Path) -> tuple[Path, Path]:
    """A bare repository, and a clone whose branch has it as its upstream."""
    bare, clone = folder / "bare.git", folder / "clone"
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(folder, "clone", "--quiet", str(bare), str(clone))
    git(clone, "checkout", "--quiet", "-b", "main")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    git(clone, *identity, "commit", "--quiet", "--allow-empty", "-m", "begin")
    git(clone, "push", "--quiet", "-u", "origin", "main")
    return bare, clone


def program(folder: Path, text: str) -> str:
    """The address of a command that runs this Python."""
    path = folder / "witness.py"
    path.write_text(text)
    return f"command:{sys.executable}%20{path}"


def address_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """A fresh place of that kind."""
    if kind == "folder":
        return (folder / "outside").as_uri()
    if kind.startswith("s3"):
        server: S3Server = request.getfixturevalue("s3_account")
        bucket = server.new_bucket(locked=kind == "s3-locked")
        return f"s3://{bucket}/below/here?endpoint_url={server.url}&region={REGION}"
    if kind == "git":
        git(folder, "init", "--quiet", str(folder / "clone"))
        return f"git+{(folder / 'clone').as_uri()}"
    if kind == "git-pushed":
        return f"git+{clone_with_upstream(folder)[1].as_uri()}"
    return program(folder, "import sys; sys.stdin.buffer.read()")


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address_of(request.param, tmp_path, request)


@pytest.fixture
def witness(address: str, tmp_path: Path) -> Witness:
    return at(address, tmp_path)


def at(address: str, folder: Path) -> Witness:
    """The witness at that address, as a new process opens it."""
    return witness_at(address, FilesystemBackend(folder / "store"))


def test_a_witness_has_what_it_was_given_and_nothing_before(
    witness: Witness, address: str, tmp_path: Path
) -> None:
    """By name, sorted, of that log only, in another process too."""
    assert witness.names(ORIGIN) == []
    for name in reversed(NAMES):
        witness.keep(name, NOTE)
    witness.keep("another/log/00000000000000000007.note", NOTE)
    for one in (witness, at(address, tmp_path)):
        assert one.names(ORIGIN) == NAMES
        assert one.names("another/log") == ["another/log/00000000000000000007.note"]
        assert one.names("ro-platform/tes") == []


def test_keeping_the_same_note_again_changes_nothing(witness: Witness) -> None:
    """As after a crash before the answer was seen."""
    witness.keep(NAMES[0], NOTE)
    witness.keep(NAMES[0], NOTE)
    assert witness.names(ORIGIN) == [NAMES[0]]


def test_no_note_is_ever_replaced(witness: Witness) -> None:
    """Another one under that name is refused, and the first can still be read."""
    if not witness.readable:
        with pytest.raises(InvalidInputError, match="cannot be read back"):
            witness.read(NAMES[0])
        return
    witness.keep(NAMES[0], NOTE)
    with pytest.raises(CheckpointRefusedError, match="holds another checkpoint"):
        witness.keep(NAMES[0], OTHER)
    assert witness.read(NAMES[0]) == NOTE


def test_a_note_that_is_not_there_is_not_found(witness: Witness) -> None:
    """Of those witnesses that can be asked."""
    kind = NotFoundError if witness.readable else InvalidInputError
    with pytest.raises(kind):
        witness.read(NAMES[2])


# --- what each does when it fails ----------------------------------------------------------------


def test_a_git_witness_makes_a_commit_for_each_note_and_pushes_it(tmp_path: Path) -> None:
    """The upstream has them, in order; the working copy is clean."""
    bare, clone = clone_with_upstream(tmp_path)
    witness = at(f"git+{clone.as_uri()}", tmp_path)
    for name in NAMES:
        witness.keep(name, NOTE)
    subjects = git(bare, "log", "--format=%s", "main").splitlines()
    assert subjects == [*[f"Checkpoint {name}" for name in reversed(NAMES)], "begin"]
    assert git(clone, "status", "--porcelain") == ""


def test_a_git_commit_that_was_not_pushed_does_not_count_and_is_pushed_next_time(
    tmp_path: Path,
) -> None:
    """The upstream was away: the note is missing there, and is there after the next try."""
    bare, clone = clone_with_upstream(tmp_path)
    witness = at(f"git+{clone.as_uri()}", tmp_path)
    bare.rename(tmp_path / "away")
    with pytest.raises(BackendUnavailableError, match="git"):
        witness.keep(NAMES[0], NOTE)
    (tmp_path / "away").rename(bare)
    assert witness.names(ORIGIN) == []
    witness.keep(NAMES[0], NOTE)
    assert witness.names(ORIGIN) == [NAMES[0]]
    assert git(bare, "show", f"main:{NAMES[0]}") == NOTE.decode()


def test_a_folder_that_is_no_git_clone_is_refused(tmp_path: Path) -> None:
    """Not silently turned into one, nor taken for the repository around it."""
    (tmp_path / "clone").mkdir()
    git(tmp_path, "init", "--quiet", str(tmp_path))
    with pytest.raises(BackendUnavailableError, match="not a git clone"):
        at(f"git+{(tmp_path / 'clone').as_uri()}", tmp_path).keep(NAMES[0], NOTE)


def test_a_command_that_fails_has_not_taken_the_note(tmp_path: Path) -> None:
    """What it said is in the error, and nothing is acknowledged."""
    witness = at(program(tmp_path, "import sys; sys.exit('the disk is full')"), tmp_path)
    with pytest.raises(BackendUnavailableError, match="exited with 1: the disk is full"):
        witness.keep(NAMES[0], NOTE)
    assert witness.names(ORIGIN) == []


def test_a_command_that_is_missing_or_too_slow_has_not_taken_the_note(tmp_path: Path) -> None:
    """Both are errors that can be tried again."""
    objects = FilesystemBackend(tmp_path / "store")
    with pytest.raises(BackendUnavailableError):
        CommandWitness([str(tmp_path / "missing")], objects).keep(NAMES[0], NOTE)
    slow = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(BackendUnavailableError, match="timed out"):
        CommandWitness(slow, objects, timeout_seconds=0.5).keep(NAMES[0], NOTE)


def test_a_command_gets_the_note_and_no_shell_sees_its_words(tmp_path: Path) -> None:
    """Its standard input is the note, byte for byte; its arguments are taken as they are."""
    text = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    target = tmp_path / "$(touch pwned)"
    address = program(tmp_path, text) + "%20'" + str(target).replace(" ", "%20") + "'"
    at(address, tmp_path).keep(NAMES[0], NOTE)
    assert target.read_bytes() == NOTE
    assert not (tmp_path / "pwned").exists()
    assert not Path("pwned").exists()


def test_a_cosigning_commands_signature_is_kept(tmp_path: Path) -> None:
    """Signature lines on its output make the note one that two keys signed."""
    ours, theirs = SigningKey.generate(ORIGIN), SigningKey.generate("witness.example")
    note = sign_note("ro-platform/test\n1\nroot\n", ours)
    line = cosign(note, theirs).removeprefix(note)
    text = f"import sys; sys.stdin.read(); sys.stdout.buffer.write({line!r})"
    witness = at(program(tmp_path, text), tmp_path)
    witness.keep(NAMES[0], note)
    assert isinstance(witness, CommandWitness)
    both = note + witness.cosignatures(NAMES[0])
    assert open_signed(both, [ours.verifier, theirs.verifier])[1] == [
        ours.verifier,
        theirs.verifier,
    ]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/a/folder",
        "ftp://host/folder",
        "file://host/folder",
        "file:relative",
        "s3:///prefix",
        "s3://user:secret@bucket/prefix",
        "s3://bucket/prefix?acl=public-read",
        "s3://bucket/prefix?endpoint_url=https://user:secret@host",
        "s3://bucket/prefix?endpoint_url=host:9000",
        "s3://bucket/prefix?endpoint_url=http://host:port",
        "git+file://host/clone",
        "command:relative",
        "command:",
        "command:/a%20'open",
        "http://[broken",
    ],
)
def test_an_address_that_cannot_be_meant_is_a_bad_setting(address: str, tmp_path: Path) -> None:
    """It is refused before anybody is contacted, and not quoted: it may hold a secret."""
    with pytest.raises(SettingsError) as caught:
        at(address, tmp_path)
    assert "secret" not in str(caught.value)
