"""``ro explain``: what a code of an error means and what to do, or a term of the plane.

What ``ro explain`` knows beside the errors: the terms of ``terms.toml``, and recorded codes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import click

from ro_platform import errors
from ro_platform.cli.declared import public
from ro_platform.cli.output import fields, json_option, plain, say_json


class Term(NamedTuple):
    """A word of ours in one line. ``about`` is the heading that it stands under in the glossary,
    ``page`` (of the folder docs) says more, and ``objects`` are the contracts' objects about it."""

    about: str
    word: str
    meaning: str
    page: str
    objects: tuple[str, ...] = ()


class RecordedCode(NamedTuple):
    """A code that stands on attempts only: no error that is raised, so no command exits with it."""

    code: str
    meaning: str
    advice: str


RECORDED_CODES = (
    RecordedCode(
        "RO_STEP_FAILED",
        "The step's own code raised an exception that is none of this library.",
        "Read the error with `ro attempts show`, correct the asset, and run it again.",
    ),
    RecordedCode(
        "RO_ATTEMPT_LOST",
        "The attempt's process vanished, or its run ended and the step said nothing.",
        "See what is known with `ro attempts show`; run the manifest again.",
    ),
    RecordedCode(
        "RO_SKIPPED",
        "An optional output was not handed over, by this step or one that it depends on.",
        "Nothing failed. To execute it again as it is, use `ro run --replay`.",
    ),
)


@cache
def all_terms() -> tuple[Term, ...]:
    """Every term, in the order of the glossary."""
    text = files("ro_platform.cli").joinpath("terms.toml").read_text(encoding="utf-8")
    return tuple(_terms(tomllib.loads(text)))


def _terms(headings: dict[str, dict[str, dict[str, object]]]) -> Iterator[Term]:
    for about, words in headings.items():
        for word, said in words.items():
            objects = said.get("objects", [])
            assert isinstance(objects, list)
            yield Term(about, word, str(said["meaning"]), str(said["page"]), tuple(objects))


Facts = dict[str, object]
_LABELS = {"exit_code": "exit code", "next_step": "next"}


@click.command()
@click.argument("words", metavar="RO_CODE|TERM", nargs=-1, required=True)
@json_option
@public("it prints what every installation says, and opens neither store nor ledger")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Say what a code of an error means and what to do next, or what a term means.

    \b
    For example
      ro explain RO_GATE_STALE
      ro explain blast radius
      ro explain GateReceipt
    """
    found = explained(" ".join(words))
    if as_json:
        say_json(found)
    else:
        fields([[_LABELS.get(name, name), _text(value)] for name, value in found.items()])


def explained(name: str) -> Facts:
    """What is known of a code, a term or an object of the contracts, in any case of letters.

    Raises :class:`NotFoundError`, which names what is written alike.
    """
    known = _explanations()
    by_name = {key.casefold(): key for key in known}
    wanted = " ".join(name.split()).casefold()
    if wanted in by_name:
        return known[by_name[wanted]]
    alike = [by_name[key] for key in get_close_matches(wanted, by_name)]
    raise errors.NotFoundError(
        f"{name!r} is neither a code nor a term of this plane.",
        next_step=f"Did you mean {', '.join(alike)}?"
        if alike
        else "Codes are in the reference of errors, terms in the glossary.",
    )


def _explanations() -> Mapping[str, Facts]:
    found = {item.code: _of_recorded(item) for item in RECORDED_CODES}
    found |= {kind.code: _of_error(kind) for kind in errors.all_errors()}
    for term in all_terms():
        found |= {name: _of_term(term) for name in (*term.objects, term.word)}
    return found


def _of_error(kind: type[errors.RunOperateError]) -> Facts:
    family = kind.family()
    return {
        "code": kind.code,
        "meaning": kind.meaning(),
        **({"family": family.code} if family else {}),
        "exit_code": kind.exit_code,
        "retryable": kind.retryable,
        "next_step": kind.advice,
    }


def _of_recorded(item: RecordedCode) -> Facts:
    return {"code": item.code, "meaning": item.meaning, "next_step": item.advice}


def _of_term(term: Term) -> Facts:
    about = {"objects": list(term.objects)} if term.objects else {}
    return {"term": term.word, "meaning": term.meaning, **about, "page": f"docs/{term.page}"}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value)
