"""Reading everything that is bound, against what it is named by. Nothing is changed or removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import ArtifactRef
from ro_platform.errors import RunOperateError


@dataclass(frozen=True, slots=True)
class Finding:
    """One bound artifact: where it is, what it should be, and what is wrong with it, if any."""

    asset: str
    fingerprint: str
    revision: int
    ref: ArtifactRef
    error: RunOperateError | None = None

    @property
    def locator(self) -> str:
        """The binding's locator."""
        return self.ref.ref


def audit(store: ArtifactStore, asset_prefix: str = "", *, full: bool = False) -> Iterator[Finding]:
    """Verify every bound artifact, streaming; one finding each, good or bad.

    With ``full``, both digests. Raises :class:`BindingCorruptError` where a binding itself is not
    what this store wrote.
    """
    for asset, fingerprint, revision, ref in store.bindings(asset_prefix):
        error: RunOperateError | None = None
        try:
            store.verify(ref, full=full)
        except RunOperateError as found:
            error = found
        yield Finding(asset, fingerprint, revision, ref, error)
