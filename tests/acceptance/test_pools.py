"""Concurrency pools: a dead run gives its slot back; who waits says for what, and can be ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import ROOT, Deployment

pytestmark = pytest.mark.timeout(300)

PATIENCE_SECONDS = 60
DEFINITIONS = """
import os, signal, time
import dagster as dg
from ro_platform.orchestration import gate, govern

@dg.asset(pool="db")
def orders() -> list[int]:
    open(f"started-{os.getpid()}", "w").close()
    if os.environ.get("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("HOLD", "0")))
    return [1, 2]

@gate(asset=orders)
def ok(orders: list[int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)

defs = govern(dg.Definitions(
    assets=[orders], asset_checks=[ok], jobs=[dg.define_asset_job("shop")]))
"""
POOLS = "\nconcurrency:\n  pools:\n    default_limit: 1\n    granularity: op\n"
QUEUE = "  config:\n    max_concurrent_runs: 4\n"
MANIFEST = "kind: ro.run_manifest.v0\nworkload: shop\nparameters: {n: %d}\ncode: {version: '1'}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Deployment:
    """A deployment whose one asset needs the only slot of the pool ``db``."""
    settings = (ROOT / "dagster.yaml").read_text()
    assert QUEUE in settings
    (tmp_path / "dagster.yaml").write_text(settings.replace(QUEUE, "") + POOLS)
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    for number in (1, 2):
        (tmp_path / f"m{number}.yaml").write_text(MANIFEST % number)
    return Deployment(tmp_path, tmp_path / "home")


def with_environment(shop: Deployment, **environment: str) -> Deployment:
    return Deployment(shop.root, shop.home, environment)


def until(what: Callable[[], Any]) -> float:
    """Wait for it; answers how many seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < PATIENCE_SECONDS
        time.sleep(0.05)
    return time.monotonic() - began


def statuses(shop: Deployment) -> list[tuple[str, str]]:
    found = shop.ro("attempts", "list", "--all", "--json").json()
    return [(item["unit"], item["status"]) for item in found]


def test_a_dead_run_gives_its_slot_back_when_it_is_reconciled(shop: Deployment) -> None:
    """A worker was killed inside the step: the next run ends well after one reconciliation."""
    assert with_environment(shop, DIE="1").ro("run", "m1.yaml").code == -signal.SIGKILL

    assert shop.ro("attempts", "reconcile").code == 0
    again = shop.ro("run", "m1.yaml")

    assert again.code == 0, again.err
    assert "waits for a slot" not in again.err
    assert statuses(shop) == [
        ("orders", "LOST"),
        ("orders#ok", "CANCELED"),
        ("orders", "SUCCEEDED"),
        ("orders#ok", "SUCCEEDED"),
    ]


def test_a_cancelled_dead_run_gives_its_slot_back(shop: Deployment) -> None:
    """``ro admin cancel-run`` of a run whose worker is gone is enough."""
    with_environment(shop, DIE="1").ro("run", "m1.yaml")
    (dead,) = {
        item["correlation_ids"]["dagster_run_id"]
        for item in shop.ro("attempts", "list", "--json").json()
    }

    cancelled = shop.ro("admin", "cancel-run", dead, "--reason", "its worker is gone")
    assert cancelled.code == 0, cancelled.err

    assert shop.ro("run", "m2.yaml").code == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "Ctrl-C"])
def test_who_waits_for_a_slot_says_for_what_and_ends_when_told(
    shop: Deployment, tmp_path: Path, stop: signal.Signals
) -> None:
    """The pool, who holds it, what that makes and since when, within two seconds of waiting; then
    a signal ends it, with its attempts CANCELED on record and nothing left in the pool."""
    holder = with_environment(shop, HOLD="600").start("ro", "run", "m1.yaml")
    log = tmp_path / "log.txt"
    try:
        until(lambda: list(tmp_path.glob("started-*")))
        waiter = shop.start("ro", "run", "m2.yaml", log=log)
        queued = shop.home / "ledger.sqlite"
        assert queued.exists()
        until(lambda: log.exists() and "waits for a slot" in log.read_text())
        said = " ".join(log.read_text().split())
        assert "step 'orders' waits for a slot of the pool 'db', held by 'orders' of run" in said
        assert "since 20" in said
        time.sleep(2)  # it goes on waiting
        assert waiter.poll() is None, log.read_text()
        os.killpg(waiter.pid, stop)
        assert waiter.wait(15) == 9
    finally:
        os.killpg(holder.pid, signal.SIGTERM)
    assert holder.wait(15) == 9

    assert {status for _, status in statuses(shop)} == {"CANCELED"}
    assert len(statuses(shop)) == 4
    assert shop.ro("run", "m2.yaml").code == 0


def test_who_waits_for_a_dead_run_is_told_what_helps(shop: Deployment, tmp_path: Path) -> None:
    """It names the run whose process is gone, and the command; once that was given, it goes on."""
    with_environment(shop, DIE="1").ro("run", "m1.yaml")
    log = tmp_path / "log.txt"
    waiter = shop.start("ro", "run", "m2.yaml", log=log)
    try:
        until(lambda: log.exists() and "waits for a slot" in log.read_text())
        said = " ".join(log.read_text().split())
        assert "whose process is gone" in said
        assert "`ro attempts reconcile`" in said
        assert shop.ro("attempts", "reconcile").code == 0
        assert waiter.wait(60) == 0, log.read_text()
    finally:
        waiter.kill()
