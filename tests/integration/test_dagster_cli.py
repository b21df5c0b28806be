"""The dagster command line on a governed deployment: validate, materialize, refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import (
    ROOT,
    Answer,
    Deployment,
    small_deployment,
    small_manifest,
)


@pytest.fixture(scope="module")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, str, Answer]:
    """A registered manifest whose assets were materialized by the dagster CLI alone."""
    folder = tmp_path_factory.mktemp("dagster-cli")
    small = small_deployment(folder)
    registered = small.ro("manifest", "register", small_manifest(folder), "--json").json()
    fingerprint = str(registered["manifest_fingerprint"])
    return small, fingerprint, _materialize(small, "*", fingerprint)


def _materialize(small: Deployment, selection: str, fingerprint: str) -> Answer:
    return small.dagster(
        *("asset", "materialize", "-m", "definitions"),
        *("--select", selection, "--partition", fingerprint),
    )


def _transitions(small: Deployment, unit: str) -> list[dict[str, Any]]:
    return [
        entry["body"]
        for entry in small.entries()
        if entry["kind"] == "attempt_transition" and entry["body"]["unit"] == unit
    ]


def test_definitions_validate(tmp_path: Path) -> None:
    """`dagster definitions validate` accepts this repository's code location, without state."""
    reference = Deployment(ROOT, tmp_path / "home")
    answer = reference.dagster("definitions", "validate", "-w", "workspace.yaml")
    assert answer.code == 0, answer.err
    assert "All code locations passed validation" in answer.out + answer.err
    assert reference.entries() == []


def test_materialize_succeeds(materialized: tuple[Deployment, str, Answer]) -> None:
    """Assets and gates run for the partition, and the artifacts stand for `ro run` too."""
    small, fingerprint, answer = materialized
    assert answer.code == 0, answer.err
    manifest = next(small.home.parent.glob("adding-*.json"))
    facts = small.ro("run", manifest, "--json").json()
    assert facts["manifest_fingerprint"] == fingerprint
    assert facts["executed"] == []
    assert all(asset["stands"] for asset in facts["assets"])


@pytest.mark.parametrize("unit", ["numbers", "sums", "numbers#few_enough", "sums#not_negative"])
def test_it_leaves_an_attempt(materialized: tuple[Deployment, str, Answer], unit: str) -> None:
    """Queued, running, succeeded: with runtime and code version, whichever way it was started."""
    small, fingerprint, _ = materialized
    found = _transitions(small, unit)
    assert [item["status"] for item in found] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert {item["manifest_fingerprint"] for item in found} == {fingerprint}
    assert len({item["attempt_id"] for item in found}) == 1
    assert found[-1]["code_version"] == "1"
    runtime = next(item["runtime"] for item in found if "runtime" in item)
    assert runtime["python"].startswith("3.")
    assert len(runtime["packages_digest"]) == 64


def test_the_attempt_says_what_went_in_and_out(
    materialized: tuple[Deployment, str, Answer],
) -> None:
    """The input of the consumer is, to the byte, the output of the producer."""
    small, _, _ = materialized
    made = _transitions(small, "numbers")[-1]["outputs"]
    used = _transitions(small, "sums")[-1]["inputs"]
    assert made == used
    assert made[0]["artifact"]["digest"] in {
        item["artifact"]["digest"] for item in small.ro("artifact", "list", "--json").json()
    }


def test_entries_name_the_dagster_run(materialized: tuple[Deployment, str, Answer]) -> None:
    """Dagster's run id stands beside the plane's own, so that both histories can be joined."""
    small, _, _ = materialized
    ids = [
        entry["correlation_ids"]
        for entry in small.entries()
        if entry["kind"] == "attempt_transition"
    ]
    assert len({item["dagster_run_id"] for item in ids}) == 1
    assert len({item["run_id"] for item in ids}) == 1


def test_an_unregistered_partition_is_refused(
    materialized: tuple[Deployment, str, Answer],
) -> None:
    """A fingerprint that nobody registered runs nothing and records nothing."""
    small, _, _ = materialized
    before = small.evidence()
    answer = _materialize(small, "*", "f" * 64)
    assert answer.code != 0
    assert "f" * 64 in answer.err
    assert small.evidence() == before


def test_a_partition_without_manifest_is_refused(
    materialized: tuple[Deployment, str, Answer],
) -> None:
    """A partition that was added past the plane has no manifest, so it is refused by its name."""
    small, _, _ = materialized
    stray = "ab" * 32
    added = small.run(
        ROOT / ".venv/bin/python",
        "-c",
        "import dagster as dg\n"
        f"dg.DagsterInstance.get().add_dynamic_partitions('manifests', ['{stray}'])",
    )
    assert added.code == 0, added.err
    answer = _materialize(small, "numbers", stray)
    assert answer.code != 0
    assert "RO_MANIFEST_NOT_REGISTERED" in answer.err + answer.out
    assert not list((small.store / "refs").rglob(f"fingerprint={stray}"))
