"""No PASS, no read: across processes, whichever way the reader is started."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.acceptance.product import TUTORIAL, Answer, Deployment, small_manifest


@pytest.fixture(scope="module")
def stricter_run(
    first_run: tuple[Deployment, Answer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Deployment, Any]:
    """The reference workload under a stricter published config; its facts."""
    folder = tmp_path_factory.mktemp("stricter")
    deployment = first_run[0].copied_to(folder / "home")
    yaml = YAML(typ="safe")
    thresholds = yaml.load((TUTORIAL / "configs/purchases_gates.yaml").read_text())
    thresholds["quarantine_maximum_share"] = 0.001
    config = folder / "gates.json"
    config.write_text(json.dumps(thresholds, default=str))
    published = deployment.ro(
        "config", "publish", "purchases_gates", config, "--reason", "less waste", "--json"
    ).json()

    manifest = json.loads(
        json.dumps(yaml.load((TUTORIAL / "purchases.yaml").read_text()), default=str)
    )
    pin = {name: published[name] for name in ("config_name", "config_version", "digest")}
    manifest["config_versions"][1] = pin
    file = folder / "stricter.json"
    file.write_text(json.dumps(manifest))
    answer = deployment.ro("run", file, "--json")
    assert answer.code == 5, answer.err
    return deployment, answer.json()


def test_a_published_version_is_the_next_number(stricter_run: tuple[Deployment, Any]) -> None:
    """Versions 1, 2: each with its reason and author, and neither edited."""
    listed = stricter_run[0].ro("config", "list", "purchases_gates", "--json").json()
    assert [item["config_version"] for item in listed] == [1, 2]
    assert listed[1]["reason"] == "less waste"
    assert listed[1]["actor"].startswith("HUMAN::")


def test_a_gate_that_fails_stops_its_consumers(stricter_run: tuple[Deployment, Any]) -> None:
    """The gate says FAIL, it is named, and nothing downstream of it was computed: exit 5."""
    _, facts = stricter_run
    assert facts["error"]["code"] == "RO_GATE_FAILED"
    assert "quarantine_is_small" in facts["error"]["message"]
    by_name = {asset["asset"]: asset for asset in facts["assets"]}
    assert facts["executed"] == ["scenario", "quarantine"]
    assert by_name["quarantine"]["gates"][0]["status"] == "FAIL"
    for name in ("admitted", "feature_snapshot", "labels", "model", "evaluation", "bundle"):
        assert by_name[name]["artifact"] is None
        assert by_name[name]["attempt"]["status"] == "CANCELED"


def test_the_same_bytes_stay_passed_for_the_other_run(
    stricter_run: tuple[Deployment, Any],
) -> None:
    """A FAIL under one manifest's rule takes nothing from another's PASS."""
    deployment, _ = stricter_run
    facts = deployment.ro("run", TUTORIAL / "purchases.yaml", "--json").json()
    assert facts["executed"] == []
    assert all(asset["stands"] for asset in facts["assets"])


def test_the_refused_run_can_be_asked_again(stricter_run: tuple[Deployment, Any]) -> None:
    """A receipt of FAIL is on record beside those of PASS, with the rule that decided."""
    deployment, facts = stricter_run
    receipts = deployment.ro("ledger", "log", "--kind", "gate_receipt", "--all", "--json").json()
    mine = [
        entry["body"] for entry in receipts if entry["correlation_ids"]["run_id"] == facts["run_id"]
    ]
    assert {body["status"] for body in mine} == {"PASS", "FAIL"}
    rules = {
        entry["body"]["rule_digest"]
        for entry in receipts
        if entry["body"]["gate_id"] == "quarantine.quarantine_is_small"
    }
    assert len(rules) == 2


@pytest.fixture(scope="module")
def failed_gate(
    small_first_run: tuple[Deployment, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Deployment, str]:
    """The small deployment where ``numbers`` is bound and its gate said FAIL; its fingerprint."""
    folder = tmp_path_factory.mktemp("failed")
    first, _ = small_first_run
    small = first.copied_to(folder / "home")
    answer = small.ro("run", small_manifest(folder, count=20), "--json")
    assert answer.code == 5, answer.err
    return small, str(answer.json()["manifest_fingerprint"])


def test_a_consumer_started_elsewhere_is_refused(failed_gate: tuple[Deployment, str]) -> None:
    """`dagster asset materialize` of the consumer alone names the gate, and binds nothing."""
    small, fingerprint = failed_gate
    answer = small.dagster(
        *("asset", "materialize", "-m", "definitions"),
        *("--select", "sums", "--partition", fingerprint),
    )
    assert answer.code != 0
    assert "RO_GATE_FAILED: gate 'numbers.few_enough' FAILED for" in answer.err + answer.out
    bound = small.ro("artifact", "list", "--manifest", fingerprint, "--json").json()
    assert [item["asset"] for item in bound] == ["numbers"]
    attempts = small.ro("ledger", "log", "--kind", "attempt_transition", "--all", "--json").json()
    last = [e["body"] for e in attempts if e["body"]["unit"] == "sums"][-1]
    assert (last["status"], last["error_code"]) == ("FAILED", "RO_GATE_FAILED")


def test_asking_again_does_not_make_it_pass(failed_gate: tuple[Deployment, str]) -> None:
    """Evaluated anew, by `ro run` or by the dagster CLI, the same bytes fail the same rule."""
    small, fingerprint = failed_gate
    manifest = next(small.home.parent.glob("adding-20-*.json"))
    again = small.ro("run", manifest, "--json")
    assert (again.code, again.json()["executed"]) == (5, [])
    assert again.json()["error"]["code"] == "RO_GATE_FAILED"
    assert again.json()["manifest_fingerprint"] == fingerprint


def test_an_artifact_without_pass_is_not_handed_out(
    failed_gate: tuple[Deployment, str], tmp_path: Path
) -> None:
    """`artifact get` is refused by name, by locator and by digest; it writes nothing."""
    small, fingerprint = failed_gate
    bound = small.ro("artifact", "list", "--manifest", fingerprint, "--json").json()[0]
    before = small.evidence()
    for target in (f"numbers@{fingerprint}", bound["artifact"]["ref"], bound["artifact"]["digest"]):
        answer = small.ro("artifact", "get", target, tmp_path / "copy")
        assert (answer.code, answer.err.split()[0]) == (5, "RO_GATE_FAILED")
        assert not list(tmp_path.iterdir())
    assert small.evidence() == before


def test_an_artifact_without_pass_is_not_shown(failed_gate: tuple[Deployment, str]) -> None:
    """`artifact show` tells of it, its gate included, but gives no preview of its content."""
    small, fingerprint = failed_gate
    answer = small.ro("artifact", "show", f"numbers@{fingerprint}", "--json").json()
    assert answer["gates"] == {"numbers.few_enough": "FAIL"}
    assert answer["preview"] is None


def test_a_passed_artifact_is_handed_out_whole(
    small_first_run: tuple[Deployment, Path], tmp_path: Path
) -> None:
    """The copy has the digest that is bound."""
    small, _ = small_first_run
    bound = small.ro("artifact", "list", "--asset", "numbers", "--json").json()[0]["artifact"]
    assert small.ro("artifact", "get", bound["ref"], tmp_path / "copy").code == 0
    copied = (tmp_path / "copy").read_bytes()
    assert hashlib.sha256(copied).hexdigest() == bound["digest"]


def test_a_removed_gate_is_no_way_through(failed_gate: tuple[Deployment, str]) -> None:
    """A code location without the check still has its gate on record, so readers are refused."""
    small, fingerprint = failed_gate
    root = small.home.parent / "without-gate"
    root.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        (root / name).write_bytes((small.root / name).read_bytes())
    code = (small.root / "definitions.py").read_text()
    assert code.count("asset_checks=[few_enough, not_negative]") == 1
    (root / "definitions.py").write_text(
        code.replace("asset_checks=[few_enough, not_negative]", "asset_checks=[not_negative]")
    )
    answer = Deployment(root, small.home).dagster(
        *("asset", "materialize", "-m", "definitions"),
        *("--select", "sums", "--partition", fingerprint),
    )
    assert answer.code != 0
    assert "RO_GATE_" in answer.err + answer.out
    bound = small.ro("artifact", "list", "--manifest", fingerprint, "--json").json()
    assert [item["asset"] for item in bound] == ["numbers"]
