"""How good a model is on the customers it never saw, as a JSON report.

Scores are those of scikit-learn, means are exact sums (``math.fsum``), ties are broken by customer
id. Numbers keep 12 decimals, because the last digits of a logarithm depend on the processor
(:mod:`assets.purchases.training`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from assets.purchases.training import Examples, Flags, Floats, Split, predict
from ro_platform.errors import InvalidInputError

KIND = "purchases.evaluation.v0"
DECILES = 10
DECIMALS = 12


def evaluate(model: Any, split: Split) -> dict[str, Any]:
    """The report: counts, base rates, AUC, log loss (nats) and calibration by decile.

    Decile 1 holds the customers least likely to return. ``base_rate`` in ``log_loss`` is the loss
    of saying the training customers' share to everybody. Raises :class:`InvalidInputError` when
    the holdout has not both outcomes, because an AUC does not exist then.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    returned = split.holdout.returned
    if len(np.unique(returned)) < 2:
        raise InvalidInputError(
            f"the {len(returned)} holdout customers all have the same label.",
            next_step="Raise parameters.holdout_percent, or take more customers.",
        )
    probabilities = predict(model, split.holdout)
    base_rate = _share(split.training.returned)
    same_for_all = np.full(len(returned), base_rate)
    return {
        "kind": KIND,
        "customers": _counts(split),
        "base_rate": {"training": base_rate, "holdout": _share(returned)},
        "auc": _number(roc_auc_score(returned, probabilities)),
        "log_loss": {
            "model": _number(log_loss(returned, probabilities)),
            "base_rate": _number(log_loss(returned, same_for_all)),
        },
        "calibration": _calibration(returned, probabilities),
    }


def _counts(split: Split) -> dict[str, int]:
    training, holdout = (_size(part) for part in (split.training, split.holdout))
    return {"total": training + holdout, "training": training, "holdout": holdout}


def _size(examples: Examples) -> int:
    return len(examples.customer_ids)


def _share(flags: Flags) -> float:
    return _number(int(flags.sum()) / len(flags))


def _number(value: float) -> float:
    return round(float(value), DECIMALS)


def _calibration(returned: Flags, probabilities: Floats) -> list[dict[str, Any]]:
    order = np.argsort(probabilities, kind="stable")
    groups = [group for group in np.array_split(order, DECILES) if len(group)]
    return [
        {
            "decile": number,
            "customers": len(group),
            "predicted": _number(math.fsum(probabilities[group]) / len(group)),
            "observed": _share(returned[group]),
        }
        for number, group in enumerate(groups, start=1)
    ]
