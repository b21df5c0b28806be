"""The listing of a check: whatever can change its verdict changes its digest, and nothing else."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.kernel.code import listing as listing_module
from ro_platform.kernel.code import objects
from ro_platform.kernel.code.listing import Walk
from ro_platform.kernel.code.syntax import NotListed
from tests.unit.code_world import CHECKS, FEATURES, MAKERS, Program, digest_of, loaded, outcome

NUMBERS = st.integers(min_value=1, max_value=8)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A check made in some way, which reads one to four features."""
    names = draw(st.lists(st.sampled_from(sorted(FEATURES)), min_size=1, max_size=4, unique=True))
    maker = draw(st.sampled_from(sorted(MAKERS)))
    return Program(maker, {name: draw(NUMBERS) for name in names})


def changed(program: Program, name: str, by: int) -> Program:
    """The program with another number for one feature."""
    number = (program.numbers[name] + by - 1) % 9 + 1
    return Program(program.maker, {**program.numbers, name: number})


def require_noticed(folder: Path, before: Program, after: Program) -> None:
    """Two programs that answer differently have different digests."""
    (first, one), (second, other) = (
        outcome(folder / name, program) for name, program in (("a", before), ("b", after))
    )
    assert first != second, "the change was to change the answer"
    assert one != other, f"{before} and {after} have one digest"


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Path]:
    """A new folder for each call."""
    numbers = itertools.count()
    return lambda: tmp_path / str(next(numbers))


@pytest.mark.parametrize("maker", sorted(MAKERS))
@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_each_way_to_a_number_is_in_the_digest(tmp_path: Path, feature: str, maker: str) -> None:
    """Every feature, through every way to make a check: another number, another digest."""
    before = Program(maker, {feature: 2})
    require_noticed(tmp_path, before, changed(before, feature, 3))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(program=programs(), data=st.data())
def test_what_changes_a_verdict_changes_the_digest(program: Program, data: st.DataObject) -> None:
    """Some features together, one of them with another number: the digest is another."""
    name = data.draw(st.sampled_from(sorted(program.numbers)))
    by = data.draw(st.integers(min_value=1, max_value=8))
    with tempfile.TemporaryDirectory() as folder:
        require_noticed(Path(folder), program, changed(program, name, by))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(program=programs(), data=st.data())
def test_what_changes_no_verdict_keeps_the_digest(program: Program, data: st.DataObject) -> None:
    """Another folder, comments, blank lines, and what the check does not read: the same digest."""
    extra = data.draw(
        st.sampled_from(
            [
                "",
                "# a comment\n\n\n",
                "UNREAD = 7",
                "def unread():\n    return 7",
                "class Unread:\n    least = 7",
                "import os",
            ]
        )
    )
    texts = Program(program.maker, program.numbers, extra).texts()
    texts = {name: "# at the top\n" + text.replace("    ", "\t") for name, text in texts.items()}
    with tempfile.TemporaryDirectory() as folder:
        _, before = outcome(Path(folder) / "a", program)
        with loaded(Path(folder) / "b" / "further" / "down", texts) as check:
            assert digest_of(check) == before


def _without(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A walk that forgets one thing that a function carries."""
    real = Walk._held

    def held(self: Walk, part: dict[str, Any], *args: Any) -> None:
        real(self, part, *args)
        part.pop(key, None)

    monkeypatch.setattr(Walk, "_held", held)


def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walk, "_names", lambda *_: {})


def _no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "tree", lambda _: [])


def _no_class_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_attributes", lambda _: iter(()))


def _no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_state", lambda _: iter(()))


def _no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "local_imports", lambda *_: iter(()))


@pytest.mark.parametrize(
    ("fault", "feature"),
    [
        (lambda patch: _without(patch, "closure"), "closure"),
        (lambda patch: _without(patch, "defaults"), "default"),
        (lambda patch: _without(patch, "keyword_defaults"), "keyword default"),
        (lambda patch: _without(patch, "attributes"), "function attribute"),
        (_no_names, "constant"),
        (_no_names, "helper"),
        (_no_source, "literal"),
        (_no_class_attributes, "computed class attribute"),
        (_no_state, "object"),
        (_no_imports, "import in the body"),
    ],
)
def test_a_walk_that_forgets_something_is_caught(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    feature: str,
) -> None:
    """The property can fail: each planted fault leaves two verdicts under one digest."""
    before = Program("plain", {feature: 2})
    fault(monkeypatch)
    with pytest.raises(AssertionError, match="have one digest"):
        require_noticed(tmp_path, before, changed(before, feature, 3))


REFUSED = {
    "a lock": ("import threading\nLOCK = threading.Lock()\ndef check(r):\n    return LOCK", "LOCK"),
    "an own module as a value": (
        f"import {CHECKS} as me\ndef check(r):\n    return getattr(me, 'LIMIT')",
        "'me'",
    ),
    "a global that it sets": (
        "SEEN = 0\ndef check(r):\n    global SEEN\n    SEEN += 1\n    return SEEN",
        "'SEEN'",
    ),
    "a captured name that it sets": (
        (
            "def make():\n    seen = 0\n    def check(r):\n        nonlocal seen\n"
            "        seen += 1\n        return seen\n    return check\ncheck = make()"
        ),
        "'seen'",
    ),
    "a name that is defined later": ("def check(r):\n    return LATER", "'LATER'"),
    "a function without source": (
        "exec('def made():\\n    return 1')\ndef check(r):\n    return made()",
        "'made'",
    ),
    "an iterator": ("REST = iter([1, 2])\ndef check(r):\n    return next(REST)", "'REST'"),
    "a set of functions": (
        "def a():\n    pass\ndef b():\n    pass\nBOTH = {a, b}\ndef check(r):\n    return BOTH",
        "'BOTH'",
    ),
    "an open file": ("FILE = open(__file__)\ndef check(r):\n    return FILE.read()", "'FILE'"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_canonical_form_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Never a digest that leaves something out: the refusal names what it is."""
    text, named = REFUSED[name]
    with loaded(tmp_path, {CHECKS: text}) as check, pytest.raises(NotListed) as refused:
        digest_of(check)
    assert named.strip("'") in str(refused.value)


def test_a_docstring_is_no_part_of_the_rule(tmp_path: Path) -> None:
    """It says what a check does, and decides nothing."""
    texts = ["def check(r):\n    return 1", "def check(r):\n    '''Ones.'''\n    return 1"]
    digests = set()
    for number, text in enumerate(texts):
        with loaded(tmp_path / str(number), {CHECKS: text}) as check:
            digests.add(digest_of(check))
    assert len(digests) == 1


EQUAL_LOOKING = [
    "1", "1.0", "True", "'1'", "b'1'", "(1,)", "[1]", "{1}", "frozenset({1})", "{1: 1}", "None",
    "0.0", "-0.0", "float('nan')", "float('inf')", "1 + 0j", "range(1)", "Decimal('1')",
    "Decimal('1.0')", "Fraction(1)", "Path('1')", "'\\ud800'", "[(1,)]", "[[1]]", "{1: [1]}",
    "{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", "datetime.date(2020, 1, 1)",
    "datetime.datetime(2020, 1, 1)", "datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)",
    "datetime.timedelta(1)", "re.compile('1')", "re.compile('1', re.I)", "10**40", "...",
    "{'part': 0}", "{'int': '1'}", "deque([1])", "deque([1], 2)", "defaultdict(int)",
    "np.float32(1)", "np.float64(1)", "np.arange(1)", "np.arange(1, dtype='i4')",
]  # fmt: skip


def test_values_that_differ_have_forms_that_differ(tmp_path: Path) -> None:
    """Equal under ``==`` is not equal: a type, a sign, an order and a nesting all count."""
    head = (
        "import datetime, re\nimport numpy as np\nfrom collections import defaultdict, deque\n"
        "from decimal import Decimal\nfrom fractions import Fraction\nfrom pathlib import Path\n"
    )
    forms: dict[str, str] = {}
    for number, value in enumerate(EQUAL_LOOKING):
        text = f"{head}VALUE = {value}\ndef check(r):\n    return VALUE"
        with loaded(tmp_path / str(number), {CHECKS: text}) as check:
            digest = digest_of(check)
        assert forms.setdefault(digest, value) == value
    assert len(forms) == len(EQUAL_LOOKING)
