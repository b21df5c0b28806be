"""Tags of runs and backfills that no client may set: what it sends under them is dropped.

Beside those that this deployment stamps these are the ones that Dagster itself sets. By them it
shows who or what launched a run, and by them its daemon knows what it need not launch again: a run
that carries a sensor's key, a schedule's tick or a backfill's partition keeps the real one from
being made.
"""

from __future__ import annotations

from typing import Any

from ro_platform.orchestration.launches import STAMPED

DAGSTERS_OWN = frozenset(
    {
        # who launched it
        "user",
        "dagster/reporting_user",
        "dagster/schedule_name",
        "dagster/sensor_name",
        "dagster/auto_materialize",
        "dagster/from_automation_condition",
        "dagster/auto_observe",
        # what need not be launched again
        "dagster/tick",
        "dagster/run_key",
        "dagster/backfill",
        "dagster/parent_backfill_id",
        "dagster/root_backfill_id",
        "dagster/asset_evaluation_id",
        "dagster/retry_number",
        "dagster/will_retry",
        "dagster/auto_retry_run_id",
        # what ran, and what came of it
        "dagster/image",
        "dagster/code_location",
        "dagster/external_job_source",
        "dagster/defer_asset_events",
        "dagster/failure_reason",
    }
)
_HIDDEN = ".dagster/"
_RUN_CONFIG = "runConfigData"

Dropped = list[tuple[str, str]]


def is_reserved(key: object) -> bool:
    """Whether only the server sets a tag of that name."""
    return isinstance(key, str) and (
        key in STAMPED or key in DAGSTERS_OWN or key.startswith(_HIDDEN)
    )


def names_reserved(value: Any) -> bool:
    """Whether a reserved tag is set anywhere in the arguments of a mutation."""
    if isinstance(value, dict):
        return is_reserved(value.get("key")) or any(
            names_reserved(item) for name, item in value.items() if name != _RUN_CONFIG
        )
    return isinstance(value, list) and any(map(names_reserved, value))


def without_reserved(value: Any, dropped: Dropped) -> Any:
    """A value without the reserved tags in its lists, which are added to ``dropped``. Run config
    is no place of tags, and is left as it is."""
    if isinstance(value, dict):
        return {
            name: item if name == _RUN_CONFIG else without_reserved(item, dropped)
            for name, item in value.items()
        }
    if not isinstance(value, list):
        return value
    kept = []
    for item in value:
        if isinstance(item, dict) and is_reserved(item.get("key")):
            dropped.append((item["key"], str(item.get("value"))))
        else:
            kept.append(without_reserved(item, dropped))
    return kept
