"""Attempts whose worker vanished are ended: what is left open in the ledger is asked about."""

from ro_platform.orchestration.reconcile import reconciliation_sensor

attempt_reconciliation = reconciliation_sensor()
