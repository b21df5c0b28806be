"""The assets of one family: a producer with its gates, and a consumer of each shape.

Modules with Dagster's decorators see annotations as they are, not as text.
"""

import os
from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform.gates.made import artifact_of
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate
from tests.acceptance.many_ways.cells import content
from tests.acceptance.many_ways.interloper import Interloper

EDITION = "MANY_WAYS_EDITION"
_PLAIN = (
    *("launched", "selected", "materialized", "submitted", "backfilled", "sensed", "scheduled"),
    *("spread", "inside", "outspread", "scripted", "ran"),
)


@dg.asset(partitions_def=MANIFESTS, code_version="1", metadata={"ro/deterministic": False})
def origin(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """What every producer is made from."""
    made = {key: content("origin", key, 1) for key in context.partition_keys}
    return made if len(made) > 1 else made[context.partition_key]


@gate(asset=origin, code_version="1")
def fine(origin: dict[str, Any]) -> dg.AssetCheckResult:
    """Passes."""
    return dg.AssetCheckResult(passed=origin["edition"] == 1)


def producer(family: str, *, rule: str = "2", more_gates: bool = False) -> list[Any]:
    """``<family>/source`` and its gates. Range runs and backfills of it have an explicit policy."""
    name = f"{family}/source"

    @dg.asset(
        key=[family, "source"],
        ins={"origin": dg.AssetIn(key="origin")},
        metadata={"ro/deterministic": False},
        backfill_policy=dg.BackfillPolicy.single_run(),
        partitions_def=MANIFESTS,
        code_version="1",
    )
    def source(context: dg.AssetExecutionContext, origin: dict[str, Any]) -> dict[str, Any]:
        edition = int(os.environ.get(EDITION, "1"))
        made = {key: content(name, key, edition) for key in context.partition_keys}
        return made if len(made) > 1 else made[context.partition_keys[0]]

    @gate(asset=source, name="good", code_version=rule)
    def good(
        context: dg.AssetCheckExecutionContext, plane: PlaneResource, source: dict[str, Any]
    ) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=bool(plane.run(context).parameters["good"]))

    @gate(asset=source, name="whole", code_version="1")
    def whole(source: dict[str, Any]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(source["padding"]) == 1000)

    return [source, good, *([whole] if more_gates else [])]


def reader(
    family: str,
    name: str,
    *,
    deps: list[dg.AssetsDefinition] | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    condition: dg.AutomationCondition[Any] | None = None,
) -> dg.AssetsDefinition:
    """A consumer that keeps what it read."""

    @dg.asset(
        key=[family, name],
        ins=_source_of(family),
        partitions_def=MANIFESTS,
        code_version="1",
        deps=deps,
        retry_policy=retry_policy,
        automation_condition=condition,
    )
    def read(interloper: Interloper, source: dict[str, Any]) -> dict[str, Any]:
        return {"read": source}

    return read


def readers(family: str) -> list[Any]:
    """A consumer for each way in, the automated ones left out."""
    return [
        *(reader(family, name) for name in _PLAIN),
        reader(family, "retried", retry_policy=dg.RetryPolicy(max_retries=2)),
        *_hindered(family),
        _ranged(family),
        _follower(family),
        _twins(family),
        _drawn(family),
        _sketched(family),
    ]


def guest(family: str) -> list[Any]:
    """An asset that is made outside, and its consumer."""

    @dg.asset(
        key=[family, "guest"],
        ins={"outside": dg.AssetIn(key=[family, "outside"])},
        partitions_def=MANIFESTS,
        code_version="1",
    )
    def read(interloper: Interloper, outside: dict[str, Any]) -> dict[str, Any]:
        return {"read": outside}

    return [dg.AssetSpec([family, "outside"], partitions_def=MANIFESTS), read]


def _source_of(family: str) -> dict[str, dg.AssetIn]:
    return {"source": dg.AssetIn(key=[family, "source"])}


def _hindered(family: str) -> list[Any]:
    """A consumer behind a step that fails as long as a file is there: to be executed again."""

    @dg.asset(key=[family, "obstacle"], partitions_def=MANIFESTS, code_version="1")
    def obstacle() -> dict[str, Any]:
        if Path(os.environ["RO_HOME"], "obstacle").exists():
            raise dg.Failure("something is in the way")
        return {"in the way": None}

    return [obstacle, reader(family, "again", deps=[obstacle])]


def _ranged(family: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=[family, "ranged"],
        ins=_source_of(family),
        backfill_policy=dg.BackfillPolicy.single_run(),
        partitions_def=MANIFESTS,
        code_version="1",
    )
    def read(interloper: Interloper, source: dict[str, Any]) -> dict[str, Any]:
        return {key: {"read": value} for key, value in source.items()}

    return read


def _follower(family: str) -> dg.AssetsDefinition:
    """It loads nothing, and takes the bytes from the store by itself, past any guard."""

    @dg.asset(
        key=[family, "follower"],
        deps=[[family, "source"]],
        partitions_def=MANIFESTS,
        code_version="1",
    )
    def read(
        context: dg.AssetExecutionContext, plane: PlaneResource, interloper: Interloper
    ) -> dict[str, Any]:
        return {"read": _taken(plane, f"{family}/source", context.partition_key)}

    return read


def _twins(family: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{family}_twins",
        outs={
            name: dg.AssetOut(key=[family, name], code_version="1") for name in ("left", "right")
        },
        ins=_source_of(family),
        partitions_def=MANIFESTS,
    )
    def twins(
        interloper: Interloper, source: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"left": source}, {"right": source}

    return twins


def _drawn(family: str) -> dg.AssetsDefinition:
    """A graph of two steps, of which the first reads."""

    @dg.op(name=f"{family}_take", out=dg.Out(io_manager_key="in_memory"))
    def take(interloper: Interloper, source: dict[str, Any]) -> dict[str, Any]:
        return {"taken": source}

    @dg.op(name=f"{family}_keep")
    def keep(taken: dict[str, Any]) -> dict[str, Any]:
        return {"read": taken}

    @dg.graph_asset(
        name="drawn", key_prefix=family, ins=_source_of(family), partitions_def=MANIFESTS
    )
    def drawn(source: Any) -> Any:
        return keep(take(source))

    return drawn


def _sketched(family: str) -> dg.AssetsDefinition:
    """A graph of two steps that depends on the producer without loading it; the first takes the
    bytes from the store by itself."""

    @dg.op(
        name=f"{family}_help_itself",
        ins={"after": dg.In(dg.Nothing)},
        out=dg.Out(io_manager_key="in_memory"),
    )
    def help_itself(
        context: dg.OpExecutionContext, plane: PlaneResource, interloper: Interloper
    ) -> dict[str, Any]:
        return {"taken": _taken(plane, f"{family}/source", context.partition_key)}

    @dg.op(name=f"{family}_hand_on")
    def hand_on(taken: dict[str, Any]) -> dict[str, Any]:
        return {"read": taken}

    @dg.graph_asset(
        name="sketched",
        key_prefix=family,
        ins={"after": dg.AssetIn(key=[family, "source"], dagster_type=dg.Nothing)},
        partitions_def=MANIFESTS,
    )
    def sketched(after: Any) -> Any:
        return hand_on(help_itself(after))

    return sketched


def _taken(plane: PlaneResource, asset: str, fingerprint: str) -> str:
    """The bytes, past any guard."""
    ref = artifact_of(plane.plane.ledger, asset, fingerprint)
    assert ref is not None
    return plane.plane.store.read(ref).decode()
