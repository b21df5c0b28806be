"""What an actor may do, in the words that the UI shows beside a disabled button."""

from __future__ import annotations

from ro_platform.access.policy import Access, PolicyInForce, Target
from ro_platform.access.roles import actions_of
from ro_platform.contracts.access import Action
from ro_platform.web.mutations import MUTATIONS, PERMISSIONS

_NOBODY = "Nobody may do this through the UI: "
_CLOSED = {
    "delete_pipeline_run": MUTATIONS["deleteRun"].instead,
    "wipe_assets": MUTATIONS["wipeAssets"].instead,
    "report_runless_asset_events": MUTATIONS["reportRunlessAssetEvents"].instead,
    "edit_dynamic_partitions": MUTATIONS["addDynamicPartition"].instead,
    "edit_app_managed_components": MUTATIONS["setAppManagedComponent"].instead,
}


def explained(access: Access, actor: str | None) -> dict[str, tuple[bool, str]]:
    """By Dagster's name of a permission: whether the actor has it anywhere in this environment, and
    otherwise why not. For display: what is done is decided where it is done."""
    found = access.in_force
    decided: dict[Action, tuple[bool, str]] = {}
    for action in {action for action in PERMISSIONS.values() if action is not None}:
        decided[action] = _decided(access, found, actor, action)
    return {
        name: decided[action] if action else (False, _NOBODY + _CLOSED[name])
        for name, action in PERMISSIONS.items()
    }


def anywhere(access: Access, actor: str | None, action: Action) -> tuple[bool, str]:
    """Whether the actor may do that anywhere in this environment, and otherwise why not. For
    display, as :func:`explained`."""
    return _decided(access, access.in_force, actor, action)


def _decided(
    access: Access, found: PolicyInForce | None, actor: str | None, action: Action
) -> tuple[bool, str]:
    if actor is None:
        return False, "Nobody is signed in."
    still = Access(lambda: found, environment=access.environment, single_user=access.single_user)
    target = Target("this deployment", environment=access.environment)
    decision = still.decide(actor, action, target)
    narrowed = found is not None and any(
        binding.actor == actor
        and action in actions_of(binding.role)
        and binding.scope.environment in (None, access.environment)
        and binding.scope.stream is None
        for binding in found.policy.bindings
    )
    return decision.allowed or narrowed, f"{actor} may not {action}: {decision.why}"
