"""The names that entries are found by: stored ones never change, and each is of one kind."""

from __future__ import annotations

import doctest
import inspect
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from ro_platform.ledger import names
from ro_platform.ledger.names import PLACES, NameForm, Part
from tests.archives import unpack
from tests.effort import times

ROOT = Path(__file__).parents[2]
TABLE = json.loads(Path(__file__).with_name("vectors").joinpath("ledger_names.json").read_text())
HOMES = sorted((ROOT / "tests/fixtures/homes").glob("*/sqlite.tar.xz"))
WIDELY = settings(max_examples=times(5000))
Form = NameForm[*tuple[Any, ...]]
FORMS: dict[str, Form] = {
    name: form for name, form in vars(names).items() if isinstance(form, NameForm)
}
FIXED = {
    name: text for name, text in vars(names).items() if name.isupper() and isinstance(text, str)
}
WORDS = sorted({word for form in FORMS.values() for word in form.template.split("/")})


def values(part: Part[Any]) -> st.SearchStrategy[Any]:
    """What a part can be: anything of its pattern, and of that most of all the fixed words of
    other names, whole names, and pieces that look like the ends of names."""
    pattern = rf"(?s:{part.pattern})\Z"
    tricks = [*WORDS, *FIXED.values(), *(item["name"] for item in TABLE["names"]), "0", "7"]
    mine = [text for text in tricks if _matches(part, text)]
    drawn = st.from_regex(pattern, fullmatch=True).filter(lambda text: "\0" not in text)
    return st.one_of(*([st.sampled_from(mine)] if mine else []), drawn).map(part.read)


def _matches(part: Part[Any], text: str) -> bool:
    return NameForm("<all>", (part,)).parse(text) is not None


def parts_of(form: Form) -> st.SearchStrategy[tuple[Any, ...]]:
    """Parts that a name of that form can have."""
    return st.tuples(*map(values, form.parts))


def names_in(place: tuple[Form | str, ...]) -> st.SearchStrategy[str]:
    """The names that can stand in a place."""
    return st.sampled_from(place).flatmap(
        lambda kind: (
            st.just(kind) if isinstance(kind, str) else parts_of(kind).map(lambda some: kind(*some))
        )
    )


def kinds_in(place: tuple[Form | str, ...], name: str) -> list[Form | str]:
    """The kinds of one place that the name is of."""
    return [
        kind
        for kind in place
        if (kind == name if isinstance(kind, str) else kind.parse(name) is not None)
    ]


@pytest.mark.parametrize("item", TABLE["names"], ids=lambda item: f"{item['form']}: {item['name']}")
def test_a_stored_name_is_built_and_read_as_it_always_was(item: dict[str, Any]) -> None:
    """Each name of the table, which was written down as earlier code stored it, is built of its
    parts byte for byte, and parsed into them."""
    form = FORMS[item["form"]]
    assert form(*item["parts"]) == item["name"]
    assert form.parse(item["name"]) == tuple(item["parts"])


def test_the_table_has_every_kind_of_name() -> None:
    """No form is without an example of what was stored, and no fixed name is another one now."""
    assert {item["form"] for item in TABLE["names"]} == FORMS.keys()
    assert TABLE["fixed"] == FIXED


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=times(20))
@given(data=st.data())
def test_what_is_built_is_parsed_into_its_parts(name: str, data: st.DataObject) -> None:
    """``parse(build(x)) == x`` for all parts, of their very types."""
    form = FORMS[name]
    parts = data.draw(parts_of(form))
    assert form.parse(form(*parts)) == parts
    assert [type(part) for part in form.parse(form(*parts)) or ()] == [type(part) for part in parts]


@pytest.mark.parametrize("place", PLACES)
@given(data=st.data())
def test_no_two_kinds_of_one_place_have_the_same_name(place: str, data: st.DataObject) -> None:
    """A name that one kind can build is of that kind alone among those that stand where it does."""
    assert len(kinds_in(PLACES[place], data.draw(names_in(PLACES[place])))) == 1


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("subject", names.ledger_grant_event_key),  # of a database role that is called "segment"
        ("mention", NameForm("admin/<anything>", (Part(r"[^/]+", str),))),
        ("key", NameForm("refused/<anything>", (Part(r".+", str),))),
        ("target", NameForm("config/<anything>", (Part(r".+", str),))),
    ],
)
def test_a_kind_that_shares_a_name_with_another_is_found(place: str, kind: Form) -> None:
    """The search by which the law above is tested finds what breaks it, however rare."""
    kinds = (*PLACES[place], kind)
    clash = find(names_in(kinds), lambda name: len(kinds_in(kinds, name)) > 1, settings=WIDELY)
    assert kind in kinds_in(kinds, clash)


def test_every_kind_has_a_place() -> None:
    """Each form and each fixed name stands in at least one place, and in none twice."""
    every = [*FORMS.values(), *FIXED.values()]
    placed = [kind for place in PLACES.values() for kind in place]
    assert all(kind in placed for kind in every)
    assert all(len({*place}) == len(place) for place in PLACES.values())


@pytest.mark.parametrize("name", [*FORMS, *FIXED])
def test_every_kind_says_what_it_names(name: str) -> None:
    """A sentence stands below each declaration."""
    source = inspect.getsource(names)
    after = source[source.index(f"\n{name} = ") :].split('"""', 2)
    assert after[1].endswith(".")
    assert after[0].count("\n\n") == 0


def test_every_kind_is_in_the_reference() -> None:
    """The ledger's page has the form of each subject, key and mention."""
    page = (ROOT / "docs/reference/ledger.md").read_text(encoding="utf-8")
    missing = [
        kind
        for place in ("subject", "key", "mention")
        for kind in PLACES[place]
        if f"`{kind if isinstance(kind, str) else kind.template}`" not in page
    ]
    assert missing == []


@pytest.mark.parametrize("archive", HOMES, ids=lambda path: path.parent.name)
def test_every_name_in_a_kept_ledger_is_of_one_kind(archive: Path, tmp_path: Path) -> None:
    """What an earlier release stored is parsed by one form of its place, which builds it again."""
    seen = set()
    for place, name in _stored(archive, tmp_path):
        kinds = kinds_in(PLACES[place], name)
        assert len(kinds) == 1, (place, name, kinds)
        (kind,) = kinds
        seen.add(kind if isinstance(kind, str) else kind.template)
        if isinstance(kind, NameForm):
            assert kind(*(kind.parse(name) or ())) == name
    assert len(seen) > 25, "the ledger has so many kinds of names that the test says something"


def _stored(archive: Path, folder: Path) -> Iterator[tuple[str, str]]:
    unpack(archive, folder)
    (ledger,) = folder.rglob("ledger.sqlite")
    with closing(sqlite3.connect(ledger)) as database:
        rows = [json.loads(row[0]) for row in database.execute("SELECT entry FROM entry")]
    for entry in rows:
        yield "subject", entry["subject"]
        yield from [("key", entry["key"])] if "key" in entry else []
        yield from (("mention", name) for name in entry.get("mentions", ()))


def test_the_example_is_true() -> None:
    """What the module's docstring shows is what it does."""
    done = doctest.testmod(names)
    assert done.attempted > 0
    assert done.failed == 0
