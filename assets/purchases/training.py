"""A small model that says how likely a customer is to return, trained the same way every time.

Logistic regression on the logarithm of each count: convex, so there is one answer to find, and
small enough to read. Whatever could vary is fixed: rows are ordered by customer, the split is a
hash of seed and customer id, the seed is the manifest's, and BLAS and OpenMP get one thread,
because a sum split over threads is rounded otherwise.

Rounding is needed for one thing: numpy takes logarithms with the widest vectors that a processor
has, and AVX-512 gives other last digits than AVX2. So learned weights keep 8 decimals and
probabilities 12. That makes another result on another processor very unlikely, not impossible.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from assets.purchases.features import FEATURES
from assets.purchases.model_file import dump_model
from ro_platform.errors import InvalidInputError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

SKLEARN_SEEDS = 2**32
WEIGHT_DECIMALS = 8
PROBABILITY_DECIMALS = 12


@dataclass(frozen=True)
class Examples:
    """Customers by id: what was known of each (n x features) and whether it returned (n)."""

    customer_ids: list[str]
    known: Floats
    returned: Flags

    def where(self, mask: Flags) -> Examples:
        """Those of the mask, in the same order."""
        ids = [customer for customer, keep in zip(self.customer_ids, mask, strict=True) if keep]
        return Examples(ids, self.known[mask], self.returned[mask])


@dataclass(frozen=True)
class Split:
    """The customers that the model learns from, and those kept back to judge it."""

    training: Examples
    holdout: Examples


def split_examples(features: pa.Table, labels: pa.Table, seed: int, holdout_percent: int) -> Split:
    """Join features and labels by customer and split them.

    A customer's side depends on seed and id alone: adding customers moves nobody. Raises
    :class:`InvalidInputError` when the two tables are not about the same customers.
    """
    features, labels = features.sort_by("customer_id"), labels.sort_by("customer_id")
    customer_ids = features["customer_id"].to_pylist()
    if customer_ids != labels["customer_id"].to_pylist():
        raise InvalidInputError(
            f"features ({len(features)} customers) and labels ({len(labels)}) do not match.",
            next_step="Compute both from the same admitted purchases and as_of date.",
        )
    known = np.column_stack([features[name].to_numpy().astype(np.float64) for name in FEATURES])
    every = Examples(customer_ids, known, labels["returned"].to_numpy())
    kept_back = np.array([_bucket(seed, customer) < holdout_percent for customer in customer_ids])
    return Split(every.where(~kept_back), every.where(kept_back))


def train_model(split: Split, seed: int) -> bytes:
    """The trained pipeline as a canonical skops file.

    Raises :class:`InvalidInputError` when the training customers all did the same.
    """
    # Imported here because listing the assets must not cost the seconds that scikit-learn takes.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if len(np.unique(split.training.returned)) < 2:
        raise InvalidInputError(
            f"the {len(split.training.customer_ids)} training customers all have the same label.",
            next_step="Choose an as_of date and a horizon in which some return and some do not.",
        )
    model = make_pipeline(
        FunctionTransformer(np.log1p),
        StandardScaler(),
        LogisticRegression(max_iter=1000, random_state=seed % SKLEARN_SEEDS),
    )
    with one_thread():
        model.fit(split.training.known, split.training.returned)
    _round(model[1], "mean_", "var_", "scale_")
    _round(model[2], "coef_", "intercept_")
    return dump_model(model)


def predict(model: Any, examples: Examples) -> Floats:
    """The probability that each customer returns (n)."""
    with one_thread():
        probabilities: Floats = model.predict_proba(examples.known)[:, 1]
    return np.round(probabilities, PROBABILITY_DECIMALS)


def _round(fitted: Any, *weights: str) -> None:
    for name in weights:
        setattr(fitted, name, np.round(getattr(fitted, name), WEIGHT_DECIMALS))


def one_thread() -> AbstractContextManager[object]:
    """While it is entered, BLAS and OpenMP compute on one thread, whatever the environment says."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def _bucket(seed: int, customer_id: str) -> int:
    """0 to 99: the first 8 bytes of SHA-256(seed LF customer id), modulo 100."""
    digest = hashlib.sha256(f"{seed}\n{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100
