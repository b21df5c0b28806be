"""The operations pages: what they show, what their forms do, and that nothing grows with the
ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.contracts import AdminActionType, DirectiveStatus, EntryKind, JobStatus
from ro_platform.contracts.access import AccessRefused
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.entry import EntryDraft
from ro_platform.web.operations.attempts import MOST_MOVES, UNDER_WAY, lately
from ro_platform.web.operations.events import MOST_LOOKED_AT, events_before
from ro_platform.web.operations.html import Html, el, together
from ro_platform.web.operations.refusing import MOST_ASKED, refusing_now
from tests.unit.access_world import token_for
from tests.unit.admin_world import (
    ADMIN,
    DEPLOYER,
    OPS,
    READER,
    SECOND,
    AdminWorld,
    pause,
    people,
    promote,
    retention,
    revoke,
)
from tests.unit.operations_world import OperationsWorld, Seen
from tests.unit.small_world import FAIL

PAUSE = {"target": "workload/w", "reason": "The input is late", "how": "do"}


@pytest.fixture
def world() -> AdminWorld:
    """An administered world."""
    return AdminWorld()


@pytest.fixture
def pages(world: AdminWorld, tmp_path: Path) -> OperationsWorld:
    """Its pages."""
    return OperationsWorld(world.plane, tmp_path, world.orchestrator)


# --- HTML ----------------------------------------------------------------------------------------


@given(st.text())
def test_text_is_escaped_wherever_it_stands(text: str) -> None:
    """No text of anybody's can open an element or end an attribute; HTML is not escaped again."""
    made = el("p", text, el("b", text), [text, None], title=text)
    inside = made.removeprefix("<p title=").removesuffix("</p>")
    assert inside.count("<") == 2  # those of the inner element
    assert made.count('"') == 2
    assert together(Html("<br>")) == "<br>"


def test_what_somebody_wrote_is_text_on_every_page(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """A reason, an actor's filter and an error that look like HTML are shown as they are."""
    evil = "<script>alert(1)</script>"
    pages.sent(OPS, "/act/pause", **{**PAUSE, "reason": evil})
    answers = [
        pages.get(OPS),
        pages.get(OPS, "/events", actor=f'"{evil}'),
        pages.get(OPS, "/act/pause", target=evil),
        pages.get(OPS, f"/runs/{evil.replace('/', '')}"),
    ]
    assert evil in answers[0].text
    for seen in answers:
        assert not seen.all("script")
        assert seen.unclosed == []


def test_a_page_may_load_and_run_nothing(pages: OperationsWorld) -> None:
    """Its policy allows its own style and nothing else, and it has no script."""
    seen = pages.get(OPS)
    assert (
        seen.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    )
    assert not seen.all("script")
    assert not [name for _, attributes in seen.elements for name in attributes if name[:2] == "on"]


# --- who and what --------------------------------------------------------------------------------


def test_it_says_who_one_is_and_by_which_policy(world: AdminWorld, pages: OperationsWorld) -> None:
    """The actor, the roles, the policy's version and digest."""
    found = world.plane.access.in_force
    assert found is not None
    text = pages.get(OPS).text
    for words in (OPS, "operator", f"version {found.version}", found.digest[:12]):
        assert words in text


def test_every_page_says_that_the_plane_is_in_its_single_user_mode(tmp_path: Path) -> None:
    """Also that of a form, which then offers no second person."""
    world = AdminWorld(governed=False)
    pages = OperationsWorld(world.plane, tmp_path, world.orchestrator)
    for path in ("/", "/attempts", "/events", "/act/pause", "/act/nothing"):
        assert "Single-user mode." in pages.get(ADMIN, path).text, path
    assert "Propose it" not in pages.get(ADMIN, "/act/pause").text
    assert pages.sent(ADMIN, "/act/pause", **PAUSE).status == 303


def test_a_reader_is_told_why_there_is_no_form(pages: OperationsWorld) -> None:
    """No form, no buttons; the reason instead. A request by hand is refused and recorded."""
    seen = pages.get(READER, "/act/pause")
    assert not seen.forms
    assert f"{READER} may not pause: their roles (reader) do not allow it." in seen.text
    forced = pages.post(READER, "/act/pause", {**PAUSE, "shown": "1"})
    assert forced.status == 403
    assert "RO_ACCESS_DENIED" in forced.text
    assert pages.services.plane.pauses.standing() == ()
    assert "refused" in pages.get(READER, "/events", action="refused", actor=READER).text


# --- acting --------------------------------------------------------------------------------------


def test_a_pause_is_performed_once_and_shown(world: AdminWorld, pages: OperationsWorld) -> None:
    """The same form sent twice is one action; the page it leads to says what came of it, by the
    record; the pause stands there with who, why and the form to resume."""
    form = pages.get(OPS, "/act/pause").forms[0].fields | PAUSE
    first, again = (pages.post(OPS, "/act/pause", form) for _ in range(2))
    assert (first.status, first.location) == (303, again.location)
    assert len(world.events("done")) == 2  # the policy's publication, and this
    seen = pages.get(OPS, done=_done(first))
    assert "pause of workload/w: done" in seen.text
    assert "The input is late" in seen.text
    resumed = pages.sent_form(OPS, "/", "/operations/act/resume", reason="It came")
    assert resumed.status == 303
    assert world.plane.pauses.standing() == ()


def test_pausing_twice_says_that_it_stands(world: AdminWorld, pages: OperationsWorld) -> None:
    """Two people who pause the same are two actions, and the newer reason stands."""
    world.do(pause(), OPS)
    pages.sent(OPS, "/act/pause", **PAUSE)
    (standing,) = world.plane.pauses.standing()
    assert standing.reason == "The input is late"


def test_a_forged_outcome_shows_nothing(pages: OperationsWorld) -> None:
    """What came of an action is read from the record, whatever an address says."""
    for forged in ("0" * 32, "<b>done</b>", "x" * 500):
        assert "done" not in pages.get(OPS, done=forged).text.split("You")[0]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"target": "", "reason": "x"}, 400, "RO_INVALID_INPUT"),
        ({"target": "everything", "reason": "x"}, 400, "RO_CONTRACT"),
        ({"target": "plane", "reason": " "}, 400, "RO_CONTRACT"),
        ({"target": "plane", "reason": "x", "shown": "-1"}, 400, "RO_INVALID_INPUT"),
    ],
)
def test_what_cannot_be_asked_for_is_said_on_the_form(
    pages: OperationsWorld, fields: dict[str, str], status: int, code: str
) -> None:
    """With its code, and with what was written still in the fields; nothing happened."""
    seen = pages.sent(OPS, "/act/pause", **fields)
    assert seen.status == status
    assert code in seen.text
    assert seen.forms[0].fields["target"] == fields["target"]
    assert pages.services.plane.pauses.standing() == ()


def test_a_run_is_cancelled_through_the_orchestrator(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """By the same service as the command, which reaches Dagster for it."""
    sent = pages.sent(OPS, "/act/cancel-run", dagster_run_id="run-1", reason="stuck", how="do")
    assert sent.status == 303
    assert world.orchestrator.canceled == {"run-1": f"{OPS}: stuck"}


# --- directives ----------------------------------------------------------------------------------


def test_two_people_decide_on_what_was_shown(world: AdminWorld, pages: OperationsWorld) -> None:
    """Proposed by a form, looked at, approved by another, executed by who may: each step by the
    page's own forms."""
    proposed = pages.sent(OPS, "/act/pause", **{**PAUSE, "how": "propose", "hours": "4"})
    path = proposed.location.removeprefix("/operations")
    assert "nobody approves their own" in pages.get(OPS, path).text
    looked = pages.get(SECOND, path)
    assert '+ "target": "workload/w"' in looked.text
    assert not [form for form in looked.forms if form.action.endswith("execute")]
    approved = pages.sent_form(SECOND, path, f"/operations{path}/approve", reason="Seen")
    assert approved.location == f"/operations{path}"
    assert pages.sent_form(OPS, path, f"/operations{path}/execute").status == 303
    assert [item.target for item in world.plane.pauses.standing()] == ["workload/w"]
    assert "It was done." in pages.get(OPS, path).text


def test_an_approval_of_what_has_changed_since_is_refused(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """The form names the state that was shown; when it moved, the page says so, and shows the new
    one."""
    path = _proposed(world)
    form = _form(pages.get(SECOND, path), "approve")
    world.judge(world.made_two)  # other evidence
    answered = pages.post(SECOND, f"{path}/approve", form | {"reason": "Seen"})
    assert answered.status == 403
    assert "has changed since you looked" in answered.text
    assert pages.refusals == ["RO_DIRECTIVE_REFUSED"]
    assert _status(world, path) is DirectiveStatus.PROPOSED
    assert _form(answered, "approve")["seen"] != form["seen"]


def test_an_approval_without_the_state_that_was_shown_is_refused(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """Who sends no digest has seen nothing."""
    path = _proposed(world)
    answered = pages.post(SECOND, f"{path}/approve", {"reason": "Blind"})
    assert answered.status == 403
    assert _status(world, path) is DirectiveStatus.PROPOSED


def test_a_token_that_the_proposer_issued_is_no_second_person(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """Signed in by it, one cannot approve here either."""
    found = world.admin.directives.propose(retention(30), actor=ADMIN, key="k")
    path = f"/directives/{found.directive_id}"
    pages.token_id = token_for(world.plane, SECOND, actor=ADMIN).token_id
    answered = pages.sent_form(SECOND, path, f"/operations{path}/approve", reason="Fine")
    assert answered.status == 403
    assert "issued that token" in answered.text


def test_the_proposer_withdraws_and_who_may_not_decide_sees_no_form(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """Its own proposer may reject it; an operator may neither approve nor reject it."""
    path = _proposed(world)
    assert not pages.get(OPS, path).forms
    assert pages.post(OPS, f"{path}/reject", {"reason": "No"}).status == 403
    withdrawn = pages.sent_form(DEPLOYER, path, f"/operations{path}/reject", reason="A mistake")
    assert withdrawn.status == 303
    assert _status(world, path) is DirectiveStatus.REJECTED
    assert not pages.get(SECOND, path).forms


def test_only_open_directives_are_listed(world: AdminWorld, pages: OperationsWorld) -> None:
    """One that expired is gone from the list, though nobody recorded its end."""
    path = _proposed(world)
    assert f"/operations{path}" in pages.get(OPS).html
    clock = world.plane.clock
    assert isinstance(clock, ManualClock)
    clock.advance(25 * 3600)
    assert f"/operations{path}" not in pages.get(OPS).html
    assert "expired" in pages.get(OPS, path).text
    assert pages.get(OPS, "/directives/nothing").status == 404


def test_what_needs_a_second_person_can_only_be_proposed(tmp_path: Path) -> None:
    """Where the policy asks for one, the form has no button that would be refused."""
    for four_eyes, values in (((), {"do", "propose"}), ((AdminActionType.PAUSE,), {"propose"})):
        world = AdminWorld(people(four_eyes=four_eyes))
        pages = OperationsWorld(world.plane, tmp_path, world.orchestrator)
        buttons = pages.get(OPS, "/act/pause").all("button")
        assert {item["value"] for item in buttons if item.get("name") == "how"} == values


# --- what went wrong -----------------------------------------------------------------------------


def test_attempts_under_way_lost_and_refused_are_shown(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """Each in its place, with its error and its run; one under way can be cancelled."""
    history = world.plane.attempts
    for number, status in enumerate((JobStatus.RUNNING, JobStatus.LOST, JobStatus.REFUSED)):
        begun = history.begin(
            world.fingerprint, f"unit_{number}", step_key="s", dagster_run_id=f"run-{number}"
        )
        facts = {"error_code": "RO_X", "error": "why so"} if number else {}
        history.move(begun, status, dagster_run_id=f"run-{number}", **facts)
    seen = pages.get(OPS)
    for words in ("unit_0 #1 RUNNING", "unit_1 #1 LOST", "unit_2 #1 REFUSED", "RO_X: why so"):
        assert words in seen.text, words
    assert "dagster_run_id=run-0" in seen.html
    assert "unit_1" not in pages.get(OPS, "/attempts", state="under way").text
    assert "unit_1" in pages.get(OPS, "/attempts", state="lost").text


def test_gates_that_refuse_are_shown_with_what_to_do(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """A FAIL, an artifact that nobody judged, a revoked PASS and what it blocked."""
    world.judge(world.made("failed", passed=False), FAIL)
    world.made("unjudged", passed=False)
    world.do(revoke(world.made_one), OPS)
    found = {item.asset: item.standing.word for item in refusing_now(world.plane)}
    assert found == {
        "failed": "FAIL",
        "unjudged": "ABSENT",
        "source": "REVOKED",
        "report": "BLOCKED",
    }
    assert "RO_GATE_FAILED" in pages.get(OPS).text


def test_a_run_shows_its_attempts_gates_and_entries(
    world: AdminWorld, pages: OperationsWorld
) -> None:
    """And where its dossier is not for the visitor, it says so."""
    run = run_id(world.fingerprint)
    seen = pages.get(OPS, f"/runs/{run}")
    for words in ("source #1 SUCCEEDED", "report.good PASS", "run registered", "may not audit"):
        assert words in seen.text, words
    assert pages.get(OPS, f"/runs/{'0' * 32}").status == 404
    refused = pages.post(OPS, f"/runs/{run}/dossier", {"form_token": "a-token"})
    assert refused.status == 403
    assert pages.refusals == ["RO_ACCESS_DENIED"]
    assert "There is no signing key yet" in pages.get(SECOND, f"/runs/{run}").text


# --- bounds --------------------------------------------------------------------------------------


def test_pages_of_events_together_are_all_events(world: AdminWorld) -> None:
    """Following "older" shows each event once, in order, also with a filter that finds few."""
    for number in range(130):
        _refused(world, "HUMAN::rare" if number % 40 == 0 else READER)
    for actor, count in (("", 131), ("HUMAN::rare", 4)):
        seen: list[int] = []
        before: int | None = None
        while True:
            page = events_before(world.plane.ledger, before, actor=actor, most=7)
            seen += [item.entry.seq for item in page.found]
            if page.onward is None:
                break
            before = page.onward
        assert seen == sorted(set(seen), reverse=True)
        assert len(seen) == count


@pytest.mark.parametrize(
    "ask",
    [
        lambda world: events_before(world.plane.ledger, actor="HUMAN::nobody"),
        lambda world: lately(world.plane.ledger).of(UNDER_WAY),
        lambda world: refusing_now(world.plane),
    ],
)
def test_what_a_page_reads_does_not_grow_with_the_ledger(
    world: AdminWorld, ask: Callable[[AdminWorld], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as long a history is read no further."""
    most = 40
    monkeypatch.setattr("ro_platform.web.operations.events.MOST_LOOKED_AT", most)
    monkeypatch.setattr("ro_platform.web.operations.attempts.MOST_MOVES", most)
    assert most < min(MOST_LOOKED_AT, MOST_MOVES)
    assert most >= MOST_ASKED
    counts = []
    for _ in range(2):
        for number in range(110):
            _refused(world, READER)
            world.made(f"asset_{number}", data=b"the same", deterministic=False)
        counts.append(_entries_read(world, ask, monkeypatch))
    assert counts[1] <= counts[0] * 1.05


def _entries_read(
    world: AdminWorld, ask: Callable[[AdminWorld], object], monkeypatch: pytest.MonkeyPatch
) -> int:
    read = 0
    log, plain = world.log, world.log.page

    def counting(*given: object) -> object:
        nonlocal read
        rows = plain(*given)  # type: ignore[arg-type]
        read += len(rows)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(log, "page", counting)
        ask(world)
    return read


def _refused(world: AdminWorld, actor: str) -> None:
    body = AccessRefused(
        operation="launchRun",
        actor=actor,
        source="127.0.0.1",
        code="RO_ACCESS_DENIED",
        reason="a test",
        count=1,
        observed_at_utc="2000-01-01T00:00:00.000000Z",
    )
    world.plane.ledger.append(EntryDraft(EntryKind.ACCESS_REFUSED, f"access/{actor}", actor, body))


def _proposed(world: AdminWorld) -> str:
    found = world.admin.directives.propose(promote(world.made_two), actor=DEPLOYER, key="k")
    return f"/directives/{found.directive_id}"


def _status(world: AdminWorld, path: str) -> DirectiveStatus:
    return world.plane.directives.get(path.removeprefix("/directives/")).status


def _form(seen: Seen, move: str) -> dict[str, str]:
    return next(form.fields for form in seen.forms if form.action.endswith(f"/{move}"))


def _done(seen: Seen) -> str:
    return str(seen.location).partition("done=")[2]
