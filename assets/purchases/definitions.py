"""The workload as Dagster sees it: eight assets and the gates that stand before their readers.

Everything here is a thin wrapper: it reads the manifest through the plane, calls a pure function
and returns its value, which the IO manager stores. All are partitioned by manifest fingerprint.
"""

# No `from __future__ import annotations` here: Dagster reads these annotations when it decorates.

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.purchases import admission, features, gates
from assets.purchases.bundle import provenance, read_bundle, write_bundle
from assets.purchases.evaluation import evaluate
from assets.purchases.model_file import load_model
from assets.purchases.scenario import INPUT, build_scenario
from assets.purchases.settings import (
    AdmissionPolicy,
    GateThresholds,
    PurchasesParameters,
    require_seed,
)
from assets.purchases.training import Split, split_examples, train_model
from ro_platform.orchestration import MANIFESTS, PlaneResource, gate

GROUP = "purchases"
ADMISSION_CONFIG = "purchases_admission"
GATES_CONFIG = "purchases_gates"
MAKERS = (
    "scenario",
    "quarantine",
    "admitted",
    "feature_snapshot",
    "labels",
    "model",
    "evaluation",
)

StepContext = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def scenario(context: dg.AssetExecutionContext, plane: PlaneResource) -> pa.Table:
    """Every purchase of the scenario, good or bad: read from the input, or generated."""
    run = plane.run(context)
    purchases = run.input_bytes(INPUT) if run.has_input(INPUT) else None
    return build_scenario(purchases, run.seed, _parameters(plane, context).generate)


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def quarantine(
    context: dg.AssetExecutionContext, plane: PlaneResource, scenario: pa.Table
) -> pa.Table:
    """The rows that the pinned admission policy keeps out, each with all its reasons."""
    policy = plane.run(context).config(ADMISSION_CONFIG)
    return admission.quarantine_rows(scenario, AdmissionPolicy.read(policy, where=ADMISSION_CONFIG))


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def admitted(scenario: pa.Table, quarantine: pa.Table) -> pa.Table:
    """The rows that are not quarantined."""
    return admission.admit_rows(scenario, quarantine)


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def feature_snapshot(
    context: dg.AssetExecutionContext, plane: PlaneResource, admitted: pa.Table
) -> pa.Table:
    """What was known of each customer on the date that the manifest pins."""
    return features.feature_snapshot(admitted, _parameters(plane, context).as_of)


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def labels(context: dg.AssetExecutionContext, plane: PlaneResource, admitted: pa.Table) -> pa.Table:
    """Who came back within the horizon: kept apart, so that no feature can see it."""
    parameters = _parameters(plane, context)
    return features.labels(admitted, parameters.as_of, parameters.window_end)


@dg.asset(
    partitions_def=MANIFESTS,
    code_version="1",
    group_name=GROUP,
    metadata={"ro/train_run": True},
)
def model(
    context: dg.AssetExecutionContext,
    plane: PlaneResource,
    feature_snapshot: pa.Table,
    labels: pa.Table,
) -> bytes:
    """The trained model, a canonical skops file."""
    split = _split(plane, context, feature_snapshot, labels)
    return train_model(split, require_seed(plane.run(context).seed))


@dg.asset(partitions_def=MANIFESTS, code_version="1", group_name=GROUP)
def evaluation(
    context: dg.AssetExecutionContext,
    plane: PlaneResource,
    model: bytes,
    feature_snapshot: pa.Table,
    labels: pa.Table,
) -> dict[str, Any]:
    """How good the stored model is on customers that it never saw."""
    return evaluate(load_model(model), _split(plane, context, feature_snapshot, labels))


@dg.asset(
    partitions_def=MANIFESTS,
    code_version="1",
    group_name=GROUP,
    deps=[scenario, quarantine, admitted, feature_snapshot, labels],
    metadata={"ro/bundle": True},
)
def bundle(
    context: dg.AssetExecutionContext,
    plane: PlaneResource,
    model: bytes,
    evaluation: dict[str, Any],
) -> Iterator[dg.Output[Path]]:
    """Model, feature schema, report and provenance in one folder."""
    run = plane.run(context)
    made_by = {name: run.artifact(name) for name in MAKERS}
    origin = provenance(run.manifest, run.fingerprint, made_by)
    # The folder lives until the IO manager has stored it, which it does while this yields.
    with TemporaryDirectory(prefix="purchases-bundle-") as folder:
        yield dg.Output(write_bundle(Path(folder), model, evaluation, origin))


@gate(asset=scenario, configs=(GATES_CONFIG,), code_version="1")
def scenario_is_plausible(
    context: dg.AssetCheckExecutionContext, plane: PlaneResource, scenario: pa.Table
) -> dg.AssetCheckResult:
    """Enough rows, each numbered once, few outside the expected dates."""
    return _result(gates.scenario_is_plausible(scenario, _thresholds(plane, context)))


@gate(
    asset=quarantine,
    configs=(GATES_CONFIG,),
    code_version="1",
    additional_ins={"scenario": dg.AssetIn("scenario")},
)
def quarantine_is_small(
    context: dg.AssetCheckExecutionContext,
    plane: PlaneResource,
    quarantine: pa.Table,
    scenario: pa.Table,
) -> dg.AssetCheckResult:
    """Few rows kept out, each for a stated reason."""
    return _result(gates.quarantine_is_small(quarantine, scenario, _thresholds(plane, context)))


@gate(
    asset=admitted,
    code_version="1",
    additional_ins={"scenario": dg.AssetIn("scenario"), "quarantine": dg.AssetIn("quarantine")},
)
def admission_adds_up(
    admitted: pa.Table, quarantine: pa.Table, scenario: pa.Table
) -> dg.AssetCheckResult:
    """Scenario = admitted + quarantined, row by row."""
    return _result(gates.admission_adds_up(admitted, quarantine, scenario))


@gate(asset=feature_snapshot, configs=(GATES_CONFIG,), code_version="1")
def features_know_no_future(
    context: dg.AssetCheckExecutionContext, plane: PlaneResource, feature_snapshot: pa.Table
) -> dg.AssetCheckResult:
    """One row a customer, no nulls, nothing after as_of."""
    as_of = _parameters(plane, context).as_of
    thresholds = _thresholds(plane, context)
    return _result(gates.features_know_no_future(feature_snapshot, as_of, thresholds))


@gate(
    asset=feature_snapshot,
    code_version="1",
    additional_ins={"admitted": dg.AssetIn("admitted")},
)
def features_account_for_purchases(
    context: dg.AssetCheckExecutionContext,
    plane: PlaneResource,
    feature_snapshot: pa.Table,
    admitted: pa.Table,
) -> dg.AssetCheckResult:
    """Purchases, items and money up to as_of are all counted, once."""
    as_of = _parameters(plane, context).as_of
    return _result(gates.features_account_for_purchases(feature_snapshot, admitted, as_of))


@gate(
    asset=labels,
    configs=(GATES_CONFIG,),
    code_version="1",
    additional_ins={
        "feature_snapshot": dg.AssetIn("feature_snapshot"),
        "admitted": dg.AssetIn("admitted"),
    },
)
def labels_look_only_ahead(
    context: dg.AssetCheckExecutionContext,
    plane: PlaneResource,
    labels: pa.Table,
    feature_snapshot: pa.Table,
    admitted: pa.Table,
) -> dg.AssetCheckResult:
    """The features' customers, and a window after as_of that the data covers."""
    parameters = _parameters(plane, context)
    window = (parameters.as_of, parameters.window_end)
    thresholds = _thresholds(plane, context)
    return _result(
        gates.labels_look_only_ahead(labels, feature_snapshot, admitted, window, thresholds)
    )


@gate(asset=model, code_version="1")
def model_is_safe_to_load(model: bytes) -> dg.AssetCheckResult:
    """Only trusted types, all features, finite weights, canonical bytes."""
    return _result(gates.model_is_safe_to_load(model))


@gate(
    asset=evaluation,
    configs=(GATES_CONFIG,),
    code_version="1",
    additional_ins={"labels": dg.AssetIn("labels")},
)
def evaluation_is_good_enough(
    context: dg.AssetCheckExecutionContext,
    plane: PlaneResource,
    evaluation: dict[str, Any],
    labels: pa.Table,
) -> dg.AssetCheckResult:
    """AUC and calibration as demanded, better than the base rate, every customer counted."""
    thresholds = _thresholds(plane, context)
    return _result(gates.evaluation_is_good_enough(evaluation, len(labels), thresholds))


@gate(asset=bundle, code_version="1")
def bundle_names_its_makers(
    context: dg.AssetCheckExecutionContext, plane: PlaneResource, bundle: Path
) -> dg.AssetCheckResult:
    """The digests in the bundle are those that this run is bound to."""
    run = plane.run(context)
    bound = {name: run.artifact(name) for name in MAKERS}
    return _result(gates.bundle_names_its_makers(read_bundle(bundle), bound))


@gate(
    asset=bundle,
    code_version="1",
    additional_ins={
        "feature_snapshot": dg.AssetIn("feature_snapshot"),
        "labels": dg.AssetIn("labels"),
    },
)
def bundle_reproduces_its_report(
    context: dg.AssetCheckExecutionContext,
    plane: PlaneResource,
    bundle: Path,
    feature_snapshot: pa.Table,
    labels: pa.Table,
) -> dg.AssetCheckResult:
    """The bundled model gives the bundled report again, digit for digit."""
    split = _split(plane, context, feature_snapshot, labels)
    return _result(gates.bundle_reproduces_its_report(read_bundle(bundle), split))


ASSETS = [
    scenario,
    quarantine,
    admitted,
    feature_snapshot,
    labels,
    model,
    evaluation,
    bundle,
]
GATES = [
    scenario_is_plausible,
    quarantine_is_small,
    admission_adds_up,
    features_know_no_future,
    features_account_for_purchases,
    labels_look_only_ahead,
    model_is_safe_to_load,
    evaluation_is_good_enough,
    bundle_names_its_makers,
    bundle_reproduces_its_report,
]
JOBS = [
    dg.define_asset_job(
        "purchases",
        selection=dg.AssetSelection.assets(*ASSETS),
        partitions_def=MANIFESTS,
        description="The reference workload: from purchases to a bundled, judged model.",
    )
]


def _parameters(plane: PlaneResource, context: StepContext) -> PurchasesParameters:
    return PurchasesParameters.read(plane.run(context).parameters, where="parameters")


def _thresholds(plane: PlaneResource, context: StepContext) -> GateThresholds:
    return GateThresholds.read(plane.run(context).config(GATES_CONFIG), where=GATES_CONFIG)


def _split(
    plane: PlaneResource, context: StepContext, snapshot: pa.Table, labels: pa.Table
) -> Split:
    seed = require_seed(plane.run(context).seed)
    holdout_percent = _parameters(plane, context).holdout_percent
    return split_examples(snapshot, labels, seed, holdout_percent)


def _result(verdict: gates.Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=verdict.passed, metadata=verdict.facts)
