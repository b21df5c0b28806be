"""What ``ro explain`` knows beside the errors: the terms of ``terms.toml``, and recorded codes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple


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
