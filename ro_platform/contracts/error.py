"""The error as the outside sees it."""

from __future__ import annotations

from pydantic import Field

from ro_platform import errors
from ro_platform.contracts.base import Contract


class ErrorResponse(Contract):
    """What every interface of the plane answers when something went wrong."""

    code: str
    message: str
    retryable: bool
    diagnostics: dict[str, str] = Field(default_factory=dict)
    correlation_ids: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: errors.RunOperateError) -> ErrorResponse:
        """The response for an error of the library."""
        return cls(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            diagnostics=error.diagnostics(),
            correlation_ids=error.correlation_ids,
        )
