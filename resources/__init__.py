"""What the assets of this deployment run with.

``plane`` and ``io_manager`` come from ``govern``. Where they keep bytes and history is decided by
the settings (RO_HOME, RO_STORE_URL, RO_LEDGER_URL), so the same code serves every environment.
"""

from typing import Any

import dagster as dg

RESOURCES: dict[str, Any] = {}
"""The reference workload needs nothing else; a client of a warehouse, say, would stand here."""

# Steps of the reference workload are shorter than starting a process for each would be.
EXECUTOR = dg.in_process_executor
