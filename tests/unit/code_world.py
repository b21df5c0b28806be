"""Modules of checks for the tests of listings: written, loaded and walked like a deployment's.

A *feature* is one way in which a check can come by a number. A program is some features, the way
the check itself is made, and a number for each feature; what it answers is the sum of them.
"""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ro_platform.kernel.code.listing import listing_of

CHECKS, RULES = "checks_of_a_world", "rules_of_a_world"


@dataclass(frozen=True)
class Feature:
    """What stands in the module, what stands in the other module, and the term that it gives."""

    term: str
    module: str = ""
    rules: str = ""
    local: str = ""


FEATURES: Mapping[str, Feature] = {
    "literal": Feature("{v}"),
    "constant": Feature("CONSTANT", module="CONSTANT = {v}"),
    "nested constant": Feature(
        "TABLES['a'][1][0]", module="TABLES = {{'a': (0, [{v}]), 'b': {{1, 2}}}}"
    ),
    "helper": Feature("helper()", module="def helper():\n    return {v}"),
    "helper's constant": Feature(
        "far()", module="FAR = {v}\ndef far():\n    return near()\ndef near():\n    return FAR"
    ),
    "recursion": Feature(
        "down(3)", module="def down(n):\n    return {v} if n == 0 else down(n - 1)"
    ),
    "default": Feature("by_default()", module="D = {v}\ndef by_default(a=D):\n    return a"),
    "keyword default": Feature(
        "by_keyword()", module="K = {v}\ndef by_keyword(*, a=K):\n    return a"
    ),
    "class attribute": Feature("Limits.least", module="class Limits:\n    least = {v}"),
    "computed class attribute": Feature(
        "Computed.least", module="W = {v}\nclass Computed:\n    least = W"
    ),
    "attribute set later": Feature(
        "Later.least", module="class Later:\n    least = 0\nLater.least = {v}"
    ),
    "inherited": Feature(
        "Child.least", module="class Parent:\n    least = {v}\nclass Child(Parent):\n    pass"
    ),
    "method": Feature(
        "Judge(1).least()",
        module="class Judge:\n    def __init__(self, n):\n        self.n = n\n"
        "    def least(self):\n        return self.n * {v}",
    ),
    "static method": Feature(
        "Static.least()",
        module="class Static:\n    @staticmethod\n    def least():\n        return {v}",
    ),
    "property": Feature(
        "Proper().least",
        module="class Proper:\n    @property\n    def least(self):\n        return {v}",
    ),
    "object": Feature(
        "THING.size",
        module="class Thing:\n    def __init__(self, size):\n        self.size = size\n"
        "THING = Thing({v})",
    ),
    "slots": Feature(
        "SLOTTED.size",
        module="class Slotted:\n    __slots__ = ('size',)\n    def __init__(self, size):\n"
        "        self.size = size\nSLOTTED = Slotted({v})",
    ),
    "callable object": Feature(
        "CALLED()",
        module="class Called:\n    def __init__(self, size):\n        self.size = size\n"
        "    def __call__(self):\n        return self.size\nCALLED = Called({v})",
    ),
    "bound method": Feature(
        "BOUND()",
        module="class Box:\n    def __init__(self, size):\n        self.size = size\n"
        "    def get(self):\n        return self.size\nBOUND = Box({v}).get",
    ),
    "metaclass": Feature(
        "Made.least",
        module="class Meta(type):\n    @property\n    def least(cls):\n        return {v}\n"
        "class Made(metaclass=Meta):\n    pass",
    ),
    "dataclass": Feature(
        "Data().least",
        module="import dataclasses\nDV = {v}\n@dataclasses.dataclass(frozen=True)\n"
        "class Data:\n    least: int = DV",
    ),
    "dataclass factory": Feature(
        "Factory().least[0]",
        module="import dataclasses\n@dataclasses.dataclass\nclass Factory:\n"
        "    least: list = dataclasses.field(default_factory=lambda: [{v}])",
    ),
    "named tuple": Feature(
        "PAIR.least",
        module="import typing\nclass Pair(typing.NamedTuple):\n    least: int = 0\n"
        "PAIR = Pair({v})",
    ),
    "enumeration": Feature(
        "Level.LEAST.value", module="import enum\nclass Level(enum.Enum):\n    LEAST = {v}"
    ),
    "partial": Feature(
        "PARTIAL()",
        module="import functools\ndef add(a, b):\n    return a + b\n"
        "PARTIAL = functools.partial(add, {v}, b=0)",
    ),
    "partial's keyword": Feature(
        "KEYED()",
        module="import functools\ndef addk(a, b):\n    return a + b\n"
        "KEYED = functools.partial(addk, 0, b={v})",
    ),
    "signature that is given": Feature(
        "inspect.signature(given).parameters['least'].default",
        module="import inspect\ndef given(*args):\n    return args\n"
        "def taken(least={v}):\n    return least\n"
        "given.__signature__ = inspect.signature(taken)",
    ),
    "cached helper": Feature(
        "cached()",
        module="import functools\n@functools.lru_cache\ndef cached():\n    return {v}",
    ),
    "single dispatch": Feature(
        "kind(1)",
        module="import functools\n@functools.singledispatch\ndef kind(a):\n    return 0\n"
        "@kind.register\ndef _(a: int):\n    return {v}",
    ),
    "context manager": Feature(
        "entered()",
        module="import contextlib\n@contextlib.contextmanager\ndef opened():\n    yield {v}\n"
        "def entered():\n    with opened() as a:\n        return a",
    ),
    "decorator's argument": Feature(
        "plus()",
        module="import functools\ndef adding(n):\n    def wrap(f):\n        @functools.wraps(f)\n"
        "        def inner():\n            return f() + n\n        return inner\n    return wrap\n"
        "@adding({v})\ndef plus():\n    return 0",
    ),
    "decorated inner": Feature(
        "through()",
        module="import functools\ndef plain(f):\n    @functools.wraps(f)\n    def inner():\n"
        "        return f()\n    return inner\n@plain\ndef through():\n    return {v}",
    ),
    "function attribute": Feature(
        "marked.least", module="def marked():\n    pass\nmarked.least = {v}"
    ),
    "closure": Feature(
        "captured()",
        module="def capture(n):\n    def inner():\n        return n\n    return inner\n"
        "captured = capture({v})",
    ),
    "closure in a closure": Feature(
        "deep()",
        module="def outer(n):\n    def middle():\n        def inner():\n            return n\n"
        "        return inner\n    return middle()\ndeep = outer({v})",
    ),
    "lambda": Feature("LAMBDA()", module="LAMBDA = lambda: {v}"),
    "lambdas on one line": Feature(
        "ONE()", module="ZERO, ONE, TWO = lambda: 0, lambda: {v}, lambda: 2"
    ),
    "dispatch table": Feature(
        "TABLE['b']()",
        module="def zero():\n    return 0\ndef first():\n    return {v}\n"
        "TABLE = {{'a': zero, 'b': first}}",
    ),
    "table that calls itself": Feature(
        "SELF['a']()",
        module="def again():\n    return SELF['n']\nSELF = {{'a': again, 'n': {v}}}",
    ),
    "late binding": Feature(
        "LOOPED[0]()",
        module="LOOPED = []\ndef loop():\n    for n in (1, {v}):\n"
        "        LOOPED.append(lambda: n)\nloop()",
    ),
    "loop over a table": Feature(
        "PINNED[1]()",
        module="PINNED = []\nfor n in (1, {v}):\n    def pinned(n=n):\n        return n\n"
        "    PINNED.append(pinned)",
    ),
    "comprehension": Feature("sum(x for x in NUMBERS)", module="NUMBERS = [0, {v}]"),
    "walrus and match": Feature(
        "matched(1)",
        module="def matched(a):\n    match a:\n        case 1 if (b := {v}) is not None:\n"
        "            return b\n        case _:\n            return 0",
    ),
    "f-string": Feature("int(f'{{FILLED:>3}}')", module="FILLED = {v}"),
    "operator": Feature(
        "PICK([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])",
        module="import operator\nPICK = operator.itemgetter({v})",
    ),
    "set": Feature("max(NAMES)", module="NAMES = frozenset([-1, {v}])"),
    "pattern": Feature("len(PATTERN.pattern)", module="import re\nPATTERN = re.compile('a' * {v})"),
    "decimal": Feature("int(D_)", module="from decimal import Decimal\nD_ = Decimal('{v}')"),
    "timedelta": Feature(
        "SPAN.days", module="import datetime\nSPAN = datetime.timedelta(days={v})"
    ),
    "module attribute": Feature("{r}.LIMIT", module="import {r}", rules="LIMIT = {v}"),
    "module's helper": Feature(
        "{r}.other()", module="import {r}", rules="O = {v}\ndef other():\n    return O"
    ),
    "from import": Feature("FROM", module="from {r} import FROM", rules="FROM = {v}"),
    "from import of a helper": Feature(
        "fetched()",
        module="from {r} import fetched",
        rules="def fetched():\n    return inner_of_fetched()\ndef inner_of_fetched():\n"
        "    return {v}",
    ),
    "import in the body": Feature("LOCAL", rules="LOCAL = {v}", local="from {r} import LOCAL"),
    "import in the body, as a module": Feature(
        "r_.LOCAL_2", rules="LOCAL_2 = {v}", local="import {r} as r_"
    ),
    "captured module": Feature(
        "over()",
        module="import {r}\ndef hold(m):\n    def over():\n        return m.HELD\n"
        "    return over\nover = hold({r})",
        rules="HELD = {v}",
    ),
    "conditional name": Feature(
        "EITHER",
        module="try:\n    from {r} import EITHER\nexcept ImportError:\n    EITHER = 0",
        rules="EITHER = {v}",
    ),
    "parent's method through super": Feature(
        "Below().least()",
        module="class Above:\n    def least(self):\n        return {v}\nclass Below(Above):\n"
        "    def least(self):\n        return super().least()",
    ),
    "int that is more": Feature("int(MORE)", module="class More(int):\n    pass\nMORE = More({v})"),
}

MAKERS: Mapping[str, str] = {
    "plain": "def check(rows):\n    {local}\n    return len(rows) + {sum}",
    "factory": "def make():\n    def check(rows):\n        {local}\n"
    "        return len(rows) + {sum}\n    return check\ncheck = make()",
    "decorated": "import functools\ndef same(f):\n    @functools.wraps(f)\n"
    "    def inner(*args):\n        return f(*args)\n    return inner\n"
    "@same\ndef check(rows):\n    {local}\n    return len(rows) + {sum}",
    "helper": "def work(rows):\n    {local}\n    return len(rows) + {sum}\n"
    "def check(rows):\n    return work(rows)",
    "method": "class Work:\n    def run(self, rows):\n        {local}\n"
    "        return len(rows) + {sum}\ncheck = Work().run",
    "partial": "import functools\ndef work(rows, more):\n    {local}\n"
    "    return len(rows) + more + {sum}\ncheck = functools.partial(work, more=0)",
    "inner function": "def check(rows):\n    {local}\n    def inner():\n"
    "        return [{sum} for _ in (1,)][0]\n    return len(rows) + inner()",
    "inner class": "def check(rows):\n    {local}\n    class Inner:\n"
    "        def run(self):\n            return {sum}\n    return len(rows) + Inner().run()",
}


@dataclass(frozen=True)
class Program:
    """A module of a check, and the module of rules beside it."""

    maker: str
    numbers: Mapping[str, int]
    extra: str = field(default="", compare=False)

    def texts(self) -> dict[str, str]:
        """The two modules as text, by their name."""
        module, rules, terms, local = [""], [""], [], []
        for name, number in self.numbers.items():
            feature = FEATURES[name]
            words = {"v": number, "r": RULES}
            module.append(feature.module.format(**words))
            rules.append(feature.rules.format(**words))
            terms.append(feature.term.format(**words))
            local.append(feature.local.format(**words) or "pass")
        maker = MAKERS[self.maker].format(sum=" + ".join(terms), local="; ".join(local) or "pass")
        return {
            CHECKS: "\n".join([*module, self.extra, maker, ""]),
            RULES: "\n".join([*rules, ""]),
        }


@contextmanager
def loaded(folder: Path, texts: Mapping[str, str]) -> Iterator[Any]:
    """The check of these modules, written into a folder and imported from there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(CHECKS).check
    finally:
        sys.path.remove(str(folder))
        for name in texts:
            sys.modules.pop(name, None)


def digest_of(check: Callable[..., Any]) -> str:
    """The digest of a check's listing."""
    return listing_of({"check": check}, home=CHECKS).digest


def outcome(folder: Path, program: Program) -> tuple[int, str]:
    """What a program's check answers, and its digest."""
    with loaded(folder, program.texts()) as check:
        return check([]), digest_of(check)
