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

from ro_platform.contracts.base import Actor
from ro_platform.errors import IntegrityError, SettingsError
from ro_platform.orchestration.dagster_private import edges_of, is_foreign, mapped_parents
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane
from ro_platform.runs.readiness import Look, Passed, Position, Readiness

PASSING_ACTOR: Actor = "SYSTEM::when-passed"
PASSED_TAG = "ro/passed"
_RUN_KEY_TAG = "dagster/run_key"
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

    ``target`` is a job of ``define_asset_job``, or an ``AssetSelection`` (which needs a ``name``).
    Its producers are the assets that it depends on, loaded or not, and does not make itself. They
    count for every manifest, or for those of the given ``workloads`` only. A tick launches at most
    ``manifests_a_tick``.

    The cursor is a position in the ledger. A tick that fails (the ledger does not answer, a gate
    left the code without a record) leaves it where it was, and so does a crash: the next tick
    looks at the same entries again, and what Dagster has launched under the same digests, or the
    ledger has as made from them, is not requested again.

    Raises :class:`SettingsError` for a target without a name; the tick raises it for a target
    without producers, and for one that depends on other manifests' artifacts.
    """
    consumer = _Consumer(
        name=name or getattr(target, "name", None) or _refuse_nameless(),
        selection=target if isinstance(target, dg.AssetSelection) else target.selection,
        workloads=None if workloads is None else frozenset(workloads),
    )

    @dg.sensor(
        name=name or f"{consumer.name}_when_passed",
        target=target,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=f"Launches {consumer.name} for a manifest when what it reads has passed.",
    )
    def passed(context: dg.SensorEvaluationContext, plane: PlaneResource) -> dg.SensorResult:
        needs = _Needs.of(consumer, _repository_of(context), plane)
        for asset in needs.producers:
            # A gate that is new in the code would refuse the consumer at its start, so it must
            # bind before anything is asked.
            plane.declarations.bind(plane.plane, asset)
        readiness = needs.readiness(consumer, plane.plane)
        look = readiness.look(
            Position.of(context.cursor),
            most=manifests_a_tick,
            is_launched=_is_launched(consumer, needs, readiness, context.instance),
        )
        _log_damage(context, look)
        return _result(consumer, look, context.instance)

    return passed


@dataclass(frozen=True)
class _Consumer:
    """What is launched: its name in run keys, what it makes, and for whose manifests."""

    name: str
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
        outside = {key for parents in edges.values() for key in parents} - edges.keys()
        producers = {key for key in outside if _is_producer(repository, key, plane)}
        _refuse_unclear(consumer, repository, edges, producers)
        kept = {item.asset for item in plane.declared if item.made_here}
        makes = {key: parents for key, parents in edges.items() if unit_of(key) in kept}
        known = producers | makes.keys()
        return cls(
            producers=frozenset(map(unit_of, producers)),
            makes={
                unit_of(key): frozenset(map(unit_of, _read(repository, key) & known))
                for key in makes
            },
        )

    def readiness(self, consumer: _Consumer, plane: Plane) -> Readiness:
        """The question to ask the ledger."""
        return Readiness(
            plane.store,
            plane.ledger,
            plane.guard,
            plane.runs,
            producers=self.producers,
            workloads=consumer.workloads,
        )
