"""Where drafts are, and how one is told from what is governed.

A draft is a folder ``<RO_HOME>/drafts/<name>`` with a store, a ledger and Dagster's records of its
own. The file ``draft.json`` in it says so, and whatever would open a store or a ledger below such a
folder as a governed one is refused; each entry of its ledger says so as well
(:mod:`ro_platform.ledger.drafted`). A draft's settings are those of its deployment, over its own
folder, without a token, a witness or an inbox.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.kernel.files import read_text
from ro_platform.kernel.urls import local_url

MARKER = "draft.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
_REMOVED = ".removed-"
_LARGEST = 64 << 10
"""Bytes; a marker is a few hundred."""


def draft_settings(settings: Settings, name: str, actor: str) -> Settings:
    """The settings of a draft on a deployment, for who drafts. Creates nothing.

    Raises :class:`InvalidInputError` for a name that is none.
    """
    folder = _folder(settings, name)
    return replace(
        settings,
        home=folder,
        store_url=local_url(folder / "store", "file"),
        ledger_url=local_url(folder / "ledger.sqlite", "sqlite"),
        dagster_url="",
        manifest_inbox=folder / "no-inbox",
        actor=actor,
        ledger_origin=f"draft/{name}",
        signing_key=folder / "no-keys" / "signing.key",
        trusted_keys="",
        witnesses=(),
        token="",
        access_key=folder / "no-keys" / "access.key",
        launch_key=folder / "no-keys" / "launch.key",
        draft_of=settings,
    )


def create_draft(draft: Settings, *, workload: str, fingerprint: str) -> None:
    """Make a draft's folder, with its marker before anything else; one that is there stays."""
    folder = draft.home
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"draft": folder.name, "workload": workload, "manifest_fingerprint": fingerprint}
    partial = folder / f".{MARKER}-{os.getpid()}"
    partial.write_text(json.dumps({**facts, "actor": draft.actor}) + "\n")
    partial.replace(folder / MARKER)


def drafts_of(settings: Settings) -> list[str]:
    """The names of a deployment's drafts, sorted."""
    folder = settings.home / "drafts"
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{MARKER}"))


def find_draft(settings: Settings, name: str) -> Settings:
    """The settings of a draft that exists. Raises :class:`NotFoundError`."""
    draft = draft_settings(settings, name, settings.actor)
    if not (draft.home / MARKER).is_file():
        raise errors.NotFoundError(
            f"there is no draft {name!r}.",
            next_step="See `ro draft list`; `ro run FILE --draft` makes one.",
        )
    return replace(draft, actor=str(draft_facts(draft).get("actor", settings.actor)))


def draft_facts(draft: Settings) -> dict[str, Any]:
    """What a draft's marker says: ``draft``, and of its newest run ``workload``,
    ``manifest_fingerprint`` and ``actor``."""
    try:
        found: dict[str, Any] = json.loads(read_text(draft.home / MARKER, _LARGEST))
    except (OSError, ValueError):
        return {}
    return found


@contextmanager
def in_use(draft: Settings, *, alone: bool = False) -> Iterator[None]:
    """While a draft is worked on; ``alone`` to take it away. Raises :class:`ConflictError` where
    somebody is at work on it. A process that dies lets go."""
    with (draft.home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            raise errors.ConflictError(
                f"draft {draft.home.name!r} is in use.", next_step="Wait until its run has ended."
            ) from None
        yield


def remove_draft(settings: Settings, name: str) -> None:
    """Remove a draft, all of it. A crash leaves at most a hidden folder, which the next removal
    takes along; nothing governed refers to any of it."""
    draft = find_draft(settings, name)
    folder = draft.home.parent
    with in_use(draft, alone=True):
        draft.home.rename(folder / f"{_REMOVED}{name}-{os.getpid()}")
    for removed in folder.glob(f"{_REMOVED}*"):
        shutil.rmtree(removed, onerror=_made_writable)


def require_governed_place(path: Path, setting: str) -> None:
    """Raise :class:`DraftError` for a place within a draft's folder, by whatever path."""
    for folder in path.resolve().parents:
        if (folder / MARKER).is_file():
            raise errors.DraftError(
                f"{setting} is {path}, which is of the draft {folder.name!r}: it counts for "
                "nothing governed.",
                next_step=f"Unset {setting}. `ro draft show {folder.name}` shows a draft.",
                setting=setting,
            )


def _folder(settings: Settings, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise errors.InvalidInputError(
            f"{name[:80]!r} is no name for a draft.",
            next_step="Use up to 64 letters, digits, '_', '.' and '-', none of the last two first.",
        )
    return settings.home / "drafts" / name


def _made_writable(call: Callable[[str], object], path: str, _error: object) -> None:
    """Stored files and their folders are not writable: make them so, and try again."""
    with suppress(OSError):
        Path(path).parent.chmod(stat.S_IRWXU)
        Path(path).chmod(stat.S_IRWXU)
    call(path)
