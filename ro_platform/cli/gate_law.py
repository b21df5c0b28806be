"""The options by which commands are told the gate law of a bundle: the same words everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ro_platform.cli.output import Cell, fields, say_error, word
from ro_platform.errors import EngineGateFailedError, InvalidInputError
from ro_platform.interop.verdict import EngineGateVerdict
from ro_platform.runs.engine_bundle import SealedBundle

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class BundleChoice:
    """What the command line says of a bundle and its law."""

    path: Path
    law: str
    path_base: str
    root: Path | None
    ordering: str
    without_index: bool
    flag: Path | None

    def bundle(self) -> SealedBundle:
        """The bundle that is meant. Raises :class:`InvalidInputError` for half an option."""
        if (self.path_base == "run_root") != (self.root is not None):
            raise InvalidInputError(
                "--path-base run_root and --root belong together.",
                next_step="Give both, or neither.",
            )
        return SealedBundle(
            path=self.path,
            law=self.law,
            index_order=self.ordering == "index_order",
            without_index=self.without_index,
            run_root=self.root,
            flag=self.flag,
        )


_OPTIONS = (
    click.argument("path", type=click.Path(path_type=Path)),
    click.option("--law", required=True, help="The gate law, as the bundle's gate declares it."),
    click.option("--path-base", type=click.Choice(["bundle", "run_root"]), default="bundle"),
    click.option("--root", type=click.Path(path_type=Path), help="The run's root, for run_root."),
    click.option("--ordering", type=click.Choice(["path", "index_order"]), default="path"),
    click.option("--without-index", is_flag=True, help="Leave index.json out of what is hashed."),
    click.option("--flag", type=click.Path(path_type=Path), help="The flag, if not _passed.flag."),
)
_NAMES = ("path", "law", "path_base", "root", "ordering", "without_index", "flag")


def bundle_options(command: F) -> F:
    """Add PATH and the law's options; the command gets them as ``chosen``."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = BundleChoice(**{name: kwargs.pop(name) for name in _NAMES})
        return command(*args, chosen=chosen, **kwargs)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run  # type: ignore[return-value]  # what click calls takes the options by name


def fail_unless_passed(verdict: EngineGateVerdict, *, as_json: bool) -> None:
    """Exit as :class:`EngineGateFailedError` does, with its words unless a JSON document has been
    printed already."""
    try:
        verdict.require_pass()
    except EngineGateFailedError as error:
        if not as_json:
            say_error(error, as_json=False)
        raise click.exceptions.Exit(error.exit_code) from None


def show_verdict(verdict: EngineGateVerdict) -> None:
    """Print a verdict for a person."""
    rows: list[list[Cell]] = [
        ["verdict", word(verdict.status)],
        ["law", " ".join([verdict.rule.law, *verdict.rule.options.chosen()])],
        ["sealed", verdict.expected_digest],
        ["computed", verdict.computed_digest or "none: a member is missing"],
        ["members", f"{verdict.members_verified} of {verdict.members_listed} verified singly"],
    ]
    if verdict.first_difference:
        rows.append(["first difference", str(verdict.first_difference)])
    if verdict.likely_cause:
        rows.append(["likely cause", verdict.likely_cause.explanation])
    rows += [["not covered", name] for name in verdict.uncovered]
    rows += [["note", remark] for remark in verdict.remarks]
    fields(rows)
