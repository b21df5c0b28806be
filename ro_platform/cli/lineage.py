"""``ro lineage``: an engine's parameter_hash and manifest_fingerprint, recomputed from files."""

from __future__ import annotations

from pathlib import Path

import click

from ro_platform.cli.declared import Noun, public
from ro_platform.cli.output import fields, json_option, out, say_json, table
from ro_platform.engine_formats.lineage import recompute as recomputed

_LISTS = ("--parameters", "--artefacts")


class _Lists(click.Command):
    """Lets one option take several files, as shells expand them: ``--parameters a b c``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option's name before each further value, which is how click reads lists."""
        repeated: list[str] = []
        name, first = "", False
        for word in args:
            if word.startswith("-"):
                name, first = (word, True) if word in _LISTS else ("", False)
                repeated.append(word)
            else:
                repeated += [word] if first or not name else [name, word]
                first = False
        return super().parse_args(ctx, repeated)


@click.group(cls=Noun)
def command() -> None:
    """Recompute an engine's lineage hashes."""


@command.command(cls=_Lists)
@click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE...",
    help="The parameter files.",
)
@click.option(
    "--artefacts",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE...",
    help="The artefacts that the manifest_fingerprint covers.",
)
@click.option("--git-commit", metavar="HEX40", help="The commit that the run was made with.")
@json_option
@public("it reads what it is given, and nothing of the plane")
def recompute(
    parameters: tuple[Path, ...],
    artefacts: tuple[Path, ...],
    git_commit: str | None,
    as_json: bool,
) -> None:
    """Recompute parameter_hash and, from artefacts and a commit, manifest_fingerprint."""
    found = recomputed(parameters, artefacts, git_commit)
    if as_json:
        say_json(found.to_json_value())
        return
    table(
        ["file", "sha256", "T"],
        [
            [f"{kind} {file.basename}", file.sha256, file.t]
            for kind, files in (("parameter", found.parameters), ("artefact", found.artefacts))
            for file in files
        ],
        empty="",
    )
    out.print()
    rows = [["parameter_hash", found.parameter_hash]]
    if found.manifest_fingerprint:
        rows.append(["manifest_fingerprint", found.manifest_fingerprint])
    fields(rows)
