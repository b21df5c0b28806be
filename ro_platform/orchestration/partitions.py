"""Runs as partitions: the partition key of every governed asset is a manifest's fingerprint."""

import re
from typing import Any

import dagster as dg

MANIFESTS = dg.DynamicPartitionsDefinition(name="manifests")

MANIFEST_TAGS = frozenset({"dagster/partition", "dagster/asset_partition_range_start"})
"""The tags by which Dagster says for which partition, or range of them, a run is."""

_FINGERPRINT = re.compile(r"[a-f0-9]{64}\Z")


def is_fingerprint(partition_key: str) -> bool:
    """Whether a partition key has the form of a manifest's fingerprint."""
    return _FINGERPRINT.match(partition_key) is not None


def unit_of(asset: dg.AssetKey) -> str:
    """The unit of work that materializes an asset: its key, the parts joined by a slash."""
    return "/".join(asset.path)


class ByManifest(dict[str, Any]):
    """The values of an asset for several manifests, by fingerprint."""
