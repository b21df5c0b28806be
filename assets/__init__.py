"""What this deployment computes: one package for each workload."""

from assets.purchases.definitions import ASSETS, GATES, JOBS

__all__ = ["ASSETS", "GATES", "JOBS"]
