"""A disk that ends after so many bytes of any one file, by the system's own limit (RLIMIT_FSIZE).

No hook: the kernel itself tears the write that crosses the limit, in a file of the store as in the
pages that SQLite writes to its log, and refuses the next one (EFBIG), or kills for it (SIGXFSZ).
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class ShortDisk:
    """No file grows beyond ``limit`` bytes: the write fails, or with ``kills`` the process dies."""

    limit: int
    kills: bool

    def begin(self, step: str) -> None:
        """See :class:`Trap`."""

    @contextmanager
    def armed(self) -> Iterator[None]:
        """See :class:`Trap`. For a forked child only."""
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if self.kills else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
