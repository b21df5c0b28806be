"""A file with a secret: whole, its owner's alone, and made once, whatever comes between."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ro_platform.errors import SettingsError
from ro_platform.kernel.files import create_secret_file, read_secret_file


def test_a_secret_file_is_its_owners_and_says_what_was_put_in(tmp_path: Path) -> None:
    """Whatever the umask; the folder that was made for it is its owner's, too."""
    path, before = tmp_path / "keys" / "a.key", os.umask(0)
    try:
        create_secret_file(path, "the secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_secret_file(path, "test key") == "the secret"


def test_of_many_who_make_it_at_once_one_does(tmp_path: Path) -> None:
    """The others are told that it is there, and nothing is left beside it."""
    path = tmp_path / "a.key"

    def made(number: int) -> bool:
        try:
            create_secret_file(path, f"secret {number}")
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(made, range(16))).count(True) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_what_others_can_touch_is_not_read(tmp_path: Path, mode: int) -> None:
    """And the error says what it is, but nothing of it."""
    path = tmp_path / "a.key"
    create_secret_file(path, "the secret")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=r"test key .* by others than its owner") as refused:
        read_secret_file(path, "test key")
    assert "the secret" not in f"{refused.value} {refused.value.diagnostics()}"


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    """A file is made by its own name, so nobody can have it made elsewhere."""
    path, elsewhere = tmp_path / "a.key", tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        create_secret_file(path, "the secret")
    assert not elsewhere.exists()
