"""Paging by entry: what is older than an entry does not move while somebody reads."""

from __future__ import annotations

from collections.abc import Mapping

from ro_platform.errors import InvalidInputError

_MOST_DIGITS = 15


def number_of(text: str, name: str) -> int:
    """A number from an address or a form. Raises :class:`InvalidInputError`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InvalidInputError(
            f"{name} is no number: {text[:40]!r}.", next_step="Go back, and follow a link."
        )
    return int(text)


def before_of(query: Mapping[str, str]) -> int | None:
    """The entry before which a page begins; None for the newest. Raises
    :class:`InvalidInputError`."""
    text = query.get("before", "")
    return number_of(text, "before") if text else None
