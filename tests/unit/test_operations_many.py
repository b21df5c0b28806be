"""The operations pages where there is a lot: bounded, in order, complete; and their links."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from ro_platform.admin.directives import MAX_LIFETIME
from ro_platform.admin.orchestrator import RunUnderWay
from ro_platform.contracts import AdminActionType
from ro_platform.errors import BackendUnavailableError
from ro_platform.kernel.clock import ManualClock
from ro_platform.web.operations.directive_list import MOST_LOOKED_AT, directives_before
from tests.unit.admin_world import OPS, READER, SECOND, AdminWorld, ask, pause, revoke
from tests.unit.operations_world import OperationsWorld, Seen

MANY = 130


@pytest.fixture
def world() -> AdminWorld:
    """An administered world."""
    return AdminWorld()


@pytest.fixture
def pages(world: AdminWorld, tmp_path: Path) -> OperationsWorld:
    """Its pages."""
    return OperationsWorld(world.plane, tmp_path, world.orchestrator)


# --- pauses --------------------------------------------------------------------------------------


def test_many_pauses_are_shown_by_pages(world: AdminWorld, pages: OperationsWorld) -> None:
    """The overview shows the first ten and says how many there are; following the pages shows each
    once, by target, with its own form to resume it."""
    names = [f"workload/w{number:03}" for number in range(MANY)]
    for name in names:
        world.do(pause(name), OPS, key=name)
    first = pages.get(OPS)
    assert len(_paused(first)) == 10
    assert f"All {MANY} pauses" in first.text
    seen, after = [], ""
    for _ in range(3):
        page = pages.get(OPS, "/pauses", after=after)
        seen += _paused(page)
        after = seen[-1]
        assert (f"after={quote_plus(after)}" in page.html) == (after != names[-1])
    assert seen == names


def test_a_drain_says_what_it_waits_for_as_dagster_knows_it(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """How many runs are still to end, that none is, that its time is over; and where Dagster cannot
    be asked, that, and not that nothing runs."""
    world.do(ask(AdminActionType.DRAIN, {"target": "plane", "limit_seconds": 60}), OPS)
    assert "draining: 1 run still to end" in pages.get(OPS).text
    world.orchestrator.runs.append(RunUnderWay("run-2", "w", (), OPS, True))
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    clock.advance(61)
    assert "draining: 2 runs still to end, and its time is over" in pages.get(OPS).text
    world.orchestrator.runs.clear()
    assert "draining: nothing runs there" in pages.get(OPS).text

    def unreachable() -> list[RunUnderWay]:
        raise BackendUnavailableError("Dagster's database is away.", next_step="Wait.")

    world.orchestrator.running = unreachable  # type: ignore[method-assign]
    assert "draining: Dagster does not say what runs there" in pages.get(OPS).text


# --- directives ----------------------------------------------------------------------------------


def test_many_directives_are_shown_by_pages(world: AdminWorld) -> None:
    """Each open one once, newest first, however many of the others are between them; ended ones
    only where all are asked for."""
    proposed = [_proposed(world, number) for number in range(45)]
    for name in proposed[:20]:
        world.admin.directives.reject(name, reason="not now", actor=SECOND)
    for ended, expected in ((False, proposed[20:]), (True, proposed)):
        assert _followed(world, ended=ended) == expected[::-1]
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    clock.advance((MAX_LIFETIME + timedelta(seconds=1)).total_seconds())
    assert directives_before(world.plane).directives == ()
    assert directives_before(world.plane).onward is None


def test_a_flood_of_moves_hides_no_open_directive(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """Where a page did not look to the end it says so, and leads on to what is older."""
    oldest = _proposed(world, 0)
    for number in range(1, MOST_LOOKED_AT // 2 + 1):
        world.admin.directives.reject(_proposed(world, number), reason="no", actor=SECOND)
    assert oldest not in pages.get(SECOND).html
    onward = re.search(r'href="/operations/directives\?before=(\d+)"', pages.get(SECOND).html)
    assert onward
    older = pages.get(SECOND, "/directives", before=onward[1])
    assert f"/operations/directives/{oldest}" in older.html


# --- links ---------------------------------------------------------------------------------------


def test_links_lead_to_the_asset_its_partition_and_its_gate(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """In the Dagster UI, whose addresses these are."""
    world.do(revoke(world.made_one), OPS)
    html = pages.get(OPS).html
    print_ = world.fingerprint
    assert f'href="/assets/source?view=partitions&amp;partition={print_}"' in html
    assert 'href="/assets/source?view=checks&amp;checkDetail=good"' in html


def test_targets_are_links_and_forms_offer_those_in_use(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """What is paused leads to its runs or asset; the form offers what was in use, and to resume
    only what is paused."""
    for target in ("workload/w", "asset/source"):
        world.do(pause(target), OPS, key=target)
    html = pages.get(OPS).html
    assert 'href="/runs?q%5B0%5D=tag%3Aro%2Fworkload%3Dw"' in html
    assert 'href="/assets/source"' in html
    offered = [item["value"] for item in pages.get(OPS, "/act/drain").all("option")][:5]
    assert offered[:4] == ["plane", "workload/w", "asset/report", "asset/source"]
    assert [item["value"] for item in pages.get(OPS, "/act/resume").all("option")][:2] == [
        "asset/source",
        "workload/w",
    ]


def test_an_event_leads_to_its_directive(world: AdminWorld, pages: OperationsWorld) -> None:
    """What was done by a directive names it."""
    name = world.approved(pause(), OPS)
    world.admin.directives.execute(name, actor=OPS)
    assert f'<a href="/operations/directives/{name}">pause</a>' in pages.get(READER, "/events").html


def _proposed(world: AdminWorld, number: int) -> str:
    request = pause(f"workload/w{number}")
    return world.admin.directives.propose(request, actor=OPS, key=str(number)).directive_id


def _followed(world: AdminWorld, *, ended: bool) -> list[str]:
    seen: list[str] = []
    before: int | None = None
    while True:
        page = directives_before(world.plane, before, ended=ended, most=7)
        seen += [item.directive_id for item in page.directives]
        if page.onward is None:
            return seen
        before = page.onward


def _paused(seen: Seen) -> list[str]:
    """The targets that have a form to resume them."""
    return [form.fields["target"] for form in seen.forms if form.action == "/operations/act/resume"]
