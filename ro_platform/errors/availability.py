"""A store or database does not serve (exit 8), nobody knows whether it did (10), or the work itself
failed (9)."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


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
