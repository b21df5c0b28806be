"""The names of ledger entries have one home: nobody else builds or takes apart one by hand."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ro_platform.ledger import names
from ro_platform.ledger.names import NameForm

HOME = "ro_platform/ledger/names.py"
WORDS = {form.template.split("/")[0] for form in vars(names).values() if isinstance(form, NameForm)}
HEADS = tuple(f"{word}/" for word in WORDS)

# What looks like a name and is none: (module, text, what it is).
OTHERS = {
    ("ro_platform/artifacts/addressing.py", "erased/sha256/"): "where a store keeps a tombstone",
    ("ro_platform/config/drafts.py", "draft/"): "the origin of a draft's checkpoints",
    ("ro_platform/dossier/signed.py", "input/"): "a resource of an in-toto statement",
}


def handmade(source: str) -> Iterator[tuple[int, str]]:
    """Where a module writes the beginning of a name itself, and what it writes: in a text or a
    pattern, in what is joined by slashes, or in what a name is compared with after a split."""
    tree = ast.parse(source)
    prose = {id(text) for text in _prose(tree)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose and _is_head(text):
                yield node.lineno, text
            case ast.JoinedStr(values=parts):
                yield from ((node.lineno, text) for text in _heads_before_values(parts))
            case ast.Call(
                func=ast.Attribute(attr="join"), args=[ast.List() | ast.Tuple() as items]
            ):
                yield from ((node.lineno, text) for text in _words_of(items.elts[:1]))
            case ast.BinOp(op=ast.Add(), left=ast.Constant(value=str(text))) if text in WORDS:
                yield node.lineno, text
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _splits(node):
                yield from _compared(node)


def _prose(tree: ast.AST) -> Iterator[ast.AST]:
    """Texts that stand for themselves (docstrings), or that people read: with blanks in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node


def _is_head(text: str) -> bool:
    return text.lstrip("^(?:").startswith(HEADS)


def _heads_before_values(parts: list[ast.expr]) -> Iterator[str]:
    """The heads right before what is filled in, also in the middle of a sentence."""
    for part, following in itertools.pairwise(parts):
        if isinstance(part, ast.Constant) and isinstance(following, ast.FormattedValue):
            last = str(part.value).split(" ")[-1].lstrip("`'\"(")
            if last.startswith(HEADS) and " " in str(part.value):
                yield last


def _words_of(items: list[ast.expr]) -> Iterator[str]:
    for item in items:
        if isinstance(item, ast.Constant) and item.value in WORDS:
            yield str(item.value)


def _splits(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("partition", "split", "removeprefix")
        and [ast.unparse(arg) for arg in node.args[:1]] == ["'/'"]
        for node in ast.walk(function)
    )


def _compared(function: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(function):
        match node:
            case ast.Compare(comparators=compared):
                yield from ((node.lineno, word) for word in _words_of(compared))
            case ast.MatchValue(value=value):
                yield from ((value.lineno, word) for word in _words_of([value]))


def test_the_names_of_entries_are_written_in_one_module(repository: Path) -> None:
    """No module of the library but one has the beginning of a name of an entry in it."""
    found = {}
    for path in sorted((repository / "ro_platform").rglob("*.py")):
        module = path.relative_to(repository).as_posix()
        for line, text in handmade(path.read_text(encoding="utf-8")):
            if module != HOME and (module, text) not in OTHERS:
                found[f"{module}:{line}"] = text
    assert found == {}, f"build it with a form of {HOME}, or parse it with one"


def test_what_looks_like_a_name_is_still_there(repository: Path) -> None:
    """Each exception is of a text that its module has."""
    for (module, text), reason in OTHERS.items():
        written = {text for _, text in handmade((repository / module).read_text(encoding="utf-8"))}
        assert text in written, (module, text, reason)


@pytest.mark.parametrize(
    "offence",
    [
        'subject = f"run/{run}"',
        'key = f"revoked/{subject}"',
        'key = "config/%s/%s" % (name, version)',
        'key = "bound/{}/{}".format(attempt, ref)',
        'mention = "digest/" + digest',
        'mention = "digest" + "/" + digest',
        'key = "/".join(("attempt", attempt, status))',
        'key = "/".join(["sealed", run, str(number)])',
        'locator = entry.subject.removeprefix("artifact/")',
        'is_directive = entry.key.startswith("directive/")',
        'prefixes = ("registry/", "retention/")',
        'pattern = re.compile(r"^(?:workload/[a-z]+)$")',
        'say(f"It is about run/{run}.")',
        'def of(name):\n    kind, _, rest = name.partition("/")\n    return kind == "workload"',
        'def of(name):\n    match name.split("/"):\n        case ["job", x]:\n            return x',
    ],
)
def test_a_name_that_is_made_by_hand_is_found(offence: str) -> None:
    """Each way to build a name, or to take one apart, is noticed."""
    assert list(handmade(offence))


@pytest.mark.parametrize(
    "innocent",
    [
        "subject = run_subject(run)",
        '"""The subject is ``run/<run_id>``."""',
        'TARGETS = "plane, workload/NAME, asset/KEY or consumer/STREAM/NAME"',
        'help = "workload/NAME or a stream"',
        'address = f"/runs/{run}"',
        'media = "application/json"',
        'def of(path):\n    return path.split("/")[0] == "assets"',
        'kind = "config"',
    ],
)
def test_what_is_no_name_is_let_be(innocent: str) -> None:
    """Addresses, media types and what people read are no names of entries."""
    assert not list(handmade(innocent))
