"""Attempts whose worker vanished are ended, and finished runs are sealed, if nobody else did."""

from ro_platform.orchestration.reconcile import reconciliation_sensor

attempt_reconciliation = reconciliation_sensor()
