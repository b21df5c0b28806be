"""The code location ``elsewhere``: a consumer of an asset that ``main`` makes."""

import dagster as dg

from ro_platform.orchestration import MANIFESTS, govern
from tests.acceptance.many_ways.counting import count_deliveries
from tests.acceptance.many_ways.interloper import Interloper
from tests.acceptance.many_ways.shapes import reader

count_deliveries()

abroad = reader("main", "abroad")

defs = govern(
    dg.Definitions(
        assets=[dg.AssetSpec(["main", "source"], partitions_def=MANIFESTS), abroad],
        jobs=[
            dg.define_asset_job(
                "main_abroad",
                selection=dg.AssetSelection.assets(abroad),
                partitions_def=MANIFESTS,
            )
        ],
        resources={"interloper": Interloper()},
        executor=dg.in_process_executor,
    )
)
