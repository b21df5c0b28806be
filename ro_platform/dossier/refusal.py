"""How a dossier is refused: one error, whose words are the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ro_platform.errors import DossierRefusedError, RunOperateError


def refused(reason: str) -> DossierRefusedError:
    """The refusal, for that reason."""
    return DossierRefusedError(
        f"The dossier is refused: {reason}.",
        next_step="Keep it as evidence, and ask whoever exported it for the dossier again.",
    )


def require(holds: bool, reason: str) -> None:
    """Raise the refusal unless that holds."""
    if not holds:
        raise refused(reason)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn the library's other errors about a part of a dossier into its refusal."""
    try:
        yield
    except DossierRefusedError:
        raise
    except RunOperateError as error:
        raise refused(f"{what}: {error.message.removesuffix('.')}") from error
