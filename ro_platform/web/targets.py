"""Which workloads a mutation is about, as far as its arguments and the record can say.

A launch names its manifest by the partition's tag, and the manifest names its workload, which is
the job that is launched: any other job, such as Dagster's own for a hand-picked selection of
assets, could make what belongs to other workloads. A run or a backfill that is there is about the
partitions it was launched for. Where that is not known for certain the answer is None, and then
only a role that is not narrowed to a workload allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeGuard

from ro_platform.web.mutations import Place

PARTITION = "dagster/partition"
_RANGE = "dagster/asset_partition_range_start"
_SET = "_partition_set"
Workloads = frozenset[str] | None


class Launched(Protocol):
    """What Dagster has on record about what was launched."""

    def run_of(self, dagster_run_id: str) -> tuple[str, Mapping[str, str]] | None:
        """The job and the tags of a run; None if there is none."""
        ...

    def backfill_partitions(self, backfill_id: str) -> tuple[str, ...] | None:
        """The partition keys of a backfill; None where it has none or is none."""
        ...


class Targets:
    """Finds workloads. ``workload_of`` answers that of a partition key, or None."""

    def __init__(self, launched: Launched, workload_of: Callable[[str], str | None]) -> None:
        self._launched = launched
        self._workload_of = workload_of

    def of(self, place: Place, arguments: Mapping[str, Any]) -> Workloads:
        """The workloads a mutation at that place is about; None where that is not known."""
        match place:
            case Place.ENVIRONMENT:
                return None
            case Place.LAUNCH:
                return self._launch(arguments.get("executionParams"))
            case Place.LAUNCHES:
                return _all(map(self._launch, _list(arguments.get("executionParamsList"))))
            case Place.REEXECUTION:
                return self._reexecution(arguments)
            case Place.BACKFILL_LAUNCH:
                return self._backfill_launch(_object(arguments.get("backfillParams")))
            case Place.RUN:
                return self._run(arguments.get("runId"))
            case Place.RUNS:
                return _all(map(self._run, _list(arguments.get("runIds"))))
            case Place.BACKFILL:
                return self._backfill(arguments.get("backfillId"))

    def _launch(self, params: Any) -> Workloads:
        said = _list(_object(_object(params).get("executionMetadata")).get("tags"))
        tags = [(_object(tag).get("key"), _object(tag).get("value")) for tag in said]
        selector = _object(_object(params).get("selector"))
        jobs = [selector[name] for name in ("jobName", "pipelineName") if selector.get(name)]
        return _only(self._tagged(tags), jobs)

    def _reexecution(self, arguments: Mapping[str, Any]) -> Workloads:
        again = _object(arguments.get("reexecutionParams"))
        if not again:
            return self._launch(arguments.get("executionParams"))
        extra = [_object(tag).get("key") for tag in _list(again.get("extraTags"))]
        if arguments.get("executionParams") or PARTITION in extra or _RANGE in extra:
            return None
        parent = again.get("parentRunId")
        found = self._launched.run_of(parent) if _is_text(parent) else None
        return None if found is None else _only(self._tagged(list(found[1].items())), [found[0]])

    def _backfill_launch(self, params: Mapping[str, Any]) -> Workloads:
        if params.get("allPartitions") or params.get("partitionsByAssets"):
            return None
        name = _object(params.get("selector")).get("partitionSetName")
        jobs = [name.removesuffix(_SET)] if _is_text(name) else []
        return _only(self._partitions(_list(params.get("partitionNames"))), jobs)

    def _run(self, dagster_run_id: Any) -> Workloads:
        found = self._launched.run_of(dagster_run_id) if _is_text(dagster_run_id) else None
        return None if found is None else self._tagged(list(found[1].items()))

    def _backfill(self, backfill_id: Any) -> Workloads:
        found = self._launched.backfill_partitions(backfill_id) if _is_text(backfill_id) else None
        return None if found is None else self._partitions(found)

    def _tagged(self, tags: list[tuple[Any, Any]]) -> Workloads:
        if any(key == _RANGE for key, _ in tags):
            return None
        return self._partitions([value for key, value in tags if key == PARTITION])

    def _partitions(self, keys: Iterable[Any]) -> Workloads:
        found = [self._workload_of(key) if _is_text(key) else None for key in keys]
        known = frozenset(name for name in found if name is not None)
        return known if found and None not in found else None


def _all(found: Iterable[Workloads]) -> Workloads:
    several = list(found)
    if not several or None in several:
        return None
    return frozenset().union(*(some for some in several if some is not None))


def _only(found: Workloads, jobs: list[Any]) -> Workloads:
    """Those workloads, if what is launched is their one job."""
    return found if found is not None and len(jobs) == 1 and found == {jobs[0]} else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    # GraphQL takes a single value where a list is wanted.
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)
