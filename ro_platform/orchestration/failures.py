"""The library's errors as Dagster shows them: words, code, and no retry of what is final."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ro_platform import errors


@contextmanager
def shown_by_dagster() -> Iterator[None]:
    """Turn an error of the library into the step's failure.

    A permanent error is never retried, whatever the asset's retry policy says.
    """
    try:
        yield
    except errors.RunOperateError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"code": error.code, **error.diagnostics()},
            allow_retries=error.retryable,
        ) from error
