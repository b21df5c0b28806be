"""How a ledger of an older release becomes one of this release, without touching an entry.

The schema's versions are Alembic revisions, the same numbers for both engines; ``versions`` holds
what each adds. What a ledger was made and migrated to is in its own append-only table
``ledger_schema``: Alembic's table of versions would be one that is updated. Alembic and SQLAlchemy
are imported only here, so opening a ledger does not pay for them.
"""

from __future__ import annotations

from ro_platform.ledger.migrations.chain import Migration
from ro_platform.ledger.migrations.postgres import migrate_postgres
from ro_platform.ledger.migrations.sqlite import migrate_sqlite

__all__ = ["Migration", "migrate_postgres", "migrate_sqlite"]
