"""Each administrative action as somebody types it, and what is theirs besides: to approve, to issue
and revoke tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ro_platform.contracts import Action, AdminActionType
from tests.acceptance.who_may.mutations import Subjects
from tests.acceptance.who_may.people import ASKS, BOSS, HANDS, LEAVING, SECOND, WORKLOAD
from tests.acting import NOT_BUILT, OWN_WAY

WHY = ("--reason", "to see who may")
Words = tuple[str, ...]


@dataclass(frozen=True)
class Typed:
    """``words`` gives the command's words, and makes what it is done to. ``restore`` is what is
    typed once it was done, by whom. ``by_workload``: who is narrowed to the workload may, too."""

    name: str
    right: Action
    words: Callable[[Subjects], Words]
    by_workload: bool = False
    second: bool = False
    restore: tuple[str, Words] | None = None


_PLACE = f"workload/{WORKLOAD}"
_RESUMED = (HANDS, ("admin", "resume", _PLACE, *WHY))


def paused(subjects: Subjects) -> Words:
    """The words that resume the workload, which is paused."""
    if not subjects.world.plane.pauses.standing():
        code, said = subjects.world.ro(HANDS, "admin", "pause", _PLACE, *WHY)
        assert code == 0, said
    return ("admin", "resume", _PLACE)


def _replayed(subjects: Subjects) -> Words:
    manifest = ("--manifest", subjects.world.fingerprint)
    return ("admin", "replay", *manifest, "--purpose", "an audit")


def _revoked(subjects: Subjects) -> Words:
    ref = subjects.world.new_artifact().ref
    return ("admin", "revoke-pass", f"{ref.split('/')[1]}.good", ref)


def _promoted(subjects: Subjects) -> Words:
    return ("admin", "promote", subjects.world.new_artifact().ref, "--to", "model/stable")


def _erased(subjects: Subjects) -> Words:
    return ("admin", "erase", f"sha256:{subjects.world.new_artifact().digest}")


def _retained(subjects: Subjects) -> Words:
    days = str(next(subjects.world.numbers))
    return ("admin", "change-retention", "archives", "--days", days)


def _published(subjects: Subjects) -> Words:
    file = subjects.world.settings.root / "content.json"
    file.write_text(json.dumps({"most": next(subjects.world.numbers)}))
    return ("admin", "publish-config", "limits", str(file))


def _granted(subjects: Subjects) -> Words:
    return ("admin", "grant-role", f"HUMAN::new-{next(subjects.world.numbers)}", "reader")


def _taken(subjects: Subjects) -> Words:
    found = subjects.world.plane.policies.newest()
    assert found is not None
    actors = {binding.actor for binding in found.policy.bindings}
    return ("admin", "revoke-role", next(one for one in LEAVING if one in actors), "auditor")


def proposed(subjects: Subjects) -> str:
    """A directive that waits for somebody."""
    words = _promoted(subjects)[1:]
    code, said = subjects.world.ro(ASKS, "directive", "propose", *words, *WHY)
    assert code == 0, said
    return str(said["directive_id"])


def _approved(subjects: Subjects) -> Words:
    return ("directive", "approve", proposed(subjects))


def _rejected(subjects: Subjects) -> Words:
    return ("directive", "reject", proposed(subjects))


def _issued(_subjects: Subjects) -> Words:
    return ("token", "issue", "--for", "HUMAN::somebody")


def _ended(subjects: Subjects) -> Words:
    code, said = subjects.world.ro(BOSS, *_issued(subjects), *WHY)
    assert code == 0, said
    return ("token", "revoke", said["token_id"])


ADMINISTRATIVE = (
    Typed(
        "pause",
        Action.PAUSE,
        lambda _: ("admin", "pause", _PLACE),
        by_workload=True,
        restore=_RESUMED,
    ),
    Typed("resume", Action.RESUME, paused, by_workload=True),
    Typed(
        "drain",
        Action.DRAIN,
        lambda _: ("admin", "drain", _PLACE),
        by_workload=True,
        restore=_RESUMED,
    ),
    Typed(
        "cancel_run",
        Action.CANCEL_RUN,
        lambda subjects: ("admin", "cancel-run", subjects.run_id),
        by_workload=True,
    ),
    Typed("replay_request", Action.REPLAY_REQUEST, _replayed, by_workload=True),
    Typed("revoke_pass", Action.REVOKE_PASS, _revoked, by_workload=True),
    Typed("publish_config", Action.PUBLISH_CONFIG, _published),
    Typed("promote", Action.PROMOTE, _promoted, by_workload=True, second=True),
    Typed("erase_artifact", Action.ERASE_ARTIFACT, _erased, by_workload=True, second=True),
    Typed("change_retention", Action.CHANGE_RETENTION, _retained, second=True),
    Typed("grant_role", Action.GRANT_ROLE, _granted, second=True),
    Typed("revoke_role", Action.REVOKE_ROLE, _taken),
)
BESIDES = (
    Typed("approve a directive", Action.APPROVE, _approved, by_workload=True),
    Typed("reject a directive", Action.APPROVE, _rejected, by_workload=True),
    Typed("issue a token", Action.ISSUE_TOKEN, _issued),
    Typed("revoke a token", Action.REVOKE_TOKEN, _ended),
)


def missing() -> set[str]:
    """Actions of the closed set that are built, and not typed here."""
    typed = {one.name for one in ADMINISTRATIVE}
    built = set(AdminActionType) - NOT_BUILT - OWN_WAY
    return {item.value for item in built} - typed


def with_second(subjects: Subjects, actor: str, words: Words) -> tuple[int, Any]:
    """The same through a directive: proposed by that actor, approved by a second person, executed
    by who proposed it. The exit code and words of the first that fails, or of the last."""
    ro = subjects.world.ro
    code, said = ro(actor, "directive", "propose", *words[1:])
    if code:
        return code, said
    name = said["directive_id"]
    code, said = ro(SECOND, "directive", "approve", name, *WHY)
    return (code, said) if code else ro(actor, "directive", "execute", name)
