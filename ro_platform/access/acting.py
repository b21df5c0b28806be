"""Who acts in the current request: known to whoever authenticated it, and to nobody else.

A context variable, so it follows a request through ``await`` and through what copies the context
(``asyncio.to_thread``, the thread pools of Starlette and Dagster's webserver). A bare thread starts
without it, and then nobody acts: fail closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ACTING: ContextVar[str | None] = ContextVar("ro_acting", default=None)


@contextmanager
def acting_as(actor: str | None) -> Iterator[None]:
    """Within this block the authenticated actor is that one; None is nobody. Blocks nest."""
    before = _ACTING.set(actor)
    try:
        yield
    finally:
        _ACTING.reset(before)


def acting() -> str | None:
    """The actor whose request this is, as authentication said; None outside of any request."""
    return _ACTING.get()
