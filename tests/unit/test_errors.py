"""Errors: stable codes, one exit code a family, and always what to do next."""

from __future__ import annotations

import json

import pytest

from ro_platform import errors
from ro_platform.contracts import ErrorResponse
from ro_platform.errors import RunOperateError

ALL = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, RunOperateError)
]
FAMILIES = {
    "RunOperateError": 1,
    "InvalidInputError": 3,
    "NotFoundError": 4,
    "GateRefusedError": 5,
    "AccessDeniedError": 11,
    "IntegrityError": 6,
    "ConflictError": 7,
    "BackendUnavailableError": 8,
    "RunFailedError": 9,
    "AttemptNotRecordedError": 9,
    "OutcomeUnknownError": 10,
}


def family(error: type[RunOperateError]) -> type[RunOperateError]:
    """The class directly below the root from which an error descends."""
    line = error.__mro__
    at = line.index(RunOperateError)
    return line[at - 1] if at else RunOperateError


def test_every_exception_of_the_module_is_one_of_ours() -> None:
    """The module defines no exception outside the hierarchy."""
    raised = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert raised == ALL
    assert len(ALL) > 30


def test_codes_are_unique() -> None:
    """No two errors share a code."""
    codes = [error.code for error in ALL]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_each_error_keeps_the_manners(error: type[RunOperateError]) -> None:
    """Every error ends in Error, has its own RO_ code and meaning, and its family's exit code."""
    assert error.__name__.endswith("Error")
    assert "code" in vars(error)
    assert error.code.startswith("RO_")
    assert error.code == error.code.upper()
    assert error.__doc__
    assert error.exit_code == FAMILIES[family(error).__name__]


def test_exit_codes_leave_the_shells_own_alone() -> None:
    """No family exits with 0 (success), 2 (usage, as click says it) or above 125 (the shell's)."""
    assert all(0 < code <= 125 and code != 2 for code in FAMILIES.values())


def test_only_an_unavailable_backend_is_retryable() -> None:
    """Only the family in which nothing was done may be retried as it is."""
    retryable = {error for error in ALL if error.retryable}
    assert retryable == {e for e in ALL if issubclass(e, errors.BackendUnavailableError)}


def test_text_says_what_and_what_next() -> None:
    """The text is the code, what happened and the next step; absent facts are left out."""
    error = errors.DigestMismatchError(
        "blob ab12 differs.", next_step="Restore it.", expected="ab12", found=7, place=None
    )
    assert str(error) == "RO_DIGEST_MISMATCH: blob ab12 differs. Restore it."
    assert error.diagnostics() == {"expected": "ab12", "found": "7", "next_step": "Restore it."}


def test_response_carries_the_whole_error() -> None:
    """An ErrorResponse says what the exception says, and survives JSON."""
    error = errors.StoreNotWritableError(
        "disk full.", next_step="Free some space.", correlation_ids={"run_id": "r"}, free=0
    )
    response = ErrorResponse.of(error)
    assert response.to_json_value() == {
        "code": "RO_STORE_NOT_WRITABLE",
        "message": "disk full.",
        "retryable": True,
        "diagnostics": {"free": "0", "next_step": "Free some space."},
        "correlation_ids": {"run_id": "r"},
    }
    assert ErrorResponse.from_json(json.dumps(response.to_json_value())) == response
