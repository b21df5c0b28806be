"""A script of somebody's own that executes consumers in its process: no coordinator, no launcher.

``python -m tests.acceptance.many_ways.scripts WAY ...``: all cells of these ways, one run each.
"""

import sys

import dagster as dg

from tests.acceptance.many_ways.cells import Cell, cells_of
from tests.acceptance.many_ways.definitions import defs
from tests.acceptance.many_ways.states import QUIET, Bench


def main(ways: list[str]) -> None:
    """Execute the cells; that a run fails is what most are for."""
    bench = Bench()
    for way in ways:
        for cell in cells_of(way):
            if way == "scripted":
                _materialize(bench, cell)
            else:
                _execute(bench, cell)


def _execute(bench: Bench, cell: Cell) -> None:
    """``execute_in_process`` of the consumer's job."""
    defs.resolve_job_def(cell.job).execute_in_process(
        instance=bench.instance,
        partition_key=bench.fingerprints[cell.manifest],
        raise_on_error=False,
        run_config=QUIET,
    )


def _materialize(bench: Bench, cell: Cell) -> None:
    """``dg.materialize`` of the consumer alone, with the resources of the deployment."""
    kinds = (dg.AssetsDefinition, dg.AssetSpec)
    assets = [item for item in defs.assets or () if isinstance(item, kinds)]
    dg.materialize(
        assets,
        selection=[dg.AssetKey(cell.consumer.split("/"))],
        resources=defs.resources,
        instance=bench.instance,
        partition_key=bench.fingerprints[cell.manifest],
        raise_on_error=False,
        run_config=QUIET,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
