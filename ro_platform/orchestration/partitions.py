"""Runs as partitions: the partition key of every governed asset is a manifest's fingerprint."""

import re

import dagster as dg

MANIFESTS = dg.DynamicPartitionsDefinition(name="manifests")

_FINGERPRINT = re.compile(r"[a-f0-9]{64}\Z")


def is_fingerprint(partition_key: str) -> bool:
    """Whether a partition key has the form of a manifest's fingerprint."""
    return _FINGERPRINT.match(partition_key) is not None


def unit_of(asset: dg.AssetKey) -> str:
    """The unit of work that materializes an asset: its key, the parts joined by a slash."""
    return "/".join(asset.path)
