"""Checking a locator: its form, its path against its own values and a template, and its bytes.

Hive ``key=value`` segments: which, in which order, and what a value may be.

The keys are :data:`KEYS`, in that order; where a template is given, its order counts. The older
spelling ``fingerprint=`` of ``manifest_fingerprint=`` is read, and is the one that is written.
Values are compared byte for byte with those of a row or a locator: no value is ever normalised.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

from ro_platform import errors
from ro_platform.contracts.base import Contract
from ro_platform.engine_formats.bundle import bundle_refused, open_folder
from ro_platform.engine_formats.objects import MAX_UINT64, EngineOutputLocator

KEYS = ("seed", "parameter_hash", "manifest_fingerprint", "scenario_id", "run_id", "utc_day")
OLDER_SPELLING = {"fingerprint": "manifest_fingerprint"}
_WRITTEN = {"manifest_fingerprint": "fingerprint"}
_FORMS = {
    "seed": re.compile(r"0|[1-9][0-9]{0,19}"),
    "parameter_hash": re.compile(r"[a-f0-9]{64}"),
    "manifest_fingerprint": re.compile(r"[a-f0-9]{64}"),
    "scenario_id": re.compile(r"[^/\\=\x00-\x1f\x7f]{1,256}"),
    "run_id": re.compile(r"[a-f0-9]{32}"),
    "utc_day": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}
_NO_PATH = re.compile(r"(^|/)\.\.(/|$)|[\\\x00-\x1f\x7f]")
_SEGMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}|(\*)")


def partitions_of(path: str) -> dict[str, str]:
    """The values in a path by key, in the path's order; ``fingerprint=`` under its newer name.

    Raises :class:`InvalidInputError` for a key that is unknown or stands twice, for a value that
    does not have its key's form, and for a ``..`` part. The order is :func:`check_order`'s affair.
    """
    found: dict[str, str] = {}
    if _NO_PATH.search(path):
        raise _refused(repr(path), "has a .. part, a backslash or a control character")
    for segment in path.split("/"):
        if not (pair := _SEGMENT.fullmatch(segment)):
            continue
        key = canonical_key(pair[1])
        if key in found:
            raise _refused(path, f"has {key} twice")
        found[key] = checked_value(key, pair[2])
    return found


def check_order(keys: Iterable[str], path: str, order: tuple[str, ...] = KEYS) -> None:
    """Raise :class:`InvalidInputError` unless the keys stand in that order (some may be absent)."""
    found = list(keys)
    wanted = [key for key in order if key in found]
    if found != wanted:
        raise _refused(path, f"has its keys as {', '.join(found)}; they go {', '.join(wanted)}")


def hive_path(values: Mapping[str, str | int]) -> str:
    """The segments of these values (``seed=7/fingerprint=...``), in the one order."""
    known = {canonical_key(key): checked_value(key, str(value)) for key, value in values.items()}
    if len(known) != len(values):
        raise _refused(", ".join(values), "names one key in both spellings")
    return "/".join(f"{_WRITTEN.get(key, key)}={known[key]}" for key in KEYS if key in known)


def canonical_key(key: str) -> str:
    """The newer name of a key. Raises :class:`InvalidInputError` if it is no key at all."""
    name = OLDER_SPELLING.get(key, key)
    if name not in KEYS:
        raise _refused(f"{key}=", f"is no partition: they are {', '.join(KEYS)}")
    return name


def checked_value(key: str, value: str) -> str:
    """The value itself. Raises :class:`InvalidInputError` if it does not have the key's form."""
    name = canonical_key(key)
    right = _FORMS[name].fullmatch(value) is not None and value not in (".", "..")
    if right and name == "seed":
        right = int(value) <= MAX_UINT64
    if right and name == "utc_day":
        right = _is_day(value)
    if not right:
        raise _refused(f"{key}={value}", f"has no {name} as the engine writes it")
    return value


def check_equal(partitions: Mapping[str, str], row: Mapping[str, object], path: str) -> None:
    """Raise :class:`InvalidInputError` where path and row have different bytes for one key.

    A number in the row is compared by its decimal digits; an absent (None) value with nothing.
    """
    for key, value in partitions.items():
        spellings = [key, *(old for old, new in OLDER_SPELLING.items() if new == key)]
        for name in spellings:
            other = row.get(name)
            if other is not None and (isinstance(other, bool) or str(other) != value):
                raise errors.InvalidInputError(
                    f"{path} has {key}={value}, and the row beside it has {name} {other!r}.",
                    next_step="Both must be the same bytes: find out which of the two was altered.",
                    path=path,
                    key=key,
                )


@dataclass(frozen=True)
class Template:
    """A path with ``{placeholders}`` and ``*``; neither reaches across a slash."""

    text: str

    @classmethod
    def parse(cls, text: str, partitions: Iterable[str] | None = None) -> Self:
        """Read one; line ends at its end are dropped. ``partitions``, if given, is a set to be met.

        Raises :class:`InvalidInputError`.
        """
        template = cls(text.rstrip("\r\n"))
        named = {canonical_key(key) for key in partitions} if partitions is not None else None
        if not template.text or "\n" in template.text or "\r" in template.text:
            raise _refused(repr(text), "is no template")
        if named is not None and named != set(template.order):
            raise _refused(
                template.text,
                f"has the partitions {', '.join(template.order)}, "
                f"and the list beside it has {', '.join(sorted(named))}",
            )
        return template

    @property
    def order(self) -> tuple[str, ...]:
        """Its partition keys, in the order that its paths have."""
        pairs = [_SEGMENT.fullmatch(segment) for segment in self.text.split("/")]
        keys = tuple(canonical_key(pair[1]) for pair in pairs if pair)
        if len(set(keys)) != len(keys):
            raise _refused(self.text, "has a partition twice")
        return keys

    @property
    def departs(self) -> bool:
        """Whether its order is not the one of :data:`KEYS`."""
        return list(self.order) != [key for key in KEYS if key in self.order]

    def check(self, path: str) -> None:
        """Raise :class:`InvalidInputError` unless the path is one of this template."""
        check_order(partitions_of(path), path, self.order)
        if not re.fullmatch(self._pattern(), path, re.DOTALL):
            raise _refused(path, f"is no path of the template {self.text}")

    def _pattern(self) -> str:
        """The paths as a regular expression: one value for one name, either spelling of a key."""
        seen: set[str] = set()

        def part(found: re.Match[str]) -> str:
            name = OLDER_SPELLING.get(found[1], found[1])
            if found[2] or name not in seen:
                seen.add(name)
                return "[^/]*" if found[2] else f"(?P<{name}>[^/]+)"
            return f"(?P={name})"

        segments = []
        for segment in self.text.split("/"):
            pieces, end = "", 0
            for found in _PLACEHOLDER.finditer(segment):
                pieces += re.escape(segment[end : found.start()]) + part(found)
                end = found.end()
            pattern = pieces + re.escape(segment[end:])
            segments.append(
                re.sub(r"^(manifest_)?fingerprint=", "(?:manifest_)?fingerprint=", pattern)
            )
        return "/".join(segments)


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _refused(what: str, problem: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"{what} {problem}.",
        next_step="Correct the path (or the template): the interop reference has the rules.",
        path=what,
    )


class LocatorCheck(Contract):
    """What was found right. ``content`` is the SHA-256 of the bytes, where they were looked at."""

    locator: EngineOutputLocator
    partitions: dict[str, str]
    template: str | None = None
    exists: bool | None = None
    content: str | None = None
    content_verified: bool = False
    remarks: tuple[str, ...] = ()


def check_locator(
    locator: EngineOutputLocator, *, template: str | None = None, root: Path | None = None
) -> LocatorCheck:
    """Check a locator; with ``root``, also that its path exists there and has its content_digest.

    Raises :class:`InvalidInputError` for a path that breaks the rules, the template or the
    locator's own values, :class:`ArtifactNotFoundError` if nothing is there, and
    :class:`DigestMismatchError` for other bytes.
    """
    path = locator.path
    partitions = partitions_of(path)
    pattern = Template.parse(template) if template is not None else None
    if pattern:
        pattern.check(path)
    else:
        check_order(partitions, path)
    check_equal(partitions, locator.model_dump(mode="json"), path)
    found = LocatorCheck(
        locator=locator,
        partitions=partitions,
        template=pattern.text if pattern else None,
        remarks=tuple(_remarks(locator, partitions, pattern)),
    )
    return found if root is None else _with_content(found, root)


def _with_content(found: LocatorCheck, root: Path) -> LocatorCheck:
    locator = found.locator
    try:
        with open_folder(root) as folder:
            name = locator.path.removesuffix("/")
            if folder.holds_folder(name):
                if locator.content_digest:
                    raise bundle_refused(
                        f"{locator.path} is a folder; no law here gives its digest"
                    )
                return found.model_copy(update={"exists": True})
            state = hashlib.sha256()
            for chunk in folder.chunks(name):
                state.update(chunk)
    except errors.NotFoundError:
        raise errors.ArtifactNotFoundError(
            f"{locator.path} does not exist below {root}.",
            next_step="Check the root; a locator names one file or folder, not a pattern.",
        ) from None
    digest, wanted = state.hexdigest(), locator.content_digest
    if wanted and wanted.hex != digest:
        raise errors.DigestMismatchError(
            f"{locator.path} has other bytes than its locator says.",
            next_step="Do not read this output; the file stays where it is as evidence.",
            expected=wanted.hex,
            found=digest,
        )
    return found.model_copy(
        update={"exists": True, "content": digest, "content_verified": wanted is not None}
    )


def _remarks(
    locator: EngineOutputLocator, partitions: dict[str, str], pattern: Template | None
) -> Iterable[str]:
    if pattern and pattern.departs:
        yield "the template's keys are not in the one order; the template's order was checked"
    for name in ("manifest_fingerprint", "parameter_hash", "seed", "scenario_id", "run_id"):
        if getattr(locator, name) is not None and name not in partitions:
            yield f"{name} is not in the path"
