"""The root of all errors, and how one is found by its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RunOperateError(Exception):
    """Root of all errors. ``next_step`` tells a person what to do about it."""

    code: ClassVar[str] = "RO_INTERNAL"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "",
        correlation_ids: Mapping[str, str] | None = None,
        **diagnostics: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.correlation_ids = dict(correlation_ids or {})
        self._diagnostics = diagnostics

    def diagnostics(self) -> dict[str, str]:
        """Facts for an operator, as text: what was found, where, and what was expected."""
        facts = {name: str(value) for name, value in self._diagnostics.items() if value is not None}
        return facts | ({"next_step": self.next_step} if self.next_step else {})

    def __str__(self) -> str:
        hint = f" {self.next_step}" if self.next_step else ""
        return f"{self.code}: {self.message}{hint}"


def error_for(code: str) -> type[RunOperateError] | None:
    """The error class with that code, for those who have only a record of it."""
    kinds = [RunOperateError]
    for kind in kinds:
        if kind.code == code:
            return kind
        kinds.extend(kind.__subclasses__())
    return None
