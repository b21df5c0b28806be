"""What all contracts share: strict, closed and frozen models, and the primitive forms they use.

A contract is read with :meth:`Contract.from_json` and written as its canonical bytes
(:mod:`ro_platform.kernel.canonical`); ``None`` means absent and is never written.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from ro_platform import errors

JsonObject = dict[str, JsonValue]
"""A JSON object. Its values are JSON values; what JCS refuses is refused when it is written."""

Hex64 = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{64}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{32}$")]
UtcTimestamp = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
        r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$"
    ),
    Field(description="UTC, always with six digits of a second."),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=128)]
AssetPath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*$", max_length=512),
    Field(description="A Dagster asset key, its parts joined by a slash."),
]
Actor = Annotated[
    str,
    StringConstraints(pattern=r"^(HUMAN|SYSTEM)::[A-Za-z0-9_.@\-]+$", max_length=256),
    Field(description="Who acts, as authentication says: HUMAN::id or SYSTEM::service."),
]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"\S"),
    Field(description="Why, in words: never blank."),
]


class Contract(BaseModel):
    """A public object of the plane."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def from_json(cls, data: bytes | str, *, where: str = "document") -> Self:
        """Read one from JSON text. Raises :class:`ContractError` naming the first bad field."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise contract_error(error, kind=cls.__name__, where=where) from None

    def to_json_value(self) -> dict[str, Any]:
        """The JSON form that is hashed and stored: absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True)


def contract_error(error: ValidationError, *, kind: str, where: str) -> errors.ContractError:
    """One clear error for what pydantic found: the first fault by position, and how many more."""
    faults = error.errors(include_url=False, include_context=False)
    first = faults[0]
    position = ".".join(str(part) for part in first["loc"]) or "(the whole document)"
    words = {
        "extra_forbidden": "is not a field of the contract",
        "missing": "is required and missing",
    }.get(first["type"], f"is not acceptable: {first['msg']}")
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return errors.ContractError(
        f"{where}: {position} {words}{more}.",
        next_step=f"See {kind} in the contracts reference for its fields.",
        field=position,
        contract=kind,
    )
