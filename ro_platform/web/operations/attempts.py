"""Attempts that run, are lost or were refused: the newest moves of the ledger, so many at a time.

What is shown costs the same however long the ledger is: a page looks through a fixed number of
moves, says how far back that was, and leads on to those before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from ro_platform.contracts import Action, AttemptTransition, EntryKind, JobStatus, LedgerEntry
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import transition_of
from ro_platform.runs.history import newest_of
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.layout import BASE, Page, listed, section

MOST_MOVES = 2000
"""Moves that one page looks through."""
UNDER_WAY = (JobStatus.RUNNING, JobStatus.QUEUED)
TROUBLED = (JobStatus.LOST, JobStatus.REFUSED)
_SHOWN = 50
_CHOICES = {
    "under way": UNDER_WAY,
    "lost or refused": TROUBLED,
    "lost": (JobStatus.LOST,),
    "refused": (JobStatus.REFUSED,),
    "failed": (JobStatus.FAILED,),
}
_COLUMNS = ("Work", "State", "Since (UTC)", "Run", "Dagster run", "Why")


@dataclass(frozen=True, slots=True)
class Seen:
    """An attempt as its newest move says that it stands."""

    entry: LedgerEntry
    attempt: AttemptTransition

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to."""
        return self.entry.correlation_ids.run_id

    @property
    def dagster_run_id(self) -> str | None:
        """The run of Dagster that it is a step of."""
        return self.entry.correlation_ids.dagster_run_id


@dataclass(frozen=True, slots=True)
class Lately:
    """The attempts that moved lately, newest first. ``reached`` is the oldest entry that was looked
    at, None if there are none before it."""

    attempts: tuple[Seen, ...]
    reached: LedgerEntry | None

    def of(self, statuses: Collection[JobStatus]) -> list[Seen]:
        """Those that stand so."""
        return [item for item in self.attempts if item.attempt.status in statuses]


def lately(log: LedgerReader, before: int | None = None) -> Lately:
    """The attempts with a move among the newest (before that entry)."""
    newest: dict[str, Seen] = {}
    looked, last = 0, None
    for entry in log.scan(
        kind=EntryKind.ATTEMPT_TRANSITION, end=before, newest_first=True, limit=MOST_MOVES
    ):
        looked, last = looked + 1, entry
        name = str(entry.body["attempt_id"])
        if name not in newest:
            newest[name] = Seen(entry, transition_of(entry))
    return Lately(tuple(newest.values()), last if looked == MOST_MOVES else None)


def attempts_page(services: PageServices, context: PageContext) -> Page:
    """Attempts of one kind. Raises :class:`InvalidInputError` for an address that makes none."""
    chosen = context.query.get("state", "under way")
    statuses = _CHOICES.get(chosen, UNDER_WAY)
    before = parts.before_of(context.query)
    found = lately(services.plane.ledger, before)
    # A move before that entry may not be an attempt's newest one.
    candidates = (item for item in found.of(statuses) if before is None or _stands(services, item))
    standing = list(islice(candidates, _SHOWN + 1))
    choices = [_choice(name, chosen) for name in _CHOICES]
    body = [
        el("nav", listed(choices), aria_label="Attempts by state"),
        section(
            f"Attempts {chosen}",
            attempts_table(
                services,
                context,
                standing[:_SHOWN],
                f"Attempts {chosen}, newest first",
                empty=f"No attempt is {chosen}.",
            ),
            _onward(found, standing, chosen),
            anchor="attempts",
        ),
    ]
    return Page("Attempts", body)


def attempts_table(
    services: PageServices, context: PageContext, found: Sequence[Seen], caption: str, *, empty: str
) -> Html:
    """Attempts, each with its run, its run in Dagster, and how to end one that runs."""
    may_cancel, _ = services.may(context.actor, Action.CANCEL_RUN)
    columns = (*_COLUMNS, "") if may_cancel else _COLUMNS
    rows = [[*_cells(item), *([_cancel(item)] if may_cancel else [])] for item in found]
    return parts.table(caption, columns, rows, empty)


def back_to(found: Lately) -> Html | None:
    """How far back was looked, if there is more."""
    if found.reached is None:
        return None
    return el(
        "p",
        f"Looked through the newest {MOST_MOVES:,} moves, back to ",
        parts.when(found.reached.recorded_at_utc),
        " (UTC).",
        class_="note",
    )


def _cells(item: Seen) -> list[Node]:
    attempt = item.attempt
    return [
        f"{attempt.unit} #{attempt.number}",
        parts.word(attempt.status.value),
        parts.when(item.entry.recorded_at_utc),
        parts.run_link(item.run_id),
        parts.dagster_link(item.dagster_run_id),
        parts.error_words(attempt.error_code, attempt.error),
    ]


def _cancel(item: Seen) -> Node:
    if item.attempt.status not in UNDER_WAY or item.dagster_run_id is None:
        return None
    words = ["Cancel", el("span", f" the run of {item.attempt.unit}", class_="hidden"), " …"]
    return parts.link(f"{BASE}/act/cancel-run", words, dagster_run_id=item.dagster_run_id)


def _stands(services: PageServices, item: Seen) -> bool:
    return newest_of(services.plane.ledger, item.attempt) == item.attempt


def _choice(name: str, chosen: str) -> Html:
    address = f"{BASE}/attempts?state={name.replace(' ', '+')}"
    current = "page" if name == chosen else None
    return el("a", name.capitalize(), href=address, aria_current=current, class_="button")


def _onward(found: Lately, standing: Sequence[Seen], chosen: str) -> Node:
    if len(standing) > _SHOWN:
        rest = standing[_SHOWN - 1].entry.seq
    elif found.reached is not None:
        rest = found.reached.seq
    else:
        return None
    address = f"{BASE}/attempts"
    return [
        back_to(found),
        el("p", parts.link(address, "Older ones", state=chosen, before=str(rest))),
    ]
