"""The engine's lineage hashes, against their definition written out with hashlib."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.engine_formats.lineage import git32, recompute, t_of, uer
from ro_platform.errors import InvalidInputError
from tests.effort import times

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def t(name: str, data: bytes) -> bytes:
    """T by its definition: the length as four little-endian bytes, the name, the file's digest."""
    length = bytes([len(name), 0, 0, 0])
    return hashlib.sha256(length + name.encode() + hashlib.sha256(data).digest()).digest()


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """The files, written."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def test_the_preimage_of_the_known_file() -> None:
    """``crossborder_hyperparams.yaml`` has 28 letters: its UER begins with 1c000000."""
    name = "crossborder_hyperparams.yaml"
    assert uer(name).hex().startswith("1c000000")
    assert uer(name) == bytes.fromhex("1c000000") + name.encode()
    digest = hashlib.sha256(b"ntheta: 1\n").digest()
    assert t_of(name, digest) == t(name, b"ntheta: 1\n")


@given(st.text(max_size=300).filter(lambda text: text.isascii() or text.isprintable()))
@settings(max_examples=times(200))
def test_uer_counts_bytes_and_reads_back(text: str) -> None:
    """The length is that of the UTF-8 bytes, little-endian, so a sequence of UER splits one way."""
    form = uer(text)
    assert int.from_bytes(form[:4], "little") == len(form) - 4
    assert form[4:].decode() == text


def test_both_hashes_by_their_definition(tmp_path: Path) -> None:
    """parameter_hash and manifest_fingerprint are what the definition says, in ASCII order."""
    parameters = {"b.yaml": b"b", "Z.yaml": b"z", "a-1.yaml": b"", "a.yaml": b"a"}
    artefacts = {"y.csv": b"yy", "x.parquet": bytes(range(256))}
    found = recompute(
        written(tmp_path / "p", parameters), written(tmp_path / "a", artefacts), COMMIT
    )
    order = ["Z.yaml", "a-1.yaml", "a.yaml", "b.yaml"]
    parameter_hash = hashlib.sha256(b"".join(t(name, parameters[name]) for name in order))
    preimage = t("x.parquet", artefacts["x.parquet"]) + t("y.csv", artefacts["y.csv"])
    preimage += bytes(12) + bytes.fromhex(COMMIT) + parameter_hash.digest()
    assert [file.basename for file in found.parameters] == order
    assert found.parameter_hash == parameter_hash.hexdigest()
    assert found.manifest_fingerprint == hashlib.sha256(preimage).hexdigest()


def test_the_order_and_the_folder_of_the_files_do_not_count(tmp_path: Path) -> None:
    """Only basenames and bytes enter the hash."""
    files = {"b.yaml": b"b", "a.yaml": b"a"}
    first = recompute(written(tmp_path / "one", files))
    second = recompute(written(tmp_path / "two", files)[::-1])
    assert first == second
    assert first.manifest_fingerprint is None
    assert first != recompute(written(tmp_path / "three", {"b.yaml": b"b", "a.yaml": b"A"}))
    assert first != recompute(written(tmp_path / "four", {"b.yaml": b"b", "a2.yaml": b"a"}))


def test_git32_is_the_commit_after_twelve_zero_bytes() -> None:
    """20 bytes of SHA-1, padded on the left."""
    assert git32(COMMIT).hex() == "00" * 12 + COMMIT


@pytest.mark.parametrize("commit", ["", "abc", COMMIT.upper(), COMMIT[:-1], COMMIT + "0", "g" * 40])
def test_what_is_no_commit_is_refused(commit: str) -> None:
    """A short, long or upper-case commit is not guessed at."""
    with pytest.raises(InvalidInputError):
        git32(commit)


def test_names_that_are_not_ascii_or_not_unique_are_refused(tmp_path: Path) -> None:
    """Two files of one basename, and a basename beyond ASCII, have no place in the order."""
    one = written(tmp_path / "one", {"a.yaml": b"1"})
    two = written(tmp_path / "two", {"a.yaml": b"1"})
    with pytest.raises(InvalidInputError, match="has the basename of"):
        recompute(one + two)
    with pytest.raises(InvalidInputError, match="not ASCII"):
        recompute(written(tmp_path / "one", {"é.yaml": b""}))


def test_what_is_missing_is_refused(tmp_path: Path) -> None:
    """No parameters, half of a fingerprint's material, or no such file: no hash."""
    files = written(tmp_path / "p", {"a.yaml": b"1"})
    for parameters, artefacts, commit in (
        ([], [], None),
        (files, files, None),
        (files, [], COMMIT),
        ([tmp_path / "gone"], [], None),
        ([tmp_path], [], None),
    ):
        with pytest.raises(InvalidInputError):
            recompute(parameters, artefacts, commit)
