"""Configs and roles: the next version of a config, and of the access policy, as actions."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ro_platform import errors
from ro_platform.access.policy import POLICY_CONFIG, with_binding, without_binding
from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent
from ro_platform.config.policies import policy_of
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import (
    AccessPolicy,
    Action,
    AdminActionType,
    AdminRequest,
    Contract,
    JsonObject,
    PinnedConfigRef,
    RoleBinding,
)
from ro_platform.contracts.base import Hex64, Name
from ro_platform.ledger import names
from ro_platform.ledger.reader import LedgerReader


class ConfigParameters(Contract):
    """Which config, and the SHA-256 of its next content, which the store keeps already
    (:meth:`ConfigVersions.keep`)."""

    name: Name
    digest: Hex64


class PublishConfigAction(AdminAction[ConfigParameters]):
    """The next version of a config. The access policy as a whole asks for the right, and the second
    person, that granting a role asks for."""

    action_type = AdminActionType.PUBLISH_CONFIG
    parameters = ConfigParameters

    def __init__(self, configs: ConfigVersions) -> None:
        self._configs = configs

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The config."""
        return (names.config_subject(self.asked(request).name),)

    def right(self, request: AdminRequest) -> Action:
        """To publish, or for the access policy to grant roles."""
        is_policy = self.asked(request).name == POLICY_CONFIG
        return Action.GRANT_ROLE if is_policy else Action.PUBLISH_CONFIG

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The newest version. Raises what a missing or an unacceptable content raises."""
        asked = self.asked(request)
        content = self._configs.kept(asked.digest)
        newest = self._configs.newest_pin(asked.name, log)
        if asked.name == POLICY_CONFIG:
            self._configs.require_sound(content)
            if newest is None:
                raise errors.InvalidInputError(
                    "The first access policy ends the single-user mode, and has its own command.",
                    next_step="Publish it with `ro access publish FILE --reason ...`.",
                )
        return _version(newest)

    def preview(self, request: AdminRequest, log: LedgerReader) -> tuple[Any, Any]:
        """Both contents."""
        asked = self.asked(request)
        newest = self._configs.newest_pin(asked.name, log)
        before = self._configs.kept(newest.digest) if newest else None
        return before, self._configs.kept(asked.digest)

    def gives(self, request: AdminRequest, log: LedgerReader) -> frozenset[str]:
        """Of the access policy: those with a binding that the newest one has not."""
        asked = self.asked(request)
        newest = self._configs.newest_pin(POLICY_CONFIG, log)
        if asked.name != POLICY_CONFIG or newest is None:
            return frozenset()
        before = policy_of(self._configs.kept(newest.digest)).bindings
        after = policy_of(self._configs.kept(asked.digest)).bindings
        return frozenset(binding.actor for binding in after if binding not in before)

    def settled(self, request: AdminRequest) -> JsonObject | None:
        """The newest version, if it has that content."""
        asked = self.asked(request)
        newest = self._configs.newest_pin(asked.name)
        return _version(newest) if newest and newest.digest == asked.digest else None

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Publish."""
        asked = self.asked(request)
        self._configs.publish(asked.name, self._configs.kept(asked.digest), intent)


class _Binding(AdminAction[RoleBinding]):
    """What granting and revoking have in common: the policy that follows the one in force."""

    parameters = RoleBinding

    def __init__(self, configs: ConfigVersions) -> None:
        self._configs = configs

    @abstractmethod
    def changed(self, policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
        """The policy that follows. Raises where it would be the same."""

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """Whose role, and which."""
        binding = self.asked(request)
        return (binding.actor, names.role_target(binding.role))

    def workload(self, request: AdminRequest) -> str | None:
        """The workload that the role is narrowed to: an admin of it is enough."""
        return self.asked(request).scope.workload

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The policy in force, by version and digest: any other change of it is a change. Raises
        where the one that follows would fail its check."""
        pin = self._in_force(log)
        changed = self.changed(self._policy(pin), self.asked(request))
        self._configs.require_sound(changed.to_json_value())
        return _version(pin)

    def preview(self, request: AdminRequest, log: LedgerReader) -> tuple[Any, Any]:
        """Both policies."""
        policy = self._policy(self._in_force(log))
        changed = self.changed(policy, self.asked(request))
        return policy.to_json_value(), changed.to_json_value()

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Publish the policy that follows the one that was in force at the intent."""
        upon = str((intent.event.before or {}).get("digest"))
        changed = self.changed(policy_of(self._configs.kept(upon)), self.asked(request))
        self._configs.publish(POLICY_CONFIG, changed.to_json_value(), intent)

    def _in_force(self, log: LedgerReader) -> PinnedConfigRef:
        pin = self._configs.newest_pin(POLICY_CONFIG, log)
        if pin is None:
            raise errors.DirectiveRefusedError(
                "No access policy is in force, so there are no roles yet.",
                next_step="Publish the first one with `ro access publish FILE --reason ...`.",
            )
        return pin

    def _policy(self, pin: PinnedConfigRef) -> AccessPolicy:
        return policy_of(self._configs.kept(pin.digest))


class GrantRoleAction(_Binding):
    """An actor gets a role, within a scope."""

    action_type = AdminActionType.GRANT_ROLE

    def changed(self, policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
        """With the binding."""
        return with_binding(policy, binding)

    def gives(self, request: AdminRequest, log: LedgerReader) -> frozenset[str]:  # noqa: ARG002
        """Whose role it is."""
        return frozenset({self.asked(request).actor})


class RevokeRoleAction(_Binding):
    """An actor loses a role. What they approved and is not executed yet does not count any more."""

    action_type = AdminActionType.REVOKE_ROLE

    def changed(self, policy: AccessPolicy, binding: RoleBinding) -> AccessPolicy:
        """Without the binding."""
        return without_binding(policy, binding)


def _version(pin: PinnedConfigRef | None) -> JsonObject:
    return {"config_version": pin.config_version, "digest": pin.digest} if pin else {}
