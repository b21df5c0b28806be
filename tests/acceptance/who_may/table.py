"""What was found, as the page of the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from ro_platform.contracts import Role
from tests.acceptance.who_may.actions import ADMINISTRATIVE, BESIDES
from tests.acceptance.who_may.forms import FORMS
from tests.acceptance.who_may.mutations import MUTATIONS
from tests.acceptance.who_may.people import Person, Where

PAGE = "docs/reference/who-may-do-what.md"


class Cell(StrEnum):
    """What came of one attempt; false for a refusal."""

    NO = ""
    YES = "yes"
    WITH_SECOND = "with a second person"


Rows = dict[str, dict[Person, Cell]]
_EVERYWHERE = {Where.NOT, Where.HERE}
_MARKS: Mapping[frozenset[Where], str] = {
    frozenset(): "-",
    frozenset(_EVERYWHERE): "yes",
    frozenset({*_EVERYWHERE, Where.ITS}): "yes, w",
    frozenset(Where): "looks",
}
_INTRODUCTION = """\
# Who may do what: the table

Every role, narrowed in every way, against every administrative action, every form below
`/operations` and every GraphQL mutation of the installed Dagster. Each cell was tried on a
deployment with a real token, the actions by `ro`, the rest through the gateway. `RO_WRITE_TABLE=1
pytest tests/acceptance/test_who_may_do_what.py` writes this page; without the variable, the test
compares.

Where it says that somebody may, it was done. Where it does not, nothing changed: no byte of a file,
no table of Dagster's, and of the [ledger](ledger.md) nothing but the record of the refusal.

| cell | who has the role, and where it holds |
|---|---|
| `yes` | may, with the role in every environment or in this one |
| `yes, w` | also with the role in the one workload that it is about |
| `yes 2`, `yes 2, w` | the same, with a second person who approves: proposed, approved, executed |
| `looks` | may like everybody who may look: it changes nothing but what the UI shows to them |
| `-` | nobody with that role |

A role in another workload, or in another environment, allowed nothing in any row. What each role
allows is in [Access](access.md#actions).
"""


def for_page(rows: Rows) -> str:
    """The whole page. Raises :class:`KeyError` for what nobody should have come across."""
    kinds = [
        ("Administrative actions", [one.name for one in ADMINISTRATIVE]),
        ("What belongs to them", [one.name for one in BESIDES]),
        ("Forms of the operations pages", [one.name for one in FORMS]),
        ("Mutations of Dagster", [one.name for one in MUTATIONS]),
    ]
    parts = [_INTRODUCTION]
    for heading, names in kinds:
        parts += [f"## {heading}\n", *_table(rows, names), ""]
    parts.append(_reasons())
    return "\n".join(parts)


def _table(rows: Rows, names: Iterable[str]) -> Iterator[str]:
    yield f"| | {' | '.join(Role)} |"
    yield f"|---|{'---|' * len(Role)}"
    for name in names:
        cells = [_mark(rows[name], role) for role in Role]
        shown = f"`{name}`" if " " not in name or name.startswith("/") else name
        yield f"| {shown} | {' | '.join(cells)} |"


def _mark(found: Mapping[Person, Cell], role: Role) -> str:
    where = frozenset(one.where for one, cell in found.items() if one.role is role and cell)
    cells = {cell for one, cell in found.items() if one.role is role and cell}
    mark = _MARKS[where]
    return mark.replace("yes", "yes 2") if cells == {Cell.WITH_SECOND} else mark


def _reasons() -> str:
    lines = [f"- `{one.name}`: {one.reason}." for one in MUTATIONS if one.reason]
    return "\n".join(
        [
            "These were let through to who may, and then failed by themselves, for another reason:",
            "",
            *lines,
            "",
        ]
    )
