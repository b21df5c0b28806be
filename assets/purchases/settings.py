"""What a manifest and its pinned configs say to this workload, read strictly.

An unknown, missing or ill-typed field is a :class:`~ro_platform.errors.ContractError` that names
it. Nothing has a default: whatever decides the outcome is written where it is hashed.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from ro_platform.contracts import Contract
from ro_platform.errors import InvalidInputError
from ro_platform.kernel.canonical import canonical_bytes

Share = Annotated[float, Field(ge=0, le=1, description="A part of the whole, from 0 to 1.")]


class _Settings(Contract):
    @classmethod
    def read(cls, value: Any, *, where: str) -> Self:
        """Read from a JSON value; ``where`` names it in errors (ContractError)."""
        return cls.from_json(canonical_bytes(value), where=where)


class DirtyShares(_Settings):
    """How much of a generated scenario is bad, and in which way."""

    zero_amount: Share
    exact_repeat: Share
    out_of_range: Share
    unparsable: Share


class Generation(_Settings):
    """A made-up shop: its customers arrive in the first ``acquisition_days`` of the period."""

    customers: PositiveInt
    first_date: date
    last_date: date
    acquisition_days: PositiveInt
    dirty: DirtyShares

    @model_validator(mode="after")
    def _period_holds_the_arrivals(self) -> Self:
        if self.first_date + timedelta(days=self.acquisition_days - 1) > self.last_date:
            raise ValueError("acquisition_days reaches beyond last_date")
        return self


class PurchasesParameters(_Settings):
    """The manifest's ``parameters``."""

    as_of: date = Field(description="Features may know purchases up to and including this date.")
    horizon_days: PositiveInt = Field(description="The label looks at so many days after as_of.")
    holdout_percent: Annotated[int, Field(ge=1, le=99)]
    generate: Generation | None = None

    @property
    def window_end(self) -> date:
        """The last date that the label looks at."""
        return self.as_of + timedelta(days=self.horizon_days)


def require_seed(seed: int | None) -> int:
    """The manifest's seed. Raises :class:`InvalidInputError` when it has none."""
    if seed is None:
        raise InvalidInputError(
            "the manifest has no seed, and training splits customers by it.",
            next_step="Add `seed:` with any whole number to the manifest.",
        )
    return seed


class Rule(StrEnum):
    """What admission does with rows of some kind."""

    ADMIT = "admit"
    QUARANTINE = "quarantine"


class AdmissionPolicy(_Settings):
    """The config ``purchases_admission``: ranges (both ends included) and explicit rules."""

    first_date: date
    last_date: date
    minimum_quantity: int
    maximum_quantity: int
    minimum_amount_cents: int
    maximum_amount_cents: int
    zero_amounts: Rule
    exact_repeats: Rule = Field(description="Of equal rows, all but the lowest row number.")


class GateThresholds(_Settings):
    """The config ``purchases_gates``: what each gate demands."""

    scenario_minimum_rows: PositiveInt
    scenario_first_date: date
    scenario_last_date: date
    scenario_maximum_share_outside: Share
    quarantine_maximum_share: Share
    quarantine_maximum_zero_share: Share
    features_minimum_customers: PositiveInt
    labels_minimum_returning_share: Share
    labels_maximum_returning_share: Share
    labels_maximum_unobserved_days: NonNegativeInt
    evaluation_minimum_auc: Share
    evaluation_maximum_calibration_gap: Share
