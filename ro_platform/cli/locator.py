"""``ro locator``: an engine's locators, checked for form, address and bytes."""

from __future__ import annotations

from pathlib import Path

import click

from ro_platform import errors
from ro_platform.cli.declared import Noun, public
from ro_platform.cli.output import Cell, fields, json_option, say_json
from ro_platform.engine_formats.locators import LocatorCheck, check_locator
from ro_platform.engine_formats.objects import EngineOutputLocator
from ro_platform.kernel.documents import MAX_DOCUMENT_BYTES
from ro_platform.kernel.files import read_file


@click.group(cls=Noun)
def command() -> None:
    """Check an engine's locators."""


@command.command()
@click.argument("locator", metavar="FILE_OR_JSON")
@click.option("--template", help="The path template that the locator's path must follow.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Look at the bytes below this folder."
)
@json_option
@public("it reads what it is given, and nothing of the plane")
def check(locator: str, template: str | None, root: Path | None, as_json: bool) -> None:
    """Check a locator (a JSON file, or the JSON itself): form, path and, with --root, bytes."""
    found = check_locator(_read(locator), template=template, root=root)
    if as_json:
        say_json(found.to_json_value())
    else:
        _show(found)


def _read(text: str) -> EngineOutputLocator:
    if text.lstrip().startswith("{"):
        return EngineOutputLocator.from_json(text, where="the locator")
    try:
        data = read_file(text, MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise errors.InvalidInputError(
            f"{text} cannot be read: {error.strerror}.",
            next_step="Name a file that holds a locator, or give its JSON.",
        ) from None
    return EngineOutputLocator.from_json(data, where=text)


def _show(found: LocatorCheck) -> None:
    lines: list[list[Cell]] = [
        ["output_id", found.locator.output_id],
        ["path", found.locator.path],
    ]
    lines += [[f"  {key}", value] for key, value in found.partitions.items()]
    if found.template:
        lines.append(["template", f"followed: {found.template}"])
    lines.append(["bytes", _bytes(found)])
    lines += [["note", remark] for remark in found.remarks]
    fields(lines)


def _bytes(found: LocatorCheck) -> str:
    if found.content_verified:
        return f"verified: sha256 {found.content}"
    if found.content:
        return f"sha256 {found.content}; the locator has no content_digest to compare with"
    return "a folder: it exists" if found.exists else "not looked at: give --root"
