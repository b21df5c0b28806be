"""URLs of places, as settings give them: what they name, and what of them may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ro_platform import errors


def scheme_of(url: str) -> str:
    """The scheme in small letters; empty for what is no URL."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def local_path(url: str, *, scheme: str, setting: str, forms: str) -> Path:
    """The absolute path on this machine that a URL of ``scheme`` names.

    Raises :class:`SettingsError` for any other URL; it names the setting and the ``forms`` that can
    be used, and shows no password.
    """
    try:
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        usable = parts.scheme == scheme and not parts.netloc and path.is_absolute()
    except ValueError:
        usable = False
    if not usable:
        raise errors.SettingsError(
            f"{setting} is {_without_secrets(url)!r}, which this version cannot open.",
            next_step=f"Use {forms}, or leave {setting} unset.",
            setting=setting,
        )
    return path


def local_url(path: Path, scheme: str) -> str:
    """The URL of ``scheme`` that :func:`local_path` reads as that absolute path."""
    return path.as_uri().replace("file:", f"{scheme}:", 1)


def _without_secrets(url: str) -> str:
    return re.sub(r"\?.*", "?...", re.sub(r"//.*@", "//...@", url))
