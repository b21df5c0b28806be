"""The policy in force: one way to publish the first, one for the next, and no other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.admin.intents import admin_request
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    AccessPolicy,
    Action,
    AdminActionType,
    AdminRequest,
    CodeRef,
    EntryKind,
    JsonObject,
    PinnedConfigRef,
    Role,
    RunManifest,
)
from ro_platform.errors import (
    AccessDeniedError,
    ContractError,
    DigestMismatchError,
    DirectiveRefusedError,
    InvalidInputError,
    SecondPersonRequiredError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from tests.acting import publish_config
from tests.unit.access_world import (
    BOSS,
    READER,
    SECOND,
    binding,
    plane_of,
    policy,
    published,
    sound_policy,
    token_for,
)


def publishing(plane: Plane, content: Any) -> AdminRequest:
    """The request that this is the policy from now on."""
    asked: JsonObject = {"name": POLICY_CONFIG, "digest": plane.configs.keep(content)}
    return admin_request(AdminActionType.PUBLISH_CONFIG, reason="why", parameters=asked)


def approved(plane: Plane, content: AccessPolicy) -> str:
    """A directive to publish the next policy, which a second person approved."""
    request = publishing(plane, content.to_json_value())
    proposed = plane.directives.propose(request, actor=BOSS)
    return plane.directives.approve(proposed.directive_id, reason="why", actor=SECOND).directive_id


def replaced(plane: Plane, content: AccessPolicy) -> None:
    """Publish the next policy, as two people do."""
    plane.directives.execute(approved(plane, content), actor=BOSS)


# --- the first ------------------------------------------------------------------------------------


def test_the_first_policy_is_in_force_once_it_is_published() -> None:
    """As version 1 of a config, with its digest, and as an administrative event."""
    plane = plane_of()
    assert plane.access.in_force is None
    content = sound_policy(binding(READER, Role.READER))
    found = published(plane, content)
    assert plane.access.in_force == found
    assert (found.version, found.policy) == (1, content)
    assert found.digest == sha256_hex(canonical_bytes(content))
    [event] = plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    assert (event.actor, event.subject) == (BOSS, "config/access-policy")


def test_publishing_the_first_again_changes_nothing() -> None:
    """After a crash whose outcome is not known, it may be repeated."""
    plane = plane_of()
    found = published(plane, sound_policy())
    size = plane.ledger.size()
    again = plane.policies.publish_first(sound_policy(), reason="again", actor=BOSS)
    assert again == found
    assert plane.ledger.size() == size


def test_there_is_one_first_policy() -> None:
    """Another one is refused; how it is changed is told."""
    plane = plane_of()
    found = published(plane, sound_policy())
    other = sound_policy(binding(READER, Role.READER))
    with pytest.raises(AccessDeniedError, match="ro directive"):
        plane.policies.publish_first(other, reason="why", actor=BOSS)
    assert plane.access.in_force == found


def test_the_first_policy_is_the_single_users_to_publish() -> None:
    """Nobody else's, with a token or without."""
    plane = plane_of()
    token_for(plane, BOSS)
    with pytest.raises(AccessDeniedError, match=f"{BOSS}'s to publish"):
        plane.policies.publish_first(sound_policy(), reason="why", actor=READER)
    assert plane.access.in_force is None


@pytest.mark.parametrize(
    "content",
    [
        policy(),
        policy(binding(BOSS, Role.ADMIN)),
        policy(binding(SECOND, Role.APPROVER)),
        policy(binding(BOSS, Role.ADMIN), binding(BOSS, Role.APPROVER)),
        sound_policy(binding(SECOND, Role.DEPLOYER)),
        sound_policy(binding(BOSS, Role.ADMIN)),
        policy(binding(BOSS, Role.ADMIN, environment="elsewhere"), binding(SECOND, Role.APPROVER)),
    ],
    ids=["empty", "no approver", "no admin", "alone", "also alone", "twice", "elsewhere"],
)
def test_a_policy_that_fails_its_check_is_never_published(content: AccessPolicy) -> None:
    """Neither first nor later, and no policy comes of it."""
    plane = plane_of()
    token_for(plane, BOSS)
    size = plane.ledger.size()
    with pytest.raises(InvalidInputError, match="fails its check"):
        plane.policies.publish_first(content, reason="why", actor=BOSS)
    assert plane.ledger.size() == size
    found = published(plane, sound_policy())
    with pytest.raises(InvalidInputError, match="fails its check"):
        replaced(plane, content)
    assert plane.access.in_force == found


def test_a_policy_that_would_lock_everybody_out_is_not_published() -> None:
    """An admin of it needs a token that is taken: not none, an expired or a revoked one, and not
    another person's."""
    clock = ManualClock()
    plane = plane_of(clock)

    def locked_out() -> None:
        with pytest.raises(InvalidInputError, match=f"No admin of that policy has a token.*{BOSS}"):
            plane.policies.publish_first(sound_policy(), reason="why", actor=BOSS)

    locked_out()
    token_for(plane, SECOND, days=9)
    token_for(plane, BOSS, days=1)
    clock.advance(timedelta(days=2).total_seconds())
    locked_out()
    plane.tokens.revoke(token_for(plane, BOSS).token_id, reason="why", actor=BOSS)
    locked_out()
    assert published(plane, sound_policy()).version == 1


# --- no other way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [sound_policy().to_json_value(), {}, "anything"])
def test_the_policy_is_not_published_like_another_config(content: Any) -> None:
    """Neither the first nor a later one, whoever asks; other configs are."""
    plane = plane_of()
    publish_config(plane, "limits", {})
    for _ in range(2):
        with pytest.raises((InvalidInputError, SecondPersonRequiredError, ContractError)):
            publish_config(plane, POLICY_CONFIG, content)
        with pytest.raises(AccessDeniedError, match="not published like others"):
            plane.configs.publish_first(POLICY_CONFIG, content, reason="why", actor=BOSS)
        if plane.access.in_force is None:
            assert plane.configs.newest_pin(POLICY_CONFIG) is None
            first = published(plane, sound_policy(binding(READER, Role.READER)))
    assert plane.access.in_force == first


def test_the_policy_does_not_travel_with_a_manifest(tmp_path: Path) -> None:
    """Though the first version of another config does."""
    plane = plane_of()
    data = canonical_bytes(sound_policy())
    pin = PinnedConfigRef(
        config_name=POLICY_CONFIG, config_version=1, digest=sha256_hex(data), ref="policy.json"
    )
    manifest = RunManifest(
        kind="ro.run_manifest.v0",
        workload="test",
        parameters={},
        config_versions=(pin,),
        code=CodeRef(version="1"),
    )
    assert plane.configs.is_first_of(pin)
    (tmp_path / "policy.json").write_bytes(data)
    file = ManifestFile(manifest, manifest_fingerprint(manifest), folder=tmp_path)
    with pytest.raises(AccessDeniedError, match="not published like others"):
        plane.runs.register(file, actor=BOSS, publish_first_versions=True)
    assert plane.ledger.size() == 0


def test_the_next_policy_is_the_outcome_of_an_action() -> None:
    """In force at once, under a new digest and number; the action repeated changes nothing."""
    plane = plane_of()
    first = published(plane, sound_policy())
    content = sound_policy(binding(READER, Role.READER))
    directive = approved(plane, content)
    assert plane.access.in_force == first
    plane.directives.execute(directive, actor=BOSS)
    found = plane.access.in_force
    assert found is not None
    assert (found.version, found.policy) == (2, content)
    size = plane.ledger.size()
    plane.directives.execute(directive, actor=BOSS)
    assert plane.ledger.size() == size


def test_a_change_that_was_made_for_another_policy_is_refused() -> None:
    """Two changes at once are not merged: the second one is asked for again."""
    plane = plane_of()
    published(plane, sound_policy())
    directive = approved(plane, sound_policy(binding(READER, Role.READER)))
    replaced(plane, sound_policy(binding(READER, Role.AUDITOR)))
    with pytest.raises(DirectiveRefusedError, match="stale"):
        plane.directives.execute(directive, actor=BOSS)
    assert plane.access.in_force is not None
    assert plane.access.in_force.version == 2


def test_an_action_does_not_bring_about_the_first_policy() -> None:
    """It ends the single-user mode, which is the single user's own command."""
    plane = plane_of()
    token_for(plane, BOSS)
    with pytest.raises(InvalidInputError, match="ro access publish"):
        publish_config(plane, POLICY_CONFIG, sound_policy().to_json_value())
    assert plane.access.in_force is None


def test_a_config_that_is_no_policy_is_not_put_in_force() -> None:
    """An action that publishes something else under its name is refused by the contract."""
    plane = plane_of()
    found = published(plane, sound_policy())
    for content in ({}, sound_policy().to_json_value() | {"more": 1}, {"kind": "x"}):
        with pytest.raises(ContractError):
            plane.directives.propose(publishing(plane, content), actor=BOSS)
    assert plane.access.in_force == found


# --- reading it -----------------------------------------------------------------------------------


def test_a_change_holds_at_once_in_every_process() -> None:
    """Another plane over the same ledger and store decides by it."""
    blobs, log = MemoryBackend(), MemoryLedgerBackend()
    one, other = (Plane.over(blobs, log, clock=ManualClock()) for _ in range(2))
    target = one.access.target("it")
    first = published(one, sound_policy())
    assert not other.access.decide(READER, Action.VIEW, target).allowed
    replaced(one, sound_policy(binding(READER, Role.READER)))
    decision = other.access.decide(READER, Action.VIEW, target)
    assert decision.allowed
    assert other.access.in_force is not None
    assert decision.policy_digest == other.access.in_force.digest != first.digest


def test_a_policy_that_was_altered_or_lost_allows_nothing() -> None:
    """A process that has not read it yet refuses everything."""
    blobs, log = MemoryBackend(), MemoryLedgerBackend()
    found = published(Plane.over(blobs, log, clock=ManualClock()), sound_policy())
    name = blob_name(found.digest)
    blobs.objects[name] = blobs.objects[name].replace(b"second", b"reader")
    plane = Plane.over(blobs, log, clock=ManualClock())
    with pytest.raises(DigestMismatchError):
        plane.access.decide(BOSS, Action.VIEW, plane.access.target("it"))
