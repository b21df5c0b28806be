"""The actions that have a form here, and doing them: by the same service as ``ro admin``.

A form carries the ledger's size when it was shown. With what is asked for, that makes the
idempotency key: sent twice, it is one action; changed and sent again, it is another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from ro_platform import errors
from ro_platform.admin.intents import admin_request, canonical_digest
from ro_platform.admin.pausing import TARGETS
from ro_platform.contracts import Action, AdminActionType, AdminRequest, JsonObject
from ro_platform.ledger import names
from ro_platform.web.operations import parts
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.directive_list import address_of
from ro_platform.web.operations.forms import button, choice, field, hidden, post_form, reason
from ro_platform.web.operations.html import Html, Node, el
from ro_platform.web.operations.known import targets_in_use, targets_paused
from ro_platform.web.operations.layout import BASE, HOME, Page, section

Fields = Mapping[str, str]
NOTHING = "nothing"
"""What the address says where it was so already, and nothing was recorded."""
_HOURS = ("24", "1", "4", "72", "336")


@dataclass(frozen=True, slots=True)
class Act:
    """One form: the action, in words, its fields and how they become its parameters."""

    name: str
    kind: AdminActionType
    words: str
    fields: tuple[tuple[str, str, str], ...]
    parameters: Callable[[Fields], JsonObject]

    @property
    def title(self) -> str:
        """What it is called on a page."""
        return self.name.replace("-", " ").capitalize()


_TARGET = (("target", "On", TARGETS),)
ACTS = {
    act.name: act
    for act in (
        Act(
            "pause",
            AdminActionType.PAUSE,
            "Nothing starts there any more; what runs goes on.",
            _TARGET,
            lambda said: {"target": _text(said, "target")},
        ),
        Act(
            "resume",
            AdminActionType.RESUME,
            "Its own pause or drain ends. Another that covers it stands.",
            _TARGET,
            lambda said: {"target": _text(said, "target")},
        ),
        Act(
            "drain",
            AdminActionType.DRAIN,
            "Nothing starts there any more, and what runs is waited for.",
            (*_TARGET, ("minutes", "Minutes", "After these the drain counts as overdue.")),
            lambda said: {
                "target": _text(said, "target"),
                "limit_seconds": 60 * parts.number_of(_text(said, "minutes"), "minutes"),
            },
        ),
        Act(
            "cancel-run",
            AdminActionType.CANCEL_RUN,
            "A run of Dagster that is under way ends.",
            (("dagster_run_id", "Dagster run", "Its whole id, as the Dagster UI shows it"),),
            lambda said: {"dagster_run_id": _text(said, "dagster_run_id")},
        ),
        Act(
            "revoke-pass",
            AdminActionType.REVOKE_PASS,
            "A gate's PASS is withdrawn, and all that was made from the artifact is blocked.",
            (
                ("gate_id", "Gate", "Its id, such as orders.complete"),
                ("ref", "Artifact", "Its locator: refs/.../rev=000001.json"),
            ),
            lambda said: {"gate_id": _text(said, "gate_id"), "ref": _text(said, "ref")},
        ),
    )
}
BY_COMMAND = (
    ("Execute runs again", "ro admin replay --workload NAME --purpose WHY --reason WHY --dry-run"),
    ("Promote", "ro directive propose promote ASSET@FINGERPRINT --to NAME/CHANNEL --reason WHY"),
    ("Erase an artifact", "ro directive propose erase SHA256 --reason WHY"),
    ("Change a retention period", "ro directive propose change-retention TARGET --days N"),
    ("Publish a config", "ro admin publish-config NAME FILE --reason WHY"),
    ("Give or take a role", "ro directive propose grant-role ACTOR ROLE --reason WHY"),
    ("Complete what a crash left", "ro admin reconcile"),
)
"""What is done by a command line, and which."""


def act_named(name: str) -> Act:
    """One of the forms. Raises :class:`NotFoundError`."""
    found = ACTS.get(name)
    if found is None:
        raise errors.NotFoundError(
            f"there is no form for {name[:40]!r} here.", next_step="See `ro admin --help`."
        )
    return found


def act_page(
    services: PageServices, context: PageContext, act: Act, values: Fields, *, above: Node = None
) -> Page:
    """The page with the form, filled in with these values."""
    may, why_not = services.may(context.actor, Action(act.kind.value))
    form = (
        _form(services, context, act, values)
        if may
        else el("p", parts.prose(why_not), class_="note")
    )
    return Page(
        act.title, [above, section("What it does", el("p", act.words), form, anchor="form")]
    )


def perform(services: PageServices, context: PageContext, act: Act, said: Fields) -> str:
    """Do it, or propose it, as the form says; the address of what came of it. Raises what the
    services raise."""
    request = admin_request(
        act.kind, reason=said.get("reason", ""), parameters=act.parameters(said)
    )
    administration, key = services.administration(act.kind), _key(context, said, request)
    if said.get("how") == "propose":
        hours = timedelta(hours=parts.number_of(said.get("hours", "24"), "hours"))
        proposed = administration.directives.propose(
            request, actor=context.actor, key=key, lifetime=hours
        )
        return address_of(proposed.directive_id)
    outcome = administration.service.perform(request, actor=context.actor, key=key)
    return f"{HOME}?done={outcome.event_id or NOTHING}"


def resume_form(services: PageServices, context: PageContext, target: str, number: int) -> Html:
    """The small form beside a pause."""
    name = f"resume-reason-{number}"
    return post_form(
        context,
        f"{BASE}/act/resume",
        hidden("target", target),
        hidden("shown", str(services.plane.ledger.size())),
        el(
            "div",
            el("label", f"Reason to resume {target}", for_=name, class_="hidden"),
            el(
                "input", id=name, name="reason", required=True, placeholder="Reason", maxlength=2000
            ),
            button("Resume"),
            class_="row",
        ),
        label=f"Resume {target}",
    )


def _form(services: PageServices, context: PageContext, act: Act, values: Fields) -> Html:
    fields = [
        field(
            name,
            label,
            hint=hint,
            value=values.get(name, _default(name)),
            required=True,
            options=_offered(services, act) if name == "target" else (),
        )
        for name, label, hint in act.fields
    ]
    return post_form(
        context,
        f"{BASE}/act/{act.name}",
        hidden("shown", str(services.plane.ledger.size())),
        fields,
        reason(values.get("reason", "")),
        _buttons(services, act),
    )


def _offered(services: PageServices, act: Act) -> tuple[str, ...]:
    resuming = act.kind is AdminActionType.RESUME
    return targets_paused(services.plane) if resuming else targets_in_use(services.plane)


def _buttons(services: PageServices, act: Act) -> Node:
    """Do it, or propose it where a policy names second persons; only that where it has to be."""
    do = el("div", button(f"{act.title} now", main=True, name="how", value="do"), class_="row")
    if services.single_user is not None:
        return do
    second = services.needs_second(Action(act.kind.value))
    hours = choice("hours", "Hours it may be approved and executed within", _HOURS)
    press = button("Propose it", main=second, name="how", value="propose")
    propose = el("div", press, class_="row")
    if second:
        return [el("p", "The policy has a second person approve it first."), hours, propose]
    return [do, el("h3", "Or have a second person approve it first"), hours, propose]


def _key(context: PageContext, said: Fields, request: AdminRequest) -> str:
    shown = parts.number_of(said.get("shown", ""), "shown")
    return names.form_event_key(canonical_digest([context.actor, shown, request.to_json_value()]))


def _text(said: Fields, name: str) -> str:
    text = said.get(name, "").strip()
    if not text:
        raise errors.InvalidInputError(f"{name} is empty.", next_step="Fill it in.", field=name)
    return text


def _default(name: str) -> str:
    return "60" if name == "minutes" else ""
