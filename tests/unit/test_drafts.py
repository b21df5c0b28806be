"""Where drafts are, who may have them, and what their backend lets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.backends.overlay import OverlayBackend
from ro_platform.config.drafts import (
    create_draft,
    draft_settings,
    drafts_of,
    find_draft,
    remove_draft,
    require_governed_place,
)
from ro_platform.config.settings import Settings
from ro_platform.errors import (
    ArtifactNotFoundError,
    DraftError,
    InvalidInputError,
    NotFoundError,
    SettingsError,
)

ANN = "HUMAN::ann"


def settings(home: Path, **more: str) -> Settings:
    return Settings.load({"RO_ROOT": str(home), "RO_HOME": str(home), **more})


@pytest.mark.parametrize(
    ("environment", "asked", "allowed"),
    [
        ("local", "", True),
        ("local", "forbid", False),
        ("test", "allow", True),
        ("product-dev", "", True),
        ("reproduction", "", True),
        ("prod", "", False),
        ("production", "forbid", False),
        ("EU-Prod", "", False),
        ("prod_2", "", False),
        ("prod2", "", False),
        ("eu-PRD", "", False),
        ("product2", "", True),
        ("shop.production", "", False),
    ],
)
def test_an_environment_can_forbid_drafts_and_production_does(
    tmp_path: Path, environment: str, asked: str, allowed: bool
) -> None:
    """By a word of its name."""
    found = settings(tmp_path, RO_ENVIRONMENT=environment, RO_DRAFTS=asked)
    assert found.drafts is allowed


@pytest.mark.parametrize(
    ("environment", "asked"), [("prod", "allow"), ("eu-production", "allow"), ("local", "yes")]
)
def test_what_cannot_be_meant_of_drafts_is_refused(
    tmp_path: Path, environment: str, asked: str
) -> None:
    """To allow them in production, and any other word."""
    with pytest.raises(SettingsError, match="RO_DRAFTS"):
        settings(tmp_path, RO_ENVIRONMENT=environment, RO_DRAFTS=asked)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", ".hidden", "-x", "a" * 65, "a b"])
def test_what_is_no_name_makes_no_folder(tmp_path: Path, name: str) -> None:
    """Nothing outside of ``drafts`` can be named."""
    with pytest.raises(InvalidInputError, match="no name for a draft"):
        draft_settings(settings(tmp_path), name, ANN)


def test_a_drafts_settings_have_nothing_of_the_governed_but_to_read_it(tmp_path: Path) -> None:
    """No token, witness, inbox, key or database of it: every place is below the draft's folder."""
    governed = settings(
        tmp_path,
        RO_TOKEN="secret",
        RO_WITNESSES="file:///elsewhere",
        RO_DAGSTER_URL="postgresql://host/dagster",
        RO_LEDGER_URL="postgresql://host/ledger",
    )
    draft = draft_settings(governed, "mine", ANN)
    folder = str(tmp_path / "drafts" / "mine")
    places = (draft.home, draft.manifest_inbox, draft.signing_key, draft.access_key)
    assert all(str(place).startswith(folder) for place in (*places, draft.launch_key))
    assert folder in draft.store_url
    assert folder in draft.ledger_url
    assert (draft.token, draft.witnesses, draft.dagster_url, draft.trusted_keys) == ("", (), "", "")
    assert draft.actor == ANN
    assert draft.draft_of == governed


def test_a_draft_is_listed_found_and_removed(tmp_path: Path) -> None:
    """By its marker: a folder without one is no draft."""
    here = settings(tmp_path)
    assert drafts_of(here) == []
    for name in ("b", "a"):
        create_draft(draft_settings(here, name, ANN), workload="w", fingerprint="0" * 64)
    (tmp_path / "drafts" / "c").mkdir()
    assert drafts_of(here) == ["a", "b"]
    assert find_draft(here, "a").actor == ANN
    locked = tmp_path / "drafts" / "a" / "store"
    locked.mkdir()
    (locked / "blob").write_text("x")
    (locked / "blob").chmod(0o400)
    locked.chmod(0o500)
    remove_draft(here, "a")
    assert drafts_of(here) == ["b"]
    with pytest.raises(NotFoundError):
        remove_draft(here, "c")


def test_a_place_within_a_draft_is_known_as_one(tmp_path: Path) -> None:
    """However deep and through links; a place beside it is none."""
    here = settings(tmp_path)
    create_draft(draft_settings(here, "a", ANN), workload="w", fingerprint="0" * 64)
    folder = tmp_path / "drafts" / "a"
    (tmp_path / "link").symlink_to(folder)
    for place in (folder / "store", folder / "x" / "y", tmp_path / "link" / "ledger.sqlite"):
        with pytest.raises(DraftError, match="of the draft 'a'"):
            require_governed_place(place, "RO_STORE_URL")
    require_governed_place(tmp_path / "store", "RO_STORE_URL")
    require_governed_place(tmp_path / "drafts" / "b", "RO_STORE_URL")


def test_only_what_was_let_in_is_read_through_an_overlay_and_nothing_is_written() -> None:
    """What is its own comes first; names of what is below are never listed, sized or erased."""
    own, below = MemoryBackend(), MemoryBackend()
    overlay = OverlayBackend(own, below)
    for name in ("blobs/in", "blobs/out", "blobs/both"):
        below.create(name, b"below")
    overlay.create("blobs/both", b"own")
    for name in ("blobs/in", "blobs/both"):
        overlay.admit(name)
    assert overlay.read("blobs/in", 9) == b"below"
    assert overlay.open("blobs/both").read(9) == b"own"
    assert overlay.size("blobs/out") is None
    with pytest.raises(ArtifactNotFoundError):
        overlay.read("blobs/out", 9)
    assert list(overlay.names()) == ["blobs/both"]
    assert overlay.erase("blobs/in") is False
    assert overlay.create("blobs/new", b"new")
    assert sorted(below.names()) == ["blobs/both", "blobs/in", "blobs/out"]
