"""The access policy as a config: read on every decision, and published under a rule of its own.

Its first version is the single user's to publish. Each later one is the outcome of an
administrative action, by the commission that :meth:`ConfigVersions.publish` asks for. No version,
by whatever way it comes, may leave a plane without somebody who can change it again, or with
somebody who could propose and approve alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ro_platform import errors
from ro_platform.access.check import findings
from ro_platform.access.policy import POLICY_CONFIG, PolicyInForce, Target, decide
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts.access import AccessPolicy, Action
from ro_platform.contracts.config import PinnedConfigRef
from ro_platform.kernel.canonical import canonical_bytes


class AccessPolicies:
    """The access policies of one environment, the newest of which is in force."""

    def __init__(
        self,
        configs: ConfigVersions,
        *,
        environment: str,
        single_user: str,
        holders: Callable[[], Collection[str]],
    ) -> None:
        self._configs = configs
        self._environment = environment
        self._single_user = single_user
        self._holders = holders
        self._read: PolicyInForce | None = None

    def newest(self) -> PolicyInForce | None:
        """The policy in force; None where none was ever published.

        One indexed read of the ledger. The content is read, and its digest verified, when the
        version is another one than before. Raises what reading a config raises: a policy that is
        damaged, or is none, allows nothing to anybody.
        """
        pin = self._configs.newest_pin(POLICY_CONFIG)
        if pin is None:
            return None
        known = self._read
        if known is None or (known.version, known.digest) != (pin.config_version, pin.digest):
            known = self._read = self._content(pin)
        return known

    def publish_first(self, policy: AccessPolicy, *, reason: str, actor: str) -> PolicyInForce:
        """Publish the policy that ends the single-user mode, for good; again changes nothing.

        Raises :class:`AccessDeniedError` for anybody but the single user and where another policy
        is in force, and :class:`InvalidInputError` for a policy that fails its check, or that would
        lock everybody out: an admin of it must have a token already.
        """
        if actor != self._single_user:
            raise errors.AccessDeniedError(
                f"The first access policy is {self._single_user}'s to publish, not {actor}'s.",
                next_step="Publish it as the operating system's user of the deployment.",
                actor=actor,
            )
        self._require_a_way_in(policy)
        published = self._configs.publish_first(
            POLICY_CONFIG, policy.to_json_value(), reason=reason, actor=actor, founding=True
        )
        return self._content(published.version)

    def _require_a_way_in(self, policy: AccessPolicy) -> None:
        found = PolicyInForce(policy, 1, "")
        target = Target(POLICY_CONFIG, self._environment)
        admins = {binding.actor for binding in policy.bindings}
        admins = {one for one in admins if decide(found, one, Action.ISSUE_TOKEN, target).allowed}
        if admins and not admins & set(self._holders()):
            raise errors.InvalidInputError(
                f"No admin of that policy has a token ({', '.join(sorted(admins))}), and without "
                "one nobody could act any more.",
                next_step="Issue one first: `ro token issue --for ACTOR --reason ...`.",
            )

    def _content(self, pin: PinnedConfigRef) -> PolicyInForce:
        where = f"{POLICY_CONFIG} version {pin.config_version}"
        return PolicyInForce(
            policy_of(self._configs.kept(pin.digest), where=where), pin.config_version, pin.digest
        )


def policy_of(content: Any, *, where: str = POLICY_CONFIG) -> AccessPolicy:
    """A JSON value as an access policy. Raises :class:`ContractError`."""
    return AccessPolicy.from_json(canonical_bytes(content), where=where)


def require_publishable(content: Any, *, environment: str) -> None:
    """Raises :class:`ContractError` for content that is no access policy, and
    :class:`InvalidInputError` for a policy that fails its check in this environment."""
    found = findings(policy_of(content), environment=environment)
    if found:
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise errors.InvalidInputError(
            f"The policy fails its check: {found[0].words}{more}",
            next_step="`ro access check FILE` prints every finding.",
            findings=len(found),
        )
