"""The configured plane of this deployment."""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from ro_platform.orchestration import plane_resources


def deployment_resources(
    assets: Iterable[Any], gates: Iterable[Any], definitions: Callable[[], dg.Definitions]
) -> dict[str, Any]:
    """``plane`` and ``io_manager`` for the assets and gates of this deployment.

    Where they keep bytes and history is decided by the settings (RO_HOME, RO_STORE_URL,
    RO_LEDGER_URL), so the same code serves every environment.
    """
    return plane_resources(assets, gates, within=definitions)
