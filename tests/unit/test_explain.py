"""``ro explain`` and the glossary: every code and every word of ours, and none that is not met."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ro_platform.cli.explain import RECORDED_CODES, Term, all_terms, explained
from ro_platform.cli.main import ro
from ro_platform.contracts.schema import PUBLIC
from ro_platform.errors import NotFoundError, RunOperateError, all_errors
from ro_platform.runs.attempt import SKIPPED_CODE
from ro_platform.runs.reconciliation import LOST_CODE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "glossary.md"
SPECIFICATIONS = ROOT / "docs/model_spec/meta-layers/run_operate_plane/specs"
BEGIN = "<!-- terms: generated from ro_platform/cli/terms.toml -->\n"
END = "<!-- end: terms -->"
ERRORS = [kind for kind in all_errors() if kind.__module__.startswith("ro_platform.errors.")]
ALL_TERMS = all_terms()


def commands(command: click.Command = ro, words: str = "ro") -> Iterator[str]:
    """Every command and every noun, as one types it."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{words} {name}")


COMMANDS = set(commands())


def unknown_commands(advice: str) -> list[str]:
    """What an advice quotes as a command of ``ro`` and is none; its options are let be."""
    quoted = (re.split(r" [-A-Z]", text)[0] for text in re.findall(r"`(ro [^`]*)`", advice))
    return [text for text in quoted if text not in COMMANDS]


def ask(*words: str, **env: str) -> tuple[int, str, str]:
    """The exit code of ``ro explain``, and what it said."""
    done = CliRunner().invoke(ro, ["explain", *words], env=env)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.code)
def test_every_code_is_explained(kind: type[RunOperateError]) -> None:
    """With its meaning, its exit code, and an advice of its own in one or two sentences, which
    quotes only commands that there are."""
    exit_code, said, _ = ask(kind.code, "--json")
    assert exit_code == 0
    found = json.loads(said)
    assert found["code"] == kind.code
    assert found["meaning"] == kind.meaning()
    assert found["exit_code"] == kind.exit_code
    assert found["next_step"] == kind.advice
    assert "advice" in vars(kind), "each code has an advice of its own"
    assert kind.advice.endswith(".")
    assert "\n" not in kind.advice
    assert unknown_commands(kind.advice) == []


@pytest.mark.parametrize(
    ("advice", "unknown"),
    [
        ("See `ro gate list --all`, or `ro ledger verify --key KEY`.", []),
        ("Ask `ro gate mend TARGET`.", ["ro gate mend"]),
        ("Run `ro nothing` and `ro gate run`.", ["ro nothing"]),
    ],
)
def test_an_advice_that_quotes_no_command_is_found(advice: str, unknown: list[str]) -> None:
    """A command that was renamed is found where it is still recommended."""
    assert unknown_commands(advice) == unknown


def codes_in_the_source() -> set[str]:
    """Every text of the library that looks like a code, and is no variable of the environment."""
    pages = ("reference/settings.md", "how-to/serve-the-ui.md")
    documented = "".join((ROOT / "docs" / page).read_text() for page in pages)
    settings = set(re.findall(r"`(RO_[A-Z_]+)`", documented))
    texts = {
        node.value
        for path in (ROOT / "ro_platform").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"RO_[A-Z_]+[A-Z]", text)} - settings


def test_a_code_that_only_a_record_carries_is_explained_too() -> None:
    """Whatever stands as a code anywhere in the library can be asked for."""
    found = codes_in_the_source()
    assert {LOST_CODE, SKIPPED_CODE, "RO_STEP_FAILED", "RO_GATE_STALE"} <= found
    for code in found:
        assert explained(code)["code"] == code
    assert {item.code for item in RECORDED_CODES} == found - {kind.code for kind in ERRORS}
    assert [item for item in RECORDED_CODES if unknown_commands(item.advice)] == []


@pytest.mark.parametrize("term", ALL_TERMS, ids=lambda term: term.word)
def test_every_term_is_explained_and_met(term: Term) -> None:
    """In one line, and the page that it names has the word."""
    exit_code, said, _ = ask(*term.word.upper().split(), "--json")
    assert (exit_code, json.loads(said)["meaning"]) == (0, term.meaning)
    assert term.meaning.endswith(".")
    assert len(term.meaning) < 120
    assert is_met(term.word, ROOT / "docs" / term.page)


def is_met(word: str, path: Path) -> bool:
    """Whether a text has the word, or its plural, in any case of letters."""
    words = r"[\s_-]+".join(re.escape(part) for part in word.split())
    return bool(re.search(rf"(?<![^\W_]){words}s?(?![^\W_])", path.read_text(), re.IGNORECASE))


def test_a_word_that_is_not_met_is_told_from_one_that_is(tmp_path: Path) -> None:
    """Broken lines, hyphens and plurals count; a part of another word does not."""
    page = tmp_path / "page.md"
    page.write_text("A blast\nradius, two Gate-sets, repinned by seal_digest, sealed.")
    assert [is_met(word, page) for word in ("blast radius", "gate set", "seal", "pin")] == [
        *(True, True, True),
        False,
    ]


def test_each_object_of_the_contracts_has_its_term() -> None:
    """One, and only objects that there are; asked for by name, its term is explained."""
    named = Counter(name for term in ALL_TERMS for name in term.objects)
    assert named == Counter(model.__name__ for model in PUBLIC)
    assert explained("GateReceipt") == explained("receipt")


def test_each_law_has_its_term() -> None:
    """The charter's invariants, and the two laws of reading and access, as the documents call
    them."""
    [charter] = SPECIFICATIONS.glob("RO1_*.md")
    invariants = re.findall(r"^## Invariant: (.*)$", charter.read_text(), re.MULTILINE)
    words = [term.word for term in ALL_TERMS if term.about == "Laws"]
    assert len(invariants) == 3
    assert words == [*invariants, "no PASS, no read", "deny by default"]


def names_of(term: Term) -> set[str]:
    """By which a term is asked for."""
    return {name.casefold() for name in (term.word, *term.objects)}


def test_no_two_things_are_explained_by_one_name() -> None:
    """A term, an object and a code are told apart in any case of letters."""
    names = [name for term in ALL_TERMS for name in names_of(term)]
    names += [kind.code.casefold() for kind in ERRORS]
    names += [item.code.casefold() for item in RECORDED_CODES]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_what_is_not_known_is_refused_with_what_is_alike() -> None:
    """It exits as whatever is not found, and names what may have been meant."""
    exit_code, _, said = ask("RO_GATE_STAL")
    assert exit_code == NotFoundError.exit_code
    assert "RO_GATE_STALE" in said
    with pytest.raises(NotFoundError) as refusal:
        explained("zzzzzz")
    assert "glossary" in refusal.value.next_step


def test_it_opens_neither_store_nor_ledger(tmp_path: Path) -> None:
    """It answers where no setting is sound, writes nothing, and loads no plane."""
    settings = {"RO_ROOT": "no path", "RO_LEDGER_URL": "nowhere:", "RO_TOKEN": "forged"}
    program = (
        "import sys\nfrom ro_platform.cli.main import ro\n"
        "ro(['explain', 'RO_GATE_STALE'], standalone_mode=False)\n"
        "assert 'ro_platform.plane' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "older rule" in done.stdout
    assert list(tmp_path.iterdir()) == []


def glossary() -> str:
    """What the page says of each term."""
    lines = []
    for about, terms in groupby(ALL_TERMS, key=lambda term: term.about):
        lines += [f"\n## {about}\n", "| term | meaning | objects |", "|---|---|---|"]
        for term in terms:
            link = os.path.relpath(ROOT / "docs" / term.page, PAGE.parent)
            objects = ", ".join(f"`{name}`" for name in term.objects) or "-"
            lines.append(f"| [{term.word}]({link}) | {term.meaning} | {objects} |")
    return "\n".join(lines) + "\n\n"


def test_the_page_is_the_glossary() -> None:
    """Each term stands there in one line, and nothing by hand."""
    text = PAGE.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    if os.environ.get("RO_WRITE_TABLE"):
        PAGE.write_text(text[:begin] + glossary() + text[end:])
        text = PAGE.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    assert text[begin:end] == glossary()
