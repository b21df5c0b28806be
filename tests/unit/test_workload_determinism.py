"""The whole workload, computed from the tutorial's manifests without any plane.

Run as a program, this file prints the digest of every artifact of both manifests, so that a test
can compare processes that differ in what must not matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.purchases import admission, features, gates
from assets.purchases.bundle import provenance, read_bundle, write_bundle
from assets.purchases.cdnow import parse_master_file
from assets.purchases.evaluation import evaluate
from assets.purchases.features import SNAPSHOT_SCHEMA
from assets.purchases.generation import generate_purchases
from assets.purchases.model_file import load_model
from assets.purchases.scenario import build_scenario
from assets.purchases.settings import AdmissionPolicy, GateThresholds, PurchasesParameters
from assets.purchases.training import Split, split_examples, train_model
from ro_platform.contracts import ArtifactRef, RunManifest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.documents import parse_document
from ro_platform.kernel.identity import manifest_fingerprint

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs/tutorial"
MANIFESTS = ("purchases.yaml", "purchases-generated.yaml")
NO_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX",
    "OPENBLAS_CORETYPE": "Haswell",
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS")


class Pipeline(NamedTuple):
    """Every value of one run, with what decided it."""

    manifest: RunManifest
    parameters: PurchasesParameters
    scenario: pa.Table
    quarantine: pa.Table
    admitted: pa.Table
    feature_snapshot: pa.Table
    labels: pa.Table
    split: Split
    model: bytes
    evaluation: dict[str, Any]

    def encoded(self) -> dict[str, bytes]:
        """Each artifact as the bytes that would be stored."""
        tables = ("scenario", "quarantine", "admitted", "feature_snapshot", "labels")
        return {name: parquet(getattr(self, name)) for name in tables} | {
            "model": self.model,
            "evaluation": canonical_bytes(self.evaluation),
        }


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def document(path: Path) -> Any:
    return parse_document(path.read_bytes(), path.name).value


def config(name: str) -> Any:
    return document(TUTORIAL / "configs" / f"{name}.yaml")


POLICY = AdmissionPolicy.read(config("purchases_admission"), where="purchases_admission")
THRESHOLDS = GateThresholds.read(config("purchases_gates"), where="purchases_gates")


def run_pipeline(manifest_name: str) -> Pipeline:
    text = canonical_bytes(document(TUTORIAL / manifest_name))
    manifest = RunManifest.from_json(text, where=manifest_name)
    parameters = PurchasesParameters.read(manifest.parameters, where="parameters")
    named = manifest.input("purchases")
    data = (TUTORIAL / named.ref.ref).read_bytes() if named else None
    assert manifest.seed is not None
    scenario = build_scenario(data, manifest.seed, parameters.generate)
    quarantine = admission.quarantine_rows(scenario, POLICY)
    admitted = admission.admit_rows(scenario, quarantine)
    snapshot = features.feature_snapshot(admitted, parameters.as_of)
    labels = features.labels(admitted, parameters.as_of, parameters.window_end)
    split = split_examples(snapshot, labels, manifest.seed, parameters.holdout_percent)
    model = train_model(split, manifest.seed)
    report = evaluate(load_model(model), split)
    return Pipeline(
        manifest,
        parameters,
        scenario,
        quarantine,
        admitted,
        snapshot,
        labels,
        split,
        model,
        report,
    )


def digests_in_a_new_process(
    hash_seed: str, threads: str, processor: dict[str, str]
) -> dict[str, dict[str, str]]:
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, threads) | processor
    environment |= {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=True
    )
    digests: dict[str, dict[str, str]] = json.loads(done.stdout)
    return digests


@pytest.fixture(scope="module", params=MANIFESTS)
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    return run_pipeline(request.param)


def test_same_bytes_in_every_process() -> None:
    """Neither hash seed, nor threads, nor the lack of AVX-512 changes a byte of any artifact."""
    one = digests_in_a_new_process("1", threads="1", processor={})
    other = digests_in_a_new_process("4242", threads="2", processor=NO_AVX512)
    artifacts = {*Pipeline._fields} - {"manifest", "parameters", "split"}
    assert {name: set(digests) for name, digests in one.items()} == dict.fromkeys(
        MANIFESTS, artifacts
    )
    assert one == other


def test_all_gates_pass(pipeline: Pipeline, tmp_path: Path) -> None:
    """The tutorial's manifests meet every threshold of the tutorial's configs."""
    p, window = pipeline, (pipeline.parameters.as_of, pipeline.parameters.window_end)
    bound = {
        name: ArtifactRef(ref=f"blobs/{name}", digest=sha256_hex(data), digest_alg="sha256")
        for name, data in p.encoded().items()
    }
    origin = provenance(p.manifest, manifest_fingerprint(p.manifest), bound)
    bundle = read_bundle(write_bundle(tmp_path, p.model, p.evaluation, origin))
    verdicts = {
        "scenario": gates.scenario_is_plausible(p.scenario, THRESHOLDS),
        "quarantine": gates.quarantine_is_small(p.quarantine, p.scenario, THRESHOLDS),
        "admitted": gates.admission_adds_up(p.admitted, p.quarantine, p.scenario),
        "future": gates.features_know_no_future(p.feature_snapshot, window[0], THRESHOLDS),
        "totals": gates.features_account_for_purchases(p.feature_snapshot, p.admitted, window[0]),
        "labels": gates.labels_look_only_ahead(
            p.labels, p.feature_snapshot, p.admitted, window, THRESHOLDS
        ),
        "model": gates.model_is_safe_to_load(p.model),
        "evaluation": gates.evaluation_is_good_enough(p.evaluation, len(p.labels), THRESHOLDS),
        "makers": gates.bundle_names_its_makers(bundle, bound),
        "report": gates.bundle_reproduces_its_report(bundle, p.split),
    }
    assert {name: verdict.facts for name, verdict in verdicts.items() if not verdict.passed} == {}
    for verdict in verdicts.values():
        assert json.loads(canonical_bytes(verdict.facts)) == verdict.facts


def test_tables_come_back_as_they_went(pipeline: Pipeline) -> None:
    """Parquet keeps every table's values and its schema, nullability included: gates compare it."""
    for name, data in pipeline.encoded().items():
        if name not in ("model", "evaluation"):
            assert pq.read_table(pa.BufferReader(data)).equals(getattr(pipeline, name))


def test_pinned_digests_are_those_of_the_configs(pipeline: Pipeline) -> None:
    """A manifest pins both configs, by the digest of the content that stands beside it."""
    pins = {pin.config_name: pin.digest for pin in pipeline.manifest.config_versions}
    names = ("purchases_admission", "purchases_gates")
    assert pins == {name: sha256_hex(canonical_bytes(config(name))) for name in names}


def test_pinned_input_is_the_file() -> None:
    """The manifest's digest and size are those of the compressed copy."""
    manifest = RunManifest.from_json(canonical_bytes(document(TUTORIAL / "purchases.yaml")))
    named = manifest.input("purchases")
    assert named is not None
    data = (TUTORIAL / named.ref.ref).read_bytes()
    assert (named.ref.digest, named.ref.size_bytes) == (sha256_hex(data), len(data))


def test_counts_of_the_real_data() -> None:
    """69,659 rows, all parsed; 80 of zero amount and 255 exact repeats; 23,500 customers known."""
    p = run_pipeline("purchases.yaml")
    assert (len(p.scenario), p.scenario["raw_text"].null_count) == (69_659, 69_659)
    assert (len(p.quarantine), len(p.admitted), len(p.labels)) == (335, 69_324, 23_500)


def test_a_million_rows_are_made_and_admitted() -> None:
    """Scale: generation, admission and features of a million rows stay whole and add up."""
    p = PurchasesParameters.read(
        document(TUTORIAL / "purchases-generated.yaml")["parameters"], where="parameters"
    )
    assert p.generate is not None
    scenario = generate_purchases(1, p.generate.model_copy(update={"customers": 360_000}))
    quarantine = admission.quarantine_rows(scenario, POLICY)
    admitted = admission.admit_rows(scenario, quarantine)
    snapshot = features.feature_snapshot(admitted, p.as_of)
    assert len(scenario) > 1_000_000
    assert gates.admission_adds_up(admitted, quarantine, scenario).passed
    assert gates.features_account_for_purchases(snapshot, admitted, p.as_of).passed
    assert snapshot.schema.equals(SNAPSHOT_SCHEMA)


def test_rows_of_the_file_and_of_the_generator_have_one_schema() -> None:
    """What follows cannot tell by the schema where the purchases came from."""
    schemas = [run_pipeline(name).scenario.schema for name in MANIFESTS]
    data = (TUTORIAL / "data/cdnow_master.txt.gz").read_bytes()
    assert schemas == [parse_master_file(data).schema] * 2


if __name__ == "__main__":
    every = {name: run_pipeline(name).encoded() for name in MANIFESTS}
    print(
        json.dumps(
            {
                name: {artifact: sha256_hex(data) for artifact, data in encoded.items()}
                for name, encoded in every.items()
            }
        )
    )
