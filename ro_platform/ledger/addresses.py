"""Which backend keeps the log: the one place that reads the ledger's URL.

What a ledger is kept in decides how it is opened and migrated, and whether it has roles. The
modules that do so are imported where they are used: their drivers would slow down every command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ro_platform.kernel.urls import local_path, scheme_of
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres_address import SCHEMES
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend

if TYPE_CHECKING:
    from ro_platform.ledger.migrations import Migration

SETTING = "RO_LEDGER_URL"
_FORMS = "sqlite:///absolute/path or postgresql://user@host/database"


@dataclass(frozen=True, slots=True)
class SqliteLedger:
    """A ledger in a file of this machine."""

    path: Path

    def open(self) -> LedgerBackend:
        """The backend. Creates nothing before the first write."""
        return SqliteLedgerBackend(self.path)

    def migrate(self, *, check_only: bool) -> Migration:
        """Bring it to this release's schema version, or only tell what there is to do."""
        from ro_platform.ledger.migrations import migrate_sqlite

        return migrate_sqlite(self.path, check_only=check_only)


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """A ledger in a PostgreSQL database; its URL may hold a password, and is not shown."""

    url: str = field(repr=False)

    def open(self) -> LedgerBackend:
        """The backend. Connects when it is first used. Raises :class:`SettingsError` for a URL
        that cannot be read."""
        from ro_platform.ledger.backends.postgres import PostgresLedgerBackend

        return PostgresLedgerBackend(self.url)

    def migrate(self, *, check_only: bool) -> Migration:
        """Bring it to this release's schema version, or only tell what there is to do."""
        from ro_platform.ledger.migrations import migrate_postgres

        return migrate_postgres(self.url, check_only=check_only)

    def grant(self, role: str) -> None:
        """Let a role of the server read the ledger and append to it, and nothing else."""
        from ro_platform.ledger.backends.postgres_tables import grant_append_only

        grant_append_only(self.url, role)


def ledger_at(url: str) -> SqliteLedger | PostgresLedger:
    """Where the ledger of that URL is. Opens nothing.

    Raises :class:`SettingsError` for a URL that this version cannot open, without its password.
    """
    if scheme_of(url) in SCHEMES:
        return PostgresLedger(url)
    return SqliteLedger(local_path(url, scheme="sqlite", setting=SETTING, forms=_FORMS))
