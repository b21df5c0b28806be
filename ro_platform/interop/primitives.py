"""The forms that the engine's objects are made of, and how its JSON is read.

Times, digests and names are this plane's own forms (:mod:`ro_platform.contracts.base`); here is
what differs: a seed is a plain JSON integer up to 2^64-1, an absent field is left out and never
``null``, and a document that has a key twice is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ro_platform.contracts.base import Contract, Hex64
from ro_platform.kernel.documents import parse_document

MAX_UINT64 = 2**64 - 1

Uint64 = Annotated[int, Field(ge=0, le=MAX_UINT64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
ScenarioId = (
    Annotated[str, StringConstraints(min_length=1, max_length=256)] | Annotated[int, Field(ge=0)]
)

_MEMBER_PATH = re.compile(r"(?!/)(?!.*\\)(?!.*\.\.).+", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class EngineObject(Contract):
    """An object of the engine: strict, closed and frozen; a field is present or left out."""

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, data: Any) -> Any:
        for name in cls.model_fields if isinstance(data, dict) else ():
            if data.get(name, ...) is None:
                raise ValueError(f"{name} is null: leave out what is absent")
        return data

    @classmethod
    def from_json(cls, data: bytes | str, *, where: str = "document") -> Self:
        """Read one. Raises :class:`DocumentSyntaxError` (a key that stands twice among others) and
        :class:`ContractError`, which names the first bad field."""
        value = read_json(data.encode() if isinstance(data, str) else data, where)
        return super().from_json(json.dumps(value), where=where)

    def to_json_value(self) -> dict[str, Any]:
        """The JSON form: the fields that are present, whatever they hold, and no other."""
        return self.model_dump(mode="json", exclude_unset=True)


class Digest(EngineObject):
    """A digest with the name of its algorithm; there is one."""

    algo: Literal["sha256"]
    hex: Hex64


def read_json(data: bytes, where: str) -> Any:
    """The JSON value of a document of any name. Raises :class:`DocumentSyntaxError`."""
    return parse_document(
        data, where if where.endswith(".json") else f"{where}, read as .json"
    ).value


def is_member_path(path: str) -> bool:
    r"""Whether a bundle may list that path: ``^(?!/)(?!.*\\)(?!.*\.\.).+``, the whole of it.

    Stricter where the pattern says nothing: no control character (its ``.`` ends at a line feed),
    no empty or ``.`` part (each file has one spelling), and nothing that UTF-8 cannot write.
    """
    return (
        _MEMBER_PATH.fullmatch(path) is not None
        and _CONTROL.search(path) is None
        and PurePosixPath(path).as_posix() == path != "."
        and not any("\ud800" <= letter <= "\udfff" for letter in path)
    )
