"""The deployment's settings. This module alone reads the environment.

Everything has an embedded default below one folder, ``RO_HOME``, which is ``.ro`` in the
deployment's root: the folder that holds ``dagster.yaml`` and ``workspace.yaml``.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ro_platform import errors
from ro_platform.kernel.urls import local_url

_MARKERS = ("dagster.yaml", "workspace.yaml")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this deployment keeps what.

    ``store_url`` is ``file:///...``; ``ledger_url`` is ``sqlite:///...`` or ``postgresql://...``,
    which may hold a password and is not shown; nor is ``dagster_url``, the PostgreSQL database of
    Dagster's own storage, empty where that is below ``dagster_state``; nor ``token``, by which this
    process says who it is; nor ``web``, the variables ``RO_WEB_*`` of the UI's gateway, which
    :mod:`ro_platform.web.settings` reads. ``drafts`` says whether drafts are allowed; a draft's own
    settings (:mod:`ro_platform.config.drafts`) name as ``draft_of`` those of what it drafts on.

    >>> from pathlib import Path
    >>> from ro_platform import Settings
    >>> settings = Settings.load({"RO_HOME": "/srv/plane"}, cwd=Path("/"))
    >>> settings.store_url, settings.ledger_url
    ('file:///srv/plane/store', 'sqlite:///srv/plane/ledger.sqlite')
    """

    root: Path
    home: Path
    store_url: str
    ledger_url: str = field(repr=False)
    dagster_url: str = field(repr=False)
    manifest_inbox: Path
    definitions_module: str
    ui_url: str
    actor: str
    ledger_origin: str
    signing_key: Path
    trusted_keys: str
    witnesses: tuple[str, ...] = field(repr=False)
    environment: str
    token: str = field(repr=False)
    access_key: Path
    launch_key: Path
    web: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    drafts: bool = True
    draft_of: Settings | None = None

    @classmethod
    def load(
        cls, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Settings:
        """Read the settings. Raises :class:`SettingsError` for one that cannot be meant."""
        if _in_force and environment is None:
            return _in_force[-1]
        env = os.environ if environment is None else environment
        root = _root(env, cwd or Path.cwd())
        home = _folder(env, "RO_HOME", root / ".ro")
        environment_name = _name(env, "RO_ENVIRONMENT", "local")
        return cls(
            root=root,
            home=home,
            store_url=env.get("RO_STORE_URL") or local_url(home / "store", "file"),
            ledger_url=env.get("RO_LEDGER_URL") or local_url(home / "ledger.sqlite", "sqlite"),
            dagster_url=env.get("RO_DAGSTER_URL") or "",
            manifest_inbox=_folder(env, "RO_MANIFEST_INBOX", home / "inbox"),
            definitions_module=env.get("RO_DEFINITIONS_MODULE") or "definitions",
            ui_url=env.get("RO_UI_URL") or "http://127.0.0.1:3000",
            actor=_system_user(),
            ledger_origin=env.get("RO_LEDGER_ORIGIN") or "ro-platform/local",
            signing_key=_folder(env, "RO_SIGNING_KEY", home / "keys" / "signing.key"),
            trusted_keys=env.get("RO_TRUSTED_KEYS") or "",
            witnesses=tuple((env.get("RO_WITNESSES") or "").split()),
            environment=environment_name,
            token=(env.get("RO_TOKEN") or "").strip(),
            access_key=_folder(env, "RO_ACCESS_KEY", home / "keys" / "access.key"),
            launch_key=_folder(env, "RO_LAUNCH_KEY", home / "keys" / "launch.key"),
            web=tuple(sorted((k, v) for k, v in env.items() if k.startswith("RO_WEB_") and v)),
            drafts=_drafts(env.get("RO_DRAFTS") or "", environment_name),
        )

    def run_address(self, dagster_run_id: str) -> str:
        """Where the Dagster UI of this deployment shows a run, while it is up."""
        return f"{self.ui_url.rstrip('/')}/runs/{dagster_run_id}"

    def check_address(self, asset: Sequence[str], gate_id: str) -> str:
        """Where the Dagster UI shows the verdicts of an asset's gate, while it is up."""
        name = gate_id.removeprefix(".".join(asset) + ".")
        path = "/".join(map(quote, asset))
        return f"{self.ui_url.rstrip('/')}/assets/{path}?view=checks&checkDetail={quote(name)}"

    @property
    def dagster_state(self) -> Path:
        """The folder of Dagster's own databases and logs, in the embedded mode."""
        return self.home / "dagster"


_in_force: list[Settings] = []


@contextmanager
def settings_in_force(settings: Settings) -> Iterator[Settings]:
    """Within this process, whatever the environment says; for embedding and for tests."""
    _in_force.append(settings)
    try:
        yield settings
    finally:
        _in_force.pop()


def dagster_home(settings: Settings) -> Path:
    """The folder whose ``dagster.yaml`` describes the Dagster instance."""
    return _folder(os.environ, "DAGSTER_HOME", settings.root)


def use_dagster_home(settings: Settings) -> Path:
    """Make :func:`dagster_home` the one that Dagster finds in this process and its children."""
    home = dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def forget_token() -> None:
    """Take ``RO_TOKEN`` out of this process's environment, and so out of its later children's."""
    os.environ.pop("RO_TOKEN", None)


def _root(env: Mapping[str, str], cwd: Path) -> Path:
    if env.get("RO_ROOT"):
        return _folder(env, "RO_ROOT", cwd)
    for folder in (cwd, *cwd.parents):
        if all((folder / marker).is_file() for marker in _MARKERS):
            return folder
    return _folder(env, "DAGSTER_HOME", cwd)


def _folder(env: Mapping[str, str], name: str, default: Path) -> Path:
    text = env.get(name)
    path = Path(text) if text else default
    if not path.is_absolute():
        raise errors.SettingsError(
            f"{name} is {text!r}, a relative path, which would mean another folder elsewhere.",
            next_step=f"Set {name} to an absolute path, or leave it unset.",
            setting=name,
        )
    return path


def _name(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    if not re.fullmatch(r"[A-Za-z0-9_.\-]{1,128}", text):
        raise errors.SettingsError(
            f"{name} is {text[:80]!r}, which is no name.",
            next_step=f"Set {name} to letters, digits, '_', '.' and '-', such as production.",
            setting=name,
        )
    return text


def is_production(environment: str) -> bool:
    """Whether one word of an environment's name is ``prod``, ``prd`` or ``production``, also with
    a number (``prod2``)."""
    words = re.split(r"[_.\-]", environment.lower())
    return any(re.fullmatch(r"(prod|prd|production)[0-9]*", word) for word in words)


def _drafts(text: str, environment: str) -> bool:
    """Whether drafts are allowed: everywhere but in production, unless they are forbidden."""
    if text not in ("", "allow", "forbid"):
        raise errors.SettingsError(
            f"RO_DRAFTS is {text[:80]!r}.",
            next_step="Set RO_DRAFTS to allow or forbid, or leave it unset.",
            setting="RO_DRAFTS",
        )
    if text == "allow" and is_production(environment):
        raise errors.SettingsError(
            f"RO_DRAFTS is 'allow', and RO_ENVIRONMENT {environment!r} is production.",
            next_step="Production allows no drafts: unset RO_DRAFTS, and draft elsewhere.",
            setting="RO_DRAFTS",
        )
    return text != "forbid" and not is_production(environment)


def _system_user() -> str:
    """Who the operating system says is running this: by user id, not by a variable."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid-{os.getuid()}"
    return "HUMAN::" + re.sub(r"[^A-Za-z0-9_.@\-]", "_", name)
