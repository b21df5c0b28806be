"""What works by itself in this deployment: the library's standard operations, each named with the
time that is chosen for it here."""

from collections.abc import Sequence

import dagster as dg

from ro_platform.orchestration import WorkloadJob, standard_operations


def operations(workloads: Sequence[WorkloadJob]) -> dg.Definitions:
    """Inbox, reconciliation, checkpoints and verification, for the workloads of this deployment.

    Each time is the library's default, written out so that it can be seen and changed.
    """
    return standard_operations(
        workloads,
        inbox_every_seconds=15,
        reconcile_every_seconds=30,
        checkpoint_cron="30 * * * *",
        checkpoint_every_entries=1000,
        verification_cron="0 3 * * *",
    )
