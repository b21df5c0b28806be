"""What libraries and the language keep of a program beside its functions is in its listing too."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ro_platform.kernel.code import owners
from ro_platform.kernel.code.listing import forms_of
from ro_platform.kernel.code.syntax import NotListed
from tests.unit.code_world import CHECKS, digest_of, loaded

ROOT = Path(__file__).parents[2]

COVERED = {
    "a method that singledispatch made": (
        "import functools\nclass J:\n    @staticmethod\n    @functools.singledispatch\n"
        "    def least(x):\n        return V\ndef check(): return J.least(1)"
    ),
    "the name that a model's field is read by": (
        "import pydantic\nA = f'f{V}'\nclass M(pydantic.BaseModel):\n"
        "    a: int = pydantic.Field(default=0, alias=A)\ndef check(): return M(f2=7).a"
    ),
    "what a model's field says besides": (
        "import pydantic\nA = V\nclass M(pydantic.BaseModel):\n"
        "    a: int = pydantic.Field(default=0, json_schema_extra={'least': A})\n"
        "def check(): return M.model_fields['a'].json_schema_extra['least']"
    ),
    "a model's private attribute": (
        "import pydantic\nA = V\nclass M(pydantic.BaseModel):\n"
        "    _a: int = pydantic.PrivateAttr(default=A)\ndef check(): return M()._a"
    ),
    "a field of a data class of pydantic": (
        "import pydantic, pydantic.dataclasses\nA = V\n@pydantic.dataclasses.dataclass\nclass M:\n"
        "    a: int = pydantic.Field(default=3, ge=A, validate_default=True)\n"
        "def check():\n    try:\n        return M().a\n    except ValueError:\n        return 0"
    ),
    "what an enumeration says is no member": (
        "import enum\nA = V\nclass L(enum.Enum):\n    X = 1\n    least = enum.nonmember(A)\n"
        "def check(): return L.least"
    ),
    "a cached method of an enumeration": (
        "import enum, functools\nclass L(enum.Enum):\n    X = 1\n    @functools.lru_cache\n"
        "    def least(self): return V\ndef check(): return L.X.least()"
    ),
    "an attribute of a member": (
        "import enum\nA = V\nclass T(enum.Enum):\n    def __new__(cls, value, limit):\n"
        "        o = object.__new__(cls)\n        o._value_ = value\n        o.limit = limit\n"
        "        return o\n    GOLD = ('gold', A)\ndef check(): return T.GOLD.limit"
    ),
    "an attribute that an enumeration is given later": (
        "import enum\nclass T(enum.Enum):\n    GOLD = 1\nT.limits = {'x': V}\n"
        "def check(): return T.limits['x']"
    ),
    "the metadata of a data class's field": (
        "import dataclasses\nA = V\n@dataclasses.dataclass\nclass D:\n"
        "    a: int = dataclasses.field(default=0, metadata={'least': A})\n"
        "def check(): return dataclasses.fields(D)[0].metadata['least']"
    ),
    "what a data class compares": (
        "import dataclasses\nC = V == 2\n@dataclasses.dataclass\nclass A:\n"
        "    v: int = dataclasses.field(default=0, compare=C)\ndef check(): return A(1) == A(2)"
    ),
    "whether a data class is compared": (
        "import dataclasses\nC = V == 2\n@dataclasses.dataclass(eq=C)\nclass A:\n    v: int = 0\n"
        "def check(): return A(1) == A(1)"
    ),
    "what the annotations of a class carry": (
        "import typing\nA = V\nclass D:\n    a: typing.Annotated[int, A]\n"
        "def check(): return typing.get_type_hints(D, include_extras=True)['a'].__metadata__[0]"
    ),
    "what annotations that are written as text carry": (
        "from __future__ import annotations\nimport sys, typing\nA = V\n"
        "def helper(a: list[typing.Annotated[int, A]], b: nowhere.at_all): pass\n"
        "class Filled:\n    at_all = int\n"
        "def check():\n"
        "    names = {**vars(sys.modules[helper.__module__]), 'nowhere': Filled}\n"
        "    hints = typing.get_type_hints(helper, names, include_extras=True)\n"
        "    return hints['a'].__args__[0].__metadata__"
    ),
    "what the annotations of a helper carry": (
        "import typing\nA = V\ndef helper(a: typing.Annotated[int, A]): pass\n"
        "def check(): return typing.get_type_hints(helper, include_extras=True)['a'].__metadata__"
    ),
    "what a typed dictionary carries": (
        "import typing\nA = V\nclass T(typing.TypedDict):\n    a: typing.Annotated[int, A]\n"
        "def check(): return T.__annotations__['a'].__metadata__[0]"
    ),
    "the names of a structured array's fields": (
        "import numpy as np\nN = 'lo hi'.split() if V == 2 else 'hi lo'.split()\n"
        "T = np.array([(1, 9)], dtype=[(N[0], 'i4'), (N[1], 'i4')])\n"
        "def check(): return int(T['lo'][0])"
    ),
    "a data class that a call made": (
        "import dataclasses\nL = dataclasses.make_dataclass('L', [('least', int, V)])\n"
        "def check(): return L().least"
    ),
    "a class that a call made": (
        "import types\nL = types.new_class('L', (), {}, lambda ns: ns.update(least=V))\n"
        "def check(): return L.least"
    ),
    "a class that a metaclass was called for": (
        "import abc\nL = abc.ABCMeta('L', (), {'least': V})\ndef check(): return L.least"
    ),
    "the keywords of a method caller": (
        "import operator\nM = operator.methodcaller('to_bytes', length=V, byteorder='big')\n"
        "def check(): return M(7)"
    ),
    "a number of thousands of digits": "B = 10**5000 + V\ndef check(): return B % 100",
    "a table of types of columns": (
        "import numpy as np\nL = {'a': np.dtype('f8' if V == 2 else 'f4')}\n"
        "def check(): return str(L['a'])"
    ),
}


@pytest.mark.parametrize("name", sorted(COVERED))
def test_a_number_that_is_kept_out_of_sight_is_in_the_digest(tmp_path: Path, name: str) -> None:
    """Another answer has another digest, wherever the number stands that makes the difference."""
    found = []
    for value in ("2", "5"):
        text = re.sub(r"\bV\b", value, COVERED[name])
        with loaded(tmp_path / value, {CHECKS: text}) as check:
            found.append((check(), digest_of(check)))
    (first, one), (second, other) = found
    assert first != second, "the change was to change the answer"
    assert one != other


HIDDEN = {
    "a generator of random numbers": (
        "import random\nclass R(random.Random): pass\nRNG = R(2)\ndef check(): return RNG.random()"
    ),
    "a partial with a class of its own": (
        "import functools\nclass P(functools.partial): pass\nL = P(int, 2)\ndef check(): return L()"
    ),
    "an array with a class of its own": (
        "import array\nclass A(array.array): pass\nL = A('i', [2])\ndef check(): return L[0]"
    ),
    "bytes that change, with a class of their own": (
        "class A(bytearray): pass\nL = A(b'x')\nL.least = 2\ndef check(): return L.least"
    ),
    "a method that a library checks the arguments of": (
        "import pydantic\nclass J:\n    @pydantic.validate_call\n"
        "    def least(self, x: int): return 2\ndef check(): return J().least(1)"
    ),
}


@pytest.mark.parametrize("name", sorted(HIDDEN))
def test_what_an_object_holds_in_native_code_is_refused(tmp_path: Path, name: str) -> None:
    """No attribute shows it, so no digest would."""
    with loaded(tmp_path, {CHECKS: HIDDEN[name]}) as check, pytest.raises(NotListed):
        digest_of(check)


SETS = """
import dataclasses, decimal, enum, typing
class Status(enum.Enum):
    A = "a"; B = "b"; C = "c"
class First(Exception): pass
class Second(Exception): pass
class Pair(typing.NamedTuple):
    a: int; b: str
@dataclasses.dataclass(frozen=True)
class Limit:
    a: int
SETS = [
    {Status.A, Status.B, Status.C}, frozenset({First, Second}), {Pair(1, "x"), Pair(2, "y")},
    {Limit(1), Limit(2)}, {(Status.A, 1), (Status.B, 2)}, {decimal.Decimal, int, float},
    {"a", 1, None},
]
def check(): return SETS
"""
DIGEST = "from tests.unit.code_world import digest_of; import {0}; print(digest_of({0}.check))"


def test_a_set_of_members_classes_and_records_is_the_same_under_each_hash_seed(
    tmp_path: Path,
) -> None:
    """Code of every day has sets of statuses and of exceptions: ordered by what they are."""
    (tmp_path / f"{CHECKS}.py").write_text(SETS)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST.format(CHECKS)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_a_new_type_of_a_type_checker_is_listed_by_what_it_is_of(tmp_path: Path) -> None:
    """It does nothing when it is called, and is no reason to refuse a check."""
    text = "import typing\nCents = typing.NewType('Cents', int)\ndef check(): return Cents(5)"
    with loaded(tmp_path, {CHECKS: text}) as check:
        assert len(digest_of(check)) == 64


@pytest.fixture
def shared_namespace(tmp_path: Path) -> Path:
    """A namespace ``acme_of_tests``, of which a distribution has one part and own files another."""
    site, own = tmp_path / "site", tmp_path / "own"
    installed, info = site / "acme_of_tests" / "common", site / "acme_common-1.0.dist-info"
    for folder in (installed, info, own / "acme_of_tests" / "fraud"):
        folder.mkdir(parents=True)
    (installed / "__init__.py").write_text("def norm(x):\n    return x\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-common\nVersion: 1.0\n")
    (info / "RECORD").write_text("acme_of_tests/common/__init__.py,,\n")
    (own / "acme_of_tests" / "fraud" / "__init__.py").write_text("")
    (own / f"{CHECKS}.py").write_text(
        "from acme_of_tests.common import norm\nfrom acme_of_tests.fraud import rules\n"
        "def check():\n    return norm(rules.LIMIT)\n"
    )
    return tmp_path


def _forms(*places: Path) -> dict[str, object]:
    """The listing of the check that is found on these places of the import path."""
    paths = [str(place) for place in places]
    sys.path[:0] = paths
    importlib.invalidate_caches()
    owners.owner_of.cache_clear()
    owners._owner_of_unit.cache_clear()
    try:
        return forms_of({"check": importlib.import_module(CHECKS).check}, home=CHECKS)
    finally:
        del sys.path[: len(paths)]
        for name in [name for name in sys.modules if name.startswith(("acme_of_tests", CHECKS))]:
            del sys.modules[name]
        owners.owner_of.cache_clear()
        owners._owner_of_unit.cache_clear()


def test_own_code_in_a_namespace_that_a_distribution_shares_is_own_code(
    shared_namespace: Path,
) -> None:
    """Each part of a namespace has an owner of its own: an edit of own files is noticed, and the
    part that is installed stands with its version."""
    own = shared_namespace / "own"
    found = []
    for limit in (2, 5):
        (own / "acme_of_tests" / "fraud" / "rules.py").write_text(f"LIMIT = {limit}\n")
        sys.pycache_prefix = str(shared_namespace / str(limit))
        found.append(_forms(shared_namespace / "site", own))
    sys.pycache_prefix = None
    assert found[0] != found[1]
    assert [each["distributions"] for each in found] == [{"acme-common": "1.0"}] * 2


def test_code_in_an_archive_has_the_digest_that_it_has_in_a_folder(tmp_path: Path) -> None:
    """An archive on the import path, as some packagers make, is read through its loader."""
    texts = {
        CHECKS: "import rules_in_archive\nclass C:\n    least = 2\n"
        "def check():\n    return C.least + rules_in_archive.LIMIT\n",
        "rules_in_archive": "LIMIT = 3\n",
    }
    with loaded(tmp_path / "folder", texts) as check:
        before = forms_of({"check": check}, home=CHECKS)
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in texts.items():
            file.writestr(f"{name}.py", text)
    assert _forms(archive) == before
    sys.modules.pop("rules_in_archive", None)
