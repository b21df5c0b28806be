"""``when_passed``: a sensor that launches a consumer for a manifest when its producers have passed.

Once for each set of producers' digests: when all gates of all producers stand for what is bound
now, and again only when other bytes pass. A pass that is given twice, a lost cursor and a restarted
daemon start nothing twice, and no order of verdicts makes it miss one; why, is the law in
:mod:`ro_platform.runs.readiness`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.dagster_private.definitions import (
    edges_of,
    is_foreign,
    judged_with,
    mapped_parents,
)
from ro_platform.dagster_private.running import launched_with_key
from ro_platform.orchestration.launches import pause_words
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane
from ro_platform.runs.readiness import Bounds, Passed, Readiness, ReadinessCursor, ReadinessScan

PASSED_TAG = "ro/passed"
_SHORT = 12
_REFUSALS_SHOWN = 3


def when_passed(
    target: Any,
    *,
    name: str | None = None,
    workloads: Collection[str] | None = None,
    manifests_a_tick: int = 25,
    minimum_interval_seconds: int = 30,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    """A sensor that launches ``target`` for each manifest whose producers all stand.

    >>> import dagster as dg
    >>> from ro_platform import when_passed
    >>> report = dg.define_asset_job("report", selection="report")
    >>> when_passed(report).name
    'report_when_passed'

    ``target`` is a job of ``define_asset_job``, or an ``AssetSelection`` (which needs a ``name``).
    Its producers are the assets that it depends on, loaded or not, and does not make itself. They
    count for every manifest, or for those of the given ``workloads`` only. A tick launches at most
    ``manifests_a_tick``.

    The cursor is a position in the ledger. A tick that fails (the ledger does not answer, a gate
    left the code without a record) leaves it where it was, and so does a crash: the next tick
    looks at the same entries again, and what Dagster has launched under the same digests, or the
    ledger has as made from them, is not requested again. While the plane, the consumer or an asset
    that it makes is paused, it skips and says so; it catches up afterwards.

    Raises :class:`SettingsError` for a target without a name; the tick raises it for a target
    without producers, and for one that depends on other manifests' artifacts.
    """
    consumer = _consumer(target, name, workloads)

    @dg.sensor(
        name=consumer.sensor,
        target=target,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=f"Launches {consumer.name} for a manifest when what it reads has passed.",
    )
    def passed(context: dg.SensorEvaluationContext, plane: PlaneResource) -> dg.SensorResult:
        needs = _Needs.of(consumer, _repository_of(context), plane)
        if paused := pause_words(plane.plane, workload=consumer.name, assets=needs.makes):
            return dg.SensorResult(skip_reason=dg.SkipReason(paused), cursor=context.cursor)
        for asset in needs.producers:
            # A gate that is new in the code would refuse the consumer at its start, so it must
            # bind before anything is asked.
            plane.declarations.bind(plane.plane, asset)
        readiness = needs.readiness(consumer, plane.plane)
        look = readiness.look(
            ReadinessCursor.of(context.cursor),
            Bounds(passed=manifests_a_tick),
            is_launched=_is_launched(context, consumer, needs, readiness),
        )
        _log_refusals(context, look)
        return _result(consumer, look, context.instance)

    return passed


@dataclass(frozen=True)
class _Consumer:
    """What is launched, its name in run keys, by which sensor, and for whose manifests."""

    name: str
    sensor: str
    selection: dg.AssetSelection
    workloads: frozenset[str] | None


@dataclass(frozen=True)
class _Needs:
    """What a consumer waits for, and what it makes of it, by the plane's names."""

    producers: frozenset[str]
    makes: Mapping[str, frozenset[str]]

    @classmethod
    def of(
        cls, consumer: _Consumer, repository: dg.RepositoryDefinition, plane: PlaneResource
    ) -> "_Needs":
        """Read them off the code location's asset graph."""
        edges = edges_of(repository, consumer.selection)
        read = {key for parents in edges.values() for key in parents}
        outside = (read | judged_with(repository, consumer.selection)) - edges.keys()
        producers = {key for key in outside if _is_producer(repository, key, plane)}
        _refuse_unclear(consumer, repository, edges, producers)
        kept = plane.declarations.made_here
        makes = {key: parents for key, parents in edges.items() if unit_of(key) in kept}
        known = producers | makes.keys()
        return cls(
            producers=frozenset(map(unit_of, producers)),
            makes={
                unit_of(key): frozenset(map(unit_of, parents & known))
                for key, parents in makes.items()
            },
        )

    def readiness(self, consumer: _Consumer, plane: Plane) -> Readiness:
        """The question to ask the ledger."""
        return Readiness(
            plane.ledger,
            plane.guard,
            plane.runs,
            producers=self.producers,
            workloads=consumer.workloads,
        )


def _consumer(target: Any, name: str | None, workloads: Collection[str] | None) -> _Consumer:
    selection = target if isinstance(target, dg.AssetSelection) else _selection_of(target)
    known_as = name if isinstance(target, dg.AssetSelection) else target.name
    if known_as is None:
        raise errors.SettingsError(
            "when_passed got an asset selection and no name for the sensor.",
            next_step='Give it one: when_passed(selection, name="report_when_passed").',
        )
    if workloads is not None:
        workloads = frozenset([workloads] if isinstance(workloads, str) else workloads)
    return _Consumer(
        name=known_as,
        sensor=name or f"{known_as}_when_passed",
        selection=selection,
        workloads=workloads,
    )


def _selection_of(job: Any) -> dg.AssetSelection:
    selection = getattr(job, "selection", None)
    if not isinstance(selection, dg.AssetSelection):
        raise errors.SettingsError(
            f"when_passed launches asset jobs, and {getattr(job, 'name', job)!r} is none.",
            next_step="Give it what define_asset_job returned, or an AssetSelection and a name.",
        )
    return selection


def _repository_of(context: dg.SensorEvaluationContext) -> dg.RepositoryDefinition:
    repository = context.repository_def
    if repository is None:
        raise errors.SettingsError(
            "a when_passed sensor was evaluated outside a code location.",
            next_step="In a test, hand repository_def to build_sensor_context.",
        )
    return repository


def _is_producer(
    repository: dg.RepositoryDefinition, asset: dg.AssetKey, plane: PlaneResource
) -> bool:
    """Whether reading an asset is the guard's matter, or will be once it is made elsewhere."""
    # What hands over nothing never passes, so nothing is to wait for it.
    governed = plane.declarations.is_governed(plane.plane, unit_of(asset))
    return governed or is_foreign(repository, asset)


def _refuse_unclear(
    consumer: _Consumer,
    repository: dg.RepositoryDefinition,
    makes: Collection[dg.AssetKey],
    producers: Collection[dg.AssetKey],
) -> None:
    """Raise :class:`SettingsError` if it cannot be said which artifacts have to pass."""
    if not producers:
        raise errors.SettingsError(
            f"{consumer.name} depends on nothing that the plane holds and it does not make itself, "
            "so nothing can pass for it to start.",
            next_step="Select its consumers only, or launch it by the inbox or a schedule.",
        )
    for asset in makes:
        for parent in mapped_parents(repository, asset) & set(producers):
            raise errors.SettingsError(
                f"asset {unit_of(asset)!r} depends on {unit_of(parent)!r} by a partition mapping, "
                "so it cannot be said which manifests' artifacts must have passed.",
                next_step="Launch it by a sensor of its own.",
            )


def _is_launched(
    context: dg.SensorEvaluationContext,
    consumer: _Consumer,
    needs: _Needs,
    readiness: Readiness,
) -> Callable[[Passed], bool]:
    """Whether a consumer was launched for what passed, by this sensor or (and done) by anybody."""

    def asked(passed: Passed) -> bool:
        launch = passed.launch_id(consumer.name)
        return launched_with_key(context, consumer.sensor, launch) or readiness.is_made(
            passed, needs.makes
        )

    return asked


def _log_refusals(context: dg.SensorEvaluationContext, look: ReadinessScan) -> None:
    """Who waits and why; an error where what is stored is damaged."""
    for fingerprint, refusal in look.refused.items():
        log = context.log.error if isinstance(refusal, errors.IntegrityError) else context.log.info
        log(f"{fingerprint[:_SHORT]} is not ready. {refusal}")


def _result(
    consumer: _Consumer, look: ReadinessScan, instance: dg.DagsterInstance
) -> dg.SensorResult:
    cursor = look.position.text()
    if not look.passed:
        return dg.SensorResult(skip_reason=dg.SkipReason(_words(look)), cursor=cursor)
    # A manifest whose registration died half-way, or that another instance registered.
    missing = [
        item.fingerprint
        for item in look.passed
        if not instance.has_dynamic_partition(str(MANIFESTS.name), item.fingerprint)
    ]
    return dg.SensorResult(
        run_requests=[_request(consumer, passed) for passed in look.passed],
        dynamic_partitions_requests=[MANIFESTS.build_add_request(missing)] if missing else [],
        cursor=cursor,
    )


def _request(consumer: _Consumer, passed: Passed) -> dg.RunRequest:
    launch = passed.launch_id(consumer.name)
    return dg.RunRequest(
        run_key=launch,
        partition_key=passed.fingerprint,
        tags={PASSED_TAG: launch[:_SHORT]},
    )


def _words(look: ReadinessScan) -> str:
    """Why nothing is launched, and what the manifests that were asked about wait for."""
    words = [f"Nothing new has passed up to entry {look.position.next} of {look.size}."]
    if look.refused:
        words.append(f"Asked about and not ready: {len(look.refused)}.")
        words += [
            f"{fingerprint[:_SHORT]}: {refusal}"
            for fingerprint, refusal in list(look.refused.items())[:_REFUSALS_SHOWN]
        ]
    return "\n".join(words)
