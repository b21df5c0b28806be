"""Checking a locator: its form, its path against its own values and a template, and its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ro_platform.contracts.base import Contract
from ro_platform.errors import ArtifactNotFoundError, DigestMismatchError, NotFoundError
from ro_platform.interop.addressing import Template, check_equal, check_order, partitions_of
from ro_platform.interop.folder import open_folder, refused
from ro_platform.interop.objects import EngineOutputLocator


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
                    raise refused(f"{locator.path} is a folder; no law here gives its digest")
                return found.model_copy(update={"exists": True})
            state = hashlib.sha256()
            for chunk in folder.chunks(name):
                state.update(chunk)
    except NotFoundError:
        raise ArtifactNotFoundError(
            f"{locator.path} does not exist below {root}.",
            next_step="Check the root; a locator names one file or folder, not a pattern.",
        ) from None
    digest, wanted = state.hexdigest(), locator.content_digest
    if wanted and wanted.hex != digest:
        raise DigestMismatchError(
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
