"""Run config by the commands of Dagster, in real processes, each step in one of its own: what the
code does not give a job is refused, whatever starts it, and makes and judges nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.product import Answer, Deployment, small_deployment

pytestmark = pytest.mark.timeout(900)  # each command loads Dagster, and each step a process
DEFINITIONS = """
import dagster as dg

from ro_platform.orchestration import gate, govern


class Make(dg.Config):
    lowest: int = 0


@dg.asset
def orders(config: Make) -> dict[str, int]:
    return {"lowest": config.lowest}


@gate(asset=orders, code_version="1")
def not_negative(orders: dict[str, int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=orders["lowest"] >= 0)


config = {"ops": {"orders": {"config": {"lowest": -3}}}}
jobs = [dg.define_asset_job("plain"), dg.define_asset_job("given", config=config)]
defs = govern(dg.Definitions(assets=[orders], asset_checks=[not_negative], jobs=jobs))
"""
POSITIVE: dict[str, Any] = {"ops": {"orders": {"config": {"lowest": 7}}}}
OWN: dict[str, Any] = {"ops": {"orders": {"config": {"lowest": -3}}}}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A job without config, and one whose own config makes what its gate refuses."""
    made = small_deployment(tmp_path_factory.mktemp("configured"))
    (made.root / "definitions.py").write_text(DEFINITIONS)
    return made


def registered(deployment: Deployment, job: str) -> str:
    """A manifest of a job, on record; its fingerprint."""
    file = deployment.root / f"{job}.json"
    manifest = {"kind": "ro.run_manifest.v0", "workload": job, "code": {"version": "1"}}
    file.write_text(json.dumps(manifest))
    return str(deployment.ro("manifest", "register", file, "--json").json()["manifest_fingerprint"])


def executed(deployment: Deployment, job: str, fingerprint: str, config: dict[str, Any]) -> Answer:
    """`dagster job execute` with a config file; its steps are processes of their own."""
    (deployment.root / "config.yaml").write_text(json.dumps(config))
    tags = json.dumps({"dagster/partition": fingerprint})
    options = ("-m", "definitions", "-j", job, "--tags", tags, "-c", "config.yaml")
    return deployment.dagster("job", "execute", *options)


def facts(deployment: Deployment, fingerprint: str, kind: str) -> list[dict[str, Any]]:
    """What the ledger says of a manifest under a kind."""
    found = [entry["body"] for entry in deployment.entries() if entry["kind"] == kind]
    return [body for body in found if fingerprint in json.dumps(body)]


def test_config_that_would_turn_a_fail_into_a_pass_is_refused(deployment: Deployment) -> None:
    """The job's own config is needed, and no other is taken; then the gate says FAIL."""
    fingerprint = registered(deployment, "given")
    for config in (POSITIVE, {}):
        answer = executed(deployment, "given", fingerprint, config)
        assert "RO_RUN_CONFIG" in answer.out + answer.err
        assert "ops.orders.config.lowest" in answer.out + answer.err
    assert facts(deployment, fingerprint, "artifact_bound") == []
    moves = facts(deployment, fingerprint, "attempt_transition")
    assert {move["status"] for move in moves} == {"QUEUED", "REFUSED"}
    executed(deployment, "given", fingerprint, OWN)
    assert len(facts(deployment, fingerprint, "artifact_bound")) == 1
    moves = facts(deployment, fingerprint, "attempt_transition")
    digests = {move["job_config_digest"] for move in moves if move["status"] == "RUNNING"}
    assert len(digests) == 1
    judged = deployment.ro("run", deployment.root / "given.json")
    assert judged.code == 5, judged.err


def test_an_asset_launched_on_its_own_has_its_defaults(deployment: Deployment) -> None:
    """By `dagster asset materialize` with config: refused; without: made, with no config on
    record."""
    fingerprint = registered(deployment, "plain")
    select = ("asset", "materialize", "--select", "*", "-m", "definitions")
    partition = ("--partition", fingerprint)
    refused = deployment.dagster(*select, *partition, "--config-json", json.dumps(OWN))
    assert "RO_RUN_CONFIG" in refused.out + refused.err
    assert facts(deployment, fingerprint, "artifact_bound") == []
    assert deployment.dagster(*select, *partition).code == 0
    assert len(facts(deployment, fingerprint, "artifact_bound")) == 1
    moves = facts(deployment, fingerprint, "attempt_transition")
    assert not any("job_config_digest" in move for move in moves)
