"""The deployment's settings: embedded defaults, and no setting that cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ro_platform.artifacts.store import blobs_at
from ro_platform.config.settings import (
    Settings,
    dagster_home,
    settings_in_force,
    use_dagster_home,
)
from ro_platform.errors import SettingsError
from ro_platform.ledger.addresses import PostgresLedger, SqliteLedger, ledger_at


def deployment(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        (folder / name).write_text("")
    return folder


def test_with_nothing_set_everything_is_below_the_deployments_root(tmp_path: Path) -> None:
    """Found from any folder below it."""
    root = deployment(tmp_path / "house")
    below = root / "assets" / "deep"
    below.mkdir(parents=True)

    settings = Settings.load({}, cwd=below)

    assert settings.root == root
    assert settings.home == root / ".ro"
    assert blobs_at(settings.store_url).root == root / ".ro" / "store"
    assert ledger_at(settings.ledger_url) == SqliteLedger(root / ".ro/ledger.sqlite")
    assert settings.manifest_inbox == root / ".ro" / "inbox"
    assert settings.dagster_state == root / ".ro" / "dagster"
    assert settings.definitions_module == "definitions"
    assert settings.dagster_url == ""
    assert not (root / ".ro").exists()


def test_one_marker_is_not_a_deployment(tmp_path: Path) -> None:
    """dagster.yaml alone may be any DAGSTER_HOME."""
    (tmp_path / "dagster.yaml").write_text("")
    assert Settings.load({}, cwd=tmp_path).root == tmp_path
    home = deployment(tmp_path / "home")
    below = tmp_path / "elsewhere"
    below.mkdir()
    assert Settings.load({"DAGSTER_HOME": str(home)}, cwd=below).root == home


def test_each_setting_is_taken_from_its_variable(tmp_path: Path) -> None:
    """And an empty variable is as good as none."""
    settings = Settings.load(
        {
            "RO_ROOT": str(tmp_path),
            "RO_HOME": "/var/ro",
            "RO_STORE_URL": "file:///srv/store",
            "RO_LEDGER_URL": "",
            "RO_DAGSTER_URL": "postgresql://db/dagster",
            "RO_MANIFEST_INBOX": "/srv/in",
            "RO_DEFINITIONS_MODULE": "house.defs",
            "RO_UI_URL": "https://ui.example",
        },
        cwd=tmp_path,
    )
    assert (settings.root, settings.home) == (tmp_path, Path("/var/ro"))
    assert settings.store_url == "file:///srv/store"
    assert settings.ledger_url == "sqlite:///var/ro/ledger.sqlite"
    assert settings.dagster_url == "postgresql://db/dagster"
    assert settings.manifest_inbox == Path("/srv/in")
    assert settings.definitions_module == "house.defs"
    assert settings.ui_url == "https://ui.example"


@pytest.mark.parametrize("name", ["RO_ROOT", "RO_HOME", "RO_MANIFEST_INBOX"])
def test_a_relative_folder_is_refused(tmp_path: Path, name: str) -> None:
    """It would mean another folder in another process."""
    with pytest.raises(SettingsError, match=f"{name}.*relative.*absolute path"):
        Settings.load({name: "some/where"}, cwd=tmp_path)


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/x", "file://host/x", "file:x", "/plain/path", "sqlite:///x", "file:"],
)
def test_a_url_that_this_version_cannot_open_is_refused(url: str) -> None:
    """Naming the setting and the form that works."""
    with pytest.raises(SettingsError, match=r"RO_STORE_URL.*file:///absolute/path"):
        blobs_at(url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hush@host/db",
        "postgress://me:hu/sh@hush@host/db",
        "sqlite://hush@host/x",
        "sqlite:x?password=hush",
        "sqlite://me:hush@[host/x",
        "postgresql://me:hush@[host/db",
    ],
)
def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    """Nor do the settings show the ledger's URL when they are printed."""
    with pytest.raises(SettingsError, match=r"sqlite:///absolute/path or postgresql://") as refused:
        ledger_at(url)
    assert "hush" not in f"{refused.value} {refused.value.diagnostics()}"
    given = {"RO_LEDGER_URL": url, "RO_DAGSTER_URL": url, "RO_ROOT": "/srv"}
    assert "hush" not in repr(Settings.load(given))


def test_a_postgresql_url_is_told_from_the_others() -> None:
    """By both names that libpq knows."""
    for url in ("postgresql://host/db", "postgres://host/db"):
        assert ledger_at(url) == PostgresLedger(url)
    assert isinstance(ledger_at("sqlite:///postgresql://x"), SqliteLedger)


@pytest.mark.parametrize("open_at", [blobs_at, ledger_at])
@pytest.mark.parametrize("url", ["", "file://[x/y", "postgresql://[x/y", "sqlite://[", "\0"])
def test_what_is_no_url_is_refused_as_a_setting(open_at: Callable[[str], Any], url: str) -> None:
    """It is no fault of the program, whatever stands there."""
    with pytest.raises(SettingsError, match=r"RO_(STORE|LEDGER)_URL"):
        open_at(url)


def test_a_path_with_spaces_and_percent_signs_survives_its_url(tmp_path: Path) -> None:
    """Escaped on the way in, and back."""
    root = deployment(tmp_path / "a b%20c#d?é")
    settings = Settings.load({}, cwd=root)
    assert blobs_at(settings.store_url).root == root / ".ro" / "store"
    assert ledger_at(settings.ledger_url) == SqliteLedger(root / ".ro" / "ledger.sqlite")


def test_the_actor_is_who_the_operating_system_says(tmp_path: Path) -> None:
    """No variable makes somebody else of the user."""
    plain = Settings.load({}, cwd=tmp_path)
    posing = Settings.load({"USER": "boss", "LOGNAME": "boss"}, cwd=tmp_path)
    assert plain.actor == posing.actor
    assert plain.actor.startswith("HUMAN::")


def test_settings_in_force_hold_until_the_block_ends(tmp_path: Path) -> None:
    """Within them ``load()`` answers the same, also when nested; then the environment again."""
    outer = Settings.load({"RO_HOME": str(tmp_path / "outer")}, cwd=tmp_path)
    inner = Settings.load({"RO_HOME": str(tmp_path / "inner")}, cwd=tmp_path)
    before = Settings.load()
    with settings_in_force(outer):
        with settings_in_force(inner):
            assert Settings.load() is inner
        assert Settings.load() is outer
        assert Settings.load({"RO_HOME": "/x"}, cwd=tmp_path).home == Path("/x")
    assert Settings.load() == before


def test_dagster_finds_its_home_in_the_root_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is used is also what child processes find."""
    settings = Settings.load({}, cwd=deployment(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dagster_home(settings) == tmp_path
    assert use_dagster_home(settings) == tmp_path
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    assert dagster_home(settings) == Path("/elsewhere")
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    with pytest.raises(SettingsError):
        dagster_home(settings)
