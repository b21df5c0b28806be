"""The root of all errors, and how one is found by its code.

A store or database does not serve (exit 8), nobody knows whether it did (10), or the work itself
failed (9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar


class RunOperateError(Exception):
    """A fault of this program. Every other error derives from it, and has a code of its own.

    ``next_step`` tells a person what to do about the very case, ``advice`` about any of its code.

    >>> from ro_platform import RunOperateError, Settings
    >>> try:
    ...     Settings.load({"RO_ENVIRONMENT": "no name!"})
    ... except RunOperateError as error:
    ...     print(error.code, error.exit_code, error.retryable)
    RO_SETTINGS 3 False
    """

    code: ClassVar[str] = "RO_INTERNAL"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "Report it with the trace that was printed: no input should lead to it."

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

    @classmethod
    def meaning(cls) -> str:
        """What the code says of any such error, in one sentence: the first of the docstring."""
        return " ".join((cls.__doc__ or "").split()).split(". ")[0].rstrip(".") + "."

    @classmethod
    def family(cls) -> type[RunOperateError] | None:
        """The error of which this is a kind; None for the root of all."""
        base = cls.__mro__[1]
        return base if issubclass(base, RunOperateError) else None

    def diagnostics(self) -> dict[str, str]:
        """Facts for an operator, as text: what was found, where, and what was expected."""
        facts = {name: str(value) for name, value in self._diagnostics.items() if value is not None}
        return facts | ({"next_step": self.next_step} if self.next_step else {})

    def __str__(self) -> str:
        hint = f" {self.next_step}" if self.next_step else ""
        return f"{self.code}: {self.message}{hint}"


def all_errors(kind: type[RunOperateError] = RunOperateError) -> Iterator[type[RunOperateError]]:
    """Every error, a family before its members."""
    yield kind
    for below in kind.__subclasses__():
        yield from all_errors(below)


def error_for(code: str) -> type[RunOperateError] | None:
    """The error class with that code, for those who have only a record of it."""
    return next((kind for kind in all_errors() if kind.code == code), None)


class BackendUnavailableError(RunOperateError):
    """Nothing was done; the same call may succeed later."""

    code = "RO_BACKEND_UNAVAILABLE"
    exit_code = 8
    retryable = True
    advice = "See that the store or database is up and reachable, and repeat the call."


class StoreNotWritableError(BackendUnavailableError):
    """The store refuses writes: permissions, a read-only or a full file system."""

    code = "RO_STORE_NOT_WRITABLE"
    advice = "Make room, or give the process the right to write there, and repeat the call."


class OutcomeUnknownError(RunOperateError):
    """The reply was lost: the write may or may not have happened. Read back before a retry."""

    code = "RO_OUTCOME_UNKNOWN"
    exit_code = 10
    advice = "Read back whether it happened, or repeat the call with the same keys."


class RunFailedError(RunOperateError):
    """An asset's own code failed, or the run ended before it."""

    code = "RO_RUN_FAILED"
    exit_code = 9
    advice = (
        "Read the error of its attempts with `ro attempts show`, correct the cause, and "
        "run it again."
    )


class AttemptNotRecordedError(RunOperateError):
    """A step runs on a Dagster instance that does not record attempts."""

    code = "RO_ATTEMPT_NOT_RECORDED"
    exit_code = 9
    advice = "Configure the plane's storage in dagster.yaml: what is not recorded may not publish."
